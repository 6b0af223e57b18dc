//! A single station under an open load.

use splitscale_spec::{Balancer, ServiceLaw};

use super::{Exact, Place, Quantity, VerifyError, unknown};
use crate::exact::{
    Finite, Mmc, Station, Steady, deadline_miss, deterministic_gap, gamma_gap, gim1, join_shortest_queue,
    mdc, mmck, pollaczek_khinchine, processor_sharing, round_robin,
};
use crate::law::scv;

/// A station that takes time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Where its queue is.
    pub(super) place: Place,
    /// Path of its service law.
    pub(super) field: &'a str,
    pub(super) service: Service,
    pub(super) servers: u32,
    pub(super) queue_limit: Option<u32>,
    pub(super) balancer: Balancer,
    /// One core that those at work share.
    pub(super) shared: bool,
}

/// What of a service law decides which answers there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub(super) mean_s: f64,
    /// Squared coefficient of variation.
    pub(super) scv: f64,
    pub(super) exponential: bool,
}

/// What comes to a station from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) gap: &'a ServiceLaw,
    pub(super) deadline_s: Option<f64>,
    /// Every request is kept.
    pub(super) records: bool,
}

/// Every answer to one station, or what stands in the way.
pub(super) fn answers(part: &Part, load: &Load) -> Result<Vec<Exact>, VerifyError> {
    let poisson = is_exponential(load.gap);
    let Service { mean_s, scv, exponential } = part.service;
    let station = Station { rate_per_s: load.gap.mean_s().recip(), service_s: mean_s, servers: part.servers };
    let (servers, rate) = (part.servers, station.rate_per_s);
    let balanced = servers > 1 && part.balancer != Balancer::CentralQueue;
    if !poisson {
        let alone = servers == 1 && !part.shared && part.queue_limit.is_none() && load.deadline_s.is_none();
        return match alone && exponential {
            true => renewal(part, station, load),
            false => {
                let problem = "neither Poisson nor before one exponential server, without a queue limit, a \
                               deadline or shared cores; use arrivals.poisson";
                Err(unknown("arrivals.renewal", problem))
            }
        };
    }
    if part.shared {
        return shared(part, station, load, balanced);
    }
    match (load.deadline_s, part.queue_limit) {
        (Some(deadline_s), None) if exponential && !balanced => {
            let lost = deadline_miss(station, deadline_s)?;
            Ok(vec![of(&format!("M/M/{servers}+D"))(Quantity::LostShare, lost)])
        }
        (Some(_), _) => {
            let problem = "known for exponential services from one queue without a limit only";
            Err(unknown("deadline_s", problem))
        }
        (None, Some(limit)) if !balanced && (exponential || limit == 0) => bounded(part, station, limit),
        (None, Some(_)) => {
            let problem = "known for exponential services from one queue only, or with a limit of 0";
            Err(unknown(part.field.replace("service", "queue_limit"), problem))
        }
        (None, None) if balanced => replicas(part, station),
        (None, None) if exponential => central(part, station, load.records),
        (None, None) if servers == 1 => {
            Ok(steady("M/G/1", part.place, pollaczek_khinchine(rate, mean_s, scv)?))
        }
        (None, None) if scv == 0.0 => Ok(steady(&format!("M/D/{servers}"), part.place, mdc(station)?)),
        (None, None) => {
            let problem = format!("neither exponential nor constant, before {servers} servers; 1 would do");
            Err(unknown(part.field, problem))
        }
    }
}

fn central(part: &Part, station: Station, records: bool) -> Result<Vec<Exact>, VerifyError> {
    let (mmc, place) = (Mmc::new(station)?, part.place);
    let name = format!("M/M/{}", part.servers);
    let mut answers = steady(&name, place, mmc.steady());
    let answer = of(&name);
    for p in [0.95, 0.99] {
        answers.push(answer(Quantity::SojournQuantile(p), mmc.sojourn_quantile(p)?));
    }
    if records {
        answers.push(answer(Quantity::WaitShare(place), mmc.wait_probability()));
        answers.push(answer(Quantity::WaitQuantile(place, 0.95), mmc.wait_quantile(0.95)?));
    }
    Ok(answers)
}

fn bounded(part: &Part, station: Station, limit: u32) -> Result<Vec<Exact>, VerifyError> {
    let capacity = part.servers.checked_add(limit).filter(|capacity| *capacity <= MOST_ROOM);
    let Some(capacity) = capacity else {
        let problem = format!("{limit}; solved for {MOST_ROOM} in all, leave it away instead");
        return Err(unknown(part.field.replace("service", "queue_limit"), problem));
    };
    let Finite { probabilities, steady: means } = mmck(station, capacity)?;
    let law = if part.service.exponential { "M" } else { "G" };
    let name = format!("M/{law}/{}/{capacity}", part.servers);
    let answer = of(&name);
    let refused = probabilities.last().copied().unwrap_or(0.0);
    let mut answers = steady(&name, part.place, means);
    answers.push(answer(Quantity::Throughput, means.rate_per_s));
    answers.push(answer(Quantity::RefusedShare, refused));
    Ok(answers)
}

const MOST_ROOM: u32 = 100_000;

fn replicas(part: &Part, station: Station) -> Result<Vec<Exact>, VerifyError> {
    let Service { mean_s, scv, exponential } = part.service;
    let servers = part.servers;
    let (name, means) = match part.balancer {
        Balancer::Random => {
            // A random part of a Poisson stream is one.
            let each = pollaczek_khinchine(station.rate_per_s / f64::from(servers), mean_s, scv)?;
            let (number, waiting) = (each.number * f64::from(servers), each.waiting * f64::from(servers));
            (format!("{servers} M/G/1 at random"), Steady { number, waiting, ..each })
        }
        Balancer::RoundRobin if exponential => (format!("{servers} M/M/1 in turn"), round_robin(station)?),
        Balancer::ShortestQueue if exponential => {
            (format!("the shortest of {servers} M/M/1"), join_shortest_queue(station)?)
        }
        _ => {
            let problem = "not exponential, behind a balancer that is not random";
            return Err(unknown(part.field, problem));
        }
    };
    Ok(steady(&name, part.place, means))
}

/// Exponential services end at the same rate however many share the core; other laws need a pod for each.
fn shared(part: &Part, station: Station, load: &Load, balanced: bool) -> Result<Vec<Exact>, VerifyError> {
    let field = part.field.replace("service", "cores");
    if balanced || part.queue_limit.is_some() || load.deadline_s.is_some() {
        let problem = "shared; known for one queue without limit or deadline only";
        return Err(unknown(field, problem));
    }
    let one = Station { servers: 1, ..station };
    let means = processor_sharing(one)?;
    let beyond = (one.rate_per_s * one.service_s).powf(f64::from(part.servers));
    if !part.service.exponential && beyond > 1e-9 {
        let problem = "shared by too few pods: requests wait, which has no answer unless the law is \
                       exponential; take more pods";
        return Err(unknown(field, problem));
    }
    let law = if part.service.exponential { "M" } else { "G" };
    let name = format!("M/{law}/1-PS");
    let answer = of(&name);
    Ok(vec![answer(Quantity::Sojourn, means.sojourn_s), answer(Quantity::Number, means.number)])
}

fn renewal(part: &Part, station: Station, load: &Load) -> Result<Vec<Exact>, VerifyError> {
    let Station { rate_per_s: rate, service_s, .. } = station;
    let shape = scv(load.gap).recip();
    let (law, means) = match load.gap {
        ServiceLaw::Deterministic { .. } => ("D", gim1(rate, service_s, deterministic_gap(rate))?),
        ServiceLaw::Erlang { .. } => ("E", gim1(rate, service_s, gamma_gap(rate, shape))?),
        ServiceLaw::Gamma { .. } => ("Gamma", gim1(rate, service_s, gamma_gap(rate, shape))?),
        _ => {
            let problem = "known for deterministic, exponential, erlang and gamma gaps only";
            return Err(unknown("arrivals.renewal.gap", problem));
        }
    };
    let name = format!("{law}/M/1");
    let mut answers = steady(&name, part.place, means);
    if load.records {
        // sigma, of which Wq = sigma W.
        answers.push(of(&name)(Quantity::WaitShare(part.place), means.wait_s / means.sojourn_s));
    }
    Ok(answers)
}

/// W, Wq, L, Lq.
fn steady(model: &str, place: Place, means: Steady) -> Vec<Exact> {
    let answer = of(model);
    vec![
        answer(Quantity::Sojourn, means.sojourn_s),
        answer(Quantity::Wait(place), means.wait_s),
        answer(Quantity::Number, means.number),
        answer(Quantity::Waiting(place), means.waiting),
    ]
}

/// Answers of a model.
pub(super) fn of(model: &str) -> impl Fn(Quantity, f64) -> Exact {
    move |quantity, value| Exact { model: model.to_string(), quantity, value }
}

pub(super) fn is_exponential(law: &ServiceLaw) -> bool {
    match law {
        ServiceLaw::Exponential { .. } | ServiceLaw::Erlang { stages: 1, .. } => true,
        ServiceLaw::Gamma { cv, .. } | ServiceLaw::Weibull { cv, .. } => *cv == 1.0,
        _ => false,
    }
}

// === impl Service ===

impl Service {
    pub(super) fn of(law: &ServiceLaw) -> Self {
        Service { mean_s: law.mean_s(), scv: scv(law), exponential: is_exponential(law) }
    }

    /// One after the other.
    pub(super) fn then(self, next: Service) -> Self {
        let mean_s = self.mean_s + next.mean_s;
        let variance = self.scv * self.mean_s.powi(2) + next.scv * next.mean_s.powi(2);
        Service { mean_s, scv: variance / mean_s.powi(2), exponential: false }
    }
}
