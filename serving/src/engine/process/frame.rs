//! What a server and the process of a pod say to each other.
//!
//! ```text
//! frame   = "spl" version | bytes of the header u32 | bytes of the payload u32 | header (JSON) | payload
//!
//! server:           Image | Tensor | Tail                  its end closed: the process ends
//! process:  Ready   Head  | Head   | Tail,  or Failed, or Panicked and the end
//! ```
//!
//! A payload is float32 as it lies in memory, or an image file. Lengths are little endian, and bounded before
//! anything is kept for them.

use std::io::{BufRead, ErrorKind, IoSlice, Read, Write};

use axum::body::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::{About, EngineError};
use crate::wire::format::UNPACKED_BYTES_MAX;

/// How a frame begins. Both ends are one program, unless its file was replaced while the server ran: whoever
/// changes what is said raises the number.
const MAGIC: [u8; 4] = *b"spl\x01";
/// Largest header \[bytes\].
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Largest payload \[bytes\].
const PAYLOAD_BYTES_MAX: usize = UNPACKED_BYTES_MAX;

/// What a server asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    /// A's half, on the image file that follows.
    Image,
    /// A's half, on the network's input, whose values follow.
    Tensor { shape: Vec<usize> },
    /// B's half, on the activation whose values follow.
    Tail { shape: Vec<usize> },
}

/// What a process says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pub(super) what: What,
    /// CPU time that it took for this \[s\].
    pub(super) cpu_s: f64,
}

/// What a process may have to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum What {
    /// First of all: what it computes.
    Ready { about: About },
    /// The activation's values follow.
    Head { shape: Vec<usize>, decode_s: f64, forward_s: f64 },
    /// The logit follows.
    Tail { class_id: u32, class_name: String, forward_s: f64 },
    /// No answer; in place of `Ready`, no engine.
    Failed { error: EngineError },
    /// Its last words.
    Panicked { error: EngineError },
}

/// What is wrong with a frame, or with what carries it.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Larger than anything that is said.
    #[error("a {part} of {bytes} bytes; {most} are the most")]
    TooLarge {
        /// Header or payload.
        part: &'static str,
        /// What it has.
        bytes: usize,
        /// What it may have.
        most: usize,
    },
    /// The other end was closed before the frame was through.
    #[error("a frame broke off")]
    BrokeOff,
    /// Nothing that a program of this version says.
    #[error("not a frame of this version: {0}")]
    Garbage(String),
    /// The socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Sends a frame whole, or where it is too large nothing of it.
pub(super) fn write<T: Serialize>(mut to: impl Write, header: &T, payload: &[u8]) -> Result<(), FrameError> {
    let header = serde_json::to_vec(header).map_err(|error| FrameError::Garbage(error.to_string()))?;
    let [header_bytes, payload_bytes] =
        lengths(header.len(), payload.len())?.map(|n| (n as u32).to_le_bytes());
    let head = [&MAGIC[..], &header_bytes, &payload_bytes, &header].concat();
    // In one call, so that the other end wakes once.
    let mut parts = &mut [IoSlice::new(&head), IoSlice::new(payload)][..];
    while !parts.is_empty() {
        match to.write_vectored(parts) {
            Ok(0) => return Err(std::io::Error::from(ErrorKind::WriteZero).into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(broke_off(error)),
        }
    }
    Ok(())
}

/// The next frame; none where the other end was closed after the one before.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<Option<(T, Bytes)>, FrameError> {
    loop {
        match from.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It did not read all that was sent.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let magic = word(from)?;
    if magic != MAGIC {
        return Err(FrameError::Garbage(format!("it begins with {:?}", magic.escape_ascii().to_string())));
    }
    let mut length = || word(from).map(|word| u32::from_le_bytes(word) as usize);
    let [header, payload] = lengths(length()?, length()?)?;
    let header = exactly(from, header)?;
    let header = serde_json::from_slice(&header).map_err(|error| FrameError::Garbage(error.to_string()))?;
    Ok(Some((header, exactly(from, payload)?.into())))
}

/// Both lengths, where nothing speaks against them.
fn lengths(header: usize, payload: usize) -> Result<[usize; 2], FrameError> {
    for (part, bytes, most) in [("header", header, HEADER_BYTES_MAX), ("payload", payload, PAYLOAD_BYTES_MAX)]
    {
        if bytes > most {
            return Err(FrameError::TooLarge { part, bytes, most });
        }
    }
    Ok([header, payload])
}

fn word(from: &mut impl Read) -> Result<[u8; 4], FrameError> {
    let mut word = [0; 4];
    from.read_exact(&mut word).map_err(broke_off)?;
    Ok(word)
}

fn exactly(from: &mut impl Read, bytes: usize) -> Result<Vec<u8>, FrameError> {
    let mut read = vec![0; bytes];
    from.read_exact(&mut read).map_err(broke_off)?;
    Ok(read)
}

fn broke_off(error: std::io::Error) -> FrameError {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => FrameError::BrokeOff,
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail() -> Ask {
        Ask::Tail { shape: vec![2, 3] }
    }

    fn sent(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &tail(), payload).unwrap();
        bytes
    }

    fn heard(mut bytes: &[u8]) -> Result<Option<(Ask, Bytes)>, FrameError> {
        read(&mut bytes)
    }

    #[test]
    fn frames_follow_each_other_and_end_between_two() {
        let bytes = [sent(&[1, 2, 3]), sent(&[])].concat();
        let mut from = &bytes[..];
        for payload in [&[1, 2, 3][..], &[]] {
            let (ask, read): (Ask, Bytes) = read(&mut from).unwrap().expect("a frame");
            assert_eq!((ask, &read[..]), (tail(), payload));
        }
        assert!(heard(from).unwrap().is_none());
    }

    #[test]
    fn a_writer_that_takes_a_byte_at_a_time_gets_all_of_them() {
        struct Slow(Vec<u8>);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.extend(bytes.first());
                Ok(bytes.len().min(1))
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut slow = Slow(Vec::new());
        write(&mut slow, &tail(), &[7; 100]).unwrap();
        assert_eq!(slow.0, sent(&[7; 100]));
    }

    #[test]
    fn a_frame_that_breaks_off_anywhere_is_told_so() {
        let bytes = sent(&[1, 2, 3]);
        for end in 1..bytes.len() {
            let error = heard(&bytes[..end]).expect_err("a part");
            assert!(matches!(error, FrameError::BrokeOff), "{end}: {error}");
        }
    }

    #[test]
    fn lengths_beyond_the_bounds_are_refused_before_anything_is_read() {
        for (header, payload, part) in [
            (u32::MAX, 0, "header"),
            (HEADER_BYTES_MAX as u32 + 1, 0, "header"),
            (2, u32::MAX, "payload"),
            (2, PAYLOAD_BYTES_MAX as u32 + 1, "payload"),
        ] {
            let bytes = [&MAGIC[..], &header.to_le_bytes(), &payload.to_le_bytes()].concat();
            let error = heard(&bytes).expect_err("too large").to_string();
            assert!(error.starts_with(&format!("a {part} of")), "{error}");
        }
        let mut nothing = Vec::new();
        let wide = Ask::Tail { shape: vec![1; HEADER_BYTES_MAX] };
        let error = write(&mut nothing, &wide, &[]).expect_err("too large");
        assert!(matches!(error, FrameError::TooLarge { part: "header", .. }), "{error}");
        let error = write(&mut nothing, &tail(), &vec![0; PAYLOAD_BYTES_MAX + 1]).expect_err("too large");
        assert!(matches!(error, FrameError::TooLarge { part: "payload", .. }), "{error}");
        assert!(nothing.is_empty(), "nothing of it was sent");
    }

    #[test]
    fn garbage_is_told_from_frames() {
        let framed = |header: &[u8]| {
            [&MAGIC[..], &(header.len() as u32).to_le_bytes(), &0_u32.to_le_bytes(), header].concat()
        };
        for bytes in [
            b"what a module printed".to_vec(),
            b"four".to_vec(),
            [b"spl\x02", &sent(&[])[4..]].concat(),
            framed(b"{"),
            framed(b"\"tail\""),
            framed(b"{\"tail\":{\"shape\":[-1]}}"),
            framed(b"{\"tail\":{\"shape\":[1],\"more\":1}}"),
            framed(&[0xff; 9]),
        ] {
            let error = heard(&bytes).expect_err("garbage");
            assert!(matches!(error, FrameError::Garbage(_)), "{error}");
        }
    }
}
