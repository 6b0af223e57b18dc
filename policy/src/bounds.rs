//! How few and how many pods there may be.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Pipeline, Replicas, at_least_one};

/// Fewest and most pods of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Fewest.
    pub pods_min: Replicas,
    /// Most, at least as many.
    pub pods_max: Replicas,
}

impl Bounds {
    /// Checks both ranges.
    ///
    /// # Errors
    /// The first that is none.
    pub fn validate(&self) -> Result<(), Invalid> {
        let Bounds { pods_min, pods_max } = self;
        for (stage, min, max) in [("a", pods_min.a, pods_max.a), ("b", pods_min.b, pods_max.b)] {
            at_least_one(&format!("pods_min.{stage}"), min)?;
            if max < min {
                return Err(Invalid::new(
                    format!("pods_max.{stage}"),
                    format!("{max} is below pods_min {min}"),
                ));
            }
        }
        Ok(())
    }

    /// Becomes the fewest and the most of each stage, where those of a document are left open.
    pub(crate) fn fill(&self, a: [&mut Option<u32>; 2], b: [&mut Option<u32>; 2]) {
        let Bounds { pods_min, pods_max } = self;
        let own = a.into_iter().zip([pods_min.a, pods_max.a]);
        for (of_document, ours) in own.chain(b.into_iter().zip([pods_min.b, pods_max.b])) {
            of_document.get_or_insert(ours);
        }
    }

    /// The nearest pods within.
    #[inline]
    pub fn clamp(&self, pods: Replicas) -> Replicas {
        Replicas {
            a: pods.a.clamp(self.pods_min.a, self.pods_max.a),
            b: pods.b.clamp(self.pods_min.b, self.pods_max.b),
        }
    }
}

impl From<&Pipeline> for Bounds {
    fn from(pipeline: &Pipeline) -> Self {
        Bounds {
            pods_min: Replicas { a: pipeline.a.pods_min, b: pipeline.b.pods_min },
            pods_max: Replicas { a: pipeline.a.pods_max, b: pipeline.b.pods_max },
        }
    }
}

/// Checks the fewest and the most pods of a stage; absent, the fewest is 1 and the most has no bound.
pub(crate) fn check_limits(pods_min: Option<u32>, pods_max: Option<u32>) -> Result<(), Invalid> {
    let min = pods_min.unwrap_or(1);
    at_least_one("pods_min", min)?;
    match pods_max.filter(|&max| max < min) {
        Some(max) => Err(Invalid::new("pods_max", format!("{max} is below pods_min {min}"))),
        None => Ok(()),
    }
}
