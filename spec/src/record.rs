//! One request, measured or simulated: the same columns.

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::ensure;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Answered with a result.
    Answered,
    /// Turned away before work was done on it.
    Refused,
    /// Ended with an error.
    Failed,
    /// No answer came.
    Lost,
    /// Never sent: whoever should have had too many under way.
    Dropped,
}

/// What an activation looks like on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Little-endian 32-bit floats, row-major.
    #[default]
    F32,
    /// Brain floats: the upper half of a 32-bit float.
    Bf16,
    /// Bytes, with a scale and an offset for all of them.
    U8,
}

impl Encoding {
    /// Size of one element of an activation \[bytes\].
    pub fn bytes_per_element(self) -> u64 {
        match self {
            Encoding::F32 => 4,
            Encoding::Bf16 => 2,
            Encoding::U8 => 1,
        }
    }
}

/// The phases of a request in their order. They sum to `done - sent` within 1 ms.
///
/// | phase | from | to |
/// |---|---|---|
/// | `queue_a` | A has the request | an A pod takes it |
/// | `decode` | | image bytes are a tensor |
/// | `forward_a` | | activation computed |
/// | `encode` | | activation is bytes |
/// | `rest_a` | | the pod's CPU share is kept (its pacing) |
/// | `queue_proxy` | the proxy has the activation | a transfer slot is free |
/// | `transfer` | | B has the activation: the emulated transfer plus the hop itself |
/// | `queue_b` | | a B pod takes it |
/// | `decode_b` | | bytes are a tensor |
/// | `forward_b` | | answer computed |
/// | `rest_b` | | the pod's CPU share is kept |
/// | `back` | everything outside the above: the upload, the hop from A to the proxy, the answer's way back |
pub const PHASES: [&str; 12] = [
    "queue_a",
    "decode",
    "forward_a",
    "encode",
    "rest_a",
    "queue_proxy",
    "transfer",
    "queue_b",
    "decode_b",
    "forward_b",
    "rest_b",
    "back",
];

/// One request. Times are nanoseconds on the sender's monotonic clock, counted from the start of the run;
/// phases are seconds, each from the monotonic clock of the node it happened on, so no two machines'
/// clocks are ever subtracted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRecord {
    /// Groups the requests of one burst or one load.
    pub run_id: u32,
    /// Number of the request within the run.
    pub request_id: u32,
    /// When it should have been sent \[ns\].
    pub scheduled_ns: u64,
    /// When it was sent \[ns\].
    pub sent_ns: u64,
    /// When its answer, or the news of its failure, was there \[ns\].
    pub done_ns: u64,
    /// How it ended.
    pub status: Status,
    /// HTTP status of what its sender was answered; absent where nothing was, and in a file without it.
    #[serde(default)]
    pub http_status: Option<u16>,
    /// Where the network was cut.
    pub cut: String,
    /// Encoding of the activation.
    pub encoding: Encoding,
    /// Size of the activation \[bytes\].
    pub bytes: u64,
    /// Transfer slots at the proxy when it was sent.
    pub slots: u32,
    /// Bandwidth of a slot \[Mbit/s\]; absent where none is emulated.
    pub bandwidth_mbit_s: Option<f64>,
    /// A pods in use when it was sent.
    pub pods_a: u32,
    /// B pods in use when it was sent.
    pub pods_b: u32,
    /// Which A pod served it.
    pub pod_a: Option<u32>,
    /// Which B pod served it.
    pub pod_b: Option<u32>,
    /// Wait for an A pod \[s\].
    pub queue_a_s: f64,
    /// Image decoding and preparation \[s\].
    pub decode_s: f64,
    /// Forward pass of A \[s\].
    pub forward_a_s: f64,
    /// Activation to bytes \[s\].
    pub encode_s: f64,
    /// Pacing of A's CPU share \[s\].
    pub rest_a_s: f64,
    /// Wait for a transfer slot \[s\].
    pub queue_proxy_s: f64,
    /// Transfer to B \[s\].
    pub transfer_s: f64,
    /// Wait for a B pod \[s\].
    pub queue_b_s: f64,
    /// Bytes to activation \[s\].
    pub decode_b_s: f64,
    /// Forward pass of B \[s\].
    pub forward_b_s: f64,
    /// Pacing of B's CPU share \[s\].
    pub rest_b_s: f64,
    /// Everything else on the way \[s\].
    pub back_s: f64,
    /// Whether no network was computed: an emulated engine, or the simulator. Absent in a file means no.
    #[serde(default)]
    pub emulated: bool,
}

// === impl RequestRecord ===

impl RequestRecord {
    /// The phases in the order of [`PHASES`] \[s\].
    pub fn phases_s(&self) -> [f64; 12] {
        [
            self.queue_a_s,
            self.decode_s,
            self.forward_a_s,
            self.encode_s,
            self.rest_a_s,
            self.queue_proxy_s,
            self.transfer_s,
            self.queue_b_s,
            self.decode_b_s,
            self.forward_b_s,
            self.rest_b_s,
            self.back_s,
        ]
    }

    /// Sent to done \[s\].
    pub fn latency_s(&self) -> f64 {
        self.done_ns.saturating_sub(self.sent_ns) as f64 * 1e-9
    }

    /// How long an A pod was taken by it \[s\].
    pub fn service_a_s(&self) -> f64 {
        self.decode_s + self.forward_a_s + self.encode_s + self.rest_a_s
    }

    /// How long a B pod was taken by it \[s\].
    pub fn service_b_s(&self) -> f64 {
        self.decode_b_s + self.forward_b_s + self.rest_b_s
    }

    /// Checks that times run forwards and phases are finite times.
    ///
    /// # Errors
    /// The first field that cannot be.
    pub fn validate(&self) -> Result<(), Invalid> {
        let problem = format!("{} is before sent_ns {}", self.done_ns, self.sent_ns);
        ensure(self.done_ns >= self.sent_ns, "done_ns", problem)?;
        for (name, value) in PHASES.iter().zip(self.phases_s()) {
            // A hop measured as the difference of two residences may come out a hair below zero.
            let problem = format!("{value} is not a duration in seconds");
            ensure(value.is_finite() && value >= -1e-3, format!("{name}_s"), problem)?;
        }
        Ok(())
    }
}
