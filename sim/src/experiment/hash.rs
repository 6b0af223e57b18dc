//! A short name made of content.

/// FNV-1a, 64 bit. Constants: Fowler, Noll and Vo, <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub(super) struct Fnv1a(u64);

impl Fnv1a {
    pub(super) fn new() -> Self {
        Fnv1a(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a text and its end, so that two texts are not taken for one.
    pub(super) fn text(&mut self, text: &str) {
        // No text in UTF-8 has this byte.
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// In 16 hexadecimal digits.
    pub(super) fn value(&self) -> String {
        format!("{:016x}", self.0)
    }
}
