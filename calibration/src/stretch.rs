//! How much the pieces of work under way at one time slow each other.
//!
//! With n pieces under way and room for c, each moves at min(1, c / n) of its speed alone (processor sharing). What a
//! piece would have taken alone is then the integral of that speed from its begin to its end. With the right c these
//! times no longer depend on how many others there were: c is where their logarithms scatter least. Its interval is the
//! bootstrap's, over blocks of twenty pieces in a row of one run, because neighbours met the same others (Künsch, *The
//! jackknife and the bootstrap for general stationary observations*, The Annals of Statistics 17(3), 1989).

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use splitscale_spec::Interval;

/// Values of c that are tried, from 1 to the most pieces under way.
const GRID: usize = 97;
/// Pieces in a block.
const BLOCK: usize = 20;
/// Fewest blocks that an interval is made of.
const BLOCKS_MIN: usize = 8;
const RESAMPLES: usize = 999;
/// A slowdown by less is none.
const SLOWDOWN_MIN: f64 = 1.02;

/// A piece of work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) run_id: u32,
    /// When it began and ended, on the clock of its run \[s\].
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// How long it took, without the rounding of two instants' difference \[s\].
    pub(crate) took_s: f64,
}

/// What the pieces say.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// Pieces that move at full speed at once; absent where none was seen to slow another.
    pub(crate) room: Option<Interval>,
    /// What each would have taken alone, in the order of the pieces \[s\].
    pub(crate) alone_s: Vec<f64>,
    /// The same had there been room for one.
    pub(crate) one_at_a_time_s: Vec<f64>,
}

/// Finds the room that the pieces of one place share.
pub(crate) fn stretch(pieces: &[Piece], seed: u64) -> Stretch {
    let runs = Run::of(pieces);
    let as_measured: Vec<f64> = pieces.iter().map(|piece| piece.took_s).collect();
    let nothing =
        || Stretch { room: None, alone_s: as_measured.clone(), one_at_a_time_s: as_measured.clone() };
    let most = runs.iter().map(Run::most).max().unwrap_or(0) as f64;
    let blocks: Vec<&[usize]> = runs.iter().flat_map(|run| run.pieces.chunks(BLOCK)).collect();
    let positive = pieces.iter().all(|piece| piece.to_s > piece.from_s);
    if most < 2.0 || blocks.len() < BLOCKS_MIN || !positive {
        return nothing();
    }
    let grid: Vec<f64> = (0..GRID).map(|i| most.powf(i as f64 / (GRID - 1) as f64)).collect();
    let alone: Vec<Vec<f64>> = grid.iter().map(|&room| alone_s(pieces.len(), &runs, room)).collect();
    // Of each block under each room: how many, and the first two powers of their logarithms.
    let moments = |block: &&[usize]| -> Vec<[f64; 3]> {
        let of = |alone: &Vec<f64>| {
            block.iter().fold([0.0; 3], |[n, first, second], &piece| {
                let log = alone[piece].ln();
                [n + 1.0, first + log, second + log * log]
            })
        };
        alone.iter().map(of).collect()
    };
    let moments: Vec<Vec<[f64; 3]>> = blocks.iter().map(moments).collect();
    let best = |chosen: &mut dyn Iterator<Item = usize>| {
        let mut sums = [[0.0; 3]; GRID];
        for block in chosen {
            for (sum, add) in sums.iter_mut().zip(&moments[block]) {
                sum.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
            }
        }
        let variance = |[n, first, second]: [f64; 3]| second / n - (first / n).powi(2);
        // Of equals the largest: no slowdown is claimed that does not show.
        let least = |best: usize, i: usize| if variance(sums[i]) < variance(sums[best]) { i } else { best };
        (0..GRID).rev().reduce(least).unwrap_or(GRID - 1)
    };
    let found = best(&mut (0..blocks.len()));
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut resampled: Vec<usize> = (0..RESAMPLES)
        .map(|_| best(&mut (0..blocks.len()).map(|_| (chance.next_u64() % blocks.len() as u64) as usize)))
        .collect();
    resampled.sort_unstable();
    let end = |part: f64| grid[resampled[(part * (RESAMPLES - 1) as f64).round() as usize]];
    let room = Interval { value: grid[found], low: end(0.025), high: end(0.975) };
    // As the upper end has it, of the twentieth that was slowed the most.
    let mut slowdown: Vec<f64> = pieces
        .iter()
        .zip(alone_s(pieces.len(), &runs, room.high))
        .map(|(p, alone)| (p.to_s - p.from_s) / alone)
        .collect();
    slowdown.sort_by(f64::total_cmp);
    if slowdown[slowdown.len() * 19 / 20] < SLOWDOWN_MIN {
        return nothing();
    }
    Stretch { room: Some(room), alone_s: alone[found].clone(), one_at_a_time_s: alone[0].clone() }
}

/// The pieces of one run on their common clock.
struct Run {
    /// By their begin.
    pieces: Vec<usize>,
    /// Every begin and end, rising, and the pieces under way from there on \[s\].
    steps: Vec<(f64, u32)>,
    /// Places of begin and end among the steps, of each piece.
    spans: Vec<(usize, usize)>,
}

impl Run {
    fn of(pieces: &[Piece]) -> Vec<Run> {
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        let key = |&piece: &usize| (pieces[piece].run_id, pieces[piece].from_s);
        order.sort_by(|a, b| key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)));
        let runs = order.chunk_by(|&a, &b| pieces[a].run_id == pieces[b].run_id);
        let run = |order: &[usize]| {
            let mut times: Vec<(f64, i32)> = order
                .iter()
                .flat_map(|&piece| [(pieces[piece].from_s, 1), (pieces[piece].to_s, -1)])
                .collect();
            times.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut under_way = 0;
            let steps: Vec<(f64, u32)> = times
                .iter()
                .map(|&(at_s, change)| {
                    under_way += change;
                    (at_s, under_way.max(0) as u32)
                })
                .collect();
            let place = |at_s: f64| steps.partition_point(|step| step.0 < at_s);
            let spans = order.iter().map(|&p| (place(pieces[p].from_s), place(pieces[p].to_s))).collect();
            Run { pieces: order.to_vec(), spans, steps }
        };
        runs.map(run).collect()
    }

    fn most(&self) -> u32 {
        self.steps.iter().map(|step| step.1).max().unwrap_or(0)
    }
}

/// What each piece would have taken alone \[s\].
fn alone_s(pieces: usize, runs: &[Run], room: f64) -> Vec<f64> {
    let mut alone = vec![0.0; pieces];
    for run in runs {
        let mut moved = vec![0.0; run.steps.len()];
        for (i, pair) in run.steps.windows(2).enumerate() {
            let speed = if f64::from(pair[0].1) > room { room / f64::from(pair[0].1) } else { 1.0 };
            moved[i + 1] = moved[i] + speed * (pair[1].0 - pair[0].0);
        }
        for (&piece, &(from, to)) in run.pieces.iter().zip(&run.spans) {
            alone[piece] = moved[to] - moved[from];
        }
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of `count` pieces of 1 s alone, all begun together in groups of 1 to 8, on cores for `room`.
    fn shared(room: f64, noise: f64) -> Vec<Piece> {
        let mut chance = ChaCha8Rng::seed_from_u64(7);
        let mut pieces = Vec::new();
        for run_id in 0..60 {
            let group = 1 + run_id % 8;
            let mut at_s = 0.0;
            for _ in 0..6 {
                let alone = 1.0 + noise * ((chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64 - 0.5);
                let takes = alone * (f64::from(group) / room).max(1.0);
                pieces.extend((0..group).map(|_| Piece {
                    run_id,
                    from_s: at_s,
                    to_s: at_s + takes,
                    took_s: takes,
                }));
                at_s += takes;
            }
        }
        pieces
    }

    #[test]
    fn the_room_that_pieces_share_is_found_with_what_each_takes_alone() {
        for room in [1.0, 2.5, 4.0] {
            let Stretch { room: found, alone_s, .. } = stretch(&shared(room, 0.1), 1);
            let found = found.unwrap();
            assert!((found.value / room - 1.0).abs() < 0.04, "{room}: {found:?}");
            assert!(found.low <= found.value && found.value <= found.high, "{found:?}");
            let mean = alone_s.iter().sum::<f64>() / alone_s.len() as f64;
            assert!((mean - 1.0).abs() < 0.03, "{room}: {mean}");
        }
    }

    #[test]
    fn pieces_that_do_not_slow_each_other_share_nothing() {
        let pieces = shared(9.0, 0.1);
        let Stretch { room, alone_s, .. } = stretch(&pieces, 1);
        assert!(room.is_none(), "{room:?}");
        assert_eq!(alone_s, pieces.iter().map(|p| p.took_s).collect::<Vec<_>>());
        assert!(stretch(&pieces[..30], 1).room.is_none(), "too few to tell");
    }
}
