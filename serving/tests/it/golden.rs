//! The network and the image path against what torchvision answered.
//!
//! The golden values were made by torchvision on the formula weights; they and the photos lie in the shared
//! folder (`SPLITSCALE_SHARED`, `../shared` by default). Where it is absent these tests say so and pass.

use image::ImageReader;
use serde_json::Value;
use splitscale_serving::image::{CROP_SIDE, Crop, Decoder, Photo};
use std::path::PathBuf;

/// The photos behind the golden values, and their crops.
const PHOTOS: [(&str, &str); 3] = [
    ("photo_grace_hopper.jpg", "crop_224_grace_hopper.png"),
    ("photo_rocket.jpg", "crop_224_rocket.png"),
    ("photo_vulture.jpeg", "crop_224_vulture.png"),
];

/// Says it past the test harness, which swallows what a passing test prints.
macro_rules! say {
    ($($words:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($words)*)))
            .expect("standard error is open")
    };
}
pub(crate) use say;

/// A folder of shared data, or a line saying that the test skips.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SPLITSCALE_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    say!("skipped: {} is absent (SPLITSCALE_SHARED names the shared folder)", path.display());
    None
}

fn golden(folder: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("resnet50_golden.json")).unwrap()).unwrap()
}

/// A crop as its PNG stores it: no resizing.
fn golden_crop(folder: &std::path::Path, name: &str) -> Crop {
    let pixels = ImageReader::open(folder.join(name)).unwrap().decode().unwrap().into_rgb8();
    assert_eq!(pixels.dimensions(), (CROP_SIDE as u32, CROP_SIDE as u32));
    Crop::new(pixels.into_raw())
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// |ours - theirs| / |theirs|, Euclidean norms.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / norm(&mut theirs.iter().copied())
}

/// How far a tensor is from its golden summary: the samples, the mean and the standard deviation.
fn distances(values: &[f32], summary: &Value) -> [f64; 3] {
    let count: f64 = floats(&summary["shape"]).iter().product();
    assert_eq!(values.len() as f64, count, "shape");
    let samples: Vec<f64> =
        floats(&summary["sample_index"]).iter().map(|i| f64::from(values[*i as usize])).collect();
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    [
        relative(&samples, &floats(&summary["sample"])),
        relative(&[mean], &[summary["mean"].as_f64().unwrap()]),
        relative(&[variance.sqrt()], &[summary["std"].as_f64().unwrap()]),
    ]
}

#[test]
fn normalised_crops_are_torchvisions_bit_by_bit() {
    let Some(folder) = shared("golden") else { return };
    let golden = golden(&folder);
    for (photo, crop) in PHOTOS {
        let values = golden_crop(&folder, crop).normalise();
        let summary = &golden["images"][photo]["input"];
        let samples: Vec<f32> =
            floats(&summary["sample_index"]).iter().map(|i| values[*i as usize]).collect();
        let theirs: Vec<f32> = floats(&summary["sample"]).iter().map(|v| *v as f32).collect();
        assert_eq!(samples, theirs, "{photo}");
        assert!(distances(&values, summary).into_iter().all(|d| d < 1e-6), "{photo}");
    }
}

#[test]
fn photos_become_the_golden_crops() {
    let (Some(folder), Some(images)) = (shared("golden"), shared("data/images")) else { return };
    for (photo, crop) in PHOTOS {
        let theirs = golden_crop(&folder, crop);
        let ours = Photo::decode(&std::fs::read(images.join(photo)).unwrap()).unwrap().crop();
        let apart = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        let differences: Vec<u8> = ours.rgb().iter().zip(theirs.rgb()).map(apart).collect();
        let largest = *differences.iter().max().unwrap();
        let same = differences.iter().filter(|d| **d == 0).count();
        say!(
            "{photo}: {:.3} % of the values identical, largest difference {largest} of 255",
            100.0 * same as f64 / differences.len() as f64
        );
        // Another offset, or a resampler without antialiasing, is tens of levels away on these photos.
        let bound = if Decoder::best() == Decoder::Turbo { 0 } else { 3 };
        assert!(largest <= bound, "{photo}: {largest} levels apart");
    }
}

#[cfg(feature = "torch")]
mod network {
    use super::*;
    use crate::engine::{float32, parameters, write};
    use crate::pth;
    use splitscale_serving::engine::libtorch::{self, Libtorch};
    use splitscale_serving::engine::{Choice, Cut, Engine, EngineConfig, Half, Network};
    use splitscale_serving::wire::format::{Format, pack, unpack};

    /// The bound on the relative difference.
    const BOUND: f64 = 1e-4;

    fn half(half: Half, cut: Cut, choice: Choice) -> Libtorch {
        Libtorch::load(&EngineConfig { choice, ..EngineConfig::resnet50(half, cut) }).unwrap()
    }

    #[test]
    fn cuts_and_logits_are_torchvisions_for_every_cut() {
        let Some(folder) = shared("golden") else { return };
        let golden = golden(&folder);
        for cut in Cut::ALL {
            let of = |side| half(side, cut, Choice::Reference).engine();
            let (a, mut b) = (of(Half::A), of(Half::B));
            for (photo, crop) in PHOTOS {
                let expected = &golden["images"][photo];
                let input = libtorch::input(&golden_crop(&folder, crop)).unwrap();
                let activation = a.forward(&input).unwrap();
                let at_cut =
                    distances(&libtorch::values(&activation).unwrap(), &expected["cuts"][cut.name()]);

                // Across the wire, as between the pods.
                let sent = libtorch::encode(&activation).unwrap();
                assert_eq!(sent.data().len() as u64, cut.payload_bytes());
                let packed = pack(&sent, Format::default()).unwrap();
                let sent = unpack(&packed, &[]).unwrap();
                let received = libtorch::decode(&cut.shape(), &sent).unwrap();
                let logits = libtorch::values(&b.forward(&received).unwrap()).unwrap();
                let theirs = floats(&expected["logits"]);
                let logits: Vec<f64> = logits.into_iter().map(f64::from).collect();
                let at_end = relative(&logits, &theirs);
                say!(
                    "{} {photo}: cut {:.1e} (mean {:.1e}, std {:.1e}), logits {at_end:.1e}",
                    cut.name(),
                    at_cut[0],
                    at_cut[1],
                    at_cut[2]
                );
                assert!(at_cut.into_iter().all(|d| d < BOUND) && at_end < BOUND, "{} {photo}", cut.name());

                let answer = b.tail(&sent).unwrap();
                let top = floats(&expected["top5"])[0] as u32;
                assert_eq!(answer.class_id, top);
                assert_eq!(answer.class_name, format!("class_{top}"));
                assert!(
                    (f64::from(answer.logit) - theirs[top as usize]).abs() < BOUND * theirs[top as usize]
                );
            }
        }
    }

    #[test]
    fn a_checkpoint_gives_the_same_logits_in_every_format() {
        let Some(folder) = shared("golden") else { return };
        let (photo, crop) = PHOTOS[0];
        let input = libtorch::input(&golden_crop(&folder, crop)).unwrap();
        // Neither name nor ending says what a file is.
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("resnet50");
        let logits = || {
            let of = |half| {
                let network = Network::Resnet50 { cut: Cut::Layer2, weights: Some(file.clone()) };
                let config = EngineConfig { network, ..EngineConfig::resnet50(half, Cut::Layer2) };
                Libtorch::load(&config).unwrap().engine()
            };
            libtorch::values(&of(Half::B).forward(&of(Half::A).forward(&input).unwrap()).unwrap()).unwrap()
        };
        let tensors: Vec<_> = parameters().iter().map(|(name, shape)| float32(name, shape)).collect();
        write(&file, &tensors);
        let safetensors = logits();
        let wide: Vec<f64> = safetensors.iter().map(|v| f64::from(*v)).collect();
        assert!(relative(&wide, &floats(&golden(&folder)["images"][photo]["logits"])) < BOUND);
        let tensors: Vec<_> =
            tensors.into_iter().map(|(name, _, shape, bytes)| (name, shape, bytes)).collect();
        for legacy in [false, true] {
            std::fs::write(&file, pth::state_dict(&tensors, legacy)).unwrap();
            assert!(logits() == safetensors, "legacy: {legacy}");
        }
    }

    /// The engine, the bound on its distance from eager float32, and whether this machine has it.
    fn fast() -> [(Choice, f64, bool); 2] {
        [(Choice::F32, 2e-6, true), (Choice::Bf16, 2e-2, libtorch::computes_bf16())]
    }

    #[test]
    fn the_fast_engines_are_as_near_to_eager_as_they_say() {
        let Some(folder) = shared("golden") else { return };
        for (choice, bound, present) in fast() {
            if !present {
                say!("skipped: {choice:?}, which this CPU does not compute");
                continue;
            }
            for cut in Cut::ALL {
                let of = |side, choice| half(side, cut, choice).engine();
                let (eager_a, eager_b) = (of(Half::A, Choice::Reference), of(Half::B, Choice::Reference));
                let (a, b) = (of(Half::A, choice), of(Half::B, choice));
                for (photo, crop) in PHOTOS {
                    let input = libtorch::input(&golden_crop(&folder, crop)).unwrap();
                    let (eager, ours) = (eager_a.forward(&input).unwrap(), a.forward(&input).unwrap());
                    let logits = [eager_b.forward(&eager).unwrap(), b.forward(&ours).unwrap()];
                    let wide = |tensor| -> Vec<f64> {
                        libtorch::values(tensor).unwrap().into_iter().map(f64::from).collect()
                    };
                    let at_cut = relative(&wide(&ours), &wide(&eager));
                    let at_end = relative(&wide(&logits[1]), &wide(&logits[0]));
                    let top = |logits| {
                        let values: Vec<f64> = wide(logits);
                        values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
                    };
                    let same = if top(&logits[0]) == top(&logits[1]) { "the same" } else { "another" };
                    say!(
                        "{choice:?} {} {photo}: cut {at_cut:.1e}, logits {at_end:.1e}, {same} class",
                        cut.name()
                    );
                    assert!(at_cut < bound && at_end < bound, "{choice:?} {} {photo}", cut.name());
                }
            }
        }
    }
}
