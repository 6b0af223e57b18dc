//! What the servers and their clients say to each other: headers, JSON bodies and errors.
//!
//! ```text
//!  image ──multipart──▶ A ──activation + headers─▶ proxy ──the same──▶ B ──TailAnswer──▶ proxy
//!                                                   └──PipelineAnswer──▶ /responses, /events, a waiting A
//! ```
//!
//! `Content-Type` and `Content-Encoding` say how an activation is to be read ([`mod@format`]); what else belongs
//! to it travels in headers too: [`REQUEST_ID`], [`CUT`], [`ENCODING`] for whoever does not open it, and
//! [`STAGE_A`], a [`StageTimes`] in JSON.

pub(crate) mod envelope;
mod failure;
pub mod format;
mod names;
mod original;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::Query;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use splitscale_spec::{Encoding, PodPhase, Stage, Status};

pub use self::failure::Failure;
pub(crate) use self::failure::{Problem, ProblemDocument, Said};

/// Name of a request, kept from end to end; A makes one up where the client gave none.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where the network is cut, such as `layer3`.
pub const CUT: HeaderName = HeaderName::from_static("x-cut");
/// Encoding of the activation: `f32`, `bf16` or `u8`. A client of A asks for one by it.
pub const ENCODING: HeaderName = HeaderName::from_static("x-encoding");
/// The compression that a client of A asks for: `none`, `lz4` or `zstd`.
pub const COMPRESSION: HeaderName = HeaderName::from_static("x-compression");
/// What A did and how long it took.
pub const STAGE_A: HeaderName = HeaderName::from_static("x-stage-a");

/// How long the sender will still wait \[s\]; every server passes on what is left.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-request-timeout");
/// What took how long (W3C Server Timing).
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// A credit that the server gave before.
pub const CREDIT: HeaderName = HeaderName::from_static("x-credit");

/// Largest image file that A takes \[bytes\].
pub const IMAGE_BYTES_MAX: usize = 10 << 20;
/// Largest activation that the proxy and B take \[bytes\]; ResNet-50's largest is 3.2 MB.
pub const ACTIVATION_BYTES_MAX: usize = 64 << 20;

/// One request's time in one stage. The phases are differences of consecutive instants of one monotonic
/// clock, so they sum to the residence in the stage exactly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageTimes {
    /// Which pod served it.
    pub pod: u32,
    /// Pods in use when it came.
    pub pods_in_use: u32,
    /// Wait for a pod \[s\].
    pub queue_s: f64,
    /// From the pod taking it to the tensor \[s\].
    pub decode_s: f64,
    /// Forward pass \[s\].
    pub forward_s: f64,
    /// Tensor to bytes \[s\]; zero at B, whose answer is a class.
    pub encode_s: f64,
    /// Pacing of the pod's CPU share \[s\].
    pub rest_s: f64,
    /// Whether the pod computed nothing: the forward pass is a wait, and the answer means nothing.
    #[serde(default)]
    pub emulated: bool,
}

impl StageTimes {
    /// How long a pod was taken by it \[s\].
    pub fn service_s(&self) -> f64 {
        self.decode_s + self.forward_s + self.encode_s + self.rest_s
    }

    /// The phases of A under the names of a record.
    pub(crate) fn phases_of_a(&self) -> [(&'static str, f64); 5] {
        [
            ("queue_a", self.queue_s),
            ("decode", self.decode_s),
            ("forward_a", self.forward_s),
            ("encode", self.encode_s),
            ("rest_a", self.rest_s),
        ]
    }

    /// The phases of B under the names of a record.
    pub(crate) fn phases_of_b(&self) -> [(&'static str, f64); 4] {
        [
            ("queue_b", self.queue_s),
            ("decode_b", self.decode_s),
            ("forward_b", self.forward_s),
            ("rest_b", self.rest_s),
        ]
    }

    /// From arrival at the stage to the pod letting go of it \[s\].
    pub fn residence_s(&self) -> f64 {
        self.queue_s + self.service_s()
    }
}

/// What B answers to an activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TailAnswer {
    /// Index of the most likely class.
    pub class_id: u32,
    /// Its label.
    pub class_name: String,
    /// Its logit.
    pub logit: f32,
    /// Time in a B pod \[s\]: decode, forward pass and pacing.
    pub inference_time_b: f64,
    /// The same in parts, with the wait before it.
    pub stage_b: StageTimes,
}

/// What A answers to `/predict`, in the original's fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// Index of the most likely class.
    pub class_id: u32,
    /// Its label.
    pub class_name: String,
    /// From the image's arrival at A to B's answer, on A's clock \[s\].
    pub total_time: f64,
    /// Time in an A pod \[s\]: decode, forward pass, encoding and pacing.
    pub inference_time_a: f64,
    /// Time in a B pod \[s\].
    pub inference_time_b: f64,
    /// Present and true where a stage computed nothing: the class means nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emulated: bool,
    /// What A did.
    pub stage_a: StageTimes,
    /// From A letting go of the activation to B's answer, without B's residence \[s\].
    pub transfer_s: f64,
    /// What B did.
    pub stage_b: StageTimes,
}

/// How one request went through the whole pipeline; `/responses` lists these and `/events` pushes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineAnswer {
    /// Name of the request.
    pub request_id: String,
    /// Which clearing of the responses it belongs to: the one in force when it came to the proxy.
    pub epoch: u64,
    /// `answered` or `failed`.
    #[schemars(schema_with = "names::statuses")]
    pub status: Status,
    /// What went wrong.
    pub error: Option<String>,
    /// Index of the most likely class.
    pub class_id: Option<u32>,
    /// Its label.
    pub class_name: Option<String>,
    /// Time in an A pod \[s\].
    pub inference_time_a: Option<f64>,
    /// Time in a B pod \[s\].
    pub inference_time_b: Option<f64>,
    /// Residence at A, wait, transfer and residence at B \[s\]; the hop from A to the proxy is not in it.
    pub total_time: Option<f64>,
    /// Where the network was cut.
    pub cut: String,
    /// Encoding of the activation.
    #[schemars(schema_with = "names::encodings")]
    pub encoding: Encoding,
    /// Size of the activation as it travelled \[bytes\].
    pub bytes: u64,
    /// Transfer slots when it came to the proxy.
    pub slots: u32,
    /// Emulated bandwidth of a slot when it came to the proxy \[Mbit/s\].
    pub bandwidth_mbit_s: Option<f64>,
    /// Wait for a slot \[s\].
    pub queue_proxy_s: f64,
    /// The slot's time without B's residence \[s\]; of a failed one, all the time it held the slot.
    pub transfer_s: f64,
    /// What A did; absent where the activation came without [`STAGE_A`].
    pub stage_a: Option<StageTimes>,
    /// What B did; absent where B gave no answer.
    pub stage_b: Option<StageTimes>,
}

/// One message of the proxy's `/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// First message of every connection: how things stand.
    Hello(BoardState),
    /// A request ended.
    Response(Box<PipelineAnswer>),
    /// The responses since the last clearing reached the threshold; once a crossing.
    QueueThresholdReached {
        /// Unix time \[s\].
        time: f64,
    },
    /// This listener was too slow and missed messages; `/responses` has what they said.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// How the proxy's responses stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BoardState {
    /// Number of clearings so far.
    pub epoch: u64,
    /// Activations waiting for a slot, those of earlier epochs included.
    pub request_count: u64,
    /// Responses of this epoch, errors included.
    pub response_count: u64,
    /// Responses at which `queue_threshold_reached` is pushed; absent until one is set.
    pub threshold: Option<u64>,
    /// Whether it was.
    pub threshold_reached: bool,
}

/// `GET /slots` of the proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlotsState {
    /// Transfer slots.
    pub slots: u32,
    /// Slots at work; above `slots` while surplus ones finish.
    pub held: u32,
    /// Activations waiting for a slot.
    pub queued: u64,
    /// Emulated bandwidth of a slot \[Mbit/s\].
    pub bandwidth_mbit_s: Option<f64>,
    /// Emulated bandwidth of all slots together, now \[Mbit/s\].
    pub link_bandwidth_mbit_s: Option<f64>,
    /// Each B there is.
    #[serde(default)]
    pub b: Vec<BState>,
    /// How the responses stand.
    pub board: BoardState,
}

/// One B of `GET /slots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BState {
    /// Its base URL.
    pub url: String,
    /// Activations sent to it and not answered.
    pub outstanding: u32,
    /// Pods in use when it last answered; 1 before.
    pub pods: u32,
    /// Whether it was gone, going or hanging a moment ago, so that others are asked.
    pub ejected: bool,
}

/// `GET /pods` of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodsState {
    /// Which stage.
    #[schemars(schema_with = "names::stages")]
    pub stage: Stage,
    /// Its engine, such as `reference`.
    pub engine: String,
    /// Whether the engine computes nothing.
    pub emulated: bool,
    /// What it computes on, such as `cpu`.
    pub device: String,
    /// Which network it is half of, such as `resnet50`.
    pub model: String,
    /// Where the network is cut.
    pub cut: String,
    /// Shape of one activation, the batch left out.
    pub shape: Vec<usize>,
    /// Bytes of one activation as float32.
    pub payload_bytes: u64,
    /// Share of one core a pod computes with.
    pub cpu_share: f64,
    /// CPU time a request is taken to cost \[s\], where it is not measured.
    #[serde(default)]
    pub rated_cpu_s: Option<f64>,
    /// Pods asked for.
    pub desired: u32,
    /// Most pods that may be asked for.
    pub pods_max: u32,
    /// Ready pods that the balancer uses.
    pub in_use: u32,
    /// Pods that can take requests.
    pub ready: u32,
    /// Pods loading and warming up.
    pub starting: u32,
    /// Pods that finish what they have.
    pub draining: u32,
    /// Requests waiting for a pod.
    pub queued: u64,
    /// Pods at work.
    pub busy: u32,
    /// Requests of A from their arrival until the next server has answered; zero at B.
    pub forwarding: u64,
    /// Why the last pod that could not start, or had to end, did so.
    pub last_error: Option<String>,
    /// Each pod, by number.
    pub pods: Vec<PodState>,
}

impl PodsState {
    /// Requests that came and have not been answered. At A one is counted from its arrival on.
    pub(crate) fn inflight(&self) -> u64 {
        self.forwarding.max(self.queued + u64::from(self.busy))
    }
}

/// One pod of `GET /pods`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodState {
    /// Number within the stage.
    pub pod: u32,
    /// Where it is in its life.
    #[schemars(schema_with = "names::phases")]
    pub phase: PodPhase,
    /// Whether it has a request.
    pub busy: bool,
    /// Time since it became ready \[s\].
    pub ready_age_s: Option<f64>,
    /// CPU time that pods of this number burnt on requests \[s\].
    pub cpu_s: f64,
    /// The process that it is, where it is one of its own and has started.
    #[serde(default)]
    pub pid: Option<u32>,
}

/// Body of `/set_pods` and `/use_pods`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PodCount {
    /// Pods.
    #[schemars(range(min = 1))]
    pub pod_count: u32,
}

/// Body of `/set_threads`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadCount {
    /// Transfer slots.
    #[schemars(range(min = 1))]
    pub thread_count: u32,
}

/// Body of `/set_b`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BWanted {
    /// `http://HOST:PORT` or `dns://HOST:PORT`, each.
    pub b: Vec<String>,
}

/// Body of `/set_bandwidth`: what is absent stays, and null takes the bound away.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bandwidths {
    /// Of one slot \[Mbit/s\].
    #[serde(default, deserialize_with = "given")]
    pub(crate) slot_bandwidth_mbit_s: Option<Option<f64>>,
    /// Of all slots together \[Mbit/s\].
    #[serde(default, deserialize_with = "given")]
    pub(crate) link_bandwidth_mbit_s: Option<Option<f64>>,
}

/// Query of `/predict-proxy` and of the proxy's `/complete`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Wait {
    /// Answer only when the pipeline has.
    #[serde(default)]
    pub(crate) wait: bool,
}

/// Body of `/set_queue_threshold`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueThreshold {
    /// Responses.
    #[schemars(range(min = 1))]
    pub queue_threshold: u64,
}

/// What a route of the original answers that has nothing else to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// What was done.
    pub message: String,
}

/// Answer of `/response_count` and `/request_count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// How many.
    pub count: u64,
}

/// Body of `/credits`: a place is wanted for so many bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditWanted {
    /// Size of what will come \[bytes\].
    pub bytes: usize,
}

/// Answer of `/credits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credit {
    /// To be sent as [`CREDIT`] with what it was asked for.
    pub credit: u64,
}

impl Bandwidths {
    /// Refuses one that names none, or none that can be.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let fields = [
            ("slot_bandwidth_mbit_s", self.slot_bandwidth_mbit_s),
            ("link_bandwidth_mbit_s", self.link_bandwidth_mbit_s),
        ];
        if fields.iter().all(|(_, given)| given.is_none()) {
            let [(slot, _), (link, _)] = fields;
            return Err(Failure::bad(format!("nothing to set; give {slot}, {link} or both")));
        }
        for (field, given) in fields {
            if let Some(mbit_s) = given.flatten().filter(|mbit_s| !(1e-3..=1e6).contains(mbit_s)) {
                let bounds = "give 0.001 to 1e6 Mbit/s, or null for no bound";
                return Err(Failure::bad(format!("{field}: {mbit_s} is out of range; {bounds}")));
            }
        }
        Ok(())
    }
}

/// What is given, null too; what is absent is the default.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Reads a small JSON body, whatever content type it claims.
pub(crate) fn parse<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Failure> {
    serde_json::from_slice(&body?).map_err(|e| Failure::bad(format!("not the JSON body of this route: {e}")))
}

/// The query, or what is wrong with it.
pub(crate) fn checked_query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Failure> {
    query.map(|Query(query)| query).map_err(|e| Failure::new(e.status(), e.body_text()))
}

/// Refuses a count that is not in 1..=max.
pub(crate) fn check_count(field: &str, count: u32, max: u32) -> Result<u32, Failure> {
    match count {
        0 => Err(Failure::bad(format!("{field}: zero; it takes at least 1"))),
        n if n > max => {
            Err(Failure::bad(format!("{field}: {n} is above the most this server allows, {max}")))
        }
        n => Ok(n),
    }
}

/// The text of a header, if it is there and is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// When the sender will no longer wait, where it says so.
pub(crate) fn deadline(headers: &HeaderMap, now: Instant) -> Result<Option<Instant>, Failure> {
    let Some(text) = headers.get(&DEADLINE) else { return Ok(None) };
    let seconds = text.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
    match seconds.filter(|seconds| (0.0..=1e6).contains(seconds)) {
        Some(seconds) => Ok(Some(now + Duration::from_secs_f64(seconds))),
        None => Err(Failure::bad(format!("{DEADLINE}: {text:?} is not a number of seconds, 0 to 1e6"))),
    }
}

/// `Server-Timing`: what took how long \[ms\].
pub(crate) fn server_timing(phases: &[(&str, f64)]) -> HeaderValue {
    let entries: Vec<String> = phases.iter().map(|(name, s)| format!("{name};dur={:.3}", s * 1e3)).collect();
    HeaderValue::from_str(&entries.join(", ")).expect("names and numbers are visible ASCII")
}

/// The id that a request came with, or a new one where it has none that can be passed on.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let fits = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    match header(headers, &REQUEST_ID).filter(fits) {
        Some(id) => id.to_owned(),
        None => format!("s{:x}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}
