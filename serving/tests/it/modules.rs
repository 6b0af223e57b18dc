//! A user's own network, as two TorchScript halves: what they compute, and what is no half.
//!
//! The halves and the answers were made by PyTorch (`tests/data/modules.py`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::png::PngEncoder;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use splitscale_serving::activation::{Activation, elements};
use splitscale_serving::engine::libtorch::{self, Libtorch};
use splitscale_serving::engine::{
    Choice, Engine, EngineConfig, EngineError, EngineFactory, Half, Head, Input, Network,
};
use splitscale_serving::stage::{Downstream, serve_a, serve_b};
use splitscale_serving::wire::format::{Format, pack};
use tokio_util::sync::CancellationToken;

use crate::double::{LONG, nobody, port, stage_options, until};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn config(half: Half, file: &str, input: &[usize]) -> EngineConfig {
    let network = Network::Module { file: data(file), cut: "middle".into(), input: input.to_vec() };
    EngineConfig { half, network, choice: Choice::Auto, device: "cpu".into(), labels: None }
}

fn half(half: Half, file: &str, input: &[usize]) -> Libtorch {
    Libtorch::load(&config(half, file, input)).unwrap()
}

fn answers(network: &str) -> Value {
    let text = std::fs::read(data("modules.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()[network].take()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn tensor(values: &[f32]) -> Activation {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Activation::new(vec![values.len()], bytes.into())
}

fn near(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{ours:?} {theirs:?}");
}

/// Whether A gave what PyTorch did, and B answers as it.
fn check(head: &Head, b: &Libtorch, answers: &Value) {
    let shape: Vec<usize> = floats(&answers["shape"]).iter().map(|size| *size as usize).collect();
    assert_eq!(head.activation.shape(), shape);
    assert_eq!(b.about().shape, shape);
    let sample: Vec<f32> = head.activation.values().step_by(elements(&shape).div_ceil(16)).collect();
    near(&sample, &floats(&answers["at_cut"]));

    let theirs = floats(&answers["logits"]);
    let logits = b.engine().forward(&libtorch::decode(&shape, &head.activation).unwrap()).unwrap();
    near(&libtorch::values(&logits).unwrap(), &theirs);
    let top = (0..theirs.len()).max_by(|a, b| theirs[*a].total_cmp(&theirs[*b])).unwrap();
    let tail = b.engine().tail(&head.activation).unwrap();
    assert_eq!((tail.class_id, tail.class_name), (top as u32, format!("class_{top}")));
    near(&[tail.logit], &[theirs[top]]);
}

#[test]
fn halves_that_take_images_answer_as_in_pytorch() {
    // 256 pixels a side: nothing is resized, and the crop begins at 16.
    let photo = image::RgbImage::from_fn(256, 256, |x, y| image::Rgb([x, y, x ^ y].map(|v| v as u8)));
    let mut file = Vec::new();
    photo.write_with_encoder(PngEncoder::new(&mut file)).unwrap();
    let a = half(Half::A, "modules/image_a.pt", &[3, 224, 224]);
    assert_eq!((a.about().input.as_deref(), a.about().cut.as_str()), (None, "middle"));
    assert_eq!((a.about().engine.as_str(), a.about().model.as_str()), ("module", "image_a"));
    let head = a.engine().head(Input::Image(&file)).unwrap();
    check(&head, &half(Half::B, "modules/image_b.pt", &[2, 14, 14]), &answers("image"));
}

#[test]
fn halves_that_take_tensors_answer_as_in_pytorch_and_take_no_images() {
    let a = half(Half::A, "modules/tensor_a.pt", &[6]);
    assert_eq!(a.about().input.as_deref(), Some(&[6][..]));
    let answers = answers("tensor");
    let head = a.engine().head(Input::Tensor(&tensor(&floats(&answers["input"])))).unwrap();
    check(&head, &half(Half::B, "modules/tensor_b.pt", &[8]), &answers);

    let refused = a.engine().head(Input::Tensor(&tensor(&[0.0; 7]))).unwrap_err().to_string();
    assert!(refused.contains("[7]") && refused.contains("[6]"), "{refused}");
    let refused = a.engine().head(Input::Image(b"GIF89a")).unwrap_err();
    let EngineError::BadImage { status: 415, why } = &refused else { panic!("{refused}") };
    assert!(why.contains("tensors of [6]"), "{why}");
}

#[test]
fn what_is_no_half_is_refused_by_its_file_and_in_one_line() {
    for (side, file, input, why) in [
        (Half::A, "modules/absent.pt", &[6][..], "absent.pt"),
        (Half::A, "modules.json", &[6], "not a TorchScript module"),
        (Half::A, "saved/zip.pth", &[6], "not a TorchScript module"),
        (Half::A, "modules/tuple.pt", &[6], "did not return a tensor"),
        (Half::A, "modules/integers.pt", &[6], "Int64s, and Floats travel"),
        (Half::A, "modules/tensor_a.pt", &[7], "one input of [7]"),
        (Half::B, "modules/image_a.pt", &[3, 224, 224], "[1, 2, 14, 14], not one logit a class"),
    ] {
        let error = Libtorch::load(&config(side, file, input)).err().expect(file).to_string();
        assert!(error.contains(file) && error.contains(why), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let labels = Some(vec!["one".to_owned(), "two".into()]);
    let short = EngineConfig { labels, ..config(Half::B, "modules/tensor_b.pt", &[8]) };
    assert!(Libtorch::load(&short).err().expect("3 classes").to_string().contains("2 labels"));
    let fast = EngineConfig { choice: Choice::Bf16, ..config(Half::B, "modules/tensor_b.pt", &[8]) };
    assert!(Libtorch::load(&fast).err().expect("as it was saved").to_string().contains("auto"));
}

/// What A answers to a tensor when B is this half: the status and the body.
async fn asked(b: Libtorch) -> (u16, Value) {
    let answers = answers("tensor");
    let ((port_a, url_a), (port_b, url_b)) = (port().await, port().await);
    let downstream = Downstream {
        b: url_b.clone(),
        proxy: nobody().await,
        timeout: LONG,
        format: Format::default(),
        fresh_connections: false,
    };
    let stop = CancellationToken::new();
    let a = Arc::new(half(Half::A, "modules/tensor_a.pt", &[6]));
    let servers = [
        tokio::spawn(serve_b(port_b, stage_options(1), Arc::new(b), stop.clone())),
        tokio::spawn(serve_a(port_a, stage_options(1), downstream, a, stop.clone())),
    ];
    let http = reqwest::Client::new();
    for url in [&url_a, &url_b] {
        until("ready", || async {
            let answer = http.get(format!("{url}/readyz")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }
    let file = pack(&tensor(&floats(&answers["input"])), Format::default()).unwrap();
    let part = Part::stream(file.body).mime_str("application/vnd.safetensors").unwrap();
    let form = Form::new().part("file", part);
    let answer = http.post(format!("{url_a}/predict")).multipart(form).send().await.unwrap();
    let answer = (answer.status().as_u16(), answer.json().await.unwrap());
    stop.cancel();
    for server in servers {
        server.await.unwrap().unwrap();
    }
    answer
}

#[tokio::test]
async fn halves_that_fit_answer_and_ones_that_do_not_say_both_shapes() {
    let (status, answer) = asked(half(Half::B, "modules/tensor_b.pt", &[8])).await;
    assert_eq!((status, answer["class_id"].as_u64()), (200, Some(2)), "{answer}");
    let (status, answer) = asked(half(Half::B, "modules/image_b.pt", &[2, 14, 14])).await;
    let said = answer["error"].as_str().unwrap();
    assert_eq!(status, 502, "{said}");
    assert!(said.contains("its shape is [8], this half takes [2, 14, 14]"), "{said}");
}
