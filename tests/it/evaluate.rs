//! `train` on scaling and `evaluate`: policies out, policies judged, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::cli::{must, refused};
use crate::fidelity::json;

const EXPERIMENT: &str = r#"
schema = 1
name = "small"
title = "a minute of it"
seed = 1
replications = 1
[setup]
horizon_s = 60.0
arrivals = { poisson = { rate_per_s = 3.0 } }
[setup.a]
pods = 2
service = { exponential = { mean_s = 0.4 } }
[setup.link]
slots = 4
transfer = { law = { deterministic = { value_s = 0.05 } } }
[setup.b]
pods = 1
service = { exponential = { mean_s = 0.1 } }
"#;

const TRAINING: &str = r#"
seeds = 2
algorithm = "sarsa"
settings = { exploration = 0.2, initial_q = -20.0 }
length = { episodes = 40, record_every = 20 }
tiles = { tilings = 2, axes = [{ component = "queue_a", low = 0.0, high = 10.0, intervals = 2 }] }
[environment.scaling]
experiments = ["small.toml"]
[environment.scaling.problem]
pods_min = { a = 1, b = 1 }
pods_max = { a = 3, b = 2 }
decide_every_s = 5.0
decisions = 8
slo_s = 2.0
cost = { miss_weight = 2.0, churn_weight = 1.0 }
actions = "step"
[table]
episodes = 6
snapshots = 2
discount = 0.9
seed = 1
cuts = [{ feature = "desired_a", edges = [2.0, 3.0] }]
"#;

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("small.toml"), EXPERIMENT).unwrap();
    fs::write(folder.path().join("training.toml"), TRAINING).unwrap();
    folder
}

fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().collect::<Result<_, _>>().unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_was_learnt_is_judged_beside_the_strongest_of_the_rules() {
    let folder = folder();
    let folder = folder.path();
    let said = must(folder, "train training.toml --out learnt");
    assert!(said.contains("policy.json, from seed"), "{said}");
    let policy = json(&folder.join("learnt/policy.json"));
    assert_eq!(policy["kind"]["greedy"]["features"], serde_json::json!(["queue_a"]));
    assert_eq!(policy["training"]["hash"], json(&folder.join("learnt/training.json"))["hash"]);
    let last = folder.join("learnt/policies/seed-2-last.json");
    assert!(last.exists());

    let command = "evaluate training.toml learnt/policy.json --seeds 3 --out";
    let said = must(folder, &format!("{command} one --threads 1"));
    for words in
        ["1 scenarios x 3 seeds", "hpa tuned", "static best here", "regret (J - J*)", "loses most in"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    must(folder, &format!("{command} two --threads 3"));
    for name in ["judgement.csv", "episodes.csv", "regret.csv", "states.csv", "baselines/hpa-tuned.json"] {
        assert_eq!(text(&folder.join("one").join(name)), text(&folder.join("two").join(name)), "{name}");
    }
    let episodes = table(&folder.join("one/episodes.csv"));
    assert_eq!(episodes.len(), 5 * 3, "five policies, three seeds");
    // Everybody met the same requests.
    let sent = |row: &BTreeMap<String, String>| (row["seed"].clone(), row["sent"].clone());
    let of: BTreeSet<_> = episodes.iter().map(sent).collect();
    assert_eq!(of.len(), 3);
    for row in table(&folder.join("one/regret.csv")) {
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        assert!(number("bound") <= number("best_found"), "{row:?}");
        assert!(number("best_found") <= number("best_static") + 1e-9, "{row:?}");
    }

    // One of the baselines is a policy like any other, and judged so is as good as itself.
    let again = "evaluate training.toml one/baselines/hpa-tuned.json --seeds 3 --referee 0 --out again";
    let said = must(folder, again);
    assert!(said.contains("hpa tuned (one/baselines/hpa-tuned.json)"), "{said}");
    assert!(!folder.join("again/regret.csv").exists());
}

#[test]
fn what_cannot_be_judged_is_told_before_anything_is_played() {
    let folder = folder();
    let folder = folder.path();
    must(folder, "train training.toml --out learnt");
    let policy = "learnt/policy.json";
    let said = refused(folder, &format!("evaluate training.toml {policy} --against hpa"), 1);
    assert!(said.contains("--against hpa: nobody is called so; there are sarsa, seed"), "{said}");
    fs::write(folder.join("cliff.toml"), "[environment]\nclassic = \"cliff_walking\"\n").unwrap();
    let said = refused(folder, &format!("evaluate cliff.toml {policy}"), 1);
    assert!(said.contains("cliff.toml: environment: not scaling"), "{said}");
    let other = TRAINING.replace("miss_weight = 2.0", "miss_weight = 3.0");
    fs::write(folder.join("other.toml"), other).unwrap();
    let said = refused(folder, &format!("evaluate training.toml {policy} --tuned-on other.toml"), 1);
    assert!(said.contains("ask for different things"), "{said}");
    let cut = TRAINING.replace("feature = \"desired_a\"", "feature = \"desired\"");
    fs::write(folder.join("cut.toml"), cut).unwrap();
    let said = refused(folder, &format!("evaluate cut.toml {policy} --out cut"), 1);
    assert!(said.contains("cut.toml: table"), "{said}");
    let text = text(&folder.join(policy)).replace("\"schema\": 2", "\"schema\": 1");
    fs::write(folder.join("old.json"), text).unwrap();
    let said = refused(folder, "evaluate training.toml old.json", 1);
    assert!(said.contains("old.json") && said.contains("schema 1"), "{said}");
    assert!(!folder.join("out/evaluate").exists(), "nothing was begun");
}
