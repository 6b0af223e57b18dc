//! Which servers of a station take requests, and which of them are at work.

/// Servers by number. One that is not ready takes nobody new and may finish what it has.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    words: Vec<Word>,
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
        let mut servers = Servers { words: vec![Word::default()], ready: 0 };
        servers.resize(count);
        servers
    }

    /// How many are ready.
    pub(crate) fn ready(&self) -> u32 {
        self.ready
    }

    pub(crate) fn is_ready(&self, server: u32) -> bool {
        self.words[server as usize / 64].ready >> (server % 64) & 1 == 1
    }

    pub(crate) fn is_taken(&self, server: u32) -> bool {
        self.words[server as usize / 64].taken >> (server % 64) & 1 == 1
    }

    /// Takes the lowest-numbered that is ready and free.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u32> {
        for (index, word) in self.words.iter_mut().enumerate() {
            let free = word.ready & !word.taken;
            if free != 0 {
                word.taken |= free & free.wrapping_neg();
                return Some(index as u32 * 64 + free.trailing_zeros());
            }
        }
        None
    }

    /// Takes this one.
    pub(crate) fn take_one(&mut self, server: u32) {
        self.words[server as usize / 64].taken |= 1 << (server % 64);
    }

    #[inline]
    pub(crate) fn free(&mut self, server: u32) {
        self.words[server as usize / 64].taken &= !(1 << (server % 64));
    }

    pub(crate) fn set_ready(&mut self, server: u32, ready: bool) {
        let index = server as usize / 64;
        if index >= self.words.len() {
            self.words.resize(index + 1, Word::default());
        }
        let (word, bit) = (&mut self.words[index].ready, 1 << (server % 64));
        *word = if ready { *word | bit } else { *word & !bit };
        self.ready = self.words.iter().map(|word| word.ready.count_ones()).sum();
    }

    /// Makes the first `count` ready and no other.
    pub(crate) fn resize(&mut self, count: u32) {
        let words = (count as usize).div_ceil(64).max(self.words.len());
        self.words.resize(words, Word::default());
        for (index, word) in self.words.iter_mut().enumerate() {
            let bits = count.saturating_sub(index as u32 * 64);
            word.ready = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
        }
        self.ready = count;
    }

    /// The ready ones, by number.
    pub(crate) fn iter_ready(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.words).flat_map(|(index, word)| {
            let mut left = word.ready;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
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
