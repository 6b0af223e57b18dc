use splitscale_deploy::{Exposition, Observer, Round};

/// A proxy that has forwarded `n` activations of 0.8 MB, in two encodings, in 0.128 s each over `t` seconds.
fn proxy(t: f64, n: f64, slots: u32) -> Option<Exposition> {
    let text = format!(
        "split_transfer_slots {slots}\n\
         split_transfer_slot_seconds_total {}\n\
         split_transfer_slot_held_seconds_total {}\n\
         split_transfer_seconds_total {}\n\
         split_transfer_bytes_total{{encoding=\"f32\"}} {}\n\
         split_transfer_bytes_total{{encoding=\"bf16\"}} {}\n\
         split_queue_depth{{queue=\"proxy\"}} 3\n\
         split_queue_depth_seconds_total{{queue=\"proxy\"}} {}\n\
         split_pipeline_duration_seconds_bucket{{le=\"1\"}} {}\n\
         split_pipeline_duration_seconds_bucket{{le=\"2\"}} {n}\n\
         split_pipeline_duration_seconds_bucket{{le=\"+Inf\"}} {n}\n\
         split_pipeline_duration_seconds_count {n}\n",
        t * f64::from(slots),
        t * f64::from(slots) / 2.0,
        n * 0.128,
        n * 500_000.0,
        n * 300_000.0,
        t * 3.0,
        n / 2.0,
    );
    Some(Exposition::parse(&text).unwrap())
}

fn stage(name: &str, t: f64, desired: u32) -> Option<Exposition> {
    let text = format!(
        "split_requests_total{{stage=\"{name}\"}} {}\n\
         split_queue_depth{{queue=\"{name}\"}} 0\n\
         split_queue_depth_seconds_total{{queue=\"{name}\"}} 0\n\
         split_pods{{stage=\"{name}\",state=\"desired\"}} {desired}\n\
         split_pods{{stage=\"{name}\",state=\"ready\"}} {desired}\n\
         split_pods{{stage=\"{name}\",state=\"starting\"}} 0\n\
         split_pods{{stage=\"{name}\",state=\"draining\"}} 0\n\
         split_pod_busy_seconds_total{{stage=\"{name}\"}} {}\n\
         split_pod_ready_seconds_total{{stage=\"{name}\"}} {}\n\
         split_pod_phase{{stage=\"{name}\",pod=\"0\"}} 1\n\
         split_pod_ready_age_seconds{{stage=\"{name}\",pod=\"0\"}} 4\n\
         split_pod_cpu_request_cores{{stage=\"{name}\",pod=\"0\"}} 0.1\n\
         split_pod_cpu_seconds_total{{stage=\"{name}\",pod=\"0\"}} {}\n",
        10.0 * t,
        t * 0.75,
        t * 1.0,
        t * 0.08,
    );
    Some(Exposition::parse(&text).unwrap())
}

fn round(t: f64, n: f64, slots: u32) -> Round {
    Round { a: stage("a", t, 4), proxy: proxy(t, n, slots), b: stage("b", t, 4), ..Round::default() }
}

#[test]
fn windows_are_differences_of_counters() {
    let mut observer = Observer::new(5.0);
    for tick in 0..10 {
        observer.observe(f64::from(tick), round(f64::from(tick), 8.0 * f64::from(tick), 4));
    }
    let seen = observer.observe(10.0, round(10.0, 80.0, 4));
    let close = |x: f64, y: f64| assert!((x - y).abs() < 1e-9, "{x} is not {y}");
    close(seen.arrivals_per_s.unwrap().value, 10.0);
    close(seen.answers_per_s.unwrap().value, 8.0);
    close(seen.queue_proxy.unwrap().value.mean, 3.0);
    close(seen.busy_a.unwrap().value, 0.75);
    close(seen.busy_slots.unwrap().value, 0.5);
    close(seen.latency_p50_s.unwrap().value, 1.0);
    close(seen.latency_p95_s.unwrap().value, 1.9);
    close(seen.link.unwrap().mbit_s, 50.0);
    assert_eq!(seen.slots.unwrap().value, 4);
    let pod = &seen.a.unwrap().pods[0];
    close(pod.cpu_used.unwrap(), 0.08);
    close(pod.cpu_request.unwrap(), 0.1);
    close(pod.ready_since_s.unwrap(), 6.0);
}

#[test]
fn the_first_look_knows_levels_but_no_rates() {
    let seen = Observer::new(5.0).observe(0.0, round(100.0, 800.0, 4));
    assert_eq!(seen.arrivals_per_s, None);
    assert_eq!(seen.latency_p50_s, None);
    assert_eq!(seen.link, None, "what was sent before the first look is no evidence of the window");
    assert_eq!(seen.slots.unwrap().value, 4);
    assert_eq!(seen.a.unwrap().desired, 4);
}

#[test]
fn a_server_that_does_not_answer_ages_and_never_turns_zero() {
    let mut observer = Observer::new(5.0);
    observer.observe(0.0, round(0.0, 0.0, 4));
    observer.observe(1.0, round(1.0, 8.0, 4));
    let seen = observer.observe(31.0, Round { proxy: None, ..round(31.0, 0.0, 4) });
    let slots = seen.slots.unwrap();
    assert_eq!((slots.value, slots.age_s), (4, 30.0));
    assert_eq!(seen.link.unwrap().age_s, 30.0);
    assert_eq!(seen.a.unwrap().desired, 4);
    let seen = observer.observe(61.0, Round { a: None, ..round(61.0, 0.0, 4) });
    assert_eq!(seen.a.unwrap().age_s, 30.0, "a stage that does not answer ages too");
    let nothing = Observer::new(5.0).observe(1.0, Round::default());
    assert_eq!(nothing, splitscale_spec::Observation::empty(1.0, 5.0));
}

#[test]
fn a_restarted_server_starts_its_history_anew() {
    let mut observer = Observer::new(5.0);
    observer.observe(0.0, round(100.0, 800.0, 4));
    observer.observe(1.0, round(101.0, 808.0, 4));
    let seen = observer.observe(2.0, round(0.5, 4.0, 4));
    assert_eq!(seen.answers_per_s, None);
    assert_eq!(seen.arrivals_per_s, None);
    let link = seen.link.unwrap();
    assert!((link.mbit_s - 50.0).abs() < 1e-9, "the restart is no transfer: {link:?}");
}

#[test]
fn changes_of_desired_pods_are_followed() {
    let mut observer = Observer::new(5.0);
    let mut at = |t: f64, pods: u32| {
        observer.observe(t, Round { a: stage("a", t, pods), ..Round::default() }).a.unwrap()
    };
    assert_eq!(at(0.0, 6).last_change, None);
    assert_eq!(at(1.0, 2).last_change, Some(-4));
    let later = at(3.0, 2);
    assert_eq!((later.last_change, later.last_change_age_s), (Some(-4), Some(2.0)));
}
