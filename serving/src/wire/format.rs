//! How an activation travels: narrowed, put into a container, compressed.
//!
//! ```text
//! float32 ── encoding ──▶ f32 | bf16 | u8 ── container ──▶ body ── compression ──▶ what is sent
//!             (spec)                          Content-Type          Content-Encoding
//! ```
//!
//! | container | `Content-Type` | what is in it |
//! |---|---|---|
//! | [`Container::Safetensors`] | `application/vnd.safetensors` | one tensor, `activation`; a u8 one has `affine = "OFFSET SCALE"` in the metadata |
//! | [`Container::Raw`] | `application/octet-stream` | float32, nothing else; its shape is the one that the receiver expects |
//! | [`Container::Json`] | `application/json` | what the original's stage A sends (`original.rs`); read, not written |
//!
//! A u8 value stands for `offset + scale * value`, offset the least value and scale 1/255 of the range: the
//! error is at most half a scale. bf16 rounds to nearest even and keeps 8 bits of precision.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::str::FromStr;

use axum::body::Bytes;
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use splitscale_spec::Encoding;

use super::original;
use crate::activation::{Activation, VALUE_BYTES, elements};

/// Name of the tensor in its container.
const NAME: &str = "activation";
/// Key of a u8 tensor's offset and scale in the metadata.
const AFFINE: &str = "affine";
/// Most bytes that a compressed activation may have once it is not; as for one that never was.
pub const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// zstd's fastest usual level: the next ones gain 1 % for twice the time on activations.
const ZSTD_LEVEL: i32 = 1;

/// How an activation travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Format {
    /// What the values become.
    pub encoding: Encoding,
    /// What is around them.
    pub container: Container,
    /// What is done to it all.
    pub compression: Compression,
}

/// What the values are put into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Container {
    /// A safetensors file of one tensor.
    #[default]
    Safetensors,
    /// The bare values, float32.
    Raw,
    /// The original's JSON around a tensor of `torch.save`.
    Json,
}

/// How the container is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// An LZ4 frame.
    Lz4,
    /// Zstandard at level 1.
    Zstd,
}

/// An activation ready to be sent, or as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What it is in.
    pub container: Container,
    /// How that is compressed.
    pub compression: Compression,
    /// All of it.
    pub body: Bytes,
}

/// Why a body is no activation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A type, an encoding or a compression that is not spoken here.
    #[error("{0}")]
    Unsupported(String),
    /// It says one thing and is another.
    #[error("{0}")]
    Damaged(String),
    /// It unpacks to more than anybody would send.
    #[error("it unpacks to more than {UNPACKED_BYTES_MAX} bytes")]
    TooLarge,
}

impl Container {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Container::Safetensors => "application/vnd.safetensors",
            Container::Raw => "application/octet-stream",
            Container::Json => "application/json",
        }
    }

    /// Reads a `Content-Type`; without one, the body is taken for bare values.
    ///
    /// # Errors
    /// A type that is none of ours.
    pub fn of_media_type(text: Option<&str>) -> Result<Container, FormatError> {
        let Some(text) = text else { return Ok(Container::Raw) };
        let media_type = text.split(';').next().unwrap_or_default().trim();
        [Container::Safetensors, Container::Raw, Container::Json]
            .into_iter()
            .find(|container| container.media_type().eq_ignore_ascii_case(media_type))
            .ok_or_else(|| {
                FormatError::Unsupported(format!(
                    "Content-Type {media_type:?} is not known; {ACCEPTED_TYPES}"
                ))
            })
    }
}

/// What may be sent, for messages and for `Accept`.
pub const ACCEPTED_TYPES: &str = "application/vnd.safetensors, application/octet-stream, application/json";
/// The same for `Accept-Encoding`.
pub const ACCEPTED_COMPRESSIONS: &str = "identity, lz4, zstd";

impl Compression {
    /// All of them.
    pub const ALL: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

    /// Its name in `Content-Encoding`; none where it is to be left out.
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Lz4 => Some("lz4"),
            Compression::Zstd => Some("zstd"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.content_encoding().unwrap_or("none"))
    }
}

impl FromStr for Compression {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Compression, FormatError> {
        match text.trim() {
            "none" | "identity" | "" => Ok(Compression::None),
            "lz4" => Ok(Compression::Lz4),
            "zstd" => Ok(Compression::Zstd),
            other => Err(FormatError::Unsupported(format!(
                "compression {other:?} is not known; it takes {ACCEPTED_COMPRESSIONS}"
            ))),
        }
    }
}

/// All encodings.
pub const ENCODINGS: [Encoding; 3] = [Encoding::F32, Encoding::Bf16, Encoding::U8];

/// The name of an encoding on the wire.
pub fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::F32 => "f32",
        Encoding::Bf16 => "bf16",
        Encoding::U8 => "u8",
    }
}

/// Reads the name of an encoding.
///
/// # Errors
/// A name that is none.
pub fn encoding_of(text: &str) -> Result<Encoding, FormatError> {
    ENCODINGS.into_iter().find(|e| encoding_name(*e) == text).ok_or_else(|| {
        FormatError::Unsupported(format!("encoding {text:?} is not known; it takes f32, bf16, u8"))
    })
}

/// Makes an activation ready to be sent.
///
/// # Errors
/// [`FormatError::Unsupported`] for bare values of another type than float32 and for JSON, [`FormatError::Damaged`] for
/// values that are not finite and are to become u8.
pub fn pack(activation: &Activation, format: Format) -> Result<Packed, FormatError> {
    let Format { encoding, container, compression } = format;
    let body = match (container, encoding) {
        (Container::Raw, Encoding::F32) => activation.data().clone(),
        (Container::Raw, other) => {
            return Err(FormatError::Unsupported(format!(
                "bare values travel as f32 only; {} takes {}",
                encoding_name(other),
                Container::Safetensors.media_type()
            )));
        }
        (Container::Json, _) => {
            return Err(FormatError::Unsupported("the original's JSON is read here, not written".into()));
        }
        (Container::Safetensors, Encoding::F32) => file(activation, Dtype::F32, activation.data(), None),
        (Container::Safetensors, Encoding::Bf16) => {
            let narrow: Vec<u8> = activation.values().flat_map(|v| bf16(v).to_le_bytes()).collect();
            file(activation, Dtype::BF16, &narrow, None)
        }
        (Container::Safetensors, Encoding::U8) => {
            let (offset, scale) = affine(activation)?;
            // The steps lie in 0..=255, give or take a rounding. Added to 2^23 they are rounded to the nearest
            // and stand in the lowest byte: no cast that saturates, so the compiler makes vectors of it.
            let per = 1.0 / scale;
            let step = |value: f32| ((value - offset) * per + 8_388_608.0).to_bits() as u8;
            let narrow: Vec<u8> = activation.values().map(step).collect();
            file(activation, Dtype::U8, &narrow, Some((offset, scale)))
        }
    };
    Ok(Packed { container, compression, body: compress(body, compression) })
}

/// Takes in what was sent. Bare values are taken to have the shape `expected`; whether a container's shape
/// is the one that is wanted is for the engine to say.
///
/// # Errors
/// The body is not what its headers say, or unpacks to too much.
pub fn unpack(packed: &Packed, expected: &[usize]) -> Result<Activation, FormatError> {
    let body = decompress(&packed.body, packed.compression)?;
    match packed.container {
        Container::Raw => {
            let wanted = VALUE_BYTES * elements(expected);
            if body.len() != wanted {
                let why = format!("{} bytes; one activation of {expected:?} has {wanted}", body.len());
                return Err(FormatError::Damaged(why));
            }
            Ok(Activation::new(expected.to_vec(), body))
        }
        Container::Safetensors => tensor(&body),
        Container::Json => original::activation(&body),
    }
}

/// The safetensors file around the values.
fn file(activation: &Activation, dtype: Dtype, data: &[u8], affine: Option<(f32, f32)>) -> Bytes {
    let view = TensorView::new(dtype, activation.shape().to_vec(), data).expect("as many as the shape says");
    // One entry: the order of several would be chance.
    let metadata =
        affine.map(|(offset, scale)| HashMap::from([(AFFINE.to_owned(), format!("{offset} {scale}"))]));
    serialize([(NAME, view)], metadata).expect("one tensor under a plain name").into()
}

/// The one tensor of a safetensors file, as float32.
fn tensor(body: &Bytes) -> Result<Activation, FormatError> {
    let damaged =
        |why: String| FormatError::Damaged(format!("not a safetensors file of one activation: {why}"));
    let (header, metadata) = SafeTensors::read_metadata(body).map_err(|e| damaged(e.to_string()))?;
    let names = metadata.offset_keys();
    let [name] = names.as_slice() else { return Err(damaged(format!("it holds {} tensors", names.len()))) };
    let info = metadata.info(name).ok_or_else(|| damaged(format!("{name} has no place in it")))?;
    let start = 8 + header;
    let data = body.slice(start + info.data_offsets.0..start + info.data_offsets.1);
    let shape = info.shape.clone();
    if VALUE_BYTES * elements(&shape) > UNPACKED_BYTES_MAX {
        return Err(FormatError::TooLarge);
    }
    let wide: Vec<u8> = match info.dtype {
        Dtype::F32 => return Ok(Activation::new(shape, data)),
        Dtype::BF16 => {
            let (values, _) = data.as_chunks::<2>();
            values.iter().flat_map(|b| (u32::from(u16::from_le_bytes(*b)) << 16).to_le_bytes()).collect()
        }
        Dtype::U8 => {
            let text = metadata.metadata().as_ref().and_then(|m| m.get(AFFINE));
            let (offset, scale) = text
                .and_then(|text| text.split_once(' '))
                .and_then(|(offset, scale)| Some((offset.parse::<f32>().ok()?, scale.parse::<f32>().ok()?)))
                .filter(|(offset, scale)| offset.is_finite() && scale.is_finite())
                .ok_or_else(|| damaged(format!("a u8 tensor without `{AFFINE}`, an offset and a scale")))?;
            data.iter().flat_map(|b| (offset + scale * f32::from(*b)).to_le_bytes()).collect()
        }
        other => {
            return Err(FormatError::Unsupported(format!("a tensor of {other:?}; it takes F32, BF16, U8")));
        }
    };
    Ok(Activation::new(shape, wide.into()))
}

/// Rounds to nearest, ties to even; what is no number stays none.
fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    // A NaN with all its bits set goes round; it is not taken.
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if value.is_nan() { quiet } else { rounded }) as u16
}

/// Offset and scale that spread the values over 0..=255.
fn affine(activation: &Activation) -> Result<(f32, f32), FormatError> {
    let smaller = |a: f32, b: f32| if b < a { b } else { a };
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let least = activation.fold(f32::INFINITY, smaller);
    let most = activation.fold(f32::NEG_INFINITY, larger);
    let scale = (most - least) / 255.0;
    if !activation.is_finite() || scale == f32::INFINITY {
        return Err(FormatError::Damaged(
            "it holds values that are not finite, or too far apart for u8".into(),
        ));
    }
    // No values, equal ones, or ones too close for a scale, need none.
    Ok((if least.is_finite() { least } else { 0.0 }, if scale.is_normal() { scale } else { 1.0 }))
}

fn compress(body: Bytes, compression: Compression) -> Bytes {
    match compression {
        Compression::None => body,
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(body.len()));
            std::io::Write::write_all(&mut encoder, &body).expect("memory takes what it is given");
            encoder.finish().expect("memory takes what it is given").into()
        }
        Compression::Zstd => {
            zstd::bulk::compress(&body, ZSTD_LEVEL).expect("a buffer of the bound's size is enough").into()
        }
    }
}

fn decompress(body: &Bytes, compression: Compression) -> Result<Bytes, FormatError> {
    let read = |reader: &mut dyn Read| {
        let mut plain = Vec::new();
        let limit = UNPACKED_BYTES_MAX as u64 + 1;
        let read = reader.take(limit).read_to_end(&mut plain);
        read.map_err(|e| FormatError::Damaged(format!("Content-Encoding {compression}: {e}")))?;
        if plain.len() > UNPACKED_BYTES_MAX { Err(FormatError::TooLarge) } else { Ok(plain.into()) }
    };
    match compression {
        Compression::None => Ok(body.clone()),
        Compression::Lz4 => read(&mut lz4_flex::frame::FrameDecoder::new(body.as_ref())),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_ref())
                .map_err(|e| FormatError::Damaged(format!("Content-Encoding zstd: {e}")))?;
            read(&mut decoder)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activation() -> Activation {
        let values = (0..4 * 5 * 7).map(|i| ((i * 37 % 101) as f32 * 0.07 - 1.5).max(0.0));
        Activation::new(vec![4, 5, 7], values.flat_map(f32::to_le_bytes).collect::<Vec<_>>().into())
    }

    #[test]
    fn every_format_gives_back_what_it_took_within_its_error() {
        let sent = activation();
        let most = sent.values().fold(0.0, f32::max);
        for encoding in ENCODINGS {
            for compression in Compression::ALL {
                let packed = pack(&sent, Format { encoding, compression, ..Format::default() }).unwrap();
                let came = unpack(&packed, &[1]).unwrap();
                assert_eq!(came.shape(), sent.shape());
                let bound = |v: f32| match encoding {
                    Encoding::F32 => 0.0,
                    Encoding::Bf16 => v.abs() / 256.0,
                    Encoding::U8 => most / 255.0 * 0.501,
                };
                let near = sent.values().zip(came.values()).all(|(a, b)| (a - b).abs() <= bound(a));
                assert!(near, "{encoding:?} {compression}");
            }
        }
        let raw = Format { container: Container::Raw, ..Format::default() };
        let packed = pack(&sent, raw).unwrap();
        assert_eq!(packed.body.len(), 4 * 140, "nothing but the values");
        assert_eq!(unpack(&packed, &[4, 5, 7]).unwrap(), sent);
        assert!(unpack(&packed, &[4, 5, 8]).unwrap_err().to_string().contains("560 bytes"));
        assert!(pack(&sent, Format { encoding: Encoding::U8, ..raw }).is_err());
    }

    #[test]
    fn bf16_rounds_to_nearest_even_and_keeps_what_is_no_number() {
        let cases = [(1.0, 0x3f80), (-2.0, 0xc000), (f32::INFINITY, 0x7f80), (f32::MAX, 0x7f80)];
        assert!(cases.iter().all(|(value, bits)| bf16(*value) == *bits));
        // Half way between 0x3f80 and 0x3f81 to the even one, between 0x3f81 and 0x3f82 to the even one.
        assert_eq!((bf16(f32::from_bits(0x3f80_8000)), bf16(f32::from_bits(0x3f81_8000))), (0x3f80, 0x3f82));
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(u32::MAX)] {
            assert!(f32::from_bits(u32::from(bf16(nan)) << 16).is_nan());
        }
    }

    #[test]
    fn u8_needs_finite_values_and_bears_equal_ones() {
        let of = |values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            Activation::new(vec![values.len()], bytes.into())
        };
        let u8 = Format { encoding: Encoding::U8, ..Format::default() };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 8] {
                let mut values = [0.5; 9];
                values[place] = bad;
                assert!(pack(&of(&values), u8).is_err(), "{bad} at {place}");
            }
        }
        for equal in [of(&[3.25; 11]), of(&[])] {
            assert_eq!(unpack(&pack(&equal, u8).unwrap(), &[]).unwrap(), equal);
        }
    }

    #[test]
    fn bodies_that_lie_are_refused_and_none_unpacks_without_bound() {
        let bomb = compress(vec![0; UNPACKED_BYTES_MAX + 1].into(), Compression::Zstd);
        assert!(bomb.len() < 10_000);
        let packed =
            |body: Bytes, compression| Packed { container: Container::Safetensors, compression, body };
        assert_eq!(unpack(&packed(bomb, Compression::Zstd), &[]), Err(FormatError::TooLarge));
        let whole = pack(&activation(), Format::default()).unwrap().body;
        for cut in [0, 7, 8, 40, whole.len() - 1] {
            for compression in Compression::ALL {
                assert!(
                    unpack(&packed(whole.slice(..cut), compression), &[]).is_err(),
                    "{cut} {compression}"
                );
            }
        }
        let of = |text| Container::of_media_type(Some(text));
        assert_eq!(of("Application/vnd.safetensors; charset=x").unwrap(), Container::Safetensors);
        assert!(of("text/html").unwrap_err().to_string().contains("text/html"));
    }
}
