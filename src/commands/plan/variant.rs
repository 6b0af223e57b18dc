//! A cut and an encoding: what is simulated of it, and what the throughput law says of it.

use anyhow::{Context, Result, bail};
use splitscale_sim::{Arrivals, Bandwidth, Payload, Setup, Transfer};
use splitscale_spec::{Bottleneck, Capacity, Encoding, Laws, Replicas, throughput};

use super::moved::moved;

/// Everything that an activation may travel as, the largest first.
pub const ENCODINGS: [Encoding; 3] = [Encoding::F32, Encoding::Bf16, Encoding::U8];

/// As it is typed.
pub fn name_of(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::F32 => "f32",
        Encoding::Bf16 => "bf16",
        Encoding::U8 => "u8",
    }
}

/// The link that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Transfer slots.
    pub slots: u32,
    /// Bandwidth \[Mbit/s\]; absent where it is as measured.
    pub mbit_s: Option<f64>,
    /// All slots share it; as measured, the calibration says.
    pub shared: bool,
    /// What comes on top of each transfer \[s\].
    pub rtt_s: f64,
}

/// A calibration, and what its activations travelled as.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What the plan calls it.
    pub name: String,
    /// Where the network is cut.
    pub cut: String,
    /// What its activations travelled as.
    pub encoding: Encoding,
    /// Its laws.
    pub laws: Laws,
}

/// A cut and an encoding on the link that is asked for.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Name of the calibration in the plan.
    pub name: String,
    /// Where the network is cut.
    pub cut: String,
    /// What activations travel as.
    pub encoding: Encoding,
    /// Whether that was measured; else its transfers are carried over by bytes.
    pub measured: bool,
    /// Size of one \[bytes\].
    pub bytes: u64,
    /// Transfer slots.
    pub slots: u32,
    /// The whole link, where all slots share it \[Mbit/s\].
    pub whole_mbit_s: Option<f64>,
    /// A slot of its own, or the whole link, by which bytes move \[Mbit/s\].
    pub mbit_s: f64,
    /// What a transfer takes besides the bytes \[s\].
    pub fixed_s: f64,
    laws: Laws,
}

// === impl Variant ===

impl Variant {
    /// A measured cut in `encoding` on `link`.
    ///
    /// # Errors
    /// Laws that do not tell what a byte takes, where the encoding or the bandwidth is not the measured one.
    pub fn of(measured: &Measured, encoding: Encoding, link: &Link) -> Result<Variant> {
        let laws = &measured.laws;
        let slot = laws.slot.context(
            "laws.slot is missing, and with it the size of an activation; calibrate with --records",
        )?;
        let times = |of: Encoding| of.bytes_per_element() as f64;
        let bytes = slot.bytes * times(encoding) / times(measured.encoding);
        let as_measured = encoding == measured.encoding;
        let mean_s = laws.transfer.mean_s();
        let before = slot.seconds_per_byte.map(|byte_s| byte_s * slot.bytes);
        let (moving_s, fixed_s) = match (link.mbit_s, before) {
            (Some(mbit_s), Some(before_s)) => (bytes * 8e-6 / mbit_s, (mean_s - before_s).max(0.0)),
            (None, Some(before_s)) => (before_s * bytes / slot.bytes, (mean_s - before_s).max(0.0)),
            // Without a bandwidth all of the time is taken for the bytes': in sum it is what was measured.
            (None, None) if as_measured => (mean_s, 0.0),
            (_, None) => {
                let what = if as_measured { "another bandwidth" } else { "another encoding" };
                bail!(
                    "laws.slot.seconds_per_byte is missing, so what {what} makes of a transfer is not known; measure behind \
                     a proxy with --slot-bandwidth, or activations of two encodings, or leave --slot-bandwidth, \
                     --link-bandwidth and --encodings away"
                );
            }
        };
        if moving_s <= 0.0 {
            bail!(
                "laws.transfer and laws.slot: a transfer of {bytes} bytes takes {moving_s} s; it takes above zero"
            );
        }
        let shared = if link.mbit_s.is_some() { link.shared } else { slot.shared };
        let mbit_s = bytes * 8e-6 / moving_s;
        let transfer = moved(&laws.transfer, moving_s + fixed_s - mean_s + link.rtt_s);
        Ok(Variant {
            name: measured.name.clone(),
            cut: measured.cut.clone(),
            encoding,
            measured: as_measured,
            bytes: bytes.round() as u64,
            slots: link.slots,
            whole_mbit_s: shared.then_some(mbit_s),
            mbit_s,
            fixed_s: fixed_s + link.rtt_s,
            laws: Laws { transfer, ..laws.clone() },
        })
    }

    /// Cut and encoding.
    pub fn words(&self) -> String {
        format!("cut {} as {}", self.name, name_of(self.encoding))
    }

    /// What is simulated: the calibrated pipeline with these pods. Payloads on a shared link move at an even rate.
    pub fn setup(&self, pods: Replicas, arrivals: Arrivals) -> Setup {
        let mut setup = Setup::new(pods, self.slots, &self.laws, arrivals);
        setup.link.payload = Some(Payload::Bytes(self.bytes));
        setup.link.transfer = match self.whole_mbit_s {
            Some(mbit_s) => Transfer::Bytes { bandwidth: Bandwidth::WholeMbitS(mbit_s), rtt_s: self.fixed_s },
            None => Transfer::Law(self.laws.transfer.clone()),
        };
        setup
    }

    /// The most requests a second that `pods` carry, and what stops there: the throughput law, the bytes of a link that all
    /// share (the law's own word on it may be exceeded where B queues, and nothing that works may be left out), and cores that
    /// the pods of a stage share.
    pub fn carries(&self, pods: Replicas) -> (f64, Bottleneck) {
        let mut least = throughput(&self.capacity(), pods, self.slots);
        let mut bounds = vec![];
        if let Some(mbit_s) = self.whole_mbit_s {
            bounds.push((mbit_s / (self.bytes as f64 * 8e-6), Bottleneck::Network));
        }
        let cores = [
            (self.laws.cores_a, &self.laws.service_a, Bottleneck::A),
            (self.laws.cores_b, &self.laws.service_b, Bottleneck::B),
        ];
        for (cores, service, stage) in cores {
            bounds.extend(cores.map(|cores| (cores / service.mean_s(), stage)));
        }
        for bound in bounds {
            if bound.0 < least.0 {
                least = bound;
            }
        }
        least
    }

    /// The most that the link carries, however many pods there are \[1/s\].
    pub fn link_per_s(&self) -> f64 {
        let unbound = Laws { cores_a: None, cores_b: None, ..self.laws.clone() };
        Variant { laws: unbound, ..self.clone() }.carries(Replicas { a: u32::MAX, b: u32::MAX }).0
    }

    /// The fewest pods that carry more than `rate_per_s`; absent where no number does, and then the stage that does not,
    /// with what its cores carry \[1/s\].
    pub fn fewest(&self, rate_per_s: f64) -> Result<Replicas, (Bottleneck, f64)> {
        let most =
            |cores: Option<f64>, service_s: f64| cores.map_or(f64::INFINITY, |cores| cores / service_s);
        let stage = |name, cores, service_s: f64| {
            let most_per_s = most(cores, service_s);
            let pods = (rate_per_s * service_s).floor() + 1.0;
            if most_per_s > rate_per_s { Ok(pods as u32) } else { Err((name, most_per_s)) }
        };
        Ok(Replicas {
            a: stage(Bottleneck::A, self.laws.cores_a, self.laws.service_a.mean_s())?,
            b: stage(Bottleneck::B, self.laws.cores_b, self.laws.service_b.mean_s())?,
        })
    }

    /// The most pods that may be of use: beyond, they share cores, or wait for slots that B's other pods hold.
    pub fn useful(&self, pods_max: u32) -> Replicas {
        let within =
            |cores: Option<f64>| cores.map_or(pods_max, |cores| pods_max.min(cores.ceil().max(1.0) as u32));
        let slots = if self.holds() { self.slots } else { u32::MAX };
        Replicas { a: within(self.laws.cores_a), b: within(self.laws.cores_b).min(slots) }
    }

    /// Mean time of a transfer that has the link to itself \[s\].
    pub fn transfer_s(&self) -> f64 {
        if self.whole_mbit_s.is_some() {
            self.bytes as f64 * 8e-6 / self.mbit_s + self.fixed_s
        } else {
            self.laws.transfer.mean_s()
        }
    }

    /// Mean time of a request that meets nobody \[s\].
    pub fn alone_s(&self) -> f64 {
        let laws = &self.laws;
        laws.service_a.mean_s() + self.transfer_s() + laws.service_b.mean_s() + laws.overhead.mean_s()
    }

    /// Mean time that a slot is held by a request that waits for no pod of B \[s\].
    pub fn held_s(&self) -> f64 {
        self.transfer_s() + if self.holds() { self.laws.service_b.mean_s() } else { 0.0 }
    }

    /// A slot is held until B has answered.
    fn holds(&self) -> bool {
        self.laws.slot.is_none_or(|slot| slot.held_until_answer)
    }

    fn capacity(&self) -> Capacity {
        Capacity {
            service_a_s: self.laws.service_a.mean_s(),
            service_b_s: self.laws.service_b.mean_s(),
            payload_bytes: self.bytes,
            mbit_s: self.mbit_s,
            rtt_s: self.transfer_s() - self.bytes as f64 * 8e-6 / self.mbit_s,
            shared: false,
            held_until_answer: self.holds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use splitscale_spec::{ServiceLaw, SlotLaw};

    use super::*;

    const LINK: Link = Link { slots: 2, mbit_s: None, shared: false, rtt_s: 0.0 };

    /// A takes 0.2 s, B 0.05 s, a transfer of 100 000 bytes 0.1 s, 0.02 s of it besides the bytes.
    fn measured() -> Measured {
        let constant = |value_s| ServiceLaw::Deterministic { value_s };
        let slot = SlotLaw {
            bytes: 1e5,
            seconds_per_byte: Some(8e-7),
            fixed_s: Some(0.02),
            shared: false,
            held_until_answer: true,
        };
        let laws = Laws {
            service_a: constant(0.2),
            transfer: constant(0.1),
            service_b: constant(0.05),
            slot: Some(slot),
            ..Laws::default()
        };
        Measured { name: "cut".into(), cut: "cut".into(), encoding: Encoding::F32, laws }
    }

    fn near(value: f64, exact: f64) {
        assert!((value / exact - 1.0).abs() < 1e-9, "{value} against {exact}");
    }

    #[test]
    fn a_transfer_is_carried_over_by_its_bytes_alone() {
        let of = |encoding, link| Variant::of(&measured(), encoding, &link).unwrap();
        near(of(Encoding::F32, LINK).transfer_s(), 0.1);
        near(of(Encoding::U8, LINK).transfer_s(), 0.02 + 0.02);
        // 100 000 bytes at 100 Mbit/s take 8 ms.
        let fast = Link { mbit_s: Some(100.0), rtt_s: 0.005, ..LINK };
        near(of(Encoding::F32, fast).transfer_s(), 0.008 + 0.02 + 0.005);
        let shared = of(Encoding::Bf16, Link { shared: true, ..fast });
        near(shared.transfer_s(), 0.004 + 0.02 + 0.005);
        near(shared.whole_mbit_s.unwrap(), 100.0);
    }

    #[test]
    fn the_link_carries_what_its_slots_or_its_bytes_let_through() {
        let mut measured = measured();
        let link_per_s = |of: &Measured, link| Variant::of(of, Encoding::F32, &link).unwrap().link_per_s();
        near(link_per_s(&measured, LINK), 2.0 / 0.15);
        let whole = Link { slots: 1000, mbit_s: Some(10.0), shared: true, ..LINK };
        near(link_per_s(&measured, whole), 10.0 / 0.8);
        measured.laws.slot.as_mut().unwrap().held_until_answer = false;
        near(link_per_s(&measured, LINK), 2.0 / 0.1);
    }

    #[test]
    fn pods_beyond_the_cores_or_the_slots_are_of_no_use() {
        let mut measured = measured();
        measured.laws.cores_a = Some(2.5);
        let variant = Variant::of(&measured, Encoding::F32, &LINK).unwrap();
        assert_eq!(variant.useful(64), Replicas { a: 3, b: 2 });
        assert_eq!(variant.fewest(10.0), Ok(Replicas { a: 3, b: 1 }));
        let Err((Bottleneck::A, per_s)) = variant.fewest(12.6) else { panic!("2.5 / 0.2 s are 12.5/s") };
        near(per_s, 12.5);
        let (per_s, at) = variant.carries(Replicas { a: 8, b: 8 });
        near(per_s, 12.5);
        assert_eq!(at, Bottleneck::A);
    }
}
