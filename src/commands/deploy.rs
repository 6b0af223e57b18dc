//! `splitscale deploy`: a pipeline as manifests of Kubernetes, in a folder that this command looks after.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use splitscale_deploy::manifests::{Manifests, Rendered, ServiceTimes, checksum};
use splitscale_policy::PolicyKind;
use splitscale_serving::wire::format::encoding_of;
use splitscale_spec::PipelineConfig;

use super::scale;
use crate::cli::Deploy;
use crate::files;

/// What was written here, in the form that `sha256sum --check` reads.
const WRITTEN: &str = "rendered.sha256";

/// Renders, and writes where nobody else has written.
pub fn run(args: &Deploy) -> Result<()> {
    let unfit = |file: &Path| format!("{} cannot be used", file.display());
    let pipeline: PipelineConfig = files::read_toml(&args.pipeline)?;
    let pipeline = pipeline.validate().with_context(|| unfit(&args.pipeline))?;
    // Read to be told here what the scaler would only tell in the cluster.
    let policy = scale::policy(&args.policy)?;
    if let PolicyKind::Useful(useful) = &policy.kind {
        // What was measured has the head of an activation with it.
        let (says, bytes) = (useful.payload_bytes, pipeline.cut.payload_bytes);
        let told = format!(
            "{}: useful.payload_bytes is {says}, and cut.payload_bytes of {} is {bytes}",
            args.policy.display(),
            args.pipeline.display()
        );
        ensure!(says <= bytes + bytes / 100, "{told}: pods would be counted for another cut");
        if says < bytes - bytes / 100 {
            tracing::warn!("{told}: right where they are compressed, another cut otherwise");
        }
    }
    let manifests = Manifests {
        name: args.name.clone(),
        pipeline,
        policy: files::read(&args.policy)?,
        mode: args.mode.into(),
        budget: args.budget,
        encoding: encoding_of(&args.encoding)?,
        image: args.image.clone(),
        emulated: args.service_times,
        real_link: args.real_link,
        pinned: args.pinned,
        words: words(args),
    };
    let rendered = manifests.render().map_err(|wrong| match wrong.field.as_str() {
        "budget" => anyhow!("--budget: {}; they are in {}", wrong.problem, args.pipeline.display()),
        _ => Error::new(wrong).context(unfit(&args.pipeline)),
    })?;
    write(&args.render, &rendered)?;
    println!("{}", args.render.join("overlays").join(&args.name).display());
    Ok(())
}

/// The words that render the same, wherever to.
fn words(args: &Deploy) -> String {
    let mut words = format!(
        "splitscale deploy --render DIR --name {} --pipeline {} --policy {}",
        args.name,
        args.pipeline.display(),
        args.policy.display()
    );
    let mut tell = |word: String| words = format!("{words} {word}");
    let Deploy { mode, budget, encoding, image, service_times, real_link, pinned, .. } = args;
    let mode = splitscale_policy::Mode::from(*mode).name();
    if mode != "recommend" {
        tell(format!("--mode {mode}"));
    }
    if encoding != "f32" {
        tell(format!("--encoding {encoding}"));
    }
    if let Some(image) = image {
        tell(format!("--image {image}"));
    }
    if let Some(ServiceTimes { a_s, b_s }) = service_times {
        tell(format!("--service-times {a_s},{b_s}"));
    }
    if *real_link {
        tell("--real-link".into());
    }
    if *pinned {
        tell("--pinned".into());
    }
    if let Some(budget) = budget {
        tell(format!("--budget {budget}"));
    }
    words
}

/// Writes all files, after every one of them was found to be nobody else's.
pub(super) fn write(folder: &Path, rendered: &[Rendered]) -> Result<()> {
    let held = folder.join(WRITTEN);
    let mut written: BTreeMap<String, String> = match held.exists() {
        true => files::read(&held)?
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
            .collect(),
        false if folder.exists() && files::empty_folder(folder).is_err() => bail!(
            "{} was not written by this command (it has no {WRITTEN}); name another folder, or an empty one",
            folder.display()
        ),
        false => BTreeMap::new(),
    };
    for Rendered { path, text } in rendered {
        let file = folder.join(path);
        if !file.exists() {
            continue;
        }
        let held = files::read(&file)?;
        if held != *text && written.get(path) != Some(&checksum(&held)) {
            bail!(
                "{} was changed by hand and is not overwritten; keep the change in an overlay of your own, and remove the file",
                file.display()
            );
        }
    }
    // What was written here before and is no part of it now; another overlay is beside it.
    let beside =
        |path: &str| rendered.iter().any(|now| Path::new(&now.path).parent() == Path::new(path).parent());
    written.retain(|path, sum| {
        let file = folder.join(path);
        let dead = beside(path)
            && rendered.iter().all(|now| now.path != *path)
            && files::read(&file).is_ok_and(|held| checksum(&held) == *sum)
            && std::fs::remove_file(&file).is_ok();
        !dead
    });
    for Rendered { path, text } in rendered {
        files::write(&folder.join(path), text.as_bytes())?;
        written.insert(path.clone(), checksum(text));
    }
    let lines: String = written.iter().map(|(path, sum)| format!("{sum}  {path}\n")).collect();
    files::write(&held, lines.as_bytes())
}
