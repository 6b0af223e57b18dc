//! Sweeps in shards: what `merge` makes of them is what one run writes, byte for byte; and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cli::{must, refused, table};
use crate::simulate::EXPERIMENT;

/// Every file below a folder, by its path in it, with what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn experiment() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("e.toml"), EXPERIMENT).unwrap();
    folder
}

/// Trains in one run and in so many shards, and compares all that is left.
fn trains_the_same(folder: &Path, words: &str, shards: &[usize]) {
    must(folder, &format!("train {words} --out whole"));
    let whole = files(&folder.join("whole"));
    for of in shards {
        let mut parts = String::new();
        for shard in 1..=*of {
            let out = format!("part{shard}of{of}");
            must(folder, &format!("train {words} --shard {shard}/{of} --out {out}"));
            parts += &format!(" {out}/{shard}-of-{of}.shard");
        }
        let said = must(folder, &format!("merge merged{of}{parts}"));
        assert!(said.contains("episodes, "), "{said}");
        let said = refused(folder, &format!("merge merged{of}{parts}"), 1);
        assert!(said.contains(&format!("merged{of} is no new or empty folder")), "{said}");
        let merged = files(&folder.join(format!("merged{of}")));
        let names =
            |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&whole), names(&merged));
        for ((path, one), (_, other)) in whole.iter().zip(&merged) {
            assert!(one == other, "{} differs with {of} shards", path.display());
        }
    }
}

#[test]
fn an_experiment_in_any_number_of_shards_is_the_same_bytes() {
    let folder = experiment();
    let folder = folder.path();
    let words = "simulate e.toml --set b.pods=4 --replications 3";
    must(folder, &format!("{words} --out whole.csv"));
    // Of six points three get one more than others of 4, and one of 7 is left with none.
    for of in [1, 2, 3, 4, 7] {
        let mut parts = String::new();
        for shard in (1..=of).rev() {
            let said = must(
                folder,
                &format!("{words} --shard {shard}/{of} --threads {shard} --out {shard}-{of}.shard"),
            );
            assert!(said.ends_with(&format!("{shard}-{of}.shard\n")), "{said}");
            parts += &format!(" {shard}-{of}.shard");
        }
        must(folder, &format!("merge merged{of}.csv{parts}"));
        assert_eq!(
            fs::read(folder.join("whole.csv")).unwrap(),
            fs::read(folder.join(format!("merged{of}.csv"))).unwrap()
        );
    }
    must(folder, "simulate e.toml --replications 2 --shard 2/8");
    assert!(
        folder.join("out/small.2-of-8.shard").exists()
            && !folder.join("out/small.2-of-8.shard.part").exists()
    );
}

#[test]
fn a_training_in_any_number_of_shards_is_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let cliff = "seeds = 6\n[environment]\nclassic = \"cliff_walking\"\n[settings]\nstep_size = 0.5\ndiscount = 1.0\nties = \"random\"\n\
        [length]\nepisodes = 100\nrecord_every = 25\n";
    fs::write(folder.join("cliff.toml"), cliff).unwrap();
    trains_the_same(folder, "cliff.toml --seed 11", &[1, 2, 3, 7]);
}

#[test]
fn policies_bandits_and_tiles_are_merged_too() {
    let of = |name: &str, text: &str, words: &str| {
        let folder = TempDir::new().unwrap();
        table(folder.path());
        must(folder.path(), "calibrate table.csv");
        fs::write(folder.path().join(name), text).unwrap();
        trains_the_same(folder.path(), &format!("{name} {words}"), &[3]);
        folder
    };
    let curves = "[environment.fitted_curves]\ncalibration = \"calibration.json\"\nnoise = { cv = 0.05 }\n";
    let trained = of("curves.toml", &format!("seeds = 4\n{curves}"), "--episodes 300");
    assert!(trained.path().join("merged3/policy.json").exists());
    of(
        "bandit.toml",
        &format!("seeds = 4\nalgorithm = {{ bandit = \"thompson\" }}\n{curves}"),
        "--episodes 300",
    );
    // A calibration stands for a training.
    let folder = TempDir::new().unwrap();
    table(folder.path());
    must(folder.path(), "calibrate table.csv");
    trains_the_same(folder.path(), "calibration.json --seeds 2 --episodes 200", &[2]);
    let car = include_str!("../../rl/trainings/mountain-car.toml");
    fs::write(folder.path().join("car.toml"), car).unwrap();
    fs::remove_dir_all(folder.path().join("whole")).unwrap();
    trains_the_same(folder.path(), "car.toml --seeds 3 --episodes 20", &[4]);
    let scaling = concat!(env!("CARGO_MANIFEST_DIR"), "/rl/trainings/scaling.toml");
    let folder = TempDir::new().unwrap();
    trains_the_same(folder.path(), &format!("{scaling} --seeds 3 --episodes 3"), &[2]);
}

#[cfg(feature = "torch")]
#[test]
fn a_deep_training_in_shards_is_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let text = include_str!("../../rl/trainings/cart-pole.toml");
    fs::write(folder.path().join("pole.toml"), text).unwrap();
    trains_the_same(folder.path(), "pole.toml --seeds 2 --episodes 20", &[2]);
}

#[test]
fn a_log_is_a_shard_and_the_index_of_a_job_says_which() {
    let folder = experiment();
    let folder = folder.path();
    must(folder, "simulate e.toml --replications 2 --out whole.csv");
    let run = |words: &str, index: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_splitscale"));
        command.args(words.split_whitespace()).current_dir(folder).env_remove("JOB_COMPLETION_INDEX");
        let output = command.envs(index.map(|index| ("JOB_COMPLETION_INDEX", index))).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let words = "simulate e.toml --replications 2 --shard 2 --print-shard --out shard";
    for index in ["0", "1"] {
        let (code, said, _) = run(words, Some(index));
        assert_eq!(code, Some(0));
        assert!(said.starts_with("small: a small one (3 points)"), "the log has more than the shard: {said}");
        fs::write(folder.join(format!("log{index}")), said).unwrap();
    }
    must(folder, "merge merged.csv log1 log0");
    assert_eq!(fs::read(folder.join("whole.csv")).unwrap(), fs::read(folder.join("merged.csv")).unwrap());
    let (code, _, said) = run(words, Some("2"));
    assert!(
        code == Some(1) && said.contains("indexes 0 to 1, and this one is 2 (JOB_COMPLETION_INDEX)"),
        "{said}"
    );
    let (code, _, said) = run(words, None);
    assert!(code == Some(1) && said.contains("write --shard 1/2"), "{said}");
    // Whoever runs something else in a Job is not meant.
    assert_eq!(run("simulate e.toml --replications 2 --out all.csv", Some("1")).0, Some(0));
    assert_eq!(run("simulate e.toml --print-shard", None).0, Some(2));
}

#[test]
fn what_is_no_whole_is_refused_by_name() {
    let folder = experiment();
    let folder = folder.path();
    let words = "simulate e.toml --replications 2";
    for shard in 1..=4 {
        must(folder, &format!("{words} --shard {shard}/4 --out {shard}.shard"));
    }
    let no = |parts: &str| refused(folder, &format!("merge m.csv {parts}"), 1);
    let said = no("3.shard 1.shard");
    assert!(said.contains("of 4 shards these are missing: 2, 4"), "{said}");
    assert!(said.contains("\n  splitscale simulate e.toml --replications=2 --shard 4/4\n"), "{said}");
    let said = no("1.shard 2.shard 3.shard 4.shard 2.shard");
    assert!(said.contains("shard 2/4 is in 2.shard and in 2.shard"), "{said}");
    must(folder, "simulate e.toml --replications 2 --seed 6 --shard 2/4 --out other.shard");
    let said = no("1.shard other.shard 3.shard 4.shard");
    assert!(said.contains("other.shard cannot be merged: hash is") && said.contains("in 1.shard"), "{said}");
    must(folder, &format!("{words} --shard 2/3 --out third.shard"));
    let said = no("1.shard third.shard 3.shard 4.shard");
    assert!(said.contains("third.shard cannot be merged: of is 3, but 4 in 1.shard"), "{said}");

    let text = fs::read_to_string(folder.join("2.shard")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let bad = |text: &str| {
        fs::write(folder.join("bad.shard"), text).unwrap();
        let said = no("1.shard bad.shard 3.shard 4.shard");
        assert!(said.contains("bad.shard cannot be merged"), "{said}");
        said
    };
    for cut in 1..lines.len() {
        assert!(bad(&lines[..cut].join("\n")).contains("shard 2/4 is cut off"), "line {cut}");
    }
    // A log that was rotated begins anywhere.
    let said = bad(&lines[1..].join("\n"));
    assert!(said.contains("it begins in the middle of a shard: a log that was rotated"), "{said}");
    assert!(bad(&text.replace("H4sI", "H4sJ")).contains("its checksum is"));
    assert!(bad(&text.replace("\"shard\":2", "\"shard\":3")).contains("its checksum is"));
    let said = bad(&text.replacen("sha256 ", "sha256 0", 1));
    assert!(said.contains("it was damaged"), "{said}");
    assert!(bad(&format!("{text}{text}")).contains("more than one shard"));
    assert!(bad("pods,y\n1,2\n").contains("there is no shard in it"));
    assert!(!folder.join("m.csv").exists());
    let said = refused(folder, "merge m.csv 1.shard --namespace x", 2);
    assert!(said.contains("--job"), "{said}");

    // One of a training beside those of an experiment; and one that is done already.
    fs::write(
        folder.join("t.toml"),
        "seeds = 4\n[environment]\nclassic = \"cliff_walking\"\n[length]\nepisodes = 10\n",
    )
    .unwrap();
    must(folder, "train t.toml --shard 2/4 --out t");
    let said = no("1.shard t/2-of-4.shard 3.shard 4.shard");
    assert!(said.contains("2-of-4.shard cannot be merged: kind is Train, but Simulate in 1.shard"), "{said}");
    let said = refused(folder, "train t.toml --shard 2/4 --out t", 1);
    assert!(said.contains("--resume"), "{said}");
    let before = fs::read(folder.join("t/2-of-4.shard")).unwrap();
    must(folder, "train t.toml --shard 2/4 --out t --resume");
    assert_eq!(before, fs::read(folder.join("t/2-of-4.shard")).unwrap());
}
