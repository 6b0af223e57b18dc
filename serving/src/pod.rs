//! A pod: one thread, one engine, one request at a time, paced to its share of a core.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use rustix::time::{ClockId, clock_gettime};
use splitscale_spec::Stage;
use tokio::sync::oneshot;

use crate::activation::Activation;
use crate::admission::Admission;
use crate::engine::{Engine, EngineError, EngineFactory, Input};
use crate::wire::format::{Format, FormatError, Packed, pack, unpack};
use crate::wire::{Failure, StageTimes};

/// A request waiting for a pod.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) arrived: Instant,
    /// Pods in use when it came.
    pub(crate) pods_in_use: u32,
    /// When nobody waits for the answer any more.
    pub(crate) deadline: Option<Instant>,
    /// Its place in the queue, given up when a pod takes it.
    pub(crate) place: Option<Admission>,
    /// Pods whose processes ended while they served it.
    pub(crate) pods_lost: u32,
    pub(crate) reply: oneshot::Sender<Result<Served, Failure>>,
}

/// What is to be done, and on what.
#[derive(Debug)]
pub(crate) enum Work {
    /// A's half, on an image file; its activation leaves in this format.
    Image(Bytes, Format),
    /// A's half, on the network's input.
    Tensor(Packed, Format),
    /// B's half.
    Tail(Packed),
}

/// What a pod made of a request.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) output: Output,
    pub(crate) times: StageTimes,
}

/// The result of one half of the network.
#[derive(Debug)]
pub(crate) enum Output {
    Activation(Packed),
    Class { id: u32, name: String, logit: f32 },
}

/// How a request ended on a pod, and what it cost.
pub(crate) struct Run {
    pub(crate) result: Result<Served, EngineError>,
    pub(crate) cpu_s: f64,
    /// The engine panicked: what it holds cannot be trusted any more.
    pub(crate) poisoned: bool,
}

impl Work {
    /// What it came with \[bytes\].
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Work::Image(file, _) => file.len(),
            Work::Tensor(packed, _) | Work::Tail(packed) => packed.body.len(),
        }
    }
}

/// An engine on its thread, with what it needs to know of its place.
pub(crate) struct Pod {
    engine: Box<dyn Engine>,
    /// Of the activation at the cut.
    shape: Vec<usize>,
    emulated: bool,
    number: u32,
    pace: Pace,
}

/// How long a request holds a pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Share of one core.
    pub(crate) share: f64,
    /// What a request is taken to cost, in place of what it did.
    pub(crate) rated_cpu: Option<Duration>,
}

impl Pod {
    /// Makes the engine on this thread and warms it up by one pass.
    pub(crate) fn start(
        factory: &dyn EngineFactory,
        stage: Stage,
        number: u32,
        pace: Pace,
    ) -> Result<Pod, EngineError> {
        let warm = || {
            let mut engine = factory.start()?;
            match stage {
                Stage::A => match &factory.about().input {
                    None => engine.head(Input::Image(WARM_UP_IMAGE)).map(drop)?,
                    Some(shape) => engine.head(Input::Tensor(&Activation::zeros(shape))).map(drop)?,
                },
                Stage::B => engine.tail(&Activation::zeros(&factory.about().shape)).map(drop)?,
            }
            Ok(engine)
        };
        let engine = catch_unwind(AssertUnwindSafe(warm)).unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        let about = factory.about();
        Ok(Pod { engine, shape: about.shape.clone(), emulated: about.emulated, number, pace })
    }

    /// Serves one request that the balancer gave to this pod at `taken`, and keeps the CPU share:
    ///
    /// ```text
    /// taken |- decode -|- forward -|- encode -|------ rest ------| taken + max(wall, c / share)
    /// ```
    ///
    /// c is the thread's CPU time over all three steps, encoding included, and that of its process where the engine has
    /// one: a pod pays for all it computes. Where it is rated, c is that number: a machine whose clock drifts stays out
    /// of the pace.
    /// What lies between the steps, the wake-up of the thread above all, counts as `decode`.
    ///
    /// A process that ended does not rest: its request is another's now.
    pub(crate) fn serve(&mut self, job: &Job, taken: Instant) -> Run {
        let cpu_before = self.cpu();
        let worked = catch_unwind(AssertUnwindSafe(|| self.compute(&job.work)));
        let mut cpu = self.cpu() - cpu_before;
        if let (true, Ok(Ok((_, forward_s, _)))) = (self.emulated, &worked) {
            // The wait stands for computing.
            cpu += Duration::from_secs_f64(*forward_s);
        }
        let done = Instant::now();
        let paid = self.pace.rated_cpu.unwrap_or(cpu);
        let left = match &worked {
            Ok(Err(EngineError::Gone(_))) => done,
            _ => wait_until(taken + paid.div_f64(self.pace.share), done),
        };
        let poisoned = worked.is_err();
        let result = worked.unwrap_or_else(|panic| Err(panicked(&*panic)));
        let result = result.map(|(output, forward_s, encode_s)| Served {
            output,
            times: StageTimes {
                pod: self.number,
                pods_in_use: job.pods_in_use,
                queue_s: (taken - job.arrived).as_secs_f64(),
                decode_s: (done - taken).as_secs_f64() - forward_s - encode_s,
                forward_s,
                encode_s,
                rest_s: (left - done).as_secs_f64(),
                emulated: self.emulated,
            },
        });
        Run { result, cpu_s: cpu.as_secs_f64(), poisoned }
    }

    /// CPU time so far of whatever computes here.
    fn cpu(&self) -> Duration {
        thread_cpu() + self.engine.cpu_elsewhere()
    }

    /// The engine's process, where it has one.
    pub(crate) fn process(&self) -> Option<u32> {
        self.engine.process()
    }

    /// Fails where the engine's process has ended.
    pub(crate) fn check(&mut self) -> Result<(), EngineError> {
        self.engine.check()
    }

    /// The output, and the seconds of the forward pass and of the encoding.
    fn compute(&mut self, work: &Work) -> Result<(Output, f64, f64), EngineError> {
        let (input, format) = match work {
            Work::Image(file, format) => (Input::Image(file), *format),
            Work::Tensor(packed, format) => (Input::Tensor(&unpack(packed, &[])?), *format),
            Work::Tail(packed) => {
                let tail = self.engine.tail(&unpack(packed, &self.shape)?)?;
                let class = Output::Class { id: tail.class_id, name: tail.class_name, logit: tail.logit };
                return Ok((class, tail.forward_s, 0.0));
            }
        };
        let head = self.engine.head(input)?;
        let forwarded = Instant::now();
        let packed = pack(&head.activation, format)?;
        Ok((Output::Activation(packed), head.forward_s, forwarded.elapsed().as_secs_f64()))
    }
}

impl From<FormatError> for EngineError {
    fn from(error: FormatError) -> Self {
        EngineError::BadActivation(error.to_string())
    }
}

/// Waits until `deadline` to within some 10 us: sleeps, then watches the clock for the last stretch that
/// a sleep may overrun (Linux adds 50 us of timer slack). Returns the time then; `now` if it has passed.
pub(crate) fn wait_until(deadline: Instant, now: Instant) -> Instant {
    const WATCH: Duration = Duration::from_micros(100);
    let mut now = now;
    while now < deadline {
        match (deadline - now).checked_sub(WATCH) {
            Some(sleep) if !sleep.is_zero() => std::thread::sleep(sleep),
            _ => std::thread::yield_now(),
        }
        now = Instant::now();
    }
    now
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> EngineError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    EngineError::Failed(format!("the engine panicked: {}", text.unwrap_or("without a message")))
}

/// A grey PNG of one pixel: enough for a pass through the whole of A's half.
const WARM_UP_IMAGE: &[u8] = b"\
    \x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\
    \x00\x00\x00\x01\x08\x00\x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x0a\x49\x44\x41\
    \x54\x78\xda\x63\x68\x00\x00\x00\x82\x00\x81\xda\x45\x08\x3b\x00\x00\x00\x00\x49\
    \x45\x4e\x44\xae\x42\x60\x82\
";
