//! Quantiles: exact counts come from the metrics' buckets, and where in a bucket the requests lie from the spans seen.

/// Upper bounds of the duration buckets of the HTTP semantic conventions, in seconds.
pub(crate) const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Buckets: one more than bounds.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

/// Requests by duration, in the buckets of [`BOUNDS`].
pub(crate) type Counts = [u32; BUCKETS];

/// The bucket of a duration in seconds; bounds are inclusive.
pub(crate) fn bucket(seconds: f64) -> usize {
    BOUNDS.partition_point(|b| *b < seconds)
}

/// Fine buckets: four an octave, from 8 µs to 137 s.
const FINE: usize = 96;
const LOWEST_OCTAVE: u32 = 13;

/// How durations are spread, finer than the metrics tell. Two generations: what is older than two turns is forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    now: [u32; FINE],
    before: [u32; FINE],
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { now: [0; FINE], before: [0; FINE] }
    }
}

impl Shape {
    /// Counts a duration in ns.
    pub(crate) fn add(&mut self, nanos: u64) {
        let slot = &mut self.now[fine(nanos)];
        *slot = slot.saturating_add(1);
    }

    /// Begins a new generation.
    pub(crate) fn turn(&mut self) {
        self.before = std::mem::replace(&mut self.now, [0; FINE]);
    }

    /// The duration below which a share of those between `low` and `high` (seconds) lies; `None` when none was seen there.
    fn within(&self, low: f64, high: f64, share: f64) -> Option<f64> {
        let part = |i: usize| {
            let (from, to) = (edge(i), edge(i + 1));
            let overlap = (to.min(high) - from.max(low)).max(0.0) / (to - from);
            f64::from(self.now[i].saturating_add(self.before[i])) * overlap
        };
        let total: f64 = (0..FINE).map(part).sum();
        if total <= 0.0 {
            return None;
        }
        let mut rank = total * share;
        for i in 0..FINE {
            let count = part(i);
            if count > 0.0 && rank <= count {
                let (from, to) = (edge(i).max(low), edge(i + 1).min(high));
                return Some(from + (to - from) * (rank / count));
            }
            rank -= count;
        }
        Some(high)
    }
}

/// Fine bucket of a duration in ns.
fn fine(nanos: u64) -> usize {
    let octave = 63 - nanos.max(1).leading_zeros();
    if octave < LOWEST_OCTAVE {
        return 0;
    }
    let quarter = usize::try_from(nanos >> (octave - 2) & 3).unwrap_or(0);
    let index = (octave - LOWEST_OCTAVE) as usize * 4 + quarter;
    index.min(FINE - 1)
}

/// Lower edge of a fine bucket, in seconds.
fn edge(index: usize) -> f64 {
    if index == 0 {
        return 0.0;
    }
    let base = (1u64 << (LOWEST_OCTAVE as usize + index / 4)) as f64;
    base * (1.0 + (index % 4) as f64 / 4.0) / 1e9
}

/// The duration in seconds below which a share of the requests lies; `None` without requests. Beyond the last bound the
/// spans alone can tell, else it is that bound.
pub(crate) fn quantile(counts: &Counts, share: f64, shape: &Shape) -> Option<f64> {
    let total: u64 = counts.iter().map(|c| u64::from(*c)).sum();
    if total == 0 {
        return None;
    }
    let mut rank = share * total as f64;
    for (i, count) in counts.iter().enumerate() {
        let count = f64::from(*count);
        if count > 0.0 && rank <= count {
            let low = if i == 0 { 0.0 } else { BOUNDS[i - 1] };
            let high = BOUNDS.get(i).copied();
            let inside = shape.within(low, high.unwrap_or(edge(FINE)), rank / count);
            return Some(inside.unwrap_or_else(|| match high {
                Some(high) => low + (high - low) * (rank / count),
                None => low,
            }));
        }
        rank -= count;
    }
    BOUNDS.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_spans_a_quantile_is_interpolated_in_its_bucket() {
        let mut counts = [0; BUCKETS];
        counts[1] = 100;
        assert_eq!(quantile(&counts, 0.5, &Shape::default()), Some(0.0075));
        counts[0] = 100;
        assert_eq!(quantile(&counts, 0.5, &Shape::default()), Some(0.005));
        assert_eq!(quantile(&[0; BUCKETS], 0.5, &Shape::default()), None);
        let mut over = [0; BUCKETS];
        over[BUCKETS - 1] = 1;
        assert_eq!(quantile(&over, 0.99, &Shape::default()), Some(10.0));
    }

    #[test]
    fn spans_tell_where_in_a_bucket_requests_lie() {
        let mut counts = [0; BUCKETS];
        counts[0] = 1000;
        let mut shape = Shape::default();
        for _ in 0..1000 {
            shape.add(200_000);
        }
        let p50 = quantile(&counts, 0.5, &shape).unwrap();
        assert!((0.000_18..0.000_24).contains(&p50), "{p50}");
        shape.turn();
        assert!(quantile(&counts, 0.5, &shape).unwrap() < 0.000_24);
        shape.turn();
        assert_eq!(quantile(&counts, 0.5, &shape), Some(0.0025));
    }

    #[test]
    fn fine_buckets_cover_every_duration_without_gap() {
        for i in 0..FINE {
            assert!(edge(i) < edge(i + 1));
        }
        for nanos in [0, 1, 8_191, 8_192, 10_239, 10_240, 1_000_000, 1 << 36, u64::MAX] {
            let i = fine(nanos);
            let seconds = nanos as f64 / 1e9;
            assert!(edge(i) <= seconds, "{nanos}");
            assert!(seconds < edge(i + 1) || i == FINE - 1, "{nanos}");
        }
        assert_eq!(bucket(0.005), 0);
        assert_eq!(bucket(0.005_1), 1);
        assert_eq!(bucket(11.0), BUCKETS - 1);
    }
}
