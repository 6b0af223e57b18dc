//! What may be out of order: how much work of earlier requests can be left when a request begins at a station.
//!
//! Servers of a station take requests in the order in which they come, and requests leave in another order only by being
//! shorter. For a request i that begins at a station of at most N busy servers, and an earlier one j that is still with one:
//!
//! ```text
//! progress of j >= ( work of those between j and i, all begun since j began, less what of it may be unfinished ) / (N - 1)
//! left of j     <= demand of j - progress of j
//! i passes j at this station  only if  left of j > demand of i
//! ```
//!
//! Those between that may not have begun in between are left out of the sum: whom i passed at stations before, and who passed
//! j there.

#[derive(Clone)]
/// Who may have passed whom at the stations before.
pub(super) struct Order {
    /// By request, the earlier ones that it may have passed.
    passed: Vec<Vec<u32>>,
    /// How many a request can have passed and not seen again, at most.
    room: usize,
}

/// By request and number of others in service, the most work of earlier requests that can be left \[ns\].
pub(super) struct Slack {
    most: usize,
    left_ns: Vec<f64>,
}

/// The largest of some numbers.
struct Top {
    sorted: Vec<f64>,
    sum: f64,
    room: usize,
}

impl Order {
    /// Nobody has passed anybody.
    pub(super) fn new(requests: usize) -> Self {
        Order { passed: vec![Vec::new(); requests], room: 0 }
    }

    /// Sends all through a station where at most `servers` are busy at once; what is left there when each begins, and the
    /// order after it.
    pub(super) fn through(&mut self, demands_ns: &[f64], servers: usize) -> Slack {
        let most = servers;
        let mut left_ns = Vec::with_capacity(demands_ns.len() * (most + 1));
        let longest = demands_ns.iter().copied().fold(0.0, f64::max);
        // Work of those that may have passed each.
        let mut ahead = vec![0.0; demands_ns.len()];
        for (by, passed) in demands_ns.iter().zip(&self.passed) {
            passed.iter().for_each(|&j| ahead[j as usize] += by);
        }
        let most_ahead = ahead.iter().copied().fold(0.0, f64::max);
        let others = servers.saturating_sub(1) as f64;
        let (mut passes, mut left) = (Vec::new(), Vec::new());
        for (i, &demand) in demands_ns.iter().enumerate() {
            let mut behind = Top::new(self.room);
            self.passed[i].iter().for_each(|&j| behind.add(demands_ns[j as usize]));
            let mut unfinished = Top::new(servers.saturating_sub(2));
            let mut between = 0.0;
            left.clear();
            // With one server nobody else is in service.
            for j in (0..if servers > 1 { i } else { 0 }).rev() {
                let done = |ahead: f64| (between - behind.sum - ahead - unfinished.sum).max(0.0) / others;
                let rest = demands_ns[j] - done(ahead[j]);
                if rest > 0.0 {
                    left.push(rest);
                }
                if rest > demand {
                    passes.push((i, j as u32));
                }
                if done(most_ahead) >= longest {
                    break;
                }
                between += demands_ns[j];
                unfinished.add(demands_ns[j]);
            }
            left.sort_unstable_by(|x, y| y.total_cmp(x));
            let mut sum = behind.sum;
            left_ns.push(sum);
            for n in 0..most {
                sum += left.get(n).copied().unwrap_or(0.0);
                left_ns.push(sum);
            }
        }
        for (i, j) in passes {
            if !self.passed[i].contains(&j) {
                self.passed[i].push(j);
            }
        }
        self.room += servers.saturating_sub(1);
        Slack { most, left_ns }
    }
}

impl Slack {
    /// Nothing is left of earlier requests.
    pub(super) fn nothing(requests: usize) -> Self {
        Slack { most: 0, left_ns: vec![0.0; requests] }
    }

    /// With `others` in service.
    pub(super) fn of(&self, request: usize, others: usize) -> f64 {
        self.left_ns[request * (self.most + 1) + others.min(self.most)]
    }
}

impl Top {
    fn new(room: usize) -> Self {
        Top { sorted: Vec::with_capacity(room), sum: 0.0, room }
    }

    fn add(&mut self, value: f64) {
        if self.sorted.len() == self.room {
            match self.sorted.last() {
                Some(&least) if least < value => self.sum -= self.sorted.pop().unwrap_or(0.0),
                _ => return,
            }
        }
        let at = self.sorted.partition_point(|&other| other >= value);
        self.sorted.insert(at, value);
        self.sum += value;
    }
}
