//! The image path on real and odd files: what comes out, what is refused and how, and at what cost in memory.
//!
//! `crops.csv` holds what Pillow makes of the photos of the shared folder (`crops.py` wrote it).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use splitscale_serving::image::{Decoder, ImageError, Photo};

use crate::golden::{say, shared};

/// The photo's size, and the hash of its crop, by file.
fn pillows() -> BTreeMap<&'static str, (usize, usize, u64)> {
    let rows = include_str!("../data/crops.csv").lines().skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        let side = |cell: &str| cell.parse().unwrap();
        (cells[0], (side(cells[1]), side(cells[2]), u64::from_str_radix(cells[3], 16).unwrap()))
    })
    .collect()
}

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The decoders that this build has.
fn decoders() -> Vec<Decoder> {
    match Decoder::best() {
        Decoder::Turbo => vec![Decoder::Turbo, Decoder::Rust],
        Decoder::Rust => {
            say!("skipped: libjpeg-turbo, which was not installed when this was built");
            vec![Decoder::Rust]
        }
    }
}

#[test]
fn with_libjpeg_turbo_every_crop_is_pillows() {
    let Some(images) = shared("data/images") else { return };
    if Decoder::best() != Decoder::Turbo {
        say!("skipped: libjpeg-turbo was not installed when this was built");
        return;
    }
    // Sixteen bits: Pillow clips grey ones at 255 instead of scaling them.
    let otherwise = ["odd/gray16_interlaced.png"];
    let mut equal = 0;
    for (file, (.., hash)) in pillows() {
        let crop = Photo::decode(&std::fs::read(images.join(file)).unwrap()).unwrap().crop();
        let same = fnv1a64(crop.rgb()) == hash;
        assert!(same || otherwise.contains(&file), "{file} differs from Pillow's");
        equal += usize::from(same);
    }
    say!("{equal} of {} files become Pillow's crop, bit by bit", pillows().len());
}

#[test]
fn odd_files_come_out_or_are_refused_as_they_should() {
    let Some(images) = shared("data/images/odd") else { return };
    for decoder in decoders() {
        check(decoder, &images);
    }
}

/// Every file of expected.csv: `decode`, `refuse` with a status, or `either`.
fn check(decoder: Decoder, images: &Path) {
    let expected = std::fs::read_to_string(images.join("expected.csv")).unwrap();
    let mut wrong = Vec::new();
    for row in expected.lines().skip(1) {
        let cells: Vec<&str> = row.splitn(4, ',').collect();
        let (file, statuses) = (cells[0], cells[2]);
        let bytes = std::fs::read(images.join(file)).unwrap();
        let decoded = Photo::decode_by(decoder, &bytes);
        let status = decoded.as_ref().map_or_else(|error| error.status(), |_| 200).to_string();
        if !statuses.split('|').any(|expected| expected == status) {
            wrong.push(format!("{file}: {status}, expected {statuses}: {:?}", decoded.err()));
        }
        if let (Ok(photo), Some((width, height, _))) =
            (Photo::decode_by(decoder, &bytes), pillows().get(format!("odd/{file}").as_str()))
        {
            assert_eq!(photo.size(), (*width, *height), "{file}");
            photo.crop();
        }
    }
    assert!(wrong.is_empty(), "{decoder:?}:\n{}", wrong.join("\n"));
}

/// Cuts and flips of real files, from a linear congruential generator.
#[test]
fn damaged_files_are_told_and_never_panic() {
    let Some(images) = shared("data/images") else { return };
    let mut state = 1u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let names = pillows();
    let small = names.iter().filter(|(_, (width, height, _))| width * height < 200_000);
    for (file, _) in small {
        let whole = std::fs::read(images.join(file)).unwrap();
        for round in 0..12 {
            let mut bytes = whole.clone();
            for _ in 0..=round {
                let at = below(bytes.len());
                bytes[at] ^= 1 << below(8);
            }
            if round % 3 == 0 {
                bytes.truncate(below(whole.len()));
            }
            for decoder in decoders() {
                if let Ok(photo) = Photo::decode_by(decoder, &bytes) {
                    photo.crop();
                }
            }
        }
    }
}

/// A progressive JPEG of 8 x 8 grey pixels whose refinement of the constant term comes `scans` times.
fn progressive(scans: usize) -> Vec<u8> {
    let table = [&[0xFF, 0xDB, 0, 67, 0][..], &[16; 64]].concat();
    let frame = [0xFF, 0xC2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
    let codes = [&[0xFF, 0xC4, 0, 20, 0, 1][..], &[0; 15], &[4]].concat();
    let first = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 1, 0x37];
    let finer = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0x10, 0xFF, 0].repeat(scans);
    [&[0xFF, 0xD8], &table[..], &frame, &codes, &first, &finer, &[0xFF, 0xD9]].concat()
}

/// Each walks over the whole image: few bytes could keep a pod for minutes.
#[test]
fn a_jpeg_of_very_many_scans_is_refused() {
    for decoder in decoders() {
        let few = Photo::decode_by(decoder, &progressive(20));
        assert!(few.is_ok(), "{decoder:?}: {few:?}");
        let many = Photo::decode_by(decoder, &progressive(2000));
        assert!(matches!(many, Err(ImageError::Damaged(_))), "{decoder:?}: {many:?}");
    }
}

/// Highest resident memory of this process so far \[kB\].
fn peak_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "runs alone, in a process of its own: see the next test"]
fn alone_odd_files_take_little_memory() {
    let Some(images) = shared("data/images/odd") else { return };
    let before = peak_kb();
    for decoder in decoders() {
        check(decoder, &images);
    }
    let grown = peak_kb() - before;
    assert!(grown < 64_000, "the odd files took {grown} kB");
}

#[test]
fn odd_files_take_little_memory() {
    let alone = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "images::alone_odd_files_take_little_memory", "--include-ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success() && said.contains("1 passed"), "{said}");
}
