//! The test bed, whole: a Kubernetes cluster of two workers on this machine. `cargo xtask test` builds it and
//! runs this where it can be; `cargo test` does not, nor could it.
//!
//! One bed fits on a machine, so this is one test, and one bed after the other.

mod bed;
mod whole;

use bed::Bed;
use whole::{traces, until};

/// A pod of the image that every worker has, on the worker of a stage.
fn pod(stage: &str) -> String {
    format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"on-{stage}\"}}, \"spec\": {{
           \"nodeSelector\": {{\"splitscale.io/stage\": \"{stage}\"}}, \"terminationGracePeriodSeconds\": 0,
           \"containers\": [{{\"name\": \"sleeper\", \"image\": \"registry.local/pause:1\"}}]}}}}\n"
    )
}

#[test]
fn a_cluster_starts_obeys_and_leaves_nothing() {
    let Some(bed) = Bed::of_the_test() else { return };
    let before = traces();
    assert_eq!(before, Vec::<String>::new(), "a bed is up");
    let machine = whole::settings();

    // What is left by a start that was killed in its middle is taken away.
    bed.up_killed_at("the API server is ready");
    assert_ne!(traces(), before, "nothing had been started yet");
    bed.run(&["down"]);
    assert_eq!(traces(), before);

    bed.run(&["up"]);
    assert!(bed.run(&["up"]).contains("is up already"));
    let status = bed.run(&["status"]);
    for line in ["apiserver runs", "node worker-1 Ready", "node worker-2 Ready", "link unlimited"] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    let kubeconfig = bed.run(&["kubeconfig"]);
    assert!(std::path::Path::new(kubeconfig.lines().last().unwrap()).is_file(), "{kubeconfig}");

    // A pod on each worker, with an address of its worker's range.
    assert!(bed.run(&["load", &bed.archive()]).contains("registry.local/pause:1 is on both workers"));
    bed.feed(&["kubectl", "apply", "-f", "-"], &(pod("a") + &pod("b")));
    bed.run(&["kubectl", "wait", "--for=condition=Ready", "--timeout=60s", "pod/on-a", "pod/on-b"]);
    for (stage, worker, range) in [("a", "worker-1", "10.244.1."), ("b", "worker-2", "10.244.2.")] {
        let place = bed.run(&[
            "kubectl",
            "get",
            "pod",
            &format!("on-{stage}"),
            "-o=jsonpath={.spec.nodeName} {.status.podIP}",
        ]);
        assert!(place.starts_with(&format!("{worker} {range}")), "{place}");
    }

    // The link does what it is told, and says so.
    assert!(bed.run(&["link", "100mbit"]).contains("100 Mbit/s"));
    assert!(bed.run(&["status"]).contains("link 100 Mbit/s"));
    assert!(bed.reaches("splitscale-worker-1", "10.99.0.12:10250"));
    bed.run(&["link", "0"]);
    assert!(
        !bed.reaches("splitscale-worker-1", "10.99.0.12:10250"),
        "a link that drops all let something by"
    );
    assert!(
        bed.reaches("splitscale-worker-1", "10.99.0.1:6443"),
        "the way to the API server is no part of the link"
    );
    bed.run(&["link", "off"]);
    assert!(bed.reaches("splitscale-worker-1", "10.99.0.12:10250"));
    bed.run(&["node", "cut", "worker-2"]);
    assert!(!bed.reaches("splitscale-worker-1", "10.99.0.12:10250"));
    bed.run(&["node", "restore", "worker-2"]);
    until("worker-2 is back", || bed.reaches("splitscale-worker-1", "10.99.0.12:10250"));

    // Without an API server nothing is known, and with it all is again.
    bed.run(&["stop", "apiserver"]);
    let complaint = bed.fails(&["status"]);
    assert!(complaint.contains("apiserver does not run"), "{complaint}");
    bed.run(&["start", "apiserver"]);
    assert!(bed.run(&["kubectl", "get", "pods"]).contains("on-b"));

    bed.run(&["down"]);
    assert_eq!(traces(), before);
    assert_eq!(whole::settings(), machine, "settings of the machine are not what they were");
    assert!(!bed.folder().exists(), "{} is still there", bed.folder().display());
    bed.run(&["down"]); // there is nothing, and that is no error
    assert!(bed.fails(&["status"]).contains("the bed is down"));
}
