//! What an action is: pods of both stages at once.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Replicas};

use crate::bounds::Bounds;

/// The actions among which is chosen, numbered from 0: those of B vary fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actions {
    /// What each of them is.
    pub kind: ActionKind,
    /// Fewest pods of each stage.
    pub pods_min: Replicas,
    /// Most.
    pub pods_max: Replicas,
}

/// What an action is, of both stages at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// The pods to have.
    #[default]
    Absolute,
    /// One less, as many, one more; what would leave the bounds may not be taken.
    Step,
}

impl Actions {
    /// Checks the bounds.
    ///
    /// # Errors
    /// A stage whose bounds are no range within 1 to 1024.
    pub fn validate(&self) -> Result<(), Invalid> {
        let Actions { pods_min, pods_max, .. } = self;
        for (stage, min, max) in [("a", pods_min.a, pods_max.a), ("b", pods_min.b, pods_max.b)] {
            if min == 0 || max < min || max > 1024 {
                let problem = format!("{min} to {max} is no range within 1 to 1024");
                return Err(Invalid::new(format!("pods_min.{stage}, pods_max.{stage}"), problem));
            }
        }
        Ok(())
    }

    /// The bounds by themselves.
    #[inline]
    pub fn bounds(&self) -> Bounds {
        Bounds { pods_min: self.pods_min, pods_max: self.pods_max }
    }

    /// Sizes of the two parts of an action.
    #[inline]
    pub fn choices(&self) -> (usize, usize) {
        match self.kind {
            ActionKind::Absolute => (
                (self.pods_max.a - self.pods_min.a + 1) as usize,
                (self.pods_max.b - self.pods_min.b + 1) as usize,
            ),
            ActionKind::Step => (3, 3),
        }
    }

    /// How many there are.
    #[inline]
    pub fn count(&self) -> usize {
        let (a, b) = self.choices();
        a * b
    }

    /// The pods that an action asks for, where `desired` are asked for now.
    #[inline]
    pub fn pods(&self, action: usize, desired: Replicas) -> Replicas {
        let (_, of_b) = self.choices();
        let (a, b) = ((action / of_b) as u32, (action % of_b) as u32);
        match self.kind {
            ActionKind::Absolute => Replicas { a: self.pods_min.a + a, b: self.pods_min.b + b },
            ActionKind::Step => self.bounds().clamp(Replicas {
                a: (desired.a + a).saturating_sub(1),
                b: (desired.b + b).saturating_sub(1),
            }),
        }
    }

    /// Whether an action may be taken, where `desired` are asked for now.
    #[inline]
    pub fn allows(&self, action: usize, desired: Replicas) -> bool {
        let inside = |by: usize, now: u32, min: u32, max: u32| match by {
            0 => now > min,
            1 => true,
            _ => now < max,
        };
        self.kind == ActionKind::Absolute
            || (inside(action / 3, desired.a, self.pods_min.a, self.pods_max.a)
                && inside(action % 3, desired.b, self.pods_min.b, self.pods_max.b))
    }
}
