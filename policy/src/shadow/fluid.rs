//! The pipeline as a fluid: what flows is bounded by the throughput law, what does not waits.

use splitscale_spec::{Capacity, Replicas};

/// What bounds the flow, besides the pods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// The law's.
    pub(super) capacity: Capacity,
    /// Transfer slots.
    pub(super) slots: u32,
    /// What a request takes outside of stages and transfer \[s\].
    pub(super) overhead_s: f64,
}

/// What waits \[requests\].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Fluid {
    /// For an A pod.
    a: f64,
    /// For a slot.
    proxy: f64,
}

/// How it flows at the end of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flow {
    /// Answers \[1/s\].
    pub(super) answers_per_s: f64,
    /// What waits for an A pod \[requests\].
    pub(super) waiting_a: f64,
    /// What waits for a slot.
    pub(super) waiting_proxy: f64,
    /// What waits for a B pod, holding a slot.
    pub(super) waiting_b: f64,
    /// Share of A pods at work.
    pub(super) busy_a: f64,
    /// Share of slots held.
    pub(super) busy_slots: f64,
    /// Share of B pods at work.
    pub(super) busy_b: f64,
    /// What a request would take that arrives now \[s\].
    pub(super) latency_s: f64,
}

impl Fluid {
    /// Lets `arrivals_per_s` flow for `step_s` \[s\] through so many ready pods.
    ///
    /// ```text
    /// out of A      f_A = min( k_A / s_A,  arrivals + waiting / step )
    /// through B     f_B = min( slots_per_s,  k_B / s_B,  f_A + waiting / step )
    /// latency       overhead + s_A + t + s_B + waiting_A / c_A + waiting_proxy / c_B
    /// ```
    /// with c_A, c_B the first terms: the law of `splitscale_spec::throughput`, a stage at a time.
    pub(super) fn step(
        &mut self,
        bounds: &Bounds,
        ready: Replicas,
        (step_s, arrivals_per_s): (f64, f64),
    ) -> Flow {
        let Bounds { capacity, slots, overhead_s } = *bounds;
        let Capacity { service_a_s, service_b_s, .. } = capacity;
        let transfer_s = capacity.payload_bytes as f64 * 8e-6 / capacity.mbit_s + capacity.rtt_s;
        let (k_a, k_b, n) = (f64::from(ready.a), f64::from(ready.b), f64::from(slots));
        let of_a = k_a / service_a_s;
        let (of_b, of_slots) = (k_b / service_b_s, capacity.slots_per_s(slots));
        let through = of_b.min(of_slots);
        let flow = |waiting: &mut f64, into: f64, most: f64| {
            let out = if step_s > 0.0 { most.min(into + *waiting / step_s) } else { most.min(into) };
            *waiting = (*waiting + (into - out) * step_s).max(0.0);
            out
        };
        let out_of_a = flow(&mut self.a, arrivals_per_s, of_a);
        let answers_per_s = flow(&mut self.proxy, out_of_a, through);
        let wait_s = |waiting: f64, most: f64| if waiting > 0.0 { waiting / most } else { 0.0 };
        let busy_b = share(answers_per_s, of_b);
        // Slots that are held by what waits for B: all of them, but for its pods' and those that transfer.
        let held_up = capacity.held_until_answer && of_b <= of_slots && busy_b >= 1.0;
        Flow {
            answers_per_s,
            waiting_a: self.a,
            waiting_proxy: self.proxy,
            waiting_b: if held_up { (n - k_b - answers_per_s * transfer_s).max(0.0) } else { 0.0 },
            busy_a: share(out_of_a, of_a),
            busy_slots: if held_up { 1.0 } else { share(answers_per_s, of_slots) },
            busy_b,
            latency_s: overhead_s
                + service_a_s
                + transfer_s
                + service_b_s
                + wait_s(self.a, of_a)
                + wait_s(self.proxy, through),
        }
    }
}

fn share(of: f64, most: f64) -> f64 {
    if most > 0.0 { (of / most).min(1.0) } else { 1.0 }
}
