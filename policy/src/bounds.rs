//! How few and how many pods there may be.

use splitscale_spec::{Pipeline, Replicas};

/// Fewest and most pods of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub pods_min: Replicas,
    /// Most, at least as many.
    pub pods_max: Replicas,
}

impl Bounds {
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
