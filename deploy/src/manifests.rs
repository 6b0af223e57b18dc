//! A pipeline as manifests of Kubernetes, for kustomize.
//!
//! ```text
//!   base/        the same for everybody, written by hand (deploy/base)
//!   components/  what an overlay may add: nodes of their own for the stages, monitoring
//!   overlays/NAME/  one pipeline's own: shares, slots, link, bounds, policy; written here
//!   sweeps/NAME/    a simulation or a training as a Job, by itself
//! ```
//!
//! Nothing here opens a file: what is rendered is paths and texts, and the same pipeline is the same bytes.

mod image;
mod overlay;
mod sweep;

pub use image::Image;
pub use sweep::{Sweep, is_job_name};

use sha2::{Digest, Sha256};
use splitscale_policy::Mode;
use splitscale_spec::{Encoding, Invalid, Pipeline};

/// The files that are the same for everybody.
const STATIC: [(&str, &str); 14] = [
    ("base/kustomization.yaml", include_str!("../base/kustomization.yaml")),
    ("base/namespace.yaml", include_str!("../base/namespace.yaml")),
    ("base/crd.yaml", include_str!("../base/crd.yaml")),
    ("base/rbac.yaml", include_str!("../base/rbac.yaml")),
    ("base/a.yaml", include_str!("../base/a.yaml")),
    ("base/proxy.yaml", include_str!("../base/proxy.yaml")),
    ("base/b.yaml", include_str!("../base/b.yaml")),
    ("base/scaler.yaml", include_str!("../base/scaler.yaml")),
    ("base/disruption.yaml", include_str!("../base/disruption.yaml")),
    ("base/network.yaml", include_str!("../base/network.yaml")),
    ("components/pinned/kustomization.yaml", include_str!("../components/pinned/kustomization.yaml")),
    ("components/monitoring/kustomization.yaml", include_str!("../components/monitoring/kustomization.yaml")),
    ("components/monitoring/monitors.yaml", include_str!("../components/monitoring/monitors.yaml")),
    ("components/monitoring/dashboard.json", include_str!("../components/monitoring/dashboard.json")),
];

/// One pipeline, as it is to run.
#[derive(Debug, Clone)]
pub struct Manifests {
    /// Of the overlay's folder, and of its SplitPipeline.
    pub name: String,
    /// Bounds, shares, cut, link, promise.
    pub pipeline: Pipeline,
    /// The policy's document, as it was read.
    pub policy: String,
    /// What is done with a decision.
    pub mode: Mode,
    /// Most pods of both stages.
    pub budget: Option<u32>,
    /// What activations travel as.
    pub encoding: Encoding,
    /// Where the program comes from; none: as `cargo xtask images` names it.
    pub image: Option<Image>,
    /// Engines that compute nothing, and how long they wait; none: libtorch.
    pub emulated: Option<ServiceTimes>,
    /// The cluster's network is the link: none is emulated.
    pub real_link: bool,
    /// The stages have nodes of their own, which are labelled.
    pub pinned: bool,
    /// The words by which it is rendered, for the head of what is written.
    pub words: String,
}

/// How long emulated forward passes take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServiceTimes {
    /// Of A \[s\].
    pub a_s: f64,
    /// Of B \[s\].
    pub b_s: f64,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Below the folder that is written to, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The SHA-256 of a text, in hexadecimal digits.
pub fn checksum(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Manifests {
    /// All files, in order.
    ///
    /// # Errors
    /// The first field that cannot be rendered.
    pub fn render(&self) -> Result<Vec<Rendered>, Invalid> {
        self.validate()?;
        let fixed = STATIC.iter().map(|(path, text)| Rendered { path: (*path).into(), text: (*text).into() });
        let folder = format!("overlays/{}", self.name);
        let own = overlay::files(self)?;
        let own = own.into_iter().map(|(name, text)| Rendered { path: format!("{folder}/{name}"), text });
        Ok(fixed.chain(own).collect())
    }

    fn validate(&self) -> Result<(), Invalid> {
        if !is_name(&self.name) {
            let problem =
                format!("{:?} is no name in Kubernetes: a-z, 0-9 and - between them, at most 63", self.name);
            return Err(Invalid::new("name", problem));
        }
        let fewest = self.pipeline.a.pods_min + self.pipeline.b.pods_min;
        if let Some(budget) = self.budget.filter(|budget| *budget < fewest) {
            let problem = format!("{budget} is below a.pods_min + b.pods_min, {fewest}");
            return Err(Invalid::new("budget", problem));
        }
        self.check_payload()
    }

    /// Whether the document's payload is the cut's, in the encoding that the servers are told.
    fn check_payload(&self) -> Result<(), Invalid> {
        let cut = Cut::named(&self.pipeline.cut.name)?;
        let (bytes, values) =
            (self.pipeline.cut.payload_bytes, cut.values * self.encoding.bytes_per_element());
        // The header of an activation may have been counted, or not.
        if (values..=values + 1024).contains(&bytes) {
            return Ok(());
        }
        let problem = format!(
            "{bytes}, but a transfer of {} as {} is {values} bytes; name the encoding that it was measured in",
            self.pipeline.cut.name,
            overlay::encoding_name(self.encoding)
        );
        Err(Invalid::new("cut.payload_bytes", problem))
    }
}

/// Whether Kubernetes takes it as a name without dots: a label of RFC 1123, as namespaces have.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-') && !name.ends_with('-')
}

/// How every kustomization begins that these words write.
fn head(words: &str) -> String {
    format!(
        "\
# Written by
#
#   {words}
#
# which writes it anew, and refuses where it was changed by hand: what you change yourself belongs into an overlay on top.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: splitscale
"
    )
}

/// A place to cut ResNet-50.
pub(crate) struct Cut {
    /// Its number in the original work.
    pub(crate) model_version: u8,
    /// Values of an activation.
    values: u64,
}

impl Cut {
    pub(crate) fn named(name: &str) -> Result<Cut, Invalid> {
        let (model_version, values) = match name {
            "layer3" => (1, 1024 * 14 * 14),
            "layer2" => (2, 512 * 28 * 28),
            "layer1" => (3, 256 * 56 * 56),
            _ => {
                let problem = format!(
                    "{name:?} is no cut of ResNet-50 (layer1, layer2, layer3); for a network of your own, render one of these and set the words of A and B in an overlay on top"
                );
                return Err(Invalid::new("cut.name", problem));
            }
        };
        Ok(Cut { model_version, values })
    }
}
