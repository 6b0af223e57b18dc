//! From an image file to the network's input, as torchvision's evaluation transform makes it.
//!
//! ```text
//! bytes ─ decode ─▶ Photo ─ Resize(256), CenterCrop(224) ─▶ Crop ─ ToTensor, Normalize ─▶ 3x224x224 float32
//! ```
//!
//! `Resize` is Pillow's antialiased bilinear resampler (`src/libImaging/Resample.c`) in its own integer
//! arithmetic: coefficients of 22 bits, a horizontal pass rounded to 8 bits, then a vertical one. Only the
//! pixels of the crop are computed, so that a picture of 16384 x 1 costs no more than another. From equal
//! pixels on, every value is equal to torchvision's; `decode.rs` tells whose pixels are equal.

mod decode;

pub use decode::{Decoder, ImageError, MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};

/// Side of the network's input \[pixels\].
pub const CROP_SIDE: usize = 224;
/// Length that the shorter side is resized to \[pixels\].
const SHORT_SIDE: usize = 256;
/// Mean and standard deviation of ImageNet's channels, from torchvision's documentation.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Bits of a resampling coefficient: 32 less 8 of a pixel less 2 of headroom (Pillow's `PRECISION_BITS`).
const PRECISION_BITS: u32 = 22;
/// One half in fixed point: a sum that starts here is rounded to the nearest.
const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Bytes of a row of the crop.
const ROW_BYTES: usize = 3 * CROP_SIDE;

/// A decoded image: rows of RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// The middle 224 x 224 pixels of a resized photo: rows of RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    rgb: Vec<u8>,
}

impl Photo {
    /// A photo of these rows of RGB.
    ///
    /// # Panics
    /// When `rgb` has not `3 * width * height` bytes, or none.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Photo {
        assert!(!rgb.is_empty() && rgb.len() == 3 * width * height, "{width} x {height} of {}", rgb.len());
        Photo { width, height, rgb }
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// `Resize(256)` then `CenterCrop(224)`.
    pub fn crop(&self) -> Crop {
        let (width, height) = resized(self.width, self.height);
        let columns = filters(self.width, width, centred(width));
        let rows = filters(self.height, height, centred(height));
        // The rows of the photo that the vertical pass will read, and no other.
        let first = rows.iter().map(|filter| filter.from).min().unwrap_or(0);
        let last = rows.iter().map(|filter| filter.from + filter.weights.len()).max().unwrap_or(0);

        let mut narrow = Vec::with_capacity(ROW_BYTES * (last - first));
        for row in self.rgb.chunks_exact(3 * self.width).take(last).skip(first) {
            narrow.extend(columns.iter().flat_map(|filter| filter.pixel(row)));
        }
        let mut rgb = Vec::with_capacity(ROW_BYTES * CROP_SIDE);
        for filter in &rows {
            rgb.extend(filter.row(&narrow[ROW_BYTES * (filter.from - first)..]));
        }
        Crop { rgb }
    }
}

impl Crop {
    /// A crop of these rows of RGB.
    ///
    /// # Panics
    /// When `rgb` has not `3 * 224 * 224` bytes.
    pub fn new(rgb: Vec<u8>) -> Crop {
        assert_eq!(rgb.len(), 3 * CROP_SIDE * CROP_SIDE, "a crop is 224 x 224 RGB");
        Crop { rgb }
    }

    /// Its rows of RGB.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// `ToTensor` then `Normalize`: the planes of red, green and blue, `(value / 255 - mean) / std`.
    pub fn normalise(&self) -> Vec<f32> {
        let (pixels, _) = self.rgb.as_chunks::<3>();
        let mut planes = Vec::with_capacity(self.rgb.len());
        for (channel, (mean, std)) in MEAN.into_iter().zip(STD).enumerate() {
            planes.extend(pixels.iter().map(|pixel| (f32::from(pixel[channel]) / 255.0 - mean) / std));
        }
        planes
    }
}

/// One column or row of output: which columns or rows of input it is the weighted sum of.
struct Filter {
    from: usize,
    weights: Vec<i32>,
}

impl Filter {
    /// The weighted sum of a row's pixels.
    fn pixel(&self, row: &[u8]) -> [u8; 3] {
        let mut sum = [HALF; 3];
        let (pixels, _) = row[3 * self.from..].as_chunks::<3>();
        for (pixel, weight) in pixels.iter().zip(&self.weights) {
            for channel in 0..3 {
                sum[channel] += i32::from(pixel[channel]) * weight;
            }
        }
        sum.map(rounded)
    }

    /// The weighted sum of rows of the crop's width.
    fn row(&self, rows: &[u8]) -> impl Iterator<Item = u8> {
        let mut sum = [HALF; ROW_BYTES];
        for (row, weight) in rows.chunks_exact(ROW_BYTES).zip(&self.weights) {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        sum.into_iter().map(rounded)
    }
}

fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Size after `Resize(256)`: the shorter side 256, the longer in proportion, rounded down.
fn resized(width: usize, height: usize) -> (usize, usize) {
    let long = |long: usize, short: usize| (SHORT_SIDE as f64 * long as f64 / short as f64) as usize;
    if width <= height { (SHORT_SIDE, long(height, width)) } else { (long(width, height), SHORT_SIDE) }
}

/// Where `CenterCrop(224)` begins: Python's `round`, half to even (341 gives 58, not 59).
fn centred(side: usize) -> usize {
    ((side - CROP_SIDE) as f64 / 2.0).round_ties_even() as usize
}

/// The filters of the 224 output pixels from `begin`, when `input` pixels become `output`: a triangle as
/// wide as two input pixels or, shrinking, two output pixels (Pillow's `precompute_coeffs` and
/// `normalize_coeffs_8bpc`, term by term).
fn filters(input: usize, output: usize, begin: usize) -> Vec<Filter> {
    let scale = input as f64 / output as f64;
    let support = scale.max(1.0);
    let filter = |index: usize| {
        let centre = (index as f64 + 0.5) * scale;
        let from = (centre - support + 0.5).max(0.0) as usize;
        let to = ((centre + support + 0.5) as usize).min(input);
        let triangle = |x: usize| (1.0 - ((x as f64 - centre + 0.5) * (1.0 / support)).abs()).max(0.0);
        let total: f64 = (from..to).map(triangle).sum();
        let fixed = |weight: f64| (0.5 + weight / total * f64::from(1 << PRECISION_BITS)) as i32;
        Filter { from, weights: (from..to).map(|x| fixed(triangle(x))).collect() }
    };
    (begin..begin + CROP_SIDE).map(filter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_offsets_are_torchvisions() {
        assert_eq!(resized(500, 375), (341, 256));
        assert_eq!(resized(375, 500), (256, 341));
        assert_eq!(resized(1, 1000), (256, 256_000));
        assert_eq!(centred(341), 58); // 58.5: half to even goes down here,
        assert_eq!(centred(343), 60); // 59.5: and up here
        assert_eq!(centred(256), 16);
    }

    #[test]
    fn unchanged_size_is_the_identity() {
        let rgb: Vec<u8> =
            (0..3 * 256 * 256u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let crop = Photo::new(256, 256, rgb.clone()).crop();
        for y in 0..CROP_SIDE {
            let from = 3 * ((y + 16) * 256 + 16);
            assert_eq!(crop.rgb[3 * y * CROP_SIDE..3 * (y + 1) * CROP_SIDE], rgb[from..from + 3 * CROP_SIDE]);
        }
    }

    #[test]
    fn halving_weighs_four_pixels_one_three_three_one() {
        // 512 to 256: support 2, centre 2i + 1; distances 0.75, 0.25, 0.25, 0.75 of the support give weights
        // 0.25, 0.75, 0.75, 0.25 over their sum 2: 1/8, 3/8, 3/8, 1/8 of 2^22.
        let filters = filters(512, 256, 16);
        assert_eq!(filters[0].from, 31);
        assert_eq!(filters[0].weights, [1 << 19, 3 << 19, 3 << 19, 1 << 19]);
        // (10 + 3 * 20 + 3 * 40 + 80) / 8 = 33.75 rounds to 34; 0 stays 0; 255 stays 255.
        let (mut row, mut rows) = (vec![7; 3 * 31], Vec::new());
        for value in [10, 20, 40, 80] {
            row.extend([value, 0, 255]);
            rows.extend([value, 0, 255].repeat(CROP_SIDE));
        }
        assert_eq!(filters[0].pixel(&row), [34, 0, 255]);
        assert!(filters[0].row(&rows).eq([34, 0, 255].repeat(CROP_SIDE)));
    }

    #[test]
    fn edges_renormalise_what_is_left_of_the_triangle() {
        // 2 to 4: support 1, centre of output 0 at 0.25: input 0 at distance 0.25 weighs 0.75, input -1 does
        // not exist, input 1 at 1.25 is outside: all the weight is on input 0. Output 1 at 0.75: 3/4, 1/4.
        let scale = |index: usize| {
            let all = filters(2, 4, 0);
            (all[index].from, all[index].weights.clone())
        };
        assert_eq!(scale(0), (0, vec![1 << 22]));
        assert_eq!(scale(1), (0, vec![3 << 20, 1 << 20]));
    }

    #[test]
    fn normalising_gives_planes() {
        let mut rgb = vec![0u8; 3 * CROP_SIDE * CROP_SIDE];
        rgb[..3].copy_from_slice(&[255, 128, 0]);
        let planes = Crop::new(rgb).normalise();
        let plane = CROP_SIDE * CROP_SIDE;
        let expected = [(1.0 - 0.485) / 0.229, (128.0 / 255.0 - 0.456) / 0.224, -0.406 / 0.225];
        for (channel, expected) in expected.into_iter().enumerate() {
            assert!((f64::from(planes[channel * plane]) - expected).abs() < 1e-6);
        }
        assert_eq!(planes.len(), 3 * plane);
    }

    #[test]
    fn what_is_no_image_says_so() {
        assert!(matches!(Photo::decode(b""), Err(ImageError::NotAnImage(_))));
        assert!(matches!(Photo::decode(b"hello, world"), Err(ImageError::NotAnImage(_))));
        let large = vec![0xFF; MAX_FILE_BYTES + 1];
        assert!(matches!(Photo::decode(&large), Err(ImageError::TooLarge(_))));
    }
}
