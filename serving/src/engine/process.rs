//! Pods as processes of their own: the engine of a pod computes in a child process of the server, so that no
//! crash, no leak and no `kill -9` of one touches the others.
//!
//! ```text
//!  server: pod's thread ── ask ──▶ ┐ one socket, which is      ┌──▶ engine, on the
//!                       ◀── say ── ┘ the child's standard input └─── main thread: child
//! ```
//!
//! What a child writes to its standard output joins the server's log: a module that prints does no harm. A child
//! ends when its socket closes, however the server ended, and it is of a process group of its own: Ctrl-C reaches
//! the server alone, which then drains its pods in order. The server itself loads no weights.

mod frame;

use std::io::BufReader;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

use self::frame::{Ask, Said, What};
use super::{About, Engine, EngineError, EngineFactory, Head, Input, Tail};
use crate::activation::{Activation, VALUE_BYTES};
use crate::pod::{panicked, thread_cpu};

pub use self::frame::FrameError;

/// Longest words of an error that a child tells \[bytes\].
const WORDS_MAX: usize = 4096;
/// Longest that a child whose socket was closed may take to end before it is killed.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How often one that ends is looked at.
const ENDED_EVERY: Duration = Duration::from_millis(2);
/// Longest that a child goes on with what nobody waits for any more.
const ORPHAN_LIMIT: Duration = Duration::from_secs(1);

/// How the child of this number is started.
type Start = dyn Fn(u32) -> Command + Send + Sync;

/// Makes engines that are child processes, each of which calls [`serve_child`].
pub struct Processes {
    about: About,
    start: Box<Start>,
    /// Children so far.
    started: AtomicU32,
    /// The one that was asked what it computes, until a pod takes it.
    first: Mutex<Option<ProcessEngine>>,
}

/// A child process as an engine.
struct ProcessEngine {
    child: Child,
    stream: BufReader<UnixStream>,
    /// CPU time of the child, so far.
    cpu: Duration,
    /// How it ended, once it has and has been waited for.
    ended: Option<String>,
}

impl Processes {
    /// Starts the first child and asks it what it computes. `start` gives the program and the arguments of each,
    /// by a number that no two have; standard input and output are set here.
    ///
    /// # Errors
    /// Whatever keeps the child from computing.
    pub fn open(start: impl Fn(u32) -> Command + Send + Sync + 'static) -> Result<Processes, EngineError> {
        let (first, about) = ProcessEngine::start(start(0))?;
        Ok(Processes {
            about,
            start: Box::new(start),
            started: AtomicU32::new(1),
            first: Mutex::new(Some(first)),
        })
    }
}

impl EngineFactory for Processes {
    fn about(&self) -> &About {
        &self.about
    }

    fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
        if let Some(first) = self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(Box::new(first));
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let (engine, about) = ProcessEngine::start((self.start)(number))?;
        if about != self.about {
            let why = format!("its process computes {about:?}, the others {:?}", self.about);
            return Err(EngineError::Failed(why));
        }
        Ok(Box::new(engine))
    }
}

// === impl ProcessEngine ===

impl ProcessEngine {
    /// Starts a child, and waits until it says what it computes.
    fn start(mut command: Command) -> Result<(ProcessEngine, About), EngineError> {
        let program = command.get_program().to_owned();
        let mut spawn = || {
            let (ours, theirs) = UnixStream::pair()?;
            let log = std::io::stderr().as_fd().try_clone_to_owned()?;
            command.stdin(OwnedFd::from(theirs)).stdout(Stdio::from(log)).process_group(0);
            Ok((ours, command.spawn()?))
        };
        let (stream, child) = spawn().map_err(|error: std::io::Error| {
            EngineError::Failed(format!("could not start {}: {error}", program.display()))
        })?;
        // It holds the child's end too, which must close with the child.
        drop(command);
        let stream = BufReader::new(stream);
        let mut engine = ProcessEngine { child, stream, cpu: Duration::ZERO, ended: None };
        match engine.hear()? {
            (What::Ready { about }, _) => Ok((engine, about)),
            (what, _) => Err(engine.unasked(&what)),
        }
    }

    /// Asks for one thing and waits for the answer.
    fn ask(&mut self, ask: &Ask, payload: &[u8]) -> Result<(What, Bytes), EngineError> {
        match frame::write(self.stream.get_ref(), ask, payload) {
            Ok(()) => self.hear(),
            Err(error @ FrameError::TooLarge { .. }) => Err(EngineError::BadActivation(error.to_string())),
            Err(error) => Err(self.gone(&error.to_string())),
        }
    }

    /// What it says next, failures apart.
    fn hear(&mut self) -> Result<(What, Bytes), EngineError> {
        let (Said { what, cpu_s }, payload) = match frame::read(&mut self.stream) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(self.gone("it closed its socket")),
            Err(error) => return Err(self.gone(&error.to_string())),
        };
        self.cpu += Duration::try_from_secs_f64(cpu_s).unwrap_or_default();
        match what {
            What::Failed { error } => Err(error),
            What::Panicked { error } => {
                self.gone("its engine panicked");
                Err(error)
            }
            what => Ok((what, payload)),
        }
    }

    /// It said what it was not asked for.
    fn unasked(&mut self, what: &What) -> EngineError {
        self.gone(&format!("it said {what:?}"))
    }

    /// It has ended, or cannot be trusted any more and ends now.
    fn gone(&mut self, why: &str) -> EngineError {
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let why = format!("its process {} ended ({status}): {why}", self.child.id());
        self.ended = Some(why.clone());
        EngineError::Gone(why)
    }
}

impl Engine for ProcessEngine {
    fn head(&mut self, input: Input<'_>) -> Result<Head, EngineError> {
        let (what, values) = match input {
            Input::Image(file) => self.ask(&Ask::Image, file)?,
            Input::Tensor(tensor) => {
                self.ask(&Ask::Tensor { shape: tensor.shape().to_vec() }, tensor.data())?
            }
        };
        let What::Head { shape, decode_s, forward_s } = what else { return Err(self.unasked(&what)) };
        match activation(shape, values) {
            Ok(activation) => Ok(Head { activation, decode_s, forward_s }),
            Err(why) => Err(self.gone(&why)),
        }
    }

    fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError> {
        let ask = Ask::Tail { shape: activation.shape().to_vec() };
        let (what, logit) = self.ask(&ask, activation.data())?;
        let What::Tail { class_id, class_name, forward_s } = what else { return Err(self.unasked(&what)) };
        match logit[..].try_into().map(f32::from_le_bytes) {
            Ok(logit) => Ok(Tail { class_id, class_name, logit, forward_s }),
            Err(_) => Err(self.gone("it gave no logit")),
        }
    }

    fn cpu_elsewhere(&self) -> Duration {
        self.cpu
    }

    fn process(&self) -> Option<u32> {
        Some(self.child.id())
    }

    fn check(&mut self) -> Result<(), EngineError> {
        match (&self.ended, self.child.try_wait()) {
            (Some(why), _) => Err(EngineError::Gone(why.clone())),
            (None, Ok(None)) => Ok(()),
            (None, Ok(Some(_))) => Err(self.gone("it was idle")),
            (None, Err(error)) => Err(self.gone(&error.to_string())),
        }
    }
}

impl Drop for ProcessEngine {
    /// Closes the socket and waits for the child, which is idle; one that does not end is killed.
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > END_LIMIT {
                let pid = self.child.id();
                tracing::warn!("process {pid} of a pod did not end within {END_LIMIT:?} and is killed");
                self.gone("it did not end");
                return;
            }
            std::thread::sleep(ENDED_EVERY);
        }
    }
}

/// The life of a child: makes the engine, says what it computes, and answers until the stream closes. What it still
/// computes a second later is nobody's any more, and the process is killed.
///
/// # Errors
/// What came is no frame, or the answer did not go out; the server knows by the end of the process.
pub fn serve_child(
    stream: &UnixStream,
    make: impl FnOnce() -> Result<Arc<dyn EngineFactory>, EngineError>,
) -> Result<(), FrameError> {
    let _serving = end_with(stream.try_clone()?);
    match answer_all(stream, make) {
        // The server is gone, and nobody waits for what this was.
        Err(FrameError::BrokeOff) => Ok(()),
        ended => ended,
    }
}

fn answer_all(
    stream: &UnixStream,
    make: impl FnOnce() -> Result<Arc<dyn EngineFactory>, EngineError>,
) -> Result<(), FrameError> {
    let say = |what, cpu_s, payload: &[u8]| frame::write(stream, &Said { what, cpu_s }, payload);
    let made = make().and_then(|factory| Ok((factory.start()?, factory.about().clone())));
    let mut engine = match made {
        Ok((engine, about)) => {
            say(What::Ready { about }, 0.0, &[])?;
            engine
        }
        Err(error) => return say(What::Failed { error: short(error) }, 0.0, &[]),
    };
    let mut asked = BufReader::new(stream);
    loop {
        let before = thread_cpu();
        // Reading what was sent is work too; waiting for it takes no CPU time.
        let Some((ask, payload)) = frame::read(&mut asked)? else { return Ok(()) };
        let worked = catch_unwind(AssertUnwindSafe(|| answer(engine.as_mut(), ask, payload)));
        let cpu_s = (thread_cpu() - before).as_secs_f64();
        match worked {
            Ok(Ok((what, payload))) => match say(what, cpu_s, &payload) {
                Err(error @ FrameError::TooLarge { .. }) => {
                    say(What::Failed { error: EngineError::Failed(error.to_string()) }, cpu_s, &[])?;
                }
                said => said?,
            },
            Ok(Err(error)) => say(What::Failed { error: short(error) }, cpu_s, &[])?,
            Err(panic) => return say(What::Panicked { error: short(panicked(&*panic)) }, cpu_s, &[]),
        }
    }
}

/// An error whose words fit into a frame: those of an input that nobody made by mistake may be as long as it.
fn short(mut error: EngineError) -> EngineError {
    let (EngineError::BadImage { why, .. }
    | EngineError::BadActivation(why)
    | EngineError::Failed(why)
    | EngineError::Gone(why)) = &mut error;
    if why.len() > WORDS_MAX {
        why.truncate((0..=WORDS_MAX).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0));
        why.push('…');
    }
    error
}

/// Computes what was asked for.
fn answer(engine: &mut dyn Engine, ask: Ask, payload: Bytes) -> Result<(What, Bytes), EngineError> {
    let given = |shape| activation(shape, payload.clone()).map_err(EngineError::BadActivation);
    let head = match ask {
        Ask::Image => engine.head(Input::Image(&payload))?,
        Ask::Tensor { shape } => engine.head(Input::Tensor(&given(shape)?))?,
        Ask::Tail { shape } => {
            let Tail { class_id, class_name, logit, forward_s } = engine.tail(&given(shape)?)?;
            let logit = Bytes::copy_from_slice(&logit.to_le_bytes());
            return Ok((What::Tail { class_id, class_name, forward_s }, logit));
        }
    };
    let Head { activation, decode_s, forward_s } = head;
    let shape = activation.shape().to_vec();
    Ok((What::Head { shape, decode_s, forward_s }, activation.data().clone()))
}

/// Values of this shape, where they are as many as it says.
fn activation(shape: Vec<usize>, values: Bytes) -> Result<Activation, String> {
    let bytes = shape.iter().try_fold(VALUE_BYTES, |bytes, size| bytes.checked_mul(*size));
    if bytes != Some(values.len()) {
        return Err(format!("{} bytes are no values of {shape:?}", values.len()));
    }
    Ok(Activation::new(shape, values))
}

/// Ends this process some time after the other end of the stream was closed, unless what is given back was dropped
/// by then: whoever computes cannot be told to stop. Killed, for to end in order it would have to wait for the
/// computation.
fn end_with(stream: UnixStream) -> mpsc::Sender<()> {
    let (serving, served) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        // A hang-up is told without being asked for.
        let mut closed = [PollFd::new(&stream, PollFlags::empty())];
        while poll(&mut closed, None).is_err_and(|error| error == rustix::io::Errno::INTR) {}
        if served.recv_timeout(ORPHAN_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    });
    serving
}

#[cfg(test)]
mod tests {
    use std::thread::JoinHandle;

    use super::*;

    /// Burns as many milliseconds as the first value says; panics where it is none.
    struct Burner;

    struct Burners(About);

    impl Engine for Burner {
        fn head(&mut self, input: Input<'_>) -> Result<Head, EngineError> {
            match input {
                Input::Image(file) => Err(EngineError::BadImage { status: 422, why: format!("{file:?}") }),
                Input::Tensor(tensor) => {
                    Ok(Head { activation: tensor.clone(), decode_s: 0.5, forward_s: 0.25 })
                }
            }
        }

        fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError> {
            let logit = activation.values().next().expect("one value");
            let burn = Duration::try_from_secs_f32(logit / 1e3).expect("a duration");
            let begin = thread_cpu();
            while thread_cpu() - begin < burn {}
            Ok(Tail { class_id: 7, class_name: "seven".into(), logit, forward_s: 0.125 })
        }
    }

    impl EngineFactory for Burners {
        fn about(&self) -> &About {
            &self.0
        }

        fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
            Ok(Box::new(Burner))
        }
    }

    fn about() -> About {
        About {
            engine: "burner".into(),
            device: "cpu".into(),
            model: "none".into(),
            cut: "here".into(),
            input: None,
            shape: vec![1],
            emulated: false,
        }
    }

    /// A child that is a thread, and what it says first.
    fn child() -> (BufReader<UnixStream>, JoinHandle<Result<(), FrameError>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = std::thread::spawn(move || serve_child(&theirs, || Ok(Arc::new(Burners(about())))));
        let mut stream = BufReader::new(ours);
        let (said, _) = frame::read::<Said>(&mut stream).unwrap().expect("a frame");
        assert_eq!(said, Said { what: What::Ready { about: about() }, cpu_s: 0.0 });
        (stream, child)
    }

    fn asked(stream: &mut BufReader<UnixStream>, ask: &Ask, payload: &[u8]) -> (Said, Bytes) {
        frame::write(stream.get_ref(), ask, payload).unwrap();
        frame::read(stream).unwrap().expect("a frame")
    }

    #[test]
    fn a_child_answers_with_what_it_computed_and_its_cpu_time_until_the_stream_closes() {
        let (mut stream, child) = child();
        let (said, values) = asked(&mut stream, &Ask::Tensor { shape: vec![2] }, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let head = What::Head { shape: vec![2], decode_s: 0.5, forward_s: 0.25 };
        assert_eq!((said.what, &values[..]), (head, &[1, 2, 3, 4, 5, 6, 7, 8][..]));

        let logit = 20.000_002_f32;
        let (said, bytes) = asked(&mut stream, &Ask::Tail { shape: vec![1] }, &logit.to_le_bytes());
        let tail = What::Tail { class_id: 7, class_name: "seven".into(), forward_s: 0.125 };
        assert_eq!((said.what, &bytes[..]), (tail, &logit.to_le_bytes()[..]));
        assert!(said.cpu_s >= 0.02, "{} s for 20 ms of burning", said.cpu_s);

        let (said, _) = asked(&mut stream, &Ask::Image, b"x");
        let error = EngineError::BadImage { status: 422, why: "[120]".into() };
        assert_eq!(said.what, What::Failed { error });
        for shape in [vec![2], vec![usize::MAX, usize::MAX]] {
            let (said, _) = asked(&mut stream, &Ask::Tail { shape }, &[0; 4]);
            let What::Failed { error: EngineError::BadActivation(why) } = said.what else { panic!() };
            assert!(why.starts_with("4 bytes are no values of"), "{why}");
        }
        drop(stream);
        child.join().unwrap().unwrap();
    }

    #[test]
    fn an_error_as_long_as_what_it_is_about_is_cut_and_the_child_goes_on() {
        let (mut stream, child) = child();
        let (said, _) = asked(&mut stream, &Ask::Image, &vec![b'x'; 100_000]);
        let What::Failed { error: EngineError::BadImage { why, .. } } = said.what else { panic!("{said:?}") };
        assert!(why.starts_with("[120, 120") && why.len() < 5000, "{}", why.len());
        let (said, _) = asked(&mut stream, &Ask::Image, b"x");
        assert!(matches!(said.what, What::Failed { .. }), "{said:?}");
        drop(stream);
        child.join().unwrap().unwrap();
    }

    #[test]
    fn a_child_that_panics_says_so_last_of_all() {
        let (mut stream, child) = child();
        let (said, _) = asked(&mut stream, &Ask::Tail { shape: vec![1] }, &(-1_f32).to_le_bytes());
        let What::Panicked { error } = said.what else { panic!("{said:?}") };
        assert!(error.to_string().contains("the engine panicked: a duration"), "{error}");
        child.join().unwrap().unwrap();
    }

    #[test]
    fn a_child_ends_where_it_hears_garbage_and_where_a_frame_breaks_off() {
        use std::io::Write;
        let (stream, child) = self::child();
        stream.get_ref().write_all(b"no frame of ours").unwrap();
        assert!(matches!(child.join().unwrap(), Err(FrameError::Garbage(_))));
        let (stream, child) = self::child();
        stream.get_ref().write_all(b"spl\x01").unwrap();
        drop(stream);
        child.join().unwrap().expect("its server is gone");
    }

    /// Why no process could be had of this script, whose standard input is the socket.
    fn refused(script: &'static str) -> EngineError {
        let sh = move |_| {
            let mut sh = Command::new("sh");
            sh.args(["-c", script]);
            sh
        };
        Processes::open(sh).err().expect("no engine")
    }

    #[test]
    fn processes_that_are_no_engines_are_told_by_how_they_ended() {
        let error = Processes::open(|_| Command::new("no-such-program")).err().expect("no engine");
        assert!(error.to_string().contains("could not start no-such-program"), "{error}");
        for (script, why) in [
            ("exit 3", "exit status: 3"),
            ("kill -9 $$", "SIGKILL"),
            ("echo what a module prints; exit 4", "exit status: 4"),
            ("echo garbage >&0; sleep 60", "it begins with \"garb\""),
            (
                "printf 'spl\\001\\377\\377\\377\\377\\0\\0\\0\\0' >&0; sleep 60",
                "a header of 4294967295 bytes",
            ),
            ("printf 'spl\\001\\011\\0' >&0", "a frame broke off"),
        ] {
            let error = refused(script);
            assert!(matches!(&error, EngineError::Gone(said) if said.contains(why)), "{script}: {error}");
        }
    }
}
