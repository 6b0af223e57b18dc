//! What a client sends to A: headers, as lines, then a form, of any kind and boundary.

#![no_main]

use libfuzzer_sys::fuzz_target;
use splitscale_fuzz::{Message, PIPELINE};

fuzz_target!(|data: &[u8]| {
    PIPELINE.post(&PIPELINE.a, "/predict", &Message::read(data));
});
