//! The operator's faults, on a real cluster: the program that cargo built, on a bed of the test's own. The table at the end of
//! `docs/operator.md` names each. `cargo xtask nightly` builds what they need and runs them; `cargo test` does not, nor could it.
//!
//! ```text
//! SPLITSCALE_BED=PROGRAM [SPLITSCALE_IMAGE=ARCHIVE] cargo test --features torch --test faults [WORD IN THE NAME]
//! ```
//!
//! One bed fits on a machine: it comes up before the first case and goes after the last, whatever becomes of them. Each case has a
//! namespace of its own.

#[path = "../cluster/bed.rs"]
mod bed;

mod api;
mod documents;
mod gate;
mod leaders;
mod owners;
mod place;
mod rights;
mod scaler;
mod signals;
mod traffic;
mod world;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use bed::Bed;
use world::World;

/// Longest that anything may take to come about: a lease that runs out, a node that is given up.
const LIMIT: Duration = Duration::from_secs(120);

/// Makes trials of cases.
macro_rules! cases {
    ($trial:ident: $($room:ident::$case:ident),* $(,)?) => {
        vec![$($trial(stringify!($case), |world, runtime| runtime.block_on($room::$case(world)))),*]
    };
}

fn main() -> ExitCode {
    let mut words = Arguments::from_args();
    // One after the other, on this thread.
    words.test_threads = Some(1);
    let runtime = Arc::new(Runtime::new().unwrap());
    let bed = if words.list { None } else { Bed::of_the_test().map(Arc::new) };
    if let Some(bed) = &bed {
        runtime.spawn(interrupted(bed.clone()));
    }
    let image = std::env::var_os("SPLITSCALE_IMAGE").is_some();
    let world = Arc::new(OnceLock::new());
    let trial = |name: &'static str, case: fn(&World, &Runtime)| {
        let (bed, runtime, world) = (bed.clone(), runtime.clone(), world.clone());
        let lacks = bed.is_none() || name.starts_with("requests_") && !image;
        let run = move || {
            let bed = bed.as_ref().ok_or("SPLITSCALE_BED does not name the bed's program")?;
            case(world.get_or_init(|| World::up(bed.clone(), &runtime)), &runtime);
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(lacks)
    };
    let trials = cases![trial:
        api::the_kind_is_not_installed,
        api::the_api_server_stops,
        api::the_api_server_hangs,
        api::everything_is_answered_503,
        api::the_second_write_is_answered_503,
        api::every_watch_has_expired,
        leaders::a_leader_that_hangs_is_succeeded,
        leaders::the_lease_is_lost_between_two_writes,
        leaders::a_leader_is_killed_between_two_writes,
        leaders::of_two_one_acts_and_the_other_takes_over,
        owners::replicas_that_kubectl_owns_are_left_to_it,
        owners::replicas_that_an_hpa_owns_are_left_to_it,
        owners::replicas_that_an_hpa_is_going_to_write_are_left_to_it,
        documents::a_policy_that_cannot_be_used,
        documents::no_policy_at_all,
        signals::what_is_missing_is_never_zero,
        rights::nothing_that_the_role_does_not_grant,
        traffic::requests_after_one_kubectl_apply,
        traffic::requests_while_a_pod_of_b_is_killed,
        traffic::requests_while_the_link_drops_everything,
        traffic::requests_while_a_node_is_cut_off,
    ];
    let conclusion = libtest_mimic::run(&words, trials);
    // Before the bed, which goes with the last who holds it.
    drop(world);
    conclusion.exit_code()
}

/// Ctrl-C takes the bed away too; what was started here ends with this process.
async fn interrupted(bed: Arc<Bed>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        bed.run(&["down"]);
        std::process::exit(130);
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is().await {
        assert!(begin.elapsed() < LIMIT, "not within {} s: {what}", LIMIT.as_secs());
        sleep(Duration::from_millis(200)).await;
    }
}
