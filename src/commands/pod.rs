//! What a pod computes with, and `splitscale pod a | b`: a pod that is a process of its own.

use std::ffi::OsString;
use std::io::stdin;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use splitscale_serving::engine::emulated::Emulated;
use splitscale_serving::engine::process::{Processes, serve_child};
use splitscale_serving::engine::{
    Choice, Cut, EngineConfig, EngineError, EngineFactory, Half, Network, open,
};
use splitscale_sim::Durations;
use splitscale_spec::{Calibration, ServiceLaw};

use crate::cli::{EngineFlags, EngineName, HalfName, Pod};
use crate::files;

/// Answers the server that started this, until it is gone.
pub fn run(args: &Pod) -> Result<()> {
    let stream = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    stream.local_addr().context(
        "standard input is not the socket of a server; `serve a|b --pod-processes` starts such pods itself",
    )?;
    let half = match args.half {
        HalfName::A => Half::A,
        HalfName::B => Half::B,
    };
    let make = || factory(&args.engine, half).map_err(|error| EngineError::Failed(crate::words(&error)));
    Ok(serve_child(&stream, make)?)
}

/// Engines that are processes of this program, each with the same flags.
pub fn processes(flags: &EngineFlags, half: Half) -> Result<Arc<dyn EngineFactory>> {
    let program = std::env::current_exe().context("could not find this program's own file")?;
    let flags = flags.clone();
    let command = move |number: u32| {
        let mut command = Command::new(&program);
        command
            .arg("pod")
            .arg(if half == Half::A { "a" } else { "b" })
            .args(arguments(&flags, number))
            // The words say both.
            .env_remove("MODEL_VERSION")
            .env_remove("GPU_TYPE");
        command
    };
    Ok(Arc::new(Processes::open(command)?))
}

/// The flags of the pod of this number. Those that draw draw from streams of their own.
fn arguments(flags: &EngineFlags, number: u32) -> Vec<OsString> {
    let EngineFlags {
        model_version,
        gpu_type,
        engine,
        calibration,
        service_time,
        engine_seed,
        weights,
        module,
        module_input,
        module_cut,
        labels,
    } = flags;
    let engine = engine.to_possible_value().expect("no engine is hidden");
    let seed = engine_seed.wrapping_add(number.into());
    let mut words = vec![
        format!("--model-version={model_version}").into(),
        format!("--gpu-type={gpu_type}").into(),
        format!("--engine={}", engine.get_name()).into(),
        format!("--engine-seed={seed}").into(),
        format!("--module-cut={module_cut}").into(),
    ];
    words.extend(service_time.map(|seconds| format!("--service-time={seconds}").into()));
    if !module_input.is_empty() {
        let sizes: Vec<String> = module_input.iter().map(u32::to_string).collect();
        words.push(format!("--module-input={}", sizes.join(",")).into());
    }
    let files = [
        ("--calibration=", calibration),
        ("--weights=", weights),
        ("--module=", module),
        ("--labels=", labels),
    ];
    for (flag, file) in files {
        words.extend(file.iter().map(|file| {
            let mut word = OsString::from(flag);
            word.push(file);
            word
        }));
    }
    words
}

/// The engine of the flags.
pub fn factory(flags: &EngineFlags, half: Half) -> Result<Arc<dyn EngineFactory>> {
    if flags.engine == EngineName::Emulated {
        return emulated(flags, half);
    }
    if flags.calibration.is_some() || flags.service_time.is_some() {
        bail!("--calibration and --service-time are for --engine emulated; the others take what they take");
    }
    let choice = match flags.engine {
        EngineName::Auto | EngineName::Emulated => Choice::Auto,
        EngineName::Reference => Choice::Reference,
        EngineName::F32 => Choice::F32,
        EngineName::Bf16 => Choice::Bf16,
    };
    let network = match &flags.module {
        Some(file) => Network::Module {
            file: file.clone(),
            cut: flags.module_cut.clone(),
            input: flags.module_input.iter().map(|size| *size as usize).collect(),
        },
        None => Network::Resnet50 { cut: cut(flags)?, weights: flags.weights.clone() },
    };
    let labels = flags.labels.as_deref().map(files::read).transpose()?;
    let labels = labels.map(|text| text.lines().map(String::from).collect::<Vec<_>>());
    let config = EngineConfig { half, network, choice, device: flags.gpu_type.clone(), labels };
    Ok(Arc::from(open(&config)?))
}

fn cut(flags: &EngineFlags) -> Result<Cut> {
    Cut::from_version(flags.model_version).context("--model-version is 1, 2 or 3")
}

/// An engine of waits. A share below 1 stretches them: they stand for CPU time.
fn emulated(flags: &EngineFlags, half: Half) -> Result<Arc<dyn EngineFactory>> {
    let (law, file) = match (&flags.calibration, flags.service_time) {
        (Some(path), _) => {
            let calibration: Calibration = files::read_json(path, Calibration::SCHEMA)?;
            calibration.validate().with_context(|| path.display().to_string())?;
            let laws = calibration.laws.with_context(|| {
                format!("{}: laws: absent; calibrate with --records to have them", path.display())
            })?;
            let law = if half == Half::A { laws.service_a } else { laws.service_b };
            (law, path.display().to_string())
        }
        (None, Some(value_s)) => (ServiceLaw::Deterministic { value_s }, "--service-time".into()),
        (None, None) => bail!("--engine emulated takes --calibration FILE or --service-time SECONDS"),
    };
    let mut durations = Durations::of(&law, flags.engine_seed).context(file)?;
    Ok(Arc::new(Emulated::new(half, cut(flags)?, Box::new(move || durations.next_s()))))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command as Typed, Serve};

    #[test]
    fn a_pod_has_the_flags_of_its_server_and_a_seed_of_its_own() {
        for typed in [
            "--engine emulated --service-time 0.0123 --model-version 3 --engine-seed 7",
            "--engine emulated --calibration -c.json --gpu-type cuda:1",
            "--engine bf16 --weights w.pth --labels l.txt",
            "--module m.pt --module-input 3,4 --module-cut here",
        ] {
            let words = format!("splitscale serve b --pod-processes {}", typed.replace(" -c", "=-c"));
            let Typed::Serve(Serve::B(server)) = Cli::parse_from(words.split(' ')).command else { panic!() };
            let flags = server.pods.engine;
            let words = [OsString::from("splitscale"), "pod".into(), "b".into()];
            let pod = |number| match Cli::parse_from(words.iter().cloned().chain(arguments(&flags, number))) {
                Cli { command: Typed::Pod(pod) } => pod.engine,
                cli => panic!("{cli:?}"),
            };
            assert_eq!(format!("{:?}", pod(0)), format!("{flags:?}"));
            assert_eq!(pod(2).engine_seed, flags.engine_seed + 2);
        }
    }
}
