//! How quickly a storm could be over at best: all agents dial at once, and the gateway admits as
//! many a second as it is set to, for as long as agents wait.
//!
//! The token bucket's second of burst is left out: the ideal of N agents at R a second is N / R. A
//! gateway whose bucket is full at the cut admits R of them at once, and so can be a second quicker
//! than this.

use std::time::Duration;

/// What is asked of the gateway, and what it may give. Instants count from the cut.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ideal {
    /// The rates of admission, each with the instant from which it holds.
    rates: Vec<(Duration, f64)>,
    /// The numbers of connections to admit, each with the instant of their dials.
    arrivals: Vec<(Duration, u64)>,
}

impl Ideal {
    /// From this instant on the gateway admits `per_second`.
    pub(crate) fn rate(&mut self, at: Duration, per_second: f64) {
        self.rates.push((at, per_second));
    }

    /// At this instant `connections` more begin to wait.
    pub(crate) fn arrive(&mut self, at: Duration, connections: u64) {
        self.arrivals.push((at, connections));
    }

    /// When the last one is admitted: the time in which the integral of the rate, over the time in
    /// which agents wait, reaches the number of connections. `None` if the rate is unknown or stays
    /// 0.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let mut instants: Vec<Duration> = Vec::new();
        instants.extend(self.rates.iter().map(|(at, _)| *at));
        instants.extend(self.arrivals.iter().map(|(at, _)| *at));
        instants.sort_unstable();
        let (mut waiting, mut done) = (0.0, 0.0);
        for (place, at) in instants.iter().enumerate() {
            // What comes at the same instant is counted once, with the last of its places.
            if instants.get(place + 1) == Some(at) {
                continue;
            }
            let arrived: u64 =
                self.arrivals.iter().filter(|(when, _)| when == at).map(|(_, count)| count).sum();
            waiting += arrived as f64;
            if waiting == 0.0 {
                continue;
            }
            let needed = waiting / self.rate_at(*at);
            let end = instants.get(place + 1).map(|next| (*next - *at).as_secs_f64());
            match end.filter(|lasts| *lasts < needed) {
                Some(lasts) => waiting -= lasts * self.rate_at(*at),
                None => (waiting, done) = (0.0, at.as_secs_f64() + needed),
            }
        }
        (done > 0.0 && done.is_finite()).then_some(done)
    }

    fn rate_at(&self, at: Duration) -> f64 {
        let begun = self.rates.iter().filter(|(since, _)| *since <= at);
        begun.max_by_key(|(since, _)| *since).map_or(0.0, |(_, rate)| *rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ideal(rates: &[(u64, f64)], arrivals: &[(u64, u64)]) -> Option<f64> {
        let mut ideal = Ideal::default();
        for (at, rate) in rates {
            ideal.rate(Duration::from_secs(*at), *rate);
        }
        for (at, count) in arrivals {
            ideal.arrive(Duration::from_secs(*at), *count);
        }
        ideal.seconds()
    }

    #[test]
    fn it_is_the_number_over_the_rate() {
        assert_eq!(ideal(&[(0, 1000.0)], &[(0, 15_000)]), Some(15.0));
        assert_eq!(ideal(&[(0, 250.0)], &[(0, 15_000)]), Some(60.0));
    }

    #[test]
    fn a_rate_that_changes_is_integrated() {
        assert_eq!(ideal(&[(0, 1000.0), (5, 500.0)], &[(0, 15_000)]), Some(25.0));
        assert_eq!(ideal(&[(0, 500.0), (5, 1000.0)], &[(0, 15_000)]), Some(17.5));
        let twice = [(0, 1000.0), (5, 0.0), (7, 1000.0)];
        assert_eq!(ideal(&twice, &[(0, 15_000)]), Some(17.0));
        // A change after the end is of no account.
        assert_eq!(ideal(&[(0, 1000.0), (15, 1.0)], &[(0, 15_000)]), Some(15.0));
    }

    #[test]
    fn a_second_wave_queues_behind_the_first() {
        let rate = [(0, 1000.0)];
        assert_eq!(ideal(&rate, &[(0, 15_000), (5, 2_500)]), Some(17.5));
        // A wave after the end of the first one waits for itself alone.
        assert_eq!(ideal(&rate, &[(0, 1_000), (5, 500)]), Some(5.5));
        assert_eq!(ideal(&rate, &[(0, 1_000), (5, 0)]), Some(1.0));
        let halved = [(0, 1000.0), (5, 500.0)];
        assert_eq!(ideal(&halved, &[(0, 15_000), (5, 2_500)]), Some(30.0));
    }

    #[test]
    fn without_a_rate_there_is_none() {
        assert_eq!(ideal(&[], &[(0, 1)]), None);
        assert_eq!(ideal(&[(0, 0.0)], &[(0, 1)]), None);
        assert_eq!(ideal(&[(0, 1000.0)], &[]), None);
    }
}
