//! An image file. Both decoders of JPEG say the same of its size, and every photo becomes an input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use splitscale_serving::image::{CROP_SIDE, Decoder, MAX_PIXELS, Photo};

fuzz_target!(|data: &[u8]| {
    let photos = [Decoder::Rust, Decoder::best()].map(|decoder| Photo::decode_by(decoder, data));
    if let [Ok(one), Ok(other)] = &photos {
        assert_eq!(one.size(), other.size());
    }
    for photo in &photos {
        match photo {
            Ok(photo) => {
                let (width, height) = photo.size();
                assert!(width as u64 * height as u64 <= MAX_PIXELS);
                let input = photo.crop().normalise();
                assert_eq!(input.len(), 3 * CROP_SIDE * CROP_SIDE);
                assert!(input.iter().all(|value| (-3.0..3.0).contains(value)));
            }
            Err(error) => assert!([400, 413, 415, 422].contains(&error.status()), "{error}"),
        }
    }
});
