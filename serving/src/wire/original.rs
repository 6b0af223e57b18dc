//! How the original's stage A sends an activation: JSON whose `data` is a tensor of `torch.save` in base64.
//!
//! It is a third larger than the values and slow to read; it is taken so that the original's clients can stay.
//! Its `start_time`, by another machine's clock, is left alone.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::format::{FormatError, UNPACKED_BYTES_MAX};
use crate::activation::{Activation, VALUE_BYTES, elements};
use crate::saved::Saved;

/// What is read of the body.
#[derive(Deserialize)]
struct Complete<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// The activation in a body.
///
/// # Errors
/// It is none: no JSON, no base64, no tensor of one image.
pub(super) fn activation(body: &[u8]) -> Result<Activation, FormatError> {
    let damaged = |why: String| {
        FormatError::Damaged(format!("not JSON with a tensor of torch.save in base64 as `data`: {why}"))
    };
    let Complete { data } = serde_json::from_slice(body).map_err(|e| damaged(e.to_string()))?;
    let file = STANDARD.decode(data.as_bytes()).map_err(|e| damaged(e.to_string()))?;
    let saved = Saved::read(&file).map_err(|e| damaged(e.to_string()))?;
    let Saved::Tensor(tensor) = saved else { return Err(damaged("it is a dict of tensors".into())) };
    let [1, shape @ ..] = tensor.shape.as_slice() else {
        return Err(damaged(format!("shape {:?}; a batch of 1 comes first", tensor.shape)));
    };
    if VALUE_BYTES * elements(shape) > UNPACKED_BYTES_MAX {
        return Err(FormatError::TooLarge);
    }
    let values = tensor.values(&file).map_err(damaged)?;
    let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    Ok(Activation::new(shape.to_vec(), bytes.into()))
}
