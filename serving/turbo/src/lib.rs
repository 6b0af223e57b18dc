//! libjpeg-turbo, where it is installed: Pillow's JPEG decoder, pixel for pixel.
//!
//! The crate calls C and nothing else, so that all others can forbid unsafe code. Pixels come as libjpeg
//! gives them: accurate integer transform, smooth upsampling of the chroma, colours as the file has them.

/// Pixels in rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes of a pixel: 1 grey, 3 RGB, 4 CMYK.
    pub channels: u32,
    /// The rows, one after the other.
    pub data: Vec<u8>,
}

/// Why there are no pixels, in libjpeg's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The file breaks the format.
    Damaged(String),
    /// A kind of JPEG that this library does not decode.
    Unsupported(String),
    /// More than the library, or the caller's limit, allows.
    TooLarge(String),
}

/// Whether this build has the decoder; without it every file is refused.
pub const PRESENT: bool = cfg!(turbo);

/// Decodes a JPEG file whose declared size `fits` accepts; that is asked before any pixel is allocated.
///
/// # Errors
/// The file is refused, by the library or by `fits`.
pub fn decode(file: &[u8], fits: impl FnOnce(u32, u32) -> Result<(), String>) -> Result<Pixels, Refusal> {
    let [width, height, channels] = call(file, &mut [])?;
    fits(width, height).map_err(Refusal::TooLarge)?;
    let mut data = vec![0; width as usize * height as usize * channels as usize];
    if data.is_empty() {
        return Err(Refusal::Damaged("it has no pixels".into()));
    }
    let again = call(file, &mut data)?;
    debug_assert_eq!(again, [width, height, channels]);
    Ok(Pixels { width, height, channels, data })
}

/// Width, height and channels; and the pixels, where there is room for them.
#[cfg(turbo)]
fn call(file: &[u8], pixels: &mut [u8]) -> Result<[u32; 3], Refusal> {
    use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint};
    unsafe extern "C" {
        fn splitscale_turbo(
            file: *const c_uchar,
            bytes: usize,
            size: *mut c_uint,
            pixels: *mut c_uchar,
            message: *mut c_char,
        ) -> c_int;
    }
    let mut size = [0u32; 3];
    let mut message = [0u8; 256];
    let out = if pixels.is_empty() { std::ptr::null_mut() } else { pixels.as_mut_ptr() };
    // SAFETY: `file` and its length are one slice; `size` and `message` (256 > JMSG_LENGTH_MAX, 200) are as
    // large as the shim writes; `pixels` is null, or as long as the same file's header told a call before,
    // which is what the shim fills. It keeps no pointer, and no Rust frame is jumped over.
    let kind = unsafe {
        splitscale_turbo(file.as_ptr(), file.len(), size.as_mut_ptr(), out, message.as_mut_ptr().cast())
    };
    let why = || {
        CStr::from_bytes_until_nul(&message)
            .map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
    };
    match kind {
        0 => Ok(size),
        2 => Err(Refusal::Unsupported(why())),
        3 => Err(Refusal::TooLarge(why())),
        _ => Err(Refusal::Damaged(why())),
    }
}

#[cfg(not(turbo))]
fn call(_: &[u8], _: &mut [u8]) -> Result<[u32; 3], Refusal> {
    Err(Refusal::Unsupported("this build has no libjpeg-turbo".into()))
}
