//! An activation as it came. The first byte says how it is to be read, the rest is the body. What can be read
//! survives being sent on in every format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use splitscale_serving::wire::format::{Compression, Container, Format, Packed, pack, unpack};
use splitscale_spec::Encoding;

fuzz_target!(|data: &[u8]| {
    let Some((&[how], body)) = data.split_first_chunk::<1>() else { return };
    let compression = Compression::ALL[usize::from(how >> 1) % 3];
    let container = if how & 1 == 0 { Container::Safetensors } else { Container::Raw };
    let came = Packed { container, compression, body: body.to_vec().into() };
    // As bare values, a row of as many as there may be.
    let Ok(activation) = unpack(&came, &[body.len() / 4]) else { return };
    let finite = activation.is_finite();
    assert_eq!(finite, activation.values().all(f32::is_finite));
    for encoding in [Encoding::F32, Encoding::Bf16, Encoding::U8] {
        let Ok(sent) = pack(&activation, Format { encoding, container: Container::Safetensors, compression })
        else {
            // Of what spans more than a float32 can say, the eighth part of a byte says nothing.
            let (least, most) =
                activation.values().fold((0f32, 0f32), |(least, most), v| (least.min(v), most.max(v)));
            assert!(encoding == Encoding::U8 && !(finite && (most - least).is_finite()));
            continue;
        };
        let back = unpack(&sent, &[]).expect("we read what we write");
        assert_eq!(back.shape(), activation.shape());
        if encoding == Encoding::F32 {
            assert_eq!(back.data(), activation.data());
        }
        assert_eq!(back.values().any(f32::is_nan), activation.values().any(f32::is_nan), "{encoding:?}");
    }
});
