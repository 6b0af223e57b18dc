//! From a file to pixels, within limits.
//!
//! | file | decoder | pixels against Pillow's |
//! |---|---|---|
//! | JPEG | libjpeg-turbo, where it was there when this was built | equal |
//! | JPEG | zune-jpeg, elsewhere | chroma is upsampled otherwise: up to 3 of 255 apart in the network's input |
//! | PNG, GIF (first frame), WebP | `image` | equal for 8 bits; 16 bits keep the upper 8 |
//!
//! Transparency is dropped, as Pillow's `convert("RGB")` drops it; an EXIF orientation is ignored, as
//! torchvision ignores it. Of four inks, each is taken to be inverted (Pillow follows Adobe there).

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use splitscale_turbo::{Pixels, Refusal};

use super::Photo;

/// Largest file that is decoded \[bytes\].
pub const MAX_FILE_BYTES: usize = 20 << 20;
/// Longest side of an image that is decoded \[pixels\].
pub const MAX_SIDE: u32 = 16_384;
/// Largest image that is decoded \[pixels\]: 120 MB of RGB.
pub const MAX_PIXELS: u64 = 40_000_000;
/// What a decoder may allocate, the image included \[bytes\].
const MAX_ALLOC_BYTES: u64 = 512 << 20;

/// What decodes a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// libjpeg-turbo.
    Turbo,
    /// zune-jpeg.
    Rust,
}

/// Why a file gives no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is empty, or the beginning of no image file.
    #[error("{0}; send a JPEG, PNG, GIF or WebP file")]
    NotAnImage(String),
    /// It is, or declares itself, larger than we decode.
    #[error("{0}")]
    TooLarge(String),
    /// Its kind is one that we do not decode.
    #[error("{0}; send another kind")]
    Unsupported(String),
    /// Its content is damaged.
    #[error("cannot decode it: {0}")]
    Damaged(String),
}

impl ImageError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            ImageError::NotAnImage(_) => 400,
            ImageError::TooLarge(_) => 413,
            ImageError::Unsupported(_) => 415,
            ImageError::Damaged(_) => 422,
        }
    }
}

impl Decoder {
    /// The best that this build has.
    pub fn best() -> Decoder {
        if splitscale_turbo::PRESENT { Decoder::Turbo } else { Decoder::Rust }
    }
}

impl Photo {
    /// Decodes an image file; the declared size is checked before any pixel is allocated.
    ///
    /// # Errors
    /// The bytes are no image, too many, damaged, of a kind that is not decoded, or declare a size beyond the
    /// limits.
    pub fn decode(file: &[u8]) -> Result<Photo, ImageError> {
        Photo::decode_by(Decoder::best(), file)
    }

    /// The same, by a certain decoder of JPEGs.
    ///
    /// # Errors
    /// As [`Photo::decode`].
    pub fn decode_by(decoder: Decoder, file: &[u8]) -> Result<Photo, ImageError> {
        if file.is_empty() {
            return Err(ImageError::NotAnImage("empty file".into()));
        }
        if file.len() > MAX_FILE_BYTES {
            let why = format!("{} bytes, at most {MAX_FILE_BYTES} are decoded", file.len());
            return Err(ImageError::TooLarge(why));
        }
        match (image::guess_format(file), decoder) {
            (Err(_), _) => Err(ImageError::NotAnImage("not the beginning of an image file".into())),
            (Ok(ImageFormat::Jpeg), Decoder::Turbo) => turbo(file),
            (Ok(ImageFormat::Jpeg), Decoder::Rust) => {
                plain(file)?;
                pure(file, ImageFormat::Jpeg)
            }
            (Ok(format), _) => pure(file, format),
        }
    }
}

/// Refuses a size beyond the limits.
fn fits(width: u32, height: u32) -> Result<(), String> {
    if width <= MAX_SIDE && height <= MAX_SIDE && u64::from(width) * u64::from(height) <= MAX_PIXELS {
        return Ok(());
    }
    Err(format!("{width} x {height} pixels, at most {MAX_SIDE} a side and {MAX_PIXELS} in all are decoded"))
}

fn turbo(file: &[u8]) -> Result<Photo, ImageError> {
    let decoded = splitscale_turbo::decode(file, fits).map_err(|refusal| match refusal {
        Refusal::Damaged(why) => ImageError::Damaged(why),
        Refusal::Unsupported(why) => ImageError::Unsupported(why),
        Refusal::TooLarge(why) => ImageError::TooLarge(why),
    })?;
    let Pixels { width, height, channels, data } = decoded;
    let rgb = match channels {
        1 => data.into_iter().flat_map(|grey| [grey; 3]).collect(),
        3 => data,
        _ => {
            let (inks, _) = data.as_chunks::<4>();
            inks.iter().flat_map(|inks| printed(*inks)).collect()
        }
    };
    Ok(Photo { width: width as usize, height: height as usize, rgb })
}

/// The colour of inverted inks, in Pillow's integers (`cmyk2rgb` of `src/libImaging/Convert.c`, on
/// `CMYK;I`).
fn printed([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(black);
    [cyan, magenta, yellow].map(|inverted| {
        let product = u32::from(255 - inverted) * light + 128;
        let absorbed = ((product >> 8) + product) >> 8;
        light.saturating_sub(absorbed) as u8
    })
}

fn pure(file: &[u8], format: ImageFormat) -> Result<Photo, ImageError> {
    // A GIF's decoder wants all of a frame's colours before it tells how far the frame reaches.
    if format == ImageFormat::Gif
        && let Some((width, height)) = extent(file)
    {
        fits(width, height).map_err(ImageError::TooLarge)?;
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    fits(width, height).map_err(ImageError::TooLarge)?;
    let rgb = upper_eight(DynamicImage::from_decoder(decoder).map_err(refused)?);
    if rgb.is_empty() {
        return Err(ImageError::Damaged("it has no pixels".into()));
    }
    Ok(Photo { width: width as usize, height: height as usize, rgb })
}

/// Refuses the JPEGs that zune-jpeg calls damaged or, cut off, fills with grey: of another process than baseline
/// and progressive Huffman, of more than 8 bits (ITU T.81, table B.1), or without an end.
fn plain(file: &[u8]) -> Result<(), ImageError> {
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = file.get(at..at + 4) {
        let bits = file.get(at + 4).copied().unwrap_or(8);
        match marker {
            0xC0..=0xC2 if bits == 8 => break,
            // Huffman tables, not a frame.
            0xC4 => {}
            0xC0..=0xCF => {
                let why = format!("a JPEG of process {marker:02X} and {bits} bits");
                return Err(ImageError::Unsupported(why));
            }
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    match file.get(at..).is_some_and(|rest| rest.windows(2).any(|two| two == [0xFF, 0xD9])) {
        true => Ok(()),
        false => Err(ImageError::Damaged("it ends too early".into())),
    }
}

/// How far the screen and the first frame of a GIF reach (GIF89a, sections 18 and 20).
fn extent(file: &[u8]) -> Option<(u32, u32)> {
    let two = |at: usize| Some(u32::from(u16::from_le_bytes([*file.get(at)?, *file.get(at + 1)?])));
    // The colours that a byte of flags says to follow.
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + colours(*file.get(10)?);
    while *file.get(at)? == 0x21 {
        at += 2; // an extension: its label, then blocks until an empty one
        while *file.get(at)? != 0 {
            at += 1 + usize::from(file[at]);
        }
        at += 1;
    }
    let (screen_width, screen_height) = (two(6)?, two(8)?);
    if file[at] != 0x2C {
        return Some((screen_width, screen_height));
    }
    let (left, top, width, height) = (two(at + 1)?, two(at + 3)?, two(at + 5)?, two(at + 7)?);
    Some((screen_width.max(left + width), screen_height.max(top + height)))
}

/// RGB of 8 bits; of 16, the upper ones, as Pillow reads them.
fn upper_eight(image: DynamicImage) -> Vec<u8> {
    match image {
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => {
            image.into_rgb16().into_raw().into_iter().map(|value| (value >> 8) as u8).collect()
        }
        image => image.into_rgb8().into_raw(),
    }
}

fn refused(error: image::ImageError) -> ImageError {
    match error {
        image::ImageError::Limits(error) => ImageError::TooLarge(error.to_string()),
        image::ImageError::Unsupported(error) => ImageError::Unsupported(error.to_string()),
        error => ImageError::Damaged(error.to_string()),
    }
}
