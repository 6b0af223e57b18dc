//! `train`: many seeds, resumed, on every kind of environment, and what it refuses.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cli::{must, refused, table};
use crate::fidelity::json;

const CLIFF: &str = "seeds = 6\n[environment]\nclassic = \"cliff_walking\"\n[settings]\nstep_size = 0.5\ndiscount = 1.0\n\
    ties = \"random\"\n[length]\nepisodes = 300\nrecord_every = 25\n";

fn all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in ["learning.csv", "seeds.csv", "training.json"] {
        files.push((name.to_string(), fs::read(folder.join(name)).unwrap()));
    }
    for seed in 1..=6 {
        let name = format!("checkpoints/seed-{seed}.json");
        files.push((name.clone(), fs::read(folder.join(name)).unwrap()));
    }
    files
}

#[test]
fn many_seeds_give_the_same_bytes_on_any_number_of_threads() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("cliff.toml"), CLIFF).unwrap();
    let said = must(folder.path(), "train cliff.toml --threads 1 --out one");
    assert!(said.contains("6 seeds; interquartile means, with 95 % intervals"), "{said}");
    assert!(
        said.contains("none at 6 of 6 seeds") && said.contains("(the exact optimum's: -13.0000)"),
        "{said}"
    );
    must(folder.path(), "train cliff.toml --threads 3 --out three");
    assert_eq!(all(&folder.path().join("one")), all(&folder.path().join("three")));
    let training = json(&folder.path().join("one/training.json"));
    assert_eq!((&training["optimum_return"], &training["seeds"][5]["seed"]), (&(-13.0).into(), &6.into()));
    let said = must(folder.path(), "figures one");
    assert!(said.contains("learning_curve.svg"), "{said}");
}

#[test]
fn a_training_that_was_interrupted_goes_on_to_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let long = CLIFF.replace("episodes = 300", "episodes = 60_000");
    fs::write(folder.join("cliff.toml"), long).unwrap();
    must(folder, "train cliff.toml --out whole");
    let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args("train cliff.toml --threads 1 --out cut".split_whitespace())
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Once the first seed is done there is something to go on with, and five are left. SIGKILL leaves as much.
    let begun = Instant::now();
    while !folder.join("cut/checkpoints/seed-1.json").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let code = child.wait().unwrap().code();
    if code == Some(0) {
        // It was faster than the signal.
        assert!(folder.join("cut/training.json").exists());
    } else {
        assert_eq!(code, Some(130));
        assert!(!folder.join("cut/training.json").exists());
    }
    let said = refused(folder, "train cliff.toml --out cut", 1);
    assert!(said.contains("seed-1.json is there already: go on with it by --resume"), "{said}");
    let before = fs::read_dir(folder.join("cut/checkpoints")).unwrap().count();
    let other = refused(folder, "train cliff.toml --out cut --resume --episodes 50", 1);
    assert!(other.contains("seed-1.json is of another training"), "{other}");
    let after = fs::read_dir(folder.join("cut/checkpoints")).unwrap().count();
    assert_eq!(before, after, "nothing is trained under another configuration");
    must(folder, "train cliff.toml --out cut --resume");
    assert_eq!(all(&folder.join("whole")), all(&folder.join("cut")));
}

#[test]
fn curves_with_noise_are_told_apart_on_common_random_numbers() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    table(folder);
    must(folder, "calibrate table.csv");
    let text = "seeds = 8\nalgorithm = { bandit = { successive_elimination = { risk = 0.01 } } }\n\
        [environment.fitted_curves]\ncalibration = \"calibration.json\"\nnoise = { cv = 0.05 }\n";
    fs::write(folder.join("curves.toml"), text).unwrap();
    let said = must(folder, "train curves.toml --out run");
    assert!(said.contains("none at 8 of 8 seeds") && said.contains("successive elimination(0.01)"), "{said}");
    for seed in 1..=8 {
        let policy = json(&folder.join(format!("run/policies/seed-{seed}-last.json")));
        assert_eq!(policy["training"]["algorithm"], "successive elimination(0.01)");
        assert_eq!(policy["training"]["regret"], 0.0, "what is told is what is exported");
    }
    let said = refused(folder, "train curves.toml --out few --episodes 3", 1);
    assert!(said.contains("budget: 3 pulls do not last for one of each"), "{said}");
    let said = refused(folder, "train curves.toml --out run", 1);
    assert!(said.contains("run holds a training already"), "{said}");
    // The file is looked for beside the training.
    fs::create_dir(folder.join("else")).unwrap();
    fs::rename(folder.join("curves.toml"), folder.join("else/curves.toml")).unwrap();
    let said = refused(folder, "train else/curves.toml --out other", 1);
    assert!(said.contains("else/calibration.json"), "{said}");
}

#[test]
fn vectors_are_cut_into_tiles() {
    let folder = TempDir::new().unwrap();
    let text = include_str!("../../rl/trainings/mountain-car.toml");
    fs::write(folder.path().join("car.toml"), text).unwrap();
    let said = must(folder.path(), "train car.toml --seeds 2 --episodes 100");
    assert!(said.contains("sarsa(0.95), 100 episodes, 2 seeds"), "{said}");
    let training = json(&folder.path().join("out/train/training.json"));
    let last = training["seeds"][1]["last_return"].as_f64().unwrap();
    assert!((-200.0..-97.0).contains(&last), "200 steps are all there are, and the optimum is 97.7: {last}");
    let (head, _) = text.split_once("[tiles]").unwrap();
    fs::write(folder.path().join("car.toml"), head).unwrap();
    let said = refused(folder.path(), "train car.toml --out none", 1);
    assert!(said.contains("car.toml: tiles: missing"), "{said}");
    let far = text.replace("component = 1", "component = 2");
    fs::write(folder.path().join("car.toml"), far).unwrap();
    let said = refused(folder.path(), "train car.toml --out none", 1);
    assert!(said.contains("tiles: axes[1].component: 2, and an observation has 0 to 1"), "{said}");
}

#[test]
fn every_training_that_is_shipped_can_be_read() {
    let folder = TempDir::new().unwrap();
    for (name, text) in [
        ("cliff", include_str!("../../rl/trainings/cliff.toml")),
        ("lake", include_str!("../../rl/trainings/frozen-lake.toml")),
        ("car", include_str!("../../rl/trainings/mountain-car.toml")),
    ] {
        fs::write(folder.path().join("t.toml"), text).unwrap();
        must(folder.path(), &format!("train t.toml --seeds 1 --episodes 10 --out {name}"));
    }
    // One that names experiments is read where it is.
    let scaling = concat!(env!("CARGO_MANIFEST_DIR"), "/rl/trainings/scaling.toml");
    must(folder.path(), &format!("train {scaling} --seeds 1 --episodes 3 --out scaling"));
    assert_eq!(json(&folder.path().join("scaling/policy.json"))["schema"], 2);
    table(folder.path());
    must(folder.path(), "calibrate table.csv");
    fs::write(folder.path().join("t.toml"), include_str!("../../rl/trainings/curves.toml")).unwrap();
    must(folder.path(), "train t.toml --seeds 2 --out curves");
}

#[test]
fn a_training_that_cannot_be_is_told_by_its_field() {
    let folder = TempDir::new().unwrap();
    for (what, with, expected) in [
        ("step_size = 0.5", "step_size = 1.5", "settings.step_size: 1.5 is not in (0, 1]"),
        ("episodes = 300", "episodes = 0", "length.episodes: zero"),
        ("seeds = 6", "seeds = 0", "seeds: 0 is not in 1..=10000"),
        ("ties = \"random\"", "tie = \"random\"", "unknown field `tie`"),
        ("\"cliff_walking\"", "\"cliff\"", "unknown variant `cliff`"),
        ("seeds = 6", "algorithm = { bandit = \"thompson\" }", "a bandit takes one-step problems"),
        (
            "seeds = 6",
            "algorithm = { n_step_sarsa = { n = 0 } }",
            "algorithm.n_step_sarsa.n: 0 is not in 1..=100000",
        ),
        (
            "seeds = 6",
            "algorithm = { dyna_q = { planning = 100001 } }",
            "algorithm.dyna_q.planning: 100001 is not in 0..=100000",
        ),
        (
            "seeds = 6",
            "algorithm = { sarsa_lambda = { lambda = 2.0 } }",
            "algorithm.sarsa_lambda.lambda: 2 is not in [0, 1]",
        ),
        (
            "seeds = 6",
            "algorithm = { bandit = { epsilon_greedy = { epsilon = 1.5 } } }",
            "algorithm.bandit.epsilon_greedy.epsilon: 1.5 is not in [0, 1]",
        ),
        (
            "[length]",
            "[table]\ncuts = []\nepisodes = 1\nsnapshots = 1\ndiscount = 0.9\nseed = 1\n[length]",
            "table: it cuts scaling into states",
        ),
        ("[length]", "[tiles]\ntilings = 1\naxes = []\n[length]", "tiles: these states are numbers"),
    ] {
        fs::write(folder.path().join("t.toml"), CLIFF.replacen(what, with, 1)).unwrap();
        let said = refused(folder.path(), "train t.toml --out run", 1);
        assert!(said.contains("t.toml") && said.contains(expected), "{with}: {said}");
    }
    // What was refused is not in the way.
    fs::write(folder.path().join("t.toml"), CLIFF).unwrap();
    must(folder.path(), "train t.toml --out run --seeds 1 --episodes 25");
}
