//! Each feature by a case that can be worked out by hand; times in whole milliseconds.

use splitscale_sim::trace::{BandwidthTrace, Stamps};
use splitscale_sim::{
    Arrivals, Bandwidth, CpuLimit, Failure, Outcome, Payload, Recorded, Scale, ScrapeSetup, Setup, SimTime,
    Simulation, SlotsChange, SlotsStep, Transfer,
};
use splitscale_spec::{Balancer, PodPhase, Replicas, Status};

use crate::{constant, setup};

/// Each takes so long [s] at (A, transfer, B); 1 pod, 1 slot, 1 pod.
fn single(a_s: f64, transfer_s: f64, b_s: f64, arrivals: Arrivals) -> Setup {
    Setup { records: true, ..setup(constant, [a_s, transfer_s, b_s], (1, 1, 1), arrivals) }
}

fn at(milliseconds: &[u64]) -> Arrivals {
    let text: String = milliseconds.iter().map(|ms| format!("{}\n", *ms as f64 * 1e-3)).collect();
    let trace = Recorded::of("by hand", Stamps::from_csv("by hand", &text, None).unwrap());
    Arrivals::Stamps { trace, column: None, scale: Scale::default() }
}

fn run(setup: &Setup) -> Outcome {
    Simulation::new(setup, 0, 0).unwrap().run_to_end().unwrap()
}

/// How each request ended and when [ms], by number.
fn ends(outcome: &Outcome) -> Vec<(Status, u64)> {
    outcome.trail.iter().map(|r| (r.status, (r.done().as_nanos() + 500_000) / 1_000_000)).collect()
}

fn answered(milliseconds: &[u64]) -> Vec<(Status, u64)> {
    milliseconds.iter().map(|&ms| (Status::Answered, ms)).collect()
}

use Status::{Answered, Failed, Lost, Refused};

#[test]
fn pods_share_the_cores_of_their_node() {
    let mut shared = single(0.1, 0.0, 0.0, at(&[0, 50]));
    (shared.a.pods, shared.a.cores) = (4, Some(1));
    // Alone until 50, half done; then each at half speed: the first ends at 150, the second alone again.
    assert_eq!(ends(&run(&shared)), answered(&[150, 200]));
    // Three that want half a core each, on one core: two thirds of their speed.
    let mut shares = single(0.1, 0.0, 0.0, Arrivals::Burst(3));
    (shares.a.pods, shares.a.cores, shares.a.cpu_share) = (3, Some(1), 0.5);
    assert_eq!(ends(&run(&shares)), answered(&[150, 150, 150]));
    // Two of them fit.
    shares.arrivals = Arrivals::Burst(2);
    assert_eq!(ends(&run(&shares)), answered(&[100, 100]));
}

#[test]
fn a_cpu_limit_stops_a_pod_for_the_rest_of_each_period() {
    const PERIOD_S: f64 = 0.1;
    let limited = |cores, arrivals| {
        let mut setup = single(0.075, 0.0, 0.0, arrivals);
        setup.a.cpu_limit = Some(CpuLimit { cores, period_s: PERIOD_S });
        setup
    };
    // Never at rest it has half a core: 40 times 75 ms, and no more than a period lost or won at either end.
    let makespan_s = run(&limited(0.5, Arrivals::Burst(40))).makespan_s;
    assert!((makespan_s - 6.0).abs() <= PERIOD_S, "{makespan_s}");
    // Rested, and its periods anywhere, it takes half a period and a quota in the mean: of 1.5 quotas q, what is left of the
    // period r and then 0.5 q where r >= q, 1.5 q where 0.5 q <= r < q, a period and 0.5 q where r < 0.5 q.
    let means = (0..2000).map(|seed| {
        let once = limited(0.5, Arrivals::Burst(1));
        Simulation::new(&once, seed, 0).unwrap().run_to_end().unwrap().makespan_s
    });
    let mean_s = means.sum::<f64>() / 2000.0;
    // The standard deviation is below 30 ms.
    assert!((mean_s - 0.1).abs() < 4.0 * 0.03 / 2000f64.sqrt(), "{mean_s}");
    // What fits in its quota takes as long as on a core of its own.
    let fits = run(&limited(0.8, Arrivals::Burst(1)));
    assert_eq!(ends(&fits), answered(&[75]));
}

#[test]
fn both_stages_on_one_node_slow_each_other_down() {
    let mut one = single(0.1, 0.0, 0.1, at(&[0, 100]));
    (one.a.cores, one.one_node) = (Some(1), true);
    // The first is at B and the second at A from 100: both take 200.
    assert_eq!(ends(&run(&one)), answered(&[300, 400]));
    (one.one_node, one.b.cores) = (false, Some(1));
    assert_eq!(ends(&run(&one)), answered(&[200, 300]));
}

/// 1 Mbit in a payload.
fn over(bandwidth: Bandwidth, rtt_s: f64, arrivals: Arrivals) -> Setup {
    let mut setup = single(0.0, 0.0, 0.0, arrivals);
    setup.a.pods = 9;
    setup.link.slots = 9;
    setup.link.payload = Some(Payload::Bytes(125_000));
    setup.link.transfer = Transfer::Bytes { bandwidth, rtt_s };
    setup
}

#[test]
fn transfers_share_the_whole_link_and_not_a_slot() {
    let whole = over(Bandwidth::WholeMbitS(10.0), 0.02, at(&[0, 50]));
    assert_eq!(ends(&run(&whole)), answered(&[170, 220]));
    let per_slot = over(Bandwidth::PerSlotMbitS(10.0), 0.02, at(&[0, 50]));
    assert_eq!(ends(&run(&per_slot)), answered(&[120, 170]));
}

#[test]
fn bandwidth_follows_its_trace_and_zero_waits() {
    // 10 Mbit/s, nothing from 50 to 150, then 5; anew after 200.
    let text = "0 10\n0.05 0\n0.15 5\n";
    let trace = Recorded::of("trace", BandwidthTrace::from_text("trace", text).unwrap());
    assert_eq!(trace.data.as_ref().unwrap().period_ns, 250_000_000);
    let half = over(Bandwidth::PerSlotTrace(trace.clone()), 0.0, at(&[0, 240, 320]));
    // Half of the first by 50, the rest at 5 from 150. The second: 50 kbit by 250, 500 kbit by 300, then a
    // pause to 400 and 450 kbit at 5. The third waits for 400, and has 500 kbit by 500 and the rest by 550.
    assert_eq!(ends(&run(&half)), answered(&[250, 490, 550]));
    let shared = over(Bandwidth::WholeTrace(trace), 0.0, Arrivals::Burst(2));
    // 250 kbit each by 50, 250 kbit each from 150 to 250, 250 kbit each from 250 to 300, the rest from 400.
    assert_eq!(ends(&run(&shared)), answered(&[500, 500]));
}

#[test]
fn slots_follow_their_schedule() {
    let mut setup = single(0.0, 0.1, 0.0, Arrivals::Burst(6));
    let step = |at_s, slots| SlotsStep { at_s, slots };
    let steps = vec![step(0.05, 3), step(0.14, 1)];
    setup.link.slots_change = Some(SlotsChange::Schedule { steps, period_s: None });
    // One from 0, two more from 50; at 100 one more; from 140 on only slot 0 is given.
    assert_eq!(ends(&run(&setup)), answered(&[100, 150, 150, 200, 300, 400]));
}

#[test]
fn a_pod_takes_requests_when_it_has_started() {
    let mut setup = single(0.1, 0.0, 0.0, Arrivals::Burst(4));
    setup.a.start_up = constant(0.15);
    let mut simulation = Simulation::new(&setup, 0, 0).unwrap();
    simulation.apply(Replicas { a: 2, b: 1 }).unwrap();
    let outcome = simulation.run_to_end().unwrap();
    assert_eq!(ends(&outcome), answered(&[100, 200, 250, 300]));
    assert_eq!((outcome.pods_a.changes, outcome.pods_b.changes), (1, 0));
    // Both cost from the request on.
    assert!((outcome.pods_a.pod_seconds - 0.6).abs() < 1e-9);
}

#[test]
fn a_pod_that_goes_finishes_its_own_queue() {
    let mut setup = single(0.1, 0.0, 0.0, at(&[0, 0, 0, 0, 60, 60]));
    (setup.a.pods, setup.a.balancer) = (2, Balancer::RoundRobin);
    let mut simulation = Simulation::new(&setup, 0, 0).unwrap();
    simulation.advance(SimTime::from_secs_f64(0.05));
    simulation.apply(Replicas { a: 1, b: 1 }).unwrap();
    let outcome = simulation.run_to_end().unwrap();
    // Two each; the last two come when only pod 0 takes any.
    assert_eq!(ends(&outcome), answered(&[100, 100, 200, 200, 300, 400]));
    let pods: Vec<_> = outcome.trail.iter().map(|r| r.pod_a().unwrap()).collect();
    assert_eq!(pods, [0, 1, 0, 1, 0, 0]);
    assert!((outcome.pods_a.pod_seconds - 0.6).abs() < 1e-9, "pod 1 was there until 200");
}

#[test]
fn a_crash_fails_what_the_pod_has_and_it_comes_back() {
    let mut setup = single(0.1, 0.0, 0.0, Arrivals::Burst(3));
    setup.a.failure = Some(Failure { after: constant(0.15), restart: constant(0.1) });
    let outcome = run(&setup);
    assert_eq!(ends(&outcome), [(Answered, 100), (Failed, 150), (Answered, 350)]);
    assert_eq!((outcome.failed, outcome.latency.answered), (1, 2));
    // With queues of its own, those behind fail too.
    setup.a.balancer = Balancer::Random;
    assert_eq!(ends(&run(&setup)), [(Answered, 100), (Failed, 150), (Failed, 150)]);
    // A crash of B frees the slot.
    let mut setup = single(0.0, 0.05, 0.1, Arrivals::Burst(2));
    setup.b.failure = Some(Failure { after: constant(0.12), restart: constant(0.01) });
    assert_eq!(ends(&run(&setup)), [(Failed, 120), (Failed, 250)]);
}

#[test]
fn a_client_gives_up_at_its_deadline() {
    let mut setup = single(0.1, 0.0, 0.0, at(&[0, 0, 0, 160]));
    setup.deadline_s = Some(0.15);
    let outcome = run(&setup);
    // The second is being served when its client goes and keeps the pod to 200; the third never begins.
    assert_eq!(ends(&outcome), [(Answered, 100), (Lost, 150), (Lost, 150), (Answered, 300)]);
    assert!((outcome.a.mean_busy * outcome.span_s - 0.3).abs() < 1e-12);
    assert_eq!((outcome.trail[2].queue_a_ns, outcome.trail[2].service_a_ns), (150_000_000, 0));
}

#[test]
fn full_queues_refuse() {
    let mut setup = single(0.1, 0.0, 0.0, Arrivals::Burst(5));
    setup.a.queue_limit = Some(2);
    let all = [(Answered, 100), (Answered, 200), (Answered, 300), (Refused, 0), (Refused, 0)];
    assert_eq!(ends(&run(&setup)), all);
    let mut setup = single(0.0, 0.1, 0.0, Arrivals::Burst(3));
    (setup.a.pods, setup.link.queue_limit) = (3, Some(0));
    assert_eq!(ends(&run(&setup)), [(Answered, 100), (Refused, 0), (Refused, 0)]);
    // At B, after the transfer; the slot is free again at once.
    let mut setup = single(0.0, 0.1, 0.15, Arrivals::Burst(3));
    (setup.link.slots, setup.link.release_after_transfer, setup.b.queue_limit) = (1, true, Some(0));
    let outcome = run(&setup);
    assert_eq!(ends(&outcome), [(Answered, 250), (Refused, 200), (Answered, 450)]);
    assert_eq!((outcome.a.refused, outcome.proxy.refused, outcome.b.refused), (0, 0, 1));
}

#[test]
fn a_slot_is_held_over_b_or_not_and_a_over_the_wait_or_not() {
    let mut setup = single(0.1, 0.2, 0.1, Arrivals::Burst(3));
    assert_eq!(ends(&run(&setup)), answered(&[400, 700, 1000]));
    setup.link.release_after_transfer = true;
    assert_eq!(ends(&run(&setup)), answered(&[400, 600, 800]));
    setup.link.release_after_transfer = false;
    setup.link.hold_a = true;
    let outcome = run(&setup);
    assert_eq!(ends(&outcome), answered(&[400, 700, 1000]));
    // A: 100, then 100 and a wait of 200 each, but for the last, which begins at 400.
    let held: Vec<u64> =
        outcome.trail.iter().map(|r| r.sent.after(r.queue_a_ns).as_nanos() / 1_000_000).collect();
    assert_eq!(held, [0, 100, 400]);
    assert!((outcome.a.mean_service_s * 3.0 - (0.1 + 0.3 + 0.3)).abs() < 1e-9);
}

#[test]
fn what_is_unfinished_at_the_horizon_is_counted() {
    let mut setup = single(0.1, 0.0, 0.0, Arrivals::Burst(5));
    setup.horizon_s = Some(0.25);
    let outcome = run(&setup);
    assert_eq!((outcome.requests, outcome.latency.answered, outcome.unfinished), (5, 2, 3));
    assert_eq!((outcome.trail.len(), outcome.makespan_s), (2, 0.25));
    assert_eq!(outcome.a.mean_busy, 1.0);
}

#[test]
fn the_warm_up_is_not_seen() {
    let mut setup = single(0.1, 0.0, 0.0, at(&[0, 0, 0, 1000]));
    setup.warm_up_s = 0.5;
    let outcome = run(&setup);
    assert_eq!((outcome.requests, outcome.latency.answered, outcome.latency.mean_s), (1, 1, 0.1));
    assert!((outcome.span_s - 0.6).abs() < 1e-9 && (outcome.a.mean_busy - 0.1 / 0.6).abs() < 1e-9);
    assert_eq!(outcome.a.max_wait_s, 0.0);
    setup.warm_up_s = 2.0;
    let error = Simulation::new(&setup, 0, 0).unwrap().run_to_end().unwrap_err();
    assert!(error.to_string().contains("warm_up_s"), "{error}");
}

#[test]
fn an_observation_is_what_the_counters_say() {
    // 5 a second; A takes 100 ms of 2 pods, a transfer 160 ms alone, 1 Mbit at 6.25 Mbit/s.
    let mut setup = single(0.1, 0.0, 0.04, at(&(0..100).map(|i| i * 200).collect::<Vec<_>>()));
    setup.a.pods = 2;
    setup.link.slots = 4;
    setup.link.payload = Some(Payload::Bytes(125_000));
    setup.link.transfer = Transfer::Bytes { bandwidth: Bandwidth::WholeMbitS(6.25), rtt_s: 0.0 };
    setup.a.start_up = constant(1.5);
    setup.scrape = Some(ScrapeSetup { every_s: 1.0, window_s: 10.0 });
    let mut simulation = Simulation::new(&setup, 0, 0).unwrap();
    let first = simulation.observe(5.0);
    assert!(first.arrivals_per_s.is_none() && first.link.is_none() && first.a.is_none());
    simulation.advance(SimTime::from_secs_f64(10.0));
    simulation.apply(Replicas { a: 3, b: 1 }).unwrap();
    simulation.advance(SimTime::from_secs_f64(11.25));
    let seen = simulation.observe(5.0);
    let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-6, "{value}, {expected}");
    close(seen.arrivals_per_s.unwrap().value, 5.0);
    close(seen.arrivals_per_s.unwrap().age_s, 0.25);
    close(seen.answers_per_s.unwrap().value, 5.0);
    close(seen.busy_a.unwrap().value, 0.25);
    close(seen.busy_slots.unwrap().value, 0.25);
    close(seen.busy_b.unwrap().value, 0.2);
    close(seen.queue_a.unwrap().value.mean, 0.0);
    close(seen.link.unwrap().mbit_s, 6.25);
    assert!(seen.link.unwrap().confidence > 0.5 && seen.link.unwrap().age_s < 0.3);
    assert_eq!(seen.slots.unwrap().value, 4);
    // Latency 300 ms, seen through buckets 15 % wide.
    assert!((seen.latency_p50_s.unwrap().value / 0.3 - 1.0).abs() < 0.15);
    let a = seen.a.unwrap();
    assert_eq!((a.desired, a.ready, a.starting, a.draining, a.last_change), (3, 2, 1, 0, Some(1)));
    close(a.last_change_age_s.unwrap(), 0.25);
    assert_eq!(a.pods[2].phase, PodPhase::Starting);
    // Without overlap pod 0 does all of it.
    close(a.pods[0].cpu_used.unwrap(), 0.5);
    close(a.pods[1].cpu_used.unwrap(), 0.0);
    simulation.advance(SimTime::from_secs_f64(13.0));
    assert_eq!(simulation.observe(5.0).a.unwrap().ready, 3);
}

#[test]
fn the_bandwidth_seen_is_what_one_transfer_gets() {
    // Two at a time share 10 Mbit/s: each sees 5.
    let mut setup = over(Bandwidth::WholeMbitS(10.0), 0.0, Arrivals::Burst(2));
    setup.scrape = Some(ScrapeSetup { every_s: 0.1, window_s: 1.0 });
    let mut simulation = Simulation::new(&setup, 0, 0).unwrap();
    simulation.advance(SimTime::from_secs_f64(0.3));
    assert!((simulation.observe(1.0).link.unwrap().mbit_s - 5.0).abs() < 1e-6);
}
