//! The rules of the house that a machine can hold: who depends on whom, what is absent where, how long a
//! file may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room, the rooms of ours it may depend on, and crates it must never see.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("spec", &[], &[]),
    ("policy", &["spec"], &["tch", "tokio", "clap"]),
    ("sim", &["spec"], &["tch", "tokio", "clap", "reqwest", "axum"]),
    ("sim/peers", &["spec", "sim"], &["tch", "tokio", "clap"]),
    ("rl", &["spec", "policy", "sim"], &["tokio", "clap", "reqwest", "axum"]),
    ("rl/python", &["spec", "policy", "rl"], &["tch", "tokio", "clap"]),
    ("calibration", &["spec"], &["tch", "tokio", "clap"]),
    ("serving", &["spec", "turbo"], &["clap"]),
    ("serving/fuzz", &["spec", "policy", "serving"], &["tch", "clap"]),
    ("serving/turbo", &[], &["tch", "tokio", "clap"]),
    ("deploy", &["spec", "policy"], &["tch", "clap"]),
    ("figures", &[], &["tch", "tokio", "clap"]),
    ("xtask", &[], &["tch", "tokio", "clap"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dependencies(manifest: &Path, table: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
    let manifest: toml::Table = text.parse().unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
    manifest.get(table).and_then(|t| t.as_table()).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn rooms_depend_only_downwards() {
    for (room, allowed, banned) in ROOMS {
        let manifest = root().join(room).join("Cargo.toml");
        let found = dependencies(&manifest, "dependencies");
        for dependency in &found {
            if let Some(ours) = dependency.strip_prefix("splitscale-") {
                assert!(allowed.contains(&ours), "{room} must not depend on {ours}: see ARCHITECTURE.md");
            }
            assert!(!banned.contains(&dependency.as_str()), "{room} must not see {dependency}");
        }
    }
    assert_eq!(
        dependencies(&root().join("spec/Cargo.toml"), "dependencies"),
        ["serde", "thiserror"].map(String::from).into(),
        "spec is documents and two pure pieces: serde and thiserror only"
    );
}

#[test]
fn every_member_is_a_room_with_rules() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let listed = |key: &str| -> BTreeSet<String> {
        let members = manifest["workspace"][key].as_array().unwrap();
        members.iter().filter_map(|m| m.as_str()).filter(|m| *m != ".").map(String::from).collect()
    };
    let mut rooms: BTreeSet<String> = ROOMS.iter().map(|(room, ..)| room.to_string()).collect();
    assert_eq!(listed("members"), rooms);
    for apart in ["sim/peers", "rl/python", "serving/fuzz"] {
        rooms.remove(apart);
    }
    assert_eq!(listed("default-members"), rooms, "only a build that asks for the others compiles them");
}

#[test]
fn libraries_read_no_environment_and_rooms_of_chance_ban_clocks() {
    for (room, ..) in ROOMS.iter().filter(|(room, ..)| *room != "xtask") {
        for file in sources(&root().join(room).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("env::var"), "{}: libraries see no environment variable", file.display());
        }
    }
    for room in ["sim", "policy", "rl"] {
        let clippy = fs::read_to_string(root().join(room).join("clippy.toml")).unwrap();
        for banned in ["HashMap", "HashSet", "Instant::now", "SystemTime::now"] {
            assert!(clippy.contains(banned), "{room}/clippy.toml does not ban {banned}");
        }
    }
}

#[test]
fn a_file_holds_one_noun() {
    let mut spec_lines = 0;
    for (room, ..) in ROOMS.iter().chain([&("", &[] as &[&str], &[] as &[&str])]) {
        for file in sources(&root().join(room).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.lines().count();
            assert!(lines <= 500, "{}: {lines} lines; look for the second noun", file.display());
            let code = text.split("#[cfg(test)]").next().unwrap();
            if *room == "spec" {
                spec_lines +=
                    code.lines().filter(|l| !l.trim().is_empty() && !l.trim().starts_with("//")).count();
            }
        }
    }
    assert!(spec_lines < 800, "spec has {spec_lines} lines of code; it stays under 800");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
