//! Which document was it: a short name made of its content.

use std::io::{Result, Write};

use serde::Serialize;

/// FNV-1a, 64 bit, of a document's compact JSON; 16 hexadecimal digits.
///
/// The JSON of a value has one form: fields in the order of the type, each number in its shortest digits. So
/// the hash follows the content and not the spaces, key order or file format it was read from. It tells
/// documents apart, but does not withstand an adversary. Constants: Fowler, Noll and Vo,
/// <http://www.isthe.com/chongo/tech/comp/fnv/>.
///
/// # Panics
/// If the document has a map whose keys are no strings; no document of splitscale has one.
pub fn document_hash(document: &impl Serialize) -> String {
    let mut hash = Fnv1a(0xcbf2_9ce4_8422_2325);
    serde_json::to_writer(&mut hash, document).expect("documents have string keys only");
    format!("{:016x}", hash.0)
}

struct Fnv1a(u64);

impl Write for Fnv1a {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fnv1a_of_the_json() {
        // Test vectors of the FNV reference code (Noll): "" and "foobar".
        let of = |text: &str| {
            let mut hash = Fnv1a(0xcbf2_9ce4_8422_2325);
            hash.write_all(text.as_bytes()).unwrap();
            hash.0
        };
        assert_eq!(of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of("foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(document_hash(&(1, "x")), format!("{:016x}", of("[1,\"x\"]")));
    }
}
