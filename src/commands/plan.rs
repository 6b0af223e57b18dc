//! `splitscale plan`: the cheapest pods, cut and encoding that keep a promise on latency under a load.
//!
//! ```text
//! calibrations x encodings ─▶ variants ─ throughput law ─▶ what carries the load ─ simulator ─▶ what keeps the promise
//!                             (transfers carried over                             (the same arrivals and
//!                              by their bytes)                                     demands for all)
//! ```

mod candidate;
mod experiment;
mod headroom;
mod moved;
mod pool;
mod remedy;
mod report;
mod search;
mod share;
mod traffic;
mod variant;
mod words;

use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};
use splitscale_calibration::fnv1a;
use splitscale_figures::{Frame, Table, pareto};
use splitscale_spec::{Calibration, SloConfig};

use crate::cli::{self, Calibrated};
use crate::files::{self, Log};
use crate::interrupt::{self, Interrupted};
use crate::{measurement, progress};

use candidate::{Candidate, Stopped, Trial};
use pool::Pool;
use remedy::Asked;
use report::{Choice, Document, Inputs, Looked, Plan, Row};
use search::{Found, Search};
use traffic::Traffic;
use variant::{Link, Measured, Variant};

/// Files of a plan: what an earlier one left is not to stand beside a new one.
const FILES: [&str; 7] =
    ["plan.json", "candidates.csv", "pipeline.toml", "answer.toml", "pareto.svg", "pareto.png", "pareto.csv"];

/// Where candidates go as they are done.
const PART: &str = "candidates.csv.part";

/// What was found of each variant, and every candidate that was simulated.
struct Searched {
    found: Vec<Found>,
    candidates: Vec<Candidate>,
}

/// What is looked at: the calibrations, and the variants with the number of their calibration.
struct Field {
    measured: Vec<Measured>,
    documents: Vec<Document>,
    variants: Vec<(usize, Variant)>,
    link: Link,
}

/// Plans, prints the plan and writes it.
pub fn run(args: &cli::Plan) -> Result<()> {
    let field = Field::of(args)?;
    let traffic = Traffic::of(args)?;
    clear(&args.out)?;
    let threads = args.threads.map_or_else(|| available_parallelism().map_or(1, usize::from), |n| n as usize);
    interrupt::run(async |stop| {
        let go_on = || !stop.is_cancelled();
        let trial = Trial {
            traffic: &traffic,
            slo_s: args.slo,
            target: args.target,
            seed: args.seed,
            seeds: args.seeds,
            pool: Pool { threads, go_on: &go_on },
        };
        plan(args, &field, &trial)
    })
}

fn plan(args: &cli::Plan, field: &Field, trial: &Trial<'_>) -> Result<()> {
    let searched = search(args, field, trial)?;
    let spinner = progress::spinner("looking for what would help");
    let looked = field.looked(args, trial, &searched.found);
    spinner.finish_and_clear();
    let looked = looked.map_err(|error| stopped(error, "what would help was not found yet"))?;
    let slo = SloConfig { latency_s: args.slo, target: args.target };
    let variant = |candidate: &Candidate| &field.variants[candidate.variant].1;
    let (answer, second) = searched.best();
    let choice = |candidate: &'_ Candidate| headroom(trial, field, candidate);
    let [room, second_room] = [answer, second].map(|of| of.map(choice).transpose());
    let (room, second_room) = (room?, second_room?);
    let mut rows: Vec<Row<'_>> = searched
        .candidates
        .iter()
        .map(|candidate| {
            let role = |of: Option<&Candidate>| of.is_some_and(|of| std::ptr::eq(of, candidate));
            let role = if role(answer) {
                "answer"
            } else if role(second) {
                "runner-up"
            } else {
                ""
            };
            Row { role, ..Row::of(candidate, variant(candidate), (args.slo, args.target)) }
        })
        .collect();
    report::mark_front(&mut rows);
    let plan = Plan {
        schema: Plan::SCHEMA,
        splitscale: measurement::version(),
        inputs: field.inputs(args, trial.traffic, &slo),
        answer: answer.zip(room).map(|(of, room)| Choice::of(of, variant(of), room)),
        runner_up: second.zip(second_room).map(|(of, room)| Choice::of(of, variant(of), room)),
        cheapest_of: answer.map(|_| cheapest_of(args, &looked)),
        variants: looked,
        candidates: rows,
    };
    if let Some(of) = answer {
        let text = report::pipeline(of.pods, variant(of), (&plan.inputs.load, &slo))?;
        files::write(&args.out.join("pipeline.toml"), text.as_bytes())?;
        let text = experiment::of(trial, variant(of), of)?;
        files::write(&args.out.join("answer.toml"), text.as_bytes())?;
    }
    write(&args.out, &plan)?;
    // At last: whoever reads only the first lines has all files.
    println!("{}{}", words::of(&plan), args.out.display());
    if plan.answer.is_none() {
        bail!("{}", field.remedy(&plan.variants));
    }
    Ok(())
}

/// Searches every variant; what is done is on disk before the next candidate begins.
fn search(args: &cli::Plan, field: &Field, trial: &Trial<'_>) -> Result<Searched> {
    let mut log = Log::beside(&args.out.join("candidates.csv"))?;
    let spinner = progress::spinner("simulating");
    let (mut found, mut candidates) = (Vec::new(), Vec::new());
    let mut done = 0;
    for (index, (_, variant)) in field.variants.iter().enumerate() {
        let mut note = |candidate: &Candidate| {
            done += 1;
            spinner.set_message(format!("simulating {}: {done} candidates", variant.words()));
            log.csv([Row::of(candidate, variant, (args.slo, args.target))])
        };
        let mut search = Search::new(trial, (index, variant), &mut note);
        match search.run(args.pods_max) {
            Ok(what) => found.push(what),
            Err(error) if error.is::<Stopped>() => {
                drop(search);
                let words = format!("{done} candidates are in {}", log.path().display());
                return Err(Interrupted(words).into());
            }
            Err(error) => return Err(error),
        }
        candidates.extend(search.judged());
    }
    spinner.finish_and_clear();
    candidates.sort_by(|one, other| {
        (one.cost(), one.variant)
            .cmp(&(other.cost(), other.variant))
            .then(one.kept_s.value.total_cmp(&other.kept_s.value))
    });
    Ok(Searched { found, candidates })
}

/// How much denser the load may get with these pods.
fn headroom(trial: &Trial<'_>, field: &Field, of: &Candidate) -> Result<headroom::Headroom> {
    let spinner = progress::spinner("looking for the headroom");
    let room = trial.headroom(&field.variants[of.variant].1, of.pods);
    spinner.finish_and_clear();
    room.map_err(|error| stopped(error, "the headroom was not found yet"))
}

/// An error after the search; that it was told to stop is told with what is kept.
fn stopped(error: anyhow::Error, what: &str) -> anyhow::Error {
    match error.is::<Stopped>() {
        true => Interrupted(format!("every candidate is in {PART}; {what}")).into(),
        false => error,
    }
}

/// Over what the answer is the cheapest.
fn cheapest_of(args: &cli::Plan, looked: &[Looked]) -> String {
    let least: Vec<String> = looked
        .iter()
        .filter_map(|of| {
            let least = of.least?;
            let encoding = variant::name_of(of.encoding);
            Some(format!("A below {} or B below {} with {} as {encoding}", least.a, least.b, of.name))
        })
        .collect();
    format!(
        "all with 1 to {} pods a stage, in every cut and encoding above. Whatever costs less was simulated and is not shown to \
         keep the promise, or carries less than comes by the throughput law, or has a stage that fails beside the most pods \
         of use in the other ({}), or is of a cut and encoding whose most pods of use are not shown to keep it (told above); more \
         pods are taken to do no harm",
        args.pods_max,
        least.join(", ")
    )
}

/// All files; the table takes the place of the one that grew. The figure comes last: should it fail, no number is lost.
fn write(out: &Path, plan: &Plan<'_>) -> Result<()> {
    let table = out.join("candidates.csv");
    files::write_csv(&table, &plan.candidates)?;
    files::write_json(&out.join("plan.json"), plan)?;
    if !plan.candidates.is_empty() {
        pareto(&Frame::read(&table, Table::Candidates)?, out).with_context(|| {
            format!("the plan is in {}, but its figure could not be drawn", out.display())
        })?;
    }
    Ok(())
}

/// A folder that holds nothing, or an earlier plan, which goes.
fn clear(out: &Path) -> Result<()> {
    if [FILES[0], PART].iter().all(|file| !out.join(file).exists()) {
        return files::empty_folder(out);
    }
    for file in FILES.map(|file| out.join(file)) {
        if file.exists() {
            std::fs::remove_file(&file).with_context(|| format!("could not remove {}", file.display()))?;
        }
    }
    Ok(())
}

// === impl Searched ===

impl Searched {
    /// The cheapest that keeps the promise, of equals the fastest; and what to take in its place: the next, at the same cost
    /// rather another cut or encoding.
    fn best(&self) -> (Option<&Candidate>, Option<&Candidate>) {
        let holding = || self.candidates.iter().filter(|candidate| candidate.holds());
        let by_latency =
            |one: &&Candidate, other: &&Candidate| one.kept_s.value.total_cmp(&other.kept_s.value);
        let answer =
            holding().min_by(|one, other| one.cost().cmp(&other.cost()).then(by_latency(one, other)));
        let Some(chosen) = answer else { return (None, None) };
        let second = holding().filter(|other| !std::ptr::eq(*other, chosen)).min_by(|one, other| {
            let same = |of: &&Candidate| (of.cost(), of.variant == chosen.variant);
            same(one).cmp(&same(other)).then(by_latency(one, other))
        });
        (answer, second)
    }
}

// === impl Field ===

impl Field {
    /// Reads the calibrations and makes the variants.
    fn of(args: &cli::Plan) -> Result<Field> {
        let link = Link {
            slots: args.slots,
            mbit_s: args.slot_bandwidth.or(args.link_bandwidth),
            shared: args.link_bandwidth.is_some(),
            rtt_s: args.rtt,
        };
        let (mut measured, mut documents, mut variants) = (Vec::<Measured>::new(), Vec::new(), Vec::new());
        for typed in &args.calibrations {
            let (of, document) = read(typed)?;
            if let Some(same) = measured.iter().position(|other| other.name == of.name) {
                let files = [&args.calibrations[same], typed].map(|typed| typed.file.display().to_string());
                bail!(
                    "{} and {} are both called {}; write a name before each, as in {2}-fast={1}",
                    files[0],
                    files[1],
                    of.name
                );
            }
            let mut encodings = args.encodings.clone();
            if encodings.is_empty() {
                encodings.push(of.encoding);
            }
            for (at, &encoding) in encodings.iter().enumerate() {
                if !encodings[..at].contains(&encoding) {
                    let variant = Variant::of(&of, encoding, &link)
                        .with_context(|| format!("{} cannot be planned with", typed.file.display()))?;
                    variants.push((measured.len(), variant));
                }
            }
            measured.push(of);
            documents.push(document);
        }
        Ok(Field { measured, documents, variants, link })
    }

    fn inputs(&self, args: &cli::Plan, traffic: &Traffic, slo: &SloConfig) -> Inputs {
        let documents = self.documents.iter().map(|of| Document {
            name: of.name.clone(),
            cut: of.cut.clone(),
            file: of.file.clone(),
            hash: of.hash.clone(),
            host: of.host.clone(),
            date: of.date.clone(),
            ..*of
        });
        let (load_file, load_hash) = traffic.file.clone().unzip();
        Inputs {
            calibrations: documents.collect(),
            load: traffic.words.clone(),
            load_file,
            load_hash,
            mean_per_s: traffic.mean_per_s,
            peak_per_s: traffic.peak_per_s,
            cv: args.rate.map(|_| args.cv.unwrap_or(1.0)),
            requests: traffic.requests,
            slots: args.slots,
            slot_mbit_s: args.slot_bandwidth,
            link_mbit_s: args.link_bandwidth,
            rtt_s: args.rtt,
            encodings: args.encodings.clone(),
            slo: slo.clone(),
            pods_max: args.pods_max,
            seeds: args.seeds,
            seed: args.seed,
        }
    }

    /// What came of each variant.
    ///
    /// # Errors
    /// As [`Search::most`], where it is looked for what would help.
    fn looked(&self, args: &cli::Plan, trial: &Trial<'_>, found: &[Found]) -> Result<Vec<Looked>> {
        let asked = Asked { link: &self.link, trial, pods_max: args.pods_max };
        // Where anything keeps the promise nothing is to be mended.
        let mended = found.iter().any(|found| matches!(found, Found::Pods { .. }));
        let looked = |((measured, variant), found): (&(usize, Variant), &Found)| {
            let remedies = match mended {
                true => vec![],
                false => remedy::remedies(found, (&self.measured[*measured], variant), &asked)?,
            };
            let (pods, bounds) = match found {
                Found::Pods { best, bounds } => (Some(best.pods), Some(*bounds)),
                _ => (None, None),
            };
            let by_law = |per_s: f64| variant.fewest(per_s).ok().filter(|_| variant.link_per_s() > per_s);
            Ok(Looked {
                name: variant.name.clone(),
                encoding: variant.encoding,
                measured: variant.measured,
                bytes: variant.bytes,
                transfer_s: variant.transfer_s(),
                alone_s: variant.alone_s(),
                link_per_s: variant.link_per_s(),
                law_mean: by_law(trial.traffic.mean_per_s),
                law_peak: by_law(trial.traffic.peak_per_s),
                least: bounds.map(|bounds| bounds.least),
                most: bounds.map(|bounds| bounds.most),
                pods,
                why: remedy::why(found, variant, &asked),
                remedies,
            })
        };
        self.variants.iter().zip(found).map(looked).collect()
    }

    /// What to do where nothing keeps the promise: of the variant that comes closest, the one whose link carries most.
    fn remedy(&self, looked: &[Looked]) -> String {
        let Some(closest) = looked.iter().max_by(|one, other| one.link_per_s.total_cmp(&other.link_per_s))
        else {
            return "no plan".into();
        };
        let help = match closest.remedies.as_slice() {
            [] => "of fewer bytes, more slots, bandwidth or pods, a longer --slo and fewer requests nothing that was tried, each by \
                   itself, keeps the promise"
                .to_owned(),
            remedies => format!("what would help: {}", remedies.join(", or ")),
        };
        format!(
            "no plan: with cut {} as {}, {}; {help}",
            closest.name,
            variant::name_of(closest.encoding),
            closest.why.as_deref().unwrap_or("nothing stands in the way"),
        )
    }
}

/// A calibration, its cut and its encoding.
fn read(typed: &Calibrated) -> Result<(Measured, Document)> {
    let file = typed.file.display();
    let hash = fnv1a(files::read(&typed.file)?.as_bytes());
    let calibration: Calibration = files::read_json(&typed.file, Calibration::SCHEMA)?;
    calibration.validate().with_context(|| format!("{file} cannot be used"))?;
    let Some(laws) = calibration.laws else { bail!("{file} has no laws; calibrate with --records") };
    let Some(name) = typed.name.clone().or(laws.cut.clone()) else {
        bail!(
            "{file}: laws.cut is missing, so its cut has no name; write one before it, as in layer2={file}"
        );
    };
    let encoding = match (typed.encoding, laws.encoding) {
        (Some(said), Some(recorded)) if said != recorded => bail!(
            "{file} was measured as {}, not as {}; leave :{1} away",
            variant::name_of(recorded),
            variant::name_of(said)
        ),
        (said, recorded) => said.or(recorded),
    };
    let Some(encoding) = encoding else {
        bail!(
            "{file}: laws.encoding is missing, so what its activations travelled as is not known; say it with the name, as \
             in {name}:f32={file}"
        );
    };
    let cut = laws.cut.clone().unwrap_or_else(|| name.clone());
    let document = Document {
        name: name.clone(),
        cut: cut.clone(),
        encoding,
        file: typed.file.clone(),
        hash,
        host: calibration.provenance.host,
        date: calibration.provenance.date,
    };
    Ok((Measured { name, cut, encoding, laws }, document))
}
