//! The cores of a node, shared by the pods at work on it.

use splitscale_spec::Stage;

use crate::shared::Shared;

/// A node. A pod at work wants its CPU share of a core; where all together want more than there is, each gets
/// the same part of its share.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) cores: Shared,
    count: f64,
    /// Share of a core that a pod of A and one of B wants.
    shares: [f64; 2],
    /// Pods at work.
    busy: [u32; 2],
}

impl Node {
    pub(crate) fn new(cores: u32, shares: [f64; 2]) -> Self {
        Node { cores: Shared::default(), count: f64::from(cores), shares, busy: [0; 2] }
    }

    pub(crate) fn begins(&mut self, stage: Stage) {
        self.busy[stage as usize] += 1;
    }

    pub(crate) fn ends(&mut self, stage: Stage) {
        self.busy[stage as usize] -= 1;
    }

    /// Sets the speed of all pods at work: 1 where the cores are enough.
    pub(crate) fn share(&mut self) {
        let [a, b] = self.busy.map(f64::from);
        let wanted = a * self.shares[0] + b * self.shares[1];
        self.cores.set_rate(if wanted > self.count { self.count / wanted } else { 1.0 });
    }
}
