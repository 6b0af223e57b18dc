//! Wrappers, and several environments at once.

use splitscale_rl::classic::{CartPole, cliff_walking};
use splitscale_rl::{Autoreset, Batch, Environment, Episode, Played, Statistics, Step, TimeLimit};

fn short() -> TimeLimit<Played> {
    TimeLimit::new(Played::new(cliff_walking()), 3)
}

#[test]
fn a_time_limit_truncates_and_leaves_ends_alone() {
    let mut cliff = short();
    cliff.reset(Some(0));
    let over: Vec<_> = (0..3).map(|_| cliff.step(0)).map(|step| (step.terminated, step.truncated)).collect();
    assert_eq!(over, [(false, false), (false, false), (false, true)]);
    // Thirteen steps lead to the goal: an end at the very last step that is allowed is an end.
    let mut cliff = TimeLimit::new(Played::new(cliff_walking()), 13);
    cliff.reset(Some(0));
    let way = [0].into_iter().chain([1; 11]).chain([2]);
    let last = way.map(|action| cliff.step(action)).last().unwrap();
    assert_eq!((last.terminated, last.truncated, last.observation), (true, false, 47));
}

#[test]
fn statistics_are_those_of_the_last_episode() {
    let mut cliff = Statistics::new(short());
    cliff.reset(Some(0));
    assert_eq!(cliff.last, None);
    for _ in 0..3 {
        cliff.step(0);
    }
    assert_eq!((cliff.last, cliff.episodes), (Some(Episode { total: -3.0, steps: 3 }), 1));
    cliff.reset(None);
    cliff.step(1);
    cliff.step(1);
    cliff.step(0);
    assert_eq!((cliff.last, cliff.episodes), (Some(Episode { total: -201.0, steps: 3 }), 2));
}

#[test]
fn each_environment_of_a_batch_goes_its_own_way_and_the_same_way_again() {
    let mut batch = Batch::new(&CartPole::default(), 4, Autoreset::Disabled);
    let first = batch.reset(Some(5)).to_vec();
    assert!((1..4).all(|i| first[i].observation != first[0].observation));
    let seeds: Vec<u64> = (0..4).map(|i| Batch::<CartPole>::seed_of(5, i)).collect();
    let neighbours: Vec<u64> = (0..4).map(|i| Batch::<CartPole>::seed_of(6, i)).collect();
    assert!(seeds.iter().all(|seed| !neighbours.contains(seed)));
    // One of them alone does the same.
    let mut alone = CartPole::default();
    assert_eq!(alone.reset(Some(seeds[2])), first[2].observation);
    for _ in 0..5 {
        assert_eq!(batch.step(&[1, 0, 1, 0])[2], alone.step(1));
    }
    assert_eq!(batch.reset(Some(5)), first);
    assert_eq!(batch.reset_each(|index| Some(seeds[index])), first);
    batch.step(&[1, 0, 1, 0]);
    assert_eq!(*batch.begin(2, Some(seeds[2])), first[2]);
    assert_ne!(batch.steps()[1], first[1]);
}

#[test]
fn the_mode_says_what_happens_after_an_end() {
    let begun = Step { observation: 36, reward: 0.0, terminated: false, truncated: false };
    let (up, cut) = (|state, reward| Step { observation: state, reward, ..begun }, 3);

    let mut next = Batch::new(&short(), 1, Autoreset::NextStep);
    next.reset(Some(0));
    assert!(next.is_first(0));
    for _ in 1..cut {
        next.step(&[0]);
    }
    assert_eq!(next.step(&[0])[0], Step { truncated: true, ..up(0, -1.0) });
    assert_eq!((next.step(&[0])[0], next.is_first(0)), (begun, true));
    assert_eq!((next.step(&[0])[0], next.is_first(0)), (up(24, -1.0), false));

    let mut same = Batch::new(&short(), 1, Autoreset::SameStep);
    same.reset(Some(0));
    for _ in 1..cut {
        same.step(&[0]);
    }
    assert_eq!(same.last(0), None);
    assert_eq!(same.step(&[0])[0], Step { truncated: true, ..up(36, -1.0) });
    assert_eq!(same.last(0), Some(&0));
    assert_eq!(same.step(&[0])[0], up(24, -1.0));

    let mut off = Batch::new(&short(), 1, Autoreset::Disabled);
    off.reset(Some(0));
    for _ in 0..cut {
        off.step(&[0]);
    }
    assert_eq!(*off.begin(0, None), begun);
    assert_eq!(off.step(&[0])[0], up(24, -1.0));
}

#[test]
#[should_panic(expected = "the episode of environment 0 is over")]
fn a_batch_that_resets_nothing_refuses_to_go_on_after_an_end() {
    let mut off = Batch::new(&short(), 1, Autoreset::Disabled);
    off.reset(Some(0));
    for _ in 0..4 {
        off.step(&[0]);
    }
}
