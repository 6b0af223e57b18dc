//! Bodies of activations in memory that is used again: what a fresh 0.8 MB costs is not the copy into it but its pages.
//!
//! A body has exactly the room it needs, so that a bound on the bytes that wait is a bound on memory.

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use tower_http::timeout::TimeoutError;

use crate::wire::{Failure, header};

/// Most bytes that are kept for later while no body needs them.
const SPARE_BYTES: usize = 32 << 20;
/// Most buffers that are kept; they are looked through one by one.
const SPARE_BUFFERS: usize = 64;

/// How long any body may take to come, however small it is.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// And how fast it must come beyond that \[bytes/s\]: half a megabit a second. One that trickles in keeps its
/// place, and its memory, from others.
const BODY_RATE_MIN: f64 = 65_536.0;
/// How long a body that nobody wants is listened to.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);

/// Takes bodies in; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bodies(Arc<Mutex<Spare>>);

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A body whose memory goes back when nobody reads it any more.
struct Held {
    buffer: Vec<u8>,
    home: Bodies,
}

/// The length that a head says its body has, 0 where it says none: more than `most` is refused before any of it
/// is read. Not the body's own hint, as a layer around it that bounds its time has none.
///
/// # Errors
/// 413.
pub(crate) fn announced(head: &HeaderMap, most: usize) -> Result<usize, Failure> {
    let said = said(head).unwrap_or(0);
    if said > most { Err(too_large(most)) } else { Ok(said) }
}

/// For how many bytes a body needs a place before it is here: as many as it says, as many as it may have where it
/// says nothing.
pub(crate) fn expected(head: &HeaderMap, most: usize) -> usize {
    said(head).map_or(most, |said| said.min(most))
}

fn said(head: &HeaderMap) -> Option<usize> {
    header(head, &CONTENT_LENGTH)?.parse().ok()
}

/// Reads a body of so many bytes whose head came at `began`: until the sender no longer waits, and for no longer
/// than so many bytes may take.
///
/// # Errors
/// As the reading; 504 past the deadline, 408 past the limit.
pub(crate) async fn in_time<T>(
    began: Instant,
    deadline: Option<Instant>,
    bytes: usize,
    reading: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let limit = BODY_LIMIT + Duration::from_secs_f64(bytes as f64 / BODY_RATE_MIN);
    let (end, late) = match deadline {
        Some(deadline) if deadline < began + limit => {
            let late = "the request's time was up before its body had come".to_owned();
            (deadline, Failure::new(StatusCode::GATEWAY_TIMEOUT, late))
        }
        _ => {
            let late = format!("the body had not come after {:.0} s; send it faster", limit.as_secs_f64());
            (began + limit, Failure::new(StatusCode::REQUEST_TIMEOUT, late))
        }
    };
    tokio::time::timeout_at(end.into(), reading).await.unwrap_or(Err(late))
}

/// The failure, once the body of what it turns away has come: none of it is kept, but a sender whose connection is
/// closed while it still sends may never read the answer.
pub(crate) async fn turned_away(failure: Failure, head: &HeaderMap, body: Body, most: usize) -> Failure {
    // One that asks before it sends, or would send too much, is told at once.
    if !head.contains_key(EXPECT) && announced(head, most).is_ok() {
        let (mut chunks, mut bytes) = (body.into_data_stream(), 0);
        let listening = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                bytes += chunk.len();
                if bytes > most {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_LIMIT, listening).await;
    }
    failure
}

/// Why a body came to no end: it stood still, or its sender left.
pub(crate) fn broke_off(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if cause.is::<TimeoutError>() {
        return Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body stood still for too long; send it faster",
        );
    }
    Failure::bad(format!("the body broke off: {cause}"))
}

fn too_large(most: usize) -> Failure {
    let problem = format!("the body is too large; {most} bytes are the most");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, problem)
}

// === impl Bodies ===

impl Bodies {
    /// Takes a whole body in, of the length that its head says; one that says none grows as it comes.
    ///
    /// # Errors
    /// 413 for more than `most` bytes, 408 for one that stands still, 400 for one that breaks off.
    pub(crate) async fn collect(&self, head: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Failure> {
        let said = announced(head, most)?;
        let mut held = Held { buffer: self.take(said), home: self.clone() };
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| broke_off(&e))?;
            if held.buffer.len() + chunk.len() > most {
                return Err(too_large(most));
            }
            held.buffer.extend_from_slice(&chunk);
        }
        Ok(Bytes::from_owner(held))
    }

    /// Room for so many bytes, and not for many more.
    fn take(&self, bytes: usize) -> Vec<u8> {
        let fits = |buffer: &Vec<u8>| (bytes..=bytes + bytes / 4).contains(&buffer.capacity());
        let mut spare = self.lock();
        match spare.buffers.iter().rposition(fits) {
            Some(at) => {
                let buffer = spare.buffers.swap_remove(at);
                spare.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(bytes),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spare> {
        // No code under the lock leaves the state half changed when it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut spare = self.home.lock();
        spare.bytes += buffer.capacity();
        spare.buffers.push(buffer);
        // The oldest go: sizes that nobody sends any more.
        let mut gone = 0;
        while spare.bytes > SPARE_BYTES || spare.buffers.len() - gone > SPARE_BUFFERS {
            spare.bytes -= spare.buffers[gone].capacity();
            gone += 1;
        }
        spare.buffers.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Takes in a body that says its length.
    async fn collect(bodies: &Bodies, body: Vec<u8>, most: usize) -> Result<Bytes, Failure> {
        let head = HeaderMap::from_iter([(CONTENT_LENGTH, body.len().into())]);
        bodies.collect(&head, body.into(), most).await
    }

    /// Takes in one that does not, in parts.
    async fn stream(bodies: &Bodies, parts: [&'static str; 2], most: usize) -> Result<Bytes, Failure> {
        let parts = futures_util::stream::iter(parts.map(Ok::<_, std::convert::Infallible>));
        bodies.collect(&HeaderMap::new(), Body::from_stream(parts), most).await
    }

    #[tokio::test]
    async fn bodies_are_bounded_and_their_memory_is_used_again() {
        let bodies = Bodies::default();
        let first = collect(&bodies, vec![7; 1000], 1000).await.unwrap();
        assert_eq!((first.len(), first[999]), (1000, 7));
        let (at, other) = (first.as_ptr(), first.clone());
        drop(first);
        let beside = collect(&bodies, vec![8; 1000], 1000).await.unwrap();
        assert_ne!(beside.as_ptr(), at, "a clone still reads it");
        drop(other);
        let again = collect(&bodies, vec![9; 900], 1000).await.unwrap();
        assert_eq!((again.as_ptr(), again.len(), again[0]), (at, 900, 9));
        assert_eq!(stream(&bodies, ["ab", "c"], 3).await.unwrap(), "abc");
        assert_eq!(stream(&bodies, ["ab", "cd"], 3).await.unwrap_err().status, 413);
        assert_eq!(collect(&bodies, vec![0; 4], 3).await.unwrap_err().status, 413);
        assert!(bodies.lock().bytes <= SPARE_BYTES);
    }

    #[tokio::test]
    async fn a_body_comes_in_time_or_is_given_up() {
        let now = Instant::now();
        let never = std::future::pending::<Result<(), Failure>>;
        let began = now.checked_sub(BODY_LIMIT).unwrap();
        assert_eq!(in_time(began, None, 0, never()).await.unwrap_err().status, 408);
        assert_eq!(in_time(now, Some(now), 0, never()).await.unwrap_err().status, 504);
        // A later deadline is no excuse, and a larger body is one.
        assert_eq!(in_time(began, Some(now + BODY_LIMIT), 0, never()).await.unwrap_err().status, 408);
        assert!(in_time(began, None, 10 << 20, never()).now_or_never().is_none());
        assert!(in_time(began, None, 0, async { Ok(()) }).await.is_ok(), "it is here all the same");
    }

    #[tokio::test]
    async fn a_body_that_stands_still_or_breaks_off_is_told_so() {
        let told = async |body: Body| {
            let said = Bodies::default().collect(&HeaderMap::new(), body, 10).await.unwrap_err();
            (said.status.as_u16(), said.error)
        };
        let still = futures_util::stream::pending::<Result<Bytes, std::convert::Infallible>>();
        let still = tower_http::timeout::TimeoutBody::new(Duration::from_millis(1), Body::from_stream(still));
        let (status, error) = told(Body::new(still)).await;
        assert_eq!(status, 408, "{error}");
        let left = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
        assert_eq!(told(Body::from_stream(left)).await, (400, "the body broke off: gone".into()));
    }

    #[tokio::test]
    async fn what_is_turned_away_is_heard_out_unless_it_is_too_much() {
        let left = |head: HeaderMap, most| async move {
            let (read, mut heard) = tokio::sync::mpsc::unbounded_channel();
            let parts = futures_util::stream::iter(0..4).map(move |part| {
                read.send(part).unwrap();
                Ok::<_, std::convert::Infallible>("12345")
            });
            let full = Failure::full("full", 1.0);
            assert_eq!(turned_away(full.clone(), &head, Body::from_stream(parts), most).await, full);
            std::iter::from_fn(|| heard.try_recv().ok()).count()
        };
        assert_eq!(left(HeaderMap::new(), 20).await, 4);
        assert_eq!(left(HeaderMap::new(), 9).await, 2);
        assert_eq!(left(HeaderMap::from_iter([(CONTENT_LENGTH, 20.into())]), 19).await, 0);
        let asks = [(EXPECT, axum::http::HeaderValue::from_static("100-continue"))];
        assert_eq!(left(HeaderMap::from_iter(asks), 20).await, 0);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_the_bound() {
        let bodies = Bodies::default();
        let size = SPARE_BYTES / 4;
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(collect(&bodies, vec![1; size], size).await.unwrap());
        }
        drop(held);
        let kept = |spare: MutexGuard<'_, Spare>| (spare.buffers.len(), spare.bytes);
        assert_eq!(kept(bodies.lock()), (4, SPARE_BYTES));
        let mut held = Vec::new();
        for _ in 0..SPARE_BUFFERS + 6 {
            held.push(collect(&bodies, vec![1; 5], size).await.unwrap());
        }
        drop(held);
        assert_eq!(bodies.lock().buffers.len(), SPARE_BUFFERS);
    }
}
