//! Files of `torch.save`: what PyTorch wrote is read, what is damaged or means harm is refused.
//!
//! The files were written by PyTorch (`tests/data/saved.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use splitscale_serving::engine::weights::Weights;
use splitscale_serving::saved::{Saved, Stored};

use crate::pth;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/saved").join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn tensors(file: &[u8]) -> BTreeMap<String, Stored> {
    match Saved::read(file) {
        Ok(Saved::Tensors(tensors)) => tensors,
        other => panic!("{other:?}"),
    }
}

fn refused(file: &[u8]) -> String {
    Saved::read(file).expect_err("it is damaged").to_string()
}

#[test]
fn both_formats_give_what_pytorch_saved() {
    for name in ["zip.pth", "legacy.pth"] {
        let file = file(name);
        assert!(Saved::begins(&file));
        let tensors = tensors(&file);
        let values = |key: &str, dtype: Dtype, shape: &[usize]| {
            let stored = &tensors[key];
            assert_eq!((stored.dtype, stored.shape.as_slice()), (dtype, shape), "{name} {key}");
            stored.values(&file).unwrap()
        };
        let eighths =
            |numbers: &[usize]| -> Vec<f32> { numbers.iter().map(|i| *i as f32 / 8.0 - 1.0).collect() };
        let all: Vec<usize> = (0..24).collect();
        assert_eq!(values("plain", Dtype::F32, &[2, 3, 4]), eighths(&all));
        let transposed: Vec<usize> =
            (0..4).flat_map(|c| (0..2).flat_map(move |a| (0..3).map(move |b| 12 * a + 4 * b + c))).collect();
        assert_eq!(values("transposed", Dtype::F32, &[4, 2, 3]), eighths(&transposed));
        assert_eq!(values("window", Dtype::F32, &[3, 2]), eighths(&[13, 14, 17, 18, 21, 22]));
        assert_eq!(values("parameter", Dtype::F32, &[2]), [0.5, -0.25]);
        assert_eq!(values("float64", Dtype::F64, &[2, 1]), [1.0, 1.0 / 3.0]);
        assert_eq!(values("float16", Dtype::F16, &[4]), [1.5, -65504.0, 2f32.powi(-24), 0.099_975_586]);
        assert_eq!(values("bfloat16", Dtype::BF16, &[4]), [1.5, -3.004_055_3e38, 0.100_097_656, 0.0]);
        assert_eq!(values("int64", Dtype::I64, &[]), [7.0]);
        assert!(values("empty", Dtype::F32, &[0, 3]).is_empty());
        assert_eq!(tensors.len(), if name == "zip.pth" { 9 } else { 10 });
    }
    let legacy = file("legacy.pth");
    assert_eq!(tensors(&legacy)["old"].values(&legacy).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

#[test]
fn wide_zips_training_states_and_lone_tensors_are_read() {
    for name in ["wide.pth", "training.pth"] {
        let file = file(name);
        let tensors = tensors(&file);
        let keys: Vec<&str> = tensors.keys().map(String::as_str).collect();
        assert_eq!(keys, ["bias", "num_batches_tracked", "running_mean", "running_var", "weight"], "{name}");
        assert_eq!(tensors["weight"].values(&file).unwrap(), [1.0, 1.0]);
    }
    let lone = file("tensor.pt");
    let Ok(Saved::Tensor(tensor)) = Saved::read(&lone) else { panic!("one tensor") };
    assert_eq!(tensor.shape, [1, 2, 3]);
    assert_eq!(tensor.values(&lone).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let message = Weights::open(Some(&path("tensor.pt"))).unwrap_err().to_string();
    assert!(message.contains("tensor.pt") && message.contains("no state dict"), "{message}");
}

#[test]
fn a_pickle_that_calls_a_function_is_refused_by_its_name() {
    let message = Weights::open(Some(&path("evil.pth"))).unwrap_err().to_string();
    assert!(message.contains("evil.pth") && message.contains("posix.system"), "{message}");
    assert!(message.contains("nothing of it was run"), "{message}");
    // By the instruction that the reader has no need of, too: INST names and calls at once.
    let message = refused(&pth::legacy_of(b"\x80\x02(X\x01\x00\x00\x00xios\nsystem\n."));
    assert!(message.contains("instruction 0x69"), "{message}");
}

#[test]
fn files_that_are_cut_short_are_refused_at_every_byte() {
    for name in ["zip.pth", "legacy.pth", "wide.pth", "training.pth", "tensor.pt"] {
        let file = file(name);
        for length in 0..file.len() {
            refused(&file[..length]);
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    for name in ["zip.pth", "legacy.pth", "wide.pth"] {
        let whole = file(name);
        for at in 0..whole.len() {
            for damage in [0x01, 0x80, 0xff] {
                let mut file = whole.clone();
                file[at] ^= damage;
                if let Ok(Saved::Tensors(tensors)) = Saved::read(&file) {
                    let read = |stored: &Stored| stored.values(&file).map_or(0, |values| values.len());
                    assert!(tensors.values().map(read).sum::<usize>() <= file.len());
                }
            }
        }
    }
}

#[test]
fn a_tensor_is_no_larger_than_its_storage_and_a_storage_than_its_file() {
    let of = |elements: u32, offset: u8, shape: &[u32], strides: &[u32]| {
        let pickle = pth::pickle(&[("w", elements, offset, shape, strides)]);
        Saved::read(&pth::zip(&pickle, &[&[0; 24]])).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(of(6, 0, &[2, 3], &[3, 1]), Ok(()));
    assert_eq!(of(6, 1, &[2, 2], &[3, 1]), Ok(()));
    assert_eq!(of(6, 0, &[1; 64], &[1; 64]), Ok(()));
    assert!(of(6, 0, &[1; 65], &[1; 65]).unwrap_err().contains("65 dimensions"));
    for (case, why) in [
        (of(7, 0, &[7], &[1]), "not all there"),
        (of(0x7fff_ffff, 0, &[1], &[1]), "not all there"),
        (of(6, 0, &[0x7fff_ffff, 0x7fff_ffff, 0x7fff_ffff], &[1, 1, 1]), "more elements than its storage"),
        (of(1, 0, &[1000, 1000], &[0, 0]), "more elements than its storage"),
        (of(6, 2, &[2, 2], &[3, 2]), "leaves its storage"),
        (of(6, 0, &[2, 3], &[0x7fff_ffff, 1]), "leaves its storage"),
        (of(6, 0, &[2, 3], &[1]), "leaves its storage"),
    ] {
        let message = case.expect_err(why);
        assert!(message.contains(why) && message.starts_with("w (storage 0)"), "{message}");
    }
    // A million empty dicts, of which each costs the reader more than the one byte it is.
    let message = refused(&pth::legacy_of(&[b"\x80\x02".as_slice(), &[b'}'; 2 << 20]].concat()));
    assert!(message.contains("instructions"), "{message}");
}

#[test]
fn other_zips_are_told_apart() {
    let message = refused(&pth::zip_of(&[("a/constants.pkl", b""), ("a/data.pkl", b"")]));
    assert!(message.contains("--module"), "{message}");
    assert!(refused(&pth::zip_of(&[("a/readme", b"")])).contains("without data.pkl"));
    let pickle = pth::pickle(&[("w", 1, 0, &[1], &[1])]);
    let big = [("a/data.pkl", pickle.as_slice()), ("a/byteorder", b"big"), ("a/data/0", &[0; 4])];
    assert!(refused(&pth::zip_of(&big)).contains("big-endian"));
    assert!(refused(&pth::zip_of(&big[..1])).contains("its values are missing"));
    let mut packed = pth::zip_of(&[("a/data.pkl", b"")]);
    let central = packed.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    packed[central + 10] = 8;
    assert!(refused(&packed).contains("a/data.pkl is compressed"));
}
