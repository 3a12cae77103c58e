//! How much quicker or slower one build is than another, from measurements in pairs.
//!
//! The two measurements of a pair were taken one right after the other, so what the machine did
//! meanwhile is in both and leaves their ratio. The estimate is the median of the averages of every
//! two ratios (Hodges and Lehmann), the interval is what the signed-rank test of Wilcoxon leaves open.
//! Both work on logarithms, hold for any symmetric noise, and one wild pair moves them little.

/// How much of an error the interval's two ends may have together: 5 percent.
const ERROR_MAX: f64 = 0.05;

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// Rates.
    Larger,
    /// Times and bytes.
    Smaller,
}

/// How good the second build is, measured by the first: 1.1 is 10 percent better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) estimate: f64,
    /// The ends of the interval.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// How sure it is that the interval holds the true ratio, 0 to 1: 0.95 with 6 pairs or more.
    pub(crate) confidence: f64,
}

/// A figure of the first build and of the second, taken one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pair {
    pub(crate) base: f64,
    pub(crate) head: f64,
}

/// `None` if every pair has a figure of zero or less: a ratio needs two numbers above it.
pub(crate) fn ratio(pairs: &[Pair], better: Better) -> Option<Ratio> {
    let logs: Vec<f64> = pairs
        .iter()
        .filter(|pair| pair.base > 0.0 && pair.head > 0.0)
        .map(|pair| match better {
            Better::Larger => (pair.head / pair.base).ln(),
            Better::Smaller => (pair.base / pair.head).ln(),
        })
        .collect();
    let averages = averages(&logs);
    let last = averages.len().checked_sub(1)?;
    let (skipped, confidence) = skipped(logs.len());
    let at = |index: usize| averages[index].exp();
    let middle = f64::midpoint(averages[last / 2], averages[last.div_ceil(2)]);
    let (low, high) = (at(skipped), at(last - skipped));
    Some(Ratio { estimate: middle.exp(), low, high, confidence })
}

/// The average of every two, each with itself included, in order.
fn averages(values: &[f64]) -> Vec<f64> {
    let mut found = Vec::new();
    for (place, first) in values.iter().enumerate() {
        found.extend(values[place..].iter().map(|second| f64::midpoint(*first, *second)));
    }
    found.sort_by(f64::total_cmp);
    found
}

/// How many averages lie outside of the interval at each end, and how sure it is then.
///
/// The sum of the ranks of positive differences is at most `n` by chance as often as a set of the
/// numbers 1 to `pairs` has a sum of at most `n`.
fn skipped(pairs: usize) -> (usize, f64) {
    let sums = sums(pairs);
    let all: f64 = sums.iter().sum();
    let mut below = 0.0;
    let mut outside = None;
    for (sum, sets) in sums.iter().enumerate() {
        below += sets;
        let chance = 2.0 * below / all;
        if chance > ERROR_MAX {
            // Too few pairs: the widest interval, with what it is worth.
            return outside.map_or((0, 1.0 - chance), |_| (sum - 1, 1.0 - ERROR_MAX));
        }
        outside = Some(sum);
    }
    (0, 0.0)
}

/// How many sets of the numbers 1 to `count` have each sum.
fn sums(count: usize) -> Vec<f64> {
    let mut sets = vec![0.0; count * (count + 1) / 2 + 1];
    sets[0] = 1.0;
    for number in 1..=count {
        for sum in (number..sets.len()).rev() {
            sets[sum] += sets[sum - number];
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(ratios: &[f64]) -> Vec<Pair> {
        ratios.iter().map(|ratio| Pair { base: 100.0, head: 100.0 * ratio }).collect()
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    }

    /// The table of the signed-rank test for 5 percent, two-sided, as it is printed in books.
    #[test]
    fn critical_values_are_those_of_the_books() {
        for (pairs, value) in
            [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (12, 13), (15, 25), (20, 52)]
        {
            assert_eq!(skipped(pairs), (value, 0.95), "{pairs} pairs");
        }
    }

    #[test]
    fn few_pairs_have_the_widest_interval_and_say_what_it_is_worth() {
        let found = ratio(&pairs(&[0.9, 1.1]), Better::Larger).unwrap();
        near(found.low, 0.9);
        near(found.high, 1.1);
        near(found.confidence, 0.5);
        let found = ratio(&pairs(&[1.2]), Better::Larger).unwrap();
        assert_eq!(
            (found.low, found.high, found.confidence),
            (found.estimate, found.estimate, 0.0)
        );
        assert_eq!(ratio(&[], Better::Larger), None);
        assert_eq!(ratio(&[Pair { base: 0.0, head: 1.0 }], Better::Larger), None);
    }

    #[test]
    fn what_is_smaller_and_should_be_is_better() {
        let smaller = ratio(&pairs(&[0.5; 8]), Better::Smaller).unwrap();
        near(smaller.estimate, 2.0);
        let larger = ratio(&pairs(&[0.5; 8]), Better::Larger).unwrap();
        near(larger.estimate, 0.5);
        near(larger.low, 0.5);
    }

    #[test]
    fn one_wild_pair_of_fifteen_moves_little() {
        let mut ratios = vec![0.99, 1.01, 1.0, 0.98, 1.02, 1.0, 0.99];
        ratios.extend(ratios.clone());
        ratios.push(3.0);
        let found = ratio(&pairs(&ratios), Better::Larger).unwrap();
        assert!((0.995..1.01).contains(&found.estimate), "{found:?}");
        assert!(found.low > 0.98 && found.high < 1.02, "{found:?}");
    }

    /// In 2,000 runs of 15 pairs whose true ratio is 1, about 5 percent of the intervals miss it.
    #[test]
    fn intervals_miss_the_truth_as_often_as_they_say() {
        let mut state = 1_u64;
        let mut chance = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31)
        };
        let mut missed = 0;
        for _ in 0..2_000 {
            // The sum of four is nearly a bell curve, some 12 percent wide.
            let ratios: Vec<f64> = (0..15)
                .map(|_| (0.2 * ((0..4).map(|_| chance()).sum::<f64>() - 2.0)).exp())
                .collect();
            let found = ratio(&pairs(&ratios), Better::Larger).unwrap();
            missed += usize::from(found.low > 1.0 || found.high < 1.0);
        }
        assert!((60..140).contains(&missed), "{missed} of 2,000");
    }
}
