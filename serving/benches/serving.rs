//! What a request costs a pod: the forward passes, the image path, the bytes of an activation. One thread.

use criterion::{Criterion, criterion_group, criterion_main};
use splitscale_serving::activation::Activation;
use splitscale_serving::engine::libtorch::{self, Libtorch};
use splitscale_serving::engine::{Choice, Cut, EngineConfig, Half};
use splitscale_serving::image::Photo;
use splitscale_serving::wire::format::{Compression, Format, encoding_name, pack, unpack};
use splitscale_spec::Encoding;
use std::hint::black_box;

/// A photo-like JPEG of 500 x 375: smooth shapes with some texture, quality 85.
fn jpeg() -> Vec<u8> {
    let drawn = image::RgbImage::from_fn(500, 375, |x, y| {
        let (fx, fy) = (x as f32 / 40.0, y as f32 / 30.0);
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)) >> 28;
        let level = |phase: f32| (110.0 + 70.0 * (fx + phase).sin() * (fy - phase).cos()) as u8 + grain as u8;
        image::Rgb([level(0.0), level(0.7), level(1.9)])
    });
    let mut file = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 85).encode_image(&drawn).unwrap();
    file
}

fn serving(criterion: &mut Criterion) {
    let half = |half, cut, choice| {
        Libtorch::load(&EngineConfig { choice, ..EngineConfig::resnet50(half, cut) }).unwrap().engine()
    };
    let head = half(Half::A, Cut::Layer3, Choice::Reference);
    let file = jpeg();
    let photo = Photo::decode(&file).unwrap();
    let input = libtorch::input(&photo.crop()).unwrap();
    let activation = head.forward(&input).unwrap();
    let sent = libtorch::encode(&activation).unwrap();
    let bytes = sent.data().to_vec();

    let mut forward = criterion.benchmark_group("forward");
    let engines = [("reference", Choice::Reference), ("f32", Choice::F32), ("bf16", Choice::Bf16)];
    for (name, choice) in engines {
        if choice == Choice::Bf16 && !libtorch::computes_bf16() {
            println!("forward/bf16: skipped, this CPU does not compute bfloat16");
            continue;
        }
        for cut in Cut::ALL {
            let (head, tail) = (half(Half::A, cut, choice), half(Half::B, cut, choice));
            let activation = head.forward(&input).unwrap();
            if cut == Cut::Layer2 {
                forward.bench_function(format!("{name}_full"), |b| {
                    b.iter(|| tail.forward(&head.forward(&input).unwrap()).unwrap())
                });
            }
            forward.bench_function(format!("{name}_a_{}", cut.name()), |b| {
                b.iter(|| head.forward(&input).unwrap())
            });
            forward.bench_function(format!("{name}_b_{}", cut.name()), |b| {
                b.iter(|| tail.forward(&activation).unwrap())
            });
        }
    }
    forward.finish();

    // From the file to the network's input: the decode phase of a request at A.
    criterion.benchmark_group("image").bench_function("decode_500x375", |b| {
        b.iter(|| libtorch::input(&Photo::decode(black_box(&file)).unwrap().crop()).unwrap())
    });

    let mut wire = criterion.benchmark_group("wire");
    // From A's activation to bytes and back to B's; and the same from and to libtorch's memory, which tch
    // clears before it fills it.
    let both = |activation: &Activation| unpack(&pack(activation, Format::default()).unwrap(), &[]).unwrap();
    wire.bench_function("both_f32_layer3", |b| b.iter(|| both(black_box(&sent))));
    wire.bench_function("tensors_f32_layer3", |b| {
        let shape = Cut::Layer3.shape();
        b.iter(|| {
            libtorch::decode(&shape, &both(&libtorch::encode(black_box(&activation)).unwrap())).unwrap()
        })
    });
    // Every way to travel, without libtorch; the sizes are told once.
    for encoding in [Encoding::F32, Encoding::Bf16, Encoding::U8] {
        for compression in Compression::ALL {
            let format = Format { encoding, compression, ..Format::default() };
            let packed = pack(&sent, format).unwrap();
            let name = format!("{}_{compression}", encoding_name(encoding));
            println!("wire/{name}: {} bytes", packed.body.len());
            wire.bench_function(format!("pack_{name}"), |b| {
                b.iter(|| pack(black_box(&sent), format).unwrap())
            });
            wire.bench_function(format!("unpack_{name}"), |b| {
                b.iter(|| unpack(black_box(&packed), &[]).unwrap())
            });
        }
    }
    // What no encoding can beat: the same bytes copied into fresh memory.
    wire.bench_function("copy_layer3", |b| b.iter(|| black_box(&bytes).clone()));
    wire.finish();
}

criterion_group!(benches, serving);
criterion_main!(benches);
