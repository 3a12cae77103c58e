//! What the configuration decides of a drain, and the arithmetic on it.

use std::num::NonZeroU32;
use std::time::Duration;

/// What the configuration decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Connections closed a second, at most; empty: automatic.
    pub rate: Option<NonZeroU32>,
    /// The automatic rate, while it suffices.
    pub automatic: NonZeroU32,
    /// From readiness turned false until closing begins.
    pub notice: Duration,
    /// How long closing may take. Then all connections that are left are closed at once.
    pub time_max: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            rate: None,
            automatic: RATE_AUTOMATIC,
            notice: Duration::from_secs(5),
            time_max: Duration::from_secs(300),
        }
    }
}

/// Half of what one node bears on small machines. In a fleet it is half of what the others admit.
pub(super) const RATE_AUTOMATIC: NonZeroU32 = NonZeroU32::new(1_000).expect("is above zero");

impl Terms {
    /// Limits the automatic rate to half of the entries a second that are set for this node: the nodes that
    /// get its agents are taken to be like it.
    #[must_use]
    pub fn after_admission(self, entry: Option<NonZeroU32>) -> Self {
        let half = entry.and_then(|entry| NonZeroU32::new(entry.get() / 2)).or(entry);
        let automatic = half.map_or(RATE_AUTOMATIC, |half| half.min(RATE_AUTOMATIC));
        Self { automatic, ..self }
    }

    /// Sets the automatic rate to half of what the other nodes of a fleet admit.
    #[must_use]
    pub fn after_others(self, admit: NonZeroU32) -> Self {
        let automatic = NonZeroU32::new(admit.get() / 2).unwrap_or(NonZeroU32::MIN);
        Self { automatic, ..self }
    }

    /// Connections closed a second, at most; an automatic rate rises if that is too low.
    pub fn rate(&self) -> NonZeroU32 {
        self.rate.unwrap_or(self.automatic)
    }

    /// The same, while this many connections are open. An automatic rate closes them all in nine tenths of
    /// the time: connections that are left at its end are closed at one instant, which is worse for all.
    pub fn rate_for(&self, open: usize) -> NonZeroU32 {
        let time = (self.time_max.as_secs_f64() * 0.9).max(1.0);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let needed = (open as f64 / time).ceil() as u32; // `as` saturates
        let automatic = NonZeroU32::new(needed).map_or(self.automatic, |n| n.max(self.automatic));
        self.rate.unwrap_or(automatic)
    }

    /// How many of this many open connections will be left when the time is up.
    pub fn left_over(&self, open: usize) -> u64 {
        let closed = u128::from(self.rate_for(open).get()) * self.time_max.as_millis() / 1_000;
        u64::try_from((open as u128).saturating_sub(closed)).unwrap_or(u64::MAX)
    }
}
