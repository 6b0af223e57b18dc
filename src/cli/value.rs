//! What stands behind a flag, read and held to its bounds.

use splitscale_deploy::manifests::{is_job_name, is_name};

pub(super) fn number(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| "not a finite number".into())
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if v > 0.0 { Ok(v) } else { Err("must be above zero".into()) })
}

/// A duration that a clock can hold.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if (0.0..=1e6).contains(&v) { Ok(v) } else { Err("must be 0 to 1e6 s".into()) })
}

/// Time between two things that repeat, or that something may take.
pub(super) fn interval(text: &str) -> Result<f64, String> {
    seconds(text).and_then(|v| if v >= 0.01 { Ok(v) } else { Err("must be at least 0.01 s".into()) })
}

pub(super) fn bandwidth(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| {
        if (1e-3..=1e6).contains(&v) { Ok(v) } else { Err("must be 0.001 to 1e6 Mbit/s".into()) }
    })
}

/// A name or an address. A variable that nobody replaced is none: a server must not start with it and answer 502 for ever.
pub(super) fn host(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) {
        return Ok(text.into());
    }
    if text.starts_with("$(") {
        return Err("it was not replaced; in Kubernetes, its Service has to be there before the pod".into());
    }
    Err("not a host name or an address".into())
}

/// A name of something in Kubernetes.
pub(super) fn kubernetes_name(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.into()),
        false => Err("no name in Kubernetes: a-z, 0-9 and - between them, at most 63".into()),
    }
}

/// A name of what may have a longer one there: names with dots between them.
pub(super) fn dotted_name(text: &str) -> Result<String, String> {
    match text.len() <= 253 && text.split('.').all(is_name) {
        true => Ok(text.into()),
        false => Err("no name in Kubernetes: a-z, 0-9, - and . between them, at most 253".into()),
    }
}

/// A name of a Job with indexes.
pub(super) fn job_name(text: &str) -> Result<String, String> {
    match is_job_name(text) {
        true => Ok(text.into()),
        false => Err("no name of a Job with indexes: a-z, 0-9 and - between them, at most 48".into()),
    }
}

/// A name that can stand in a header.
pub(super) fn cut_name(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.into());
    }
    Err("must be 1 to 64 visible ASCII characters without blanks".into())
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=1_000_000).contains(n)).ok_or_else(|| "must be 1 to 1000000".into())
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    positive(text).and_then(|v| if v <= 1.0 { Ok(v) } else { Err("must be at most 1".into()) })
}
