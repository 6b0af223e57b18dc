//! What a controller remembers from one decision to the next. Written with every decision, so that it can be taken again.

use serde::{Deserialize, Serialize};

use crate::hpa::HpaMemory;
use crate::keda::KedaMemory;
use crate::kpa::KpaMemory;
use crate::numaflow::NumaflowMemory;
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
    /// The same, and what failed.
    Keda(KedaMemory),
    /// Windows of concurrency, and of panic.
    Kpa(KpaMemory),
    /// Samples of what is pending and of rates.
    Numaflow(NumaflowMemory),
}

impl RuleMemory {
    fn is_nothing(&self) -> bool {
        *self == RuleMemory::Nothing
    }
}

/// The memory of one kind, begun where it was another's.
macro_rules! of {
    ($name:ident, $kind:ident, $memory:ty) => {
        impl RuleMemory {
            pub(crate) fn $name(&mut self) -> &mut $memory {
                if !matches!(self, RuleMemory::$kind(_)) {
                    *self = RuleMemory::$kind(Default::default());
                }
                let RuleMemory::$kind(memory) = self else { unreachable!("made one above") };
                memory
            }
        }
    };
}

of!(hpa, Hpa, HpaMemory);
of!(keda, Keda, KedaMemory);
of!(kpa, Kpa, KpaMemory);
of!(numaflow, Numaflow, NumaflowMemory);
