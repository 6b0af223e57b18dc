//! What a controller remembers from one decision to the next. Written with every decision, so that it can be taken again.

use serde::{Deserialize, Serialize};

use crate::hpa::HpaMemory;
use crate::shell::ShellMemory;

/// All that a controller remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What the policy remembers.
    #[serde(default, skip_serializing_if = "RuleMemory::is_nothing")]
    pub live: RuleMemory,
    /// What the baseline remembers.
    #[serde(default, skip_serializing_if = "RuleMemory::is_nothing")]
    pub baseline: RuleMemory,
    /// What the safety shell remembers.
    pub shell: ShellMemory,
}

/// What a policy remembers. Learnt ones, tables and constants remember nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleMemory {
    /// Nothing.
    #[default]
    Nothing,
    /// Windows of two HPAs.
    Hpa(HpaMemory),
}

impl RuleMemory {
    fn is_nothing(&self) -> bool {
        *self == RuleMemory::Nothing
    }

    /// The memory of an HPA, begun where it was another's.
    pub(crate) fn hpa(&mut self) -> &mut HpaMemory {
        if !matches!(self, RuleMemory::Hpa(_)) {
            *self = RuleMemory::Hpa(HpaMemory::default());
        }
        let RuleMemory::Hpa(memory) = self else { unreachable!("made one above") };
        memory
    }
}
