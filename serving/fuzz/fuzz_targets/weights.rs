//! A file as torch.save writes it, zip or legacy. Every tensor that is found can be taken out, whole.

#![no_main]

use libfuzzer_sys::fuzz_target;
use splitscale_serving::saved::{Saved, Stored};

fuzz_target!(|data: &[u8]| {
    match Saved::read(data) {
        Ok(Saved::Tensor(stored)) => whole(&stored, data),
        Ok(Saved::Tensors(all)) => all.values().for_each(|stored| whole(stored, data)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn whole(stored: &Stored, file: &[u8]) {
    if let Ok(values) = stored.values(file) {
        assert_eq!(values.len(), stored.shape.iter().product::<usize>());
    }
}
