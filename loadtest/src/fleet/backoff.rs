//! When an agent dials again: opamp-go's rule.

use std::time::Duration;

use super::mix::Mix;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
const FACTOR: f64 = 1.5;
/// Each wait is drawn from the interval plus or minus this share of it.
const SPREAD: f64 = 0.5;

/// One run of attempts. A connection that opens ends it; the next run begins anew.
#[derive(Debug)]
pub(crate) struct DialBackoff {
    interval: Duration,
}

impl DialBackoff {
    /// At the beginning: the first dial is immediate, this is for those after it.
    pub(crate) const fn new() -> Self {
        Self { interval: FIRST }
    }

    /// How long to wait after a failure. `retry_after` is what the server asked for, see
    /// [`obeyed`]; opamp-go takes it as it is, unspread and unlimited, and the longer of the two
    /// counts.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>, mix: &mut Mix) -> Duration {
        let drawn = self.interval.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * mix.unit());
        self.interval = self.interval.mul_f64(FACTOR).min(LONGEST);
        drawn.max(retry_after.unwrap_or_default())
    }
}

/// The `Retry-After` that opamp-go looks at: on 503 and 429 only.
pub(crate) fn obeyed(status: u16, retry_after: Option<Duration>) -> Option<Duration> {
    retry_after.filter(|_| matches!(status, 503 | 429))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall::websocket::ResponseHead;

    fn retry_after(head: &str) -> Option<Duration> {
        let head = ResponseHead::parse(head.as_bytes()).unwrap().unwrap();
        obeyed(head.status, head.retry_after(std::time::UNIX_EPOCH))
    }

    #[test]
    fn intervals_grow_to_a_minute_and_spread() {
        let mut mix = Mix::new(1, 2, 3);
        let mut interval = 0.5;
        let mut backoff = DialBackoff::new();
        for _ in 0..40 {
            let wait = backoff.next(None, &mut mix).as_secs_f64();
            assert!(wait >= interval * 0.499 && wait <= interval * 1.501, "{wait} for {interval}");
            interval = (interval * 1.5f64).min(60.0);
        }
        let second = DialBackoff::new().next(None, &mut mix);
        assert_ne!(second, DialBackoff::new().next(None, &mut mix));
    }

    #[test]
    fn the_longer_wait_counts() {
        let mut mix = Mix::new(1, 2, 3);
        let asked = Some(Duration::from_secs(30));
        assert_eq!(DialBackoff::new().next(asked, &mut mix), Duration::from_secs(30));
        let asked = Some(Duration::from_secs(0));
        assert!(DialBackoff::new().next(asked, &mut mix) >= Duration::from_millis(250));
    }

    #[test]
    fn retry_after_is_read_as_opamp_go_reads_it() {
        let seconds = Some(Duration::from_secs(17));
        assert_eq!(retry_after("HTTP/1.1 503 x\r\nRetry-After: 17\r\n\r\n"), seconds);
        assert_eq!(retry_after("HTTP/1.1 429 x\r\nretry-after:17\r\n\r\n"), seconds);
        let date = "HTTP/1.1 503 x\r\nRetry-After: Thu, 01 Jan 1970 00:00:17 GMT\r\n\r\n";
        assert_eq!(retry_after(date), seconds);
        assert_eq!(retry_after("HTTP/1.1 500 x\r\nRetry-After: 17\r\n\r\n"), None);
        assert_eq!(retry_after("HTTP/1.1 503 x\r\nRetry-After: soon\r\n\r\n"), None);
        assert_eq!(retry_after("HTTP/1.1 503 x\r\n\r\n"), None);
    }
}
