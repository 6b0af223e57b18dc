//! Manifests as they are rendered from the terminal: those in the tree, and what is never overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::{must, refused};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The words in the head of an overlay or a sweep, for another folder.
fn words(overlay: &Path, folder: &Path) -> String {
    let text = fs::read_to_string(overlay.join("kustomization.yaml")).unwrap();
    let words = text
        .lines()
        .find_map(|line| line.strip_prefix("#   splitscale "))
        .expect("its words are in its head");
    words.replace("--render DIR", &format!("--render {}", folder.display()))
}

/// Files below a folder, by their paths in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn the_overlays_in_the_tree_are_what_is_rendered_from_their_pipelines() {
    let overlays: Vec<PathBuf> =
        fs::read_dir(root().join("deploy/overlays")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(overlays.len() >= 2);
    for overlay in overlays {
        let folder = TempDir::new().unwrap();
        must(root(), &words(&overlay, folder.path()));
        let own = folder.path().join("overlays").join(overlay.file_name().unwrap());
        let of = |folder: &Path| -> Vec<PathBuf> {
            files(folder).iter().map(|file| file.strip_prefix(folder).unwrap().to_owned()).collect()
        };
        assert_eq!(of(&own), of(&overlay));
        for room in ["base", "components", "overlays"] {
            for file in files(&folder.path().join(room)) {
                let path = file.strip_prefix(folder.path()).unwrap();
                let (rendered, held) = (fs::read(&file).unwrap(), fs::read(root().join("deploy").join(path)));
                assert!(
                    held.is_ok_and(|held| held == rendered),
                    "deploy/{} is not what is rendered; write it anew with the words in the head of its overlay",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_sweeps_in_the_tree_are_what_is_rendered_from_their_experiments() {
    let sweeps = fs::read_dir(root().join("deploy/sweeps")).unwrap().map(|entry| entry.unwrap().path());
    for sweep in sweeps {
        let folder = TempDir::new().unwrap();
        must(root(), &words(&sweep, folder.path()));
        fs::remove_file(folder.path().join("rendered.sha256")).unwrap();
        let of = |folder: &Path| -> Vec<(PathBuf, String)> {
            let all = files(folder).into_iter();
            all.map(|file| {
                (file.strip_prefix(folder).unwrap().to_owned(), fs::read_to_string(&file).unwrap())
            })
            .collect()
        };
        assert_eq!(of(folder.path()), of(&sweep), "write it anew with the words in its head");
    }
}

#[test]
fn a_sweep_has_its_files_as_they_lie_and_is_refused_where_a_pod_would_fail() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    // The scenarios of this training lie beside it, and one of them reads a file of another room.
    let training = "rl/trainings/scaling-unseen.toml";
    let to = folder.join("sweep");
    must(
        root(),
        &format!("sweep --render {} --name unseen --shards 2 train {training} --seeds 4", to.display()),
    );
    let job = fs::read_to_string(to.join("job.yaml")).unwrap();
    assert!(
        job.contains("            - 'rl/trainings/scaling-unseen.toml'\n            - --seeds=4\n"),
        "{job}"
    );
    for file in [training, "rl/trainings/experiments/unseen.toml", "sim/experiments/data/stamps.csv"] {
        assert_eq!(fs::read(to.join("inputs").join(file)).unwrap(), fs::read(root().join(file)).unwrap());
    }
    // They are all that is needed; where all lie in one folder, that is where they are run.
    let (training, to) = ("rl/trainings/scaling.toml", folder.join("scaling"));
    must(root(), &format!("sweep --render {} --name scaling --shards 2 train {training}", to.display()));
    must(
        &to.join("inputs"),
        &format!("train scaling.toml --seeds 1 --episodes 1 --out {}", folder.join("run").display()),
    );
    let said = must(
        root(),
        &format!(
            "sweep --render {} --name cliff --shards 9 train rl/trainings/cliff.toml --seeds 7",
            folder.join("cliff").display()
        ),
    );
    assert!(said.contains("2 of 9 shards will be empty"), "{said}");

    let experiment = fs::read_to_string(root().join("sim/experiments/slots-x-pods.toml")).unwrap();
    let named = format!("calibration = \"{}\"\n[setup]", folder.join("c.json").display());
    fs::write(folder.join("e.toml"), experiment.replacen("[setup]", &named, 1)).unwrap();
    fs::write(folder.join("c.json"), "{}").unwrap();
    let said = refused(folder, "sweep --render k --name e --shards 2 simulate e.toml", 1);
    assert!(said.contains("c.json is named by a path that a pod does not have"), "{said}");
    fs::write(folder.join("e.toml"), &experiment).unwrap();
    refused(folder, "sweep --render k --name E --shards 2 simulate e.toml", 2);
    refused(folder, &format!("sweep --render k --name {} --shards 2 simulate e.toml", "e".repeat(49)), 2);
    let said = refused(folder, "sweep --render k --name e --shards 2 simulate e.toml --set a.pod=1", 1);
    assert!(said.contains("pod"), "{said}");
    assert!(!folder.join("k").exists());
}

#[test]
fn what_somebody_else_wrote_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let there = folder.path().join("k8s");
    let words = words(&root().join("deploy/overlays/emulated"), &there);
    must(root(), &words);
    must(root(), &words);
    let changed = there.join("overlays/emulated/a.yaml");
    let text = fs::read_to_string(&changed).unwrap();
    fs::write(&changed, format!("{text}# mine\n")).unwrap();
    fs::write(there.join("base/mine.yaml"), "mine").unwrap();
    let said = refused(root(), &words, 1);
    assert!(said.contains("overlays/emulated/a.yaml was changed by hand"), "{said}");
    fs::remove_file(&changed).unwrap();
    must(root(), &words);
    assert_eq!(fs::read_to_string(&changed).unwrap(), text);
    assert_eq!(fs::read_to_string(there.join("base/mine.yaml")).unwrap(), "mine");
    // A folder of somebody else, and one whose list is gone.
    fs::remove_file(there.join("rendered.sha256")).unwrap();
    let said = refused(root(), &words, 1);
    assert!(said.contains("was not written by this command"), "{said}");
}

#[test]
fn a_pipeline_that_cannot_be_rendered_is_told_by_file_and_field() {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(root().join("deploy/pipelines/demo.toml")).unwrap();
    let policy = root().join("deploy/contests/useful.json");
    let ask = |change: (&str, &str), more: &str| {
        assert!(text.contains(change.0));
        fs::write(folder.path().join("mine.toml"), text.replacen(change.0, change.1, 1)).unwrap();
        let words = format!("deploy --render k8s --pipeline mine.toml --policy {} {more}", policy.display());
        let said = refused(folder.path(), &words, 1);
        assert!(said.contains("mine.toml") && !folder.path().join("k8s").exists(), "{said}");
        said
    };
    let said = ask(("cpu_share = 0.1", "cpu_share = 1.1"), "");
    assert!(said.contains("a.cpu_share: 1.1"), "{said}");
    let said = ask(("layer3", "layer4"), "");
    assert!(said.contains("cut.name: \"layer4\""), "{said}");
    let said = ask(("slots = 8", "slots = 8"), "--encoding bf16");
    assert!(said.contains("cut.payload_bytes: 802816"), "{said}");
    let said = ask(("slots = 8", "slots = 8"), "--budget 1");
    assert!(said.contains("--budget: 1 is below"), "{said}");
    for wrong in ["--image a:", "--service-times 1", "--service-times 0,1", "--name Up", "--name"] {
        let words = format!("deploy --render k8s --pipeline mine.toml --policy p {wrong}");
        refused(folder.path(), &words, 2);
    }
}
