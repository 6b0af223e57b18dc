//! Which servers of a station take requests, and which of them are at work.

/// Servers by number. One that is not ready takes nobody new and may finish what it has.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    /// Those numbered below 64, which is most often all of them, at hand.
    first: Word,
    rest: Vec<Word>,
    ready: u32,
}

/// 64 servers, one bit each.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    ready: u64,
    taken: u64,
}

impl Servers {
    /// The first `count` are ready.
    pub(crate) fn new(count: u32) -> Self {
        let mut servers = Servers { first: Word::default(), rest: Vec::new(), ready: 0 };
        servers.resize(count);
        servers
    }

    /// How many are ready.
    pub(crate) fn ready(&self) -> u32 {
        self.ready
    }

    #[inline]
    pub(crate) fn is_ready(&self, server: u32) -> bool {
        self.word(server).is_some_and(|word| (word.ready >> (server % 64)) & 1 == 1)
    }

    pub(crate) fn is_taken(&self, server: u32) -> bool {
        self.word(server).is_some_and(|word| (word.taken >> (server % 64)) & 1 == 1)
    }

    /// Takes the lowest-numbered that is ready and free.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(server) = self.first.take() {
            return Some(server);
        }
        if self.rest.is_empty() { None } else { self.take_of_rest() }
    }

    #[inline(never)]
    fn take_of_rest(&mut self) -> Option<u32> {
        (1u32..).zip(&mut self.rest).find_map(|(index, word)| Some(index * 64 + word.take()?))
    }

    /// The lowest-numbered below 64 that is ready and free.
    #[inline(always)]
    pub(crate) fn next_free(&self) -> Option<u32> {
        let free = self.first.ready & !self.first.taken;
        (free != 0).then(|| free.trailing_zeros())
    }

    /// Takes this one.
    pub(crate) fn take_one(&mut self, server: u32) {
        self.word_mut(server).taken |= 1 << (server % 64);
    }

    #[inline]
    pub(crate) fn free(&mut self, server: u32) {
        self.word_mut(server).taken &= !(1 << (server % 64));
    }

    pub(crate) fn set_ready(&mut self, server: u32, ready: bool) {
        let (word, bit) = (&mut self.word_mut(server).ready, 1 << (server % 64));
        *word = if ready { *word | bit } else { *word & !bit };
        self.ready = self.words().map(|word| word.ready.count_ones()).sum();
    }

    /// Makes the first `count` ready and no other.
    pub(crate) fn resize(&mut self, count: u32) {
        if count > 64 {
            self.word_mut(count - 1);
        }
        for (index, word) in (0u32..).zip(std::iter::once(&mut self.first).chain(&mut self.rest)) {
            let bits = count.saturating_sub(index * 64);
            word.ready = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
        }
        self.ready = count;
    }

    /// The ready ones, by number.
    pub(crate) fn iter_ready(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(self.words()).flat_map(|(index, word)| {
            let mut left = word.ready;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
    }

    fn words(&self) -> impl Iterator<Item = &Word> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    #[inline(always)]
    fn word(&self, server: u32) -> Option<&Word> {
        if server < 64 { Some(&self.first) } else { self.rest.get(server as usize / 64 - 1) }
    }

    #[inline(always)]
    fn word_mut(&mut self, server: u32) -> &mut Word {
        if server < 64 {
            return &mut self.first;
        }
        let index = server as usize / 64 - 1;
        if index >= self.rest.len() {
            self.rest.resize(index + 1, Word::default());
        }
        &mut self.rest[index]
    }
}

impl Word {
    #[inline(always)]
    fn take(&mut self) -> Option<u32> {
        let free = self.ready & !self.taken;
        self.taken |= free & free.wrapping_neg();
        (free != 0).then(|| free.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_server_takes_the_next() {
        let mut servers = Servers::new(130);
        assert!((0..130).all(|n| servers.take() == Some(n)));
        assert_eq!(servers.take(), None);
        servers.free(70);
        servers.free(128);
        assert_eq!((servers.take(), servers.take(), servers.take()), (Some(70), Some(128), None));
    }

    #[test]
    fn those_not_ready_take_nobody_and_may_finish() {
        let mut servers = Servers::new(3);
        (0..3).for_each(|n| assert_eq!(servers.take(), Some(n)));
        servers.resize(1);
        servers.free(2);
        assert_eq!(servers.take(), None);
        servers.free(0);
        assert_eq!((servers.take(), servers.take()), (Some(0), None));
        servers.resize(3);
        assert_eq!((servers.take(), servers.take()), (Some(2), None));
        servers.set_ready(200, true);
        assert_eq!(servers.iter_ready().collect::<Vec<_>>(), [0, 1, 2, 200]);
        assert_eq!((servers.ready(), servers.take()), (4, Some(200)));
    }
}
