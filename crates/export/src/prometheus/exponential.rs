use telegen_model::{ExponentialHistogramPoint, HistogramPoint};

/// Bounds at most. Positive numbers span 2,100 powers of two; what a service measures spans thirty.
const MAX_BOUNDS: usize = 200;

/// An exponential histogram as a classic one: zero, then powers of two from the smallest to the largest
/// bucket that holds something. Counts at those bounds are exact: buckets are only added up.
pub(crate) fn classic(p: &ExponentialHistogramPoint) -> HistogramPoint {
    let (mut bounds, mut counts) = (vec![0.0], vec![p.zero_count]);
    let held = p.positive.iter().enumerate().filter(|(_, n)| **n > 0);
    let mut last: Option<i64> = None;
    for (i, n) in held {
        let upper = upper_power(i64::from(p.positive_offset) + i as i64, p.scale);
        let bound = (upper as f64).exp2();
        let gap = last.map_or(1, |last| upper - last);
        match gap {
            0 => {}
            // Beyond the largest number, or too far apart: the last bucket takes the rest.
            _ if !bound.is_finite() || bounds.len() as i64 + gap > MAX_BOUNDS as i64 => break,
            _ => {
                let first = upper - gap + 1;
                bounds.extend((first..=upper).map(|power| (power as f64).exp2()));
                counts.resize(bounds.len(), 0);
                last = Some(upper);
            }
        }
        if let Some(count) = counts.last_mut() {
            *count += n;
        }
    }
    let counted: u64 = counts.iter().sum();
    counts.push(p.count.saturating_sub(counted));
    HistogramPoint {
        attrs: p.attrs.clone(),
        start: p.start,
        time: p.time,
        count: p.count,
        sum: p.sum,
        min: p.min,
        max: p.max,
        bounds: bounds.into(),
        counts,
        exemplars: p.exemplars.clone(),
    }
}

/// The power of two at or above the upper bound of a bucket. Bucket `i` ends at `2^((i + 1) * 2^-scale)`.
fn upper_power(index: i64, scale: i32) -> i64 {
    match scale {
        0.. => (index >> scale.min(63)) + 1,
        _ => (index + 1).saturating_mul(1 << (-scale).min(40)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scale: i32, offset: i32, positive: &[u64]) -> ExponentialHistogramPoint {
        ExponentialHistogramPoint {
            attrs: [].into(),
            start: 0,
            time: 0,
            count: 2 + positive.iter().sum::<u64>(),
            sum: 0.0,
            min: None,
            max: None,
            scale,
            zero_count: 2,
            positive_offset: offset,
            positive: positive.to_vec(),
            exemplars: Vec::new(),
        }
    }

    fn shown(p: &ExponentialHistogramPoint) -> (Vec<f64>, Vec<u64>) {
        let c = classic(p);
        (c.bounds.to_vec(), c.counts)
    }

    #[test]
    fn buckets_are_added_up_to_powers_of_two_at_any_scale() {
        // Scale 1: bounds are powers of the square root of two; 2^0..2^0.5, ..1, ..1.5, ..2.
        assert_eq!(shown(&point(1, 0, &[1, 2, 3, 4])), (vec![0.0, 2.0, 4.0], vec![2, 3, 7, 0]));
        // Scale 0, from 2^-2 on, with an empty one in the middle.
        assert_eq!(shown(&point(0, -2, &[1, 0, 5])), (vec![0.0, 0.5, 1.0, 2.0], vec![2, 1, 0, 5, 0]));
        // Scale -1: a bucket ends at a power of four.
        assert_eq!(shown(&point(-1, 0, &[1, 2])), (vec![0.0, 4.0, 8.0, 16.0], vec![2, 1, 0, 2, 0]));
        // Negative indices round down: -3 >> 1 is -2, which ends at 2^-1.
        assert_eq!(shown(&point(1, -3, &[9])), (vec![0.0, 0.5], vec![2, 9, 0]));
    }

    #[test]
    fn bounds_do_not_depend_on_the_scale() {
        let fine: Vec<f64> = classic(&point(3, 0, &[1; 24])).bounds.to_vec();
        let coarse: Vec<f64> = classic(&point(0, 0, &[1; 3])).bounds.to_vec();
        assert_eq!(fine, coarse);
    }

    #[test]
    fn buckets_that_cannot_be_shown_are_in_the_last_one() {
        let (bounds, counts) = shown(&point(0, 0, &[&[1][..], &[0; 400], &[7]].concat()));
        assert_eq!((bounds, counts), (vec![0.0, 2.0], vec![2, 1, 7]));
        let (bounds, counts) = shown(&point(-10, 5, &[3]));
        assert_eq!((bounds, counts), (vec![0.0], vec![2, 3]));
        assert_eq!(shown(&point(0, i32::MAX, &[3])).1, [2, 3]);
        assert_eq!(shown(&point(20, i32::MIN, &[3])).1.iter().sum::<u64>(), 5);
    }
}
