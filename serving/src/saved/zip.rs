//! Zip files as `torch.save` writes them: nothing compressed, nothing encrypted, one part.
//!
//! ```text
//! [local header, bytes]*  [central header]*  [zip64 end, its locator]  end
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

/// How a zip with an entry begins.
pub(super) const BEGIN: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
/// Length of the end, a comment left out, and of the locator.
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
/// What stands in a field of 32 bits when a field of 64 has the value.
const WIDE: usize = 0xffff_ffff;

/// Name of each entry, and where its bytes are.
pub(super) fn entries(file: &[u8]) -> Result<BTreeMap<&str, Range<usize>>, String> {
    let (count, mut at) = directory(file)?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        expect(file, at, CENTRAL)?;
        let [name_bytes, extra_bytes, comment_bytes] =
            [28, 30, 32].map(|field| number::<2>(file, at + field));
        let (name_bytes, extra_bytes) = (name_bytes?, extra_bytes?);
        let name =
            str::from_utf8(slice(file, at + 46, name_bytes)?).map_err(|_| "an entry without a name")?;
        if number::<2>(file, at + 10)? != 0 {
            return Err(format!("{name} is compressed; torch.save compresses nothing"));
        }
        let extra = slice(file, at + 46 + name_bytes, extra_bytes)?;
        let mut wide = wide_fields(extra);
        let mut field = |offset: usize| match number::<4>(file, at + offset)? {
            WIDE => wide.next().ok_or_else(|| format!("{name} has no size")),
            narrow => Ok(narrow),
        };
        // In this order they stand among the wide ones.
        let (bytes, _packed, local) = (field(24)?, field(20)?, field(42)?);
        expect(file, local, BEGIN)?;
        let head = 30 + number::<2>(file, local + 26)? + number::<2>(file, local + 28)?;
        let begin = local + head;
        slice(file, begin, bytes)?;
        entries.insert(name, begin..begin + bytes);
        at += 46 + name_bytes + extra_bytes + comment_bytes?;
    }
    Ok(entries)
}

/// How many central headers there are, and where they begin.
fn directory(file: &[u8]) -> Result<(usize, usize), String> {
    // A comment of at most 65535 bytes may follow.
    let from = file.len().saturating_sub(END_BYTES + 0xffff);
    let end = file[from..].windows(4).rposition(|window| window == END).map(|at| from + at);
    let end = end.ok_or("a zip that is cut short: it has no end")?;
    slice(file, end, END_BYTES + number::<2>(file, end + 20)?)?;
    if let Some(locator) = end.checked_sub(LOCATOR_BYTES).filter(|at| file[*at..].starts_with(&LOCATOR_64)) {
        let end = number::<8>(file, locator + 8)?;
        expect(file, end, END_64)?;
        return Ok((number::<8>(file, end + 32)?, number::<8>(file, end + 48)?));
    }
    Ok((number::<2>(file, end + 10)?, number::<4>(file, end + 16)?))
}

/// The numbers of the zip64 field of a central header; none where it has no such field.
fn wide_fields(mut extra: &[u8]) -> impl Iterator<Item = usize> {
    let mut wide: &[u8] = &[];
    while let Some(([a, b, c, d], rest)) = extra.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([*c, *d])).min(rest.len());
        let (field, rest) = rest.split_at(length);
        if u16::from_le_bytes([*a, *b]) == 1 {
            wide = field;
        }
        extra = rest;
    }
    wide.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize)
}

fn expect(file: &[u8], at: usize, signature: [u8; 4]) -> Result<(), String> {
    if slice(file, at, 4)? == signature { Ok(()) } else { Err("a zip whose directory is damaged".into()) }
}

/// A number of N bytes, little endian.
fn number<const N: usize>(file: &[u8], at: usize) -> Result<usize, String> {
    Ok(slice(file, at, N)?.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn slice(file: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    let slice = at.checked_add(length).and_then(|end| file.get(at..end));
    slice.ok_or_else(|| "a zip that points beyond its end".into())
}
