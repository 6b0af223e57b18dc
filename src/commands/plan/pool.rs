//! The same work for many numbers, on all threads.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

/// Who works, and until when.
#[derive(Clone, Copy)]
pub struct Pool<'a> {
    /// Threads.
    pub threads: usize,
    /// Asked now and then.
    pub go_on: &'a (dyn Fn() -> bool + Sync),
}

impl Pool<'_> {
    /// `work` of each number, in their order whatever the threads; absent where it was stopped. `work` gives nothing where it
    /// was stopped itself.
    ///
    /// # Errors
    /// That of the lowest number.
    pub fn each<T: Send>(
        &self,
        numbers: Range<u64>,
        work: impl Fn(u64) -> Result<Option<T>> + Sync,
    ) -> Result<Option<Vec<T>>> {
        let count = numbers.end.saturating_sub(numbers.start) as usize;
        let next = AtomicU64::new(numbers.start);
        let results: Mutex<Vec<(u64, Result<Option<T>>)>> = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, count.max(1)) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= numbers.end || !(self.go_on)() {
                            return;
                        }
                        let result = work(number);
                        if let Ok(mut results) = results.lock() {
                            results.push((number, result));
                        }
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_default();
        results.sort_by_key(|(number, _)| *number);
        let done = results.into_iter().map(|(_, result)| result).collect::<Result<Option<Vec<T>>>>()?;
        Ok(done.filter(|done| done.len() == count))
    }
}
