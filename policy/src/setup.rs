//! Everything a controller is made of, as a document: with it and a decision's memory the decision can be taken again.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Replicas, check_schema};

use crate::bounds::Bounds;
use crate::document::Policy;
use crate::shell::ShellConfig;
use crate::useful::UsefulConfig;

/// What decides, and within what. The first line of `decisions.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Schema number, [`Setup::SCHEMA`].
    pub schema: u32,
    /// The policy that decides.
    pub policy: Policy,
    /// The policy that decides where that one is not to be trusted; absent for none: then the pods stay.
    pub baseline: Option<Policy>,
    /// Fewest and most pods.
    pub bounds: Bounds,
    /// What more pods are useful: the cap on any policy. Absent for none.
    #[serde(default)]
    pub useful: Option<UsefulConfig>,
    /// What else holds it back.
    pub shell: ShellConfig,
}

impl Setup {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 1;

    /// The same for another policy. What was measured stays the cap; what a policy knew of useful pods goes with it.
    pub fn with_policy(self, policy: Policy) -> Setup {
        let own = self.useful.as_ref() == self.policy.useful();
        let useful = if own { policy.useful().cloned() } else { self.useful };
        Setup { policy, useful, ..self }
    }

    /// Whether so many pods are within the bounds, and the budget.
    pub fn allows(&self, pods: Replicas) -> bool {
        let sum = u64::from(pods.a) + u64::from(pods.b);
        self.bounds.clamp(pods) == pods && self.shell.budget.is_none_or(|budget| sum <= u64::from(budget))
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        let within = |name: &'static str| {
            move |wrong: Invalid| Invalid::new(format!("{name}.{}", wrong.field), wrong.problem)
        };
        check_schema("setup", self.schema, Self::SCHEMA)?;
        self.policy.validate().map_err(within("policy"))?;
        self.baseline.as_ref().map_or(Ok(()), Policy::validate).map_err(within("baseline"))?;
        self.useful.as_ref().map_or(Ok(()), UsefulConfig::validate).map_err(within("useful"))?;
        self.bounds.validate().map_err(within("bounds"))?;
        self.shell.validate(&self.bounds).map_err(within("shell"))
    }
}
