//! Whether a server can be reached, since when, and which change may follow which. What has
//! happened to links and messages, [`super::ServerState`] says.

use std::time::{Duration, Instant};

/// Where a server stands. The diagram is in the module above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All links are down, and the last dial failed or is still to come.
    Away {
        /// Since when.
        since: Instant,
    },
    /// A link is up or the last dial succeeded, and messages are taken.
    Reached {
        /// Since when.
        since: Instant,
        /// When it began to fail the last time, unless all links were lost since then.
        failed_since: Option<Instant>,
    },
    /// It can be connected to, and messages fail.
    Failing {
        /// Since when; after a relapse, since the first time.
        since: Instant,
    },
    /// It takes messages again, and the first link is still to come up.
    Returning {
        /// Since when it has failed: it is out of reach until a link is up.
        since: Instant,
    },
}

impl Reach {
    /// Since when it has been within reach, or out of it.
    pub const fn since(self) -> Instant {
        match self {
            Self::Away { since }
            | Self::Reached { since, .. }
            | Self::Failing { since }
            | Self::Returning { since } => since,
        }
    }

    /// A link is up, or a dial was answered.
    pub(super) const fn connected(self, now: Instant) -> Self {
        match self {
            Self::Away { .. } => Self::Reached { since: now, failed_since: None },
            Self::Returning { since } => Self::Reached { since: now, failed_since: Some(since) },
            // Where messages fail, it takes a message to prove that the server is well.
            Self::Reached { .. } | Self::Failing { .. } => self,
        }
    }

    /// The last link is lost, or a dial failed while all were down.
    pub(super) const fn disconnected(self, now: Instant) -> Self {
        match self {
            Self::Reached { .. } => Self::Away { since: now },
            Self::Away { .. } | Self::Failing { .. } | Self::Returning { .. } => self,
        }
    }

    /// Messages fail. After less than `stable_after` within reach this is a relapse, and the outage
    /// counts from its first failure.
    pub(super) fn failed(self, stable_after: Duration, now: Instant) -> Self {
        let since = match self {
            Self::Reached { since, failed_since } => {
                let relapsed = now.saturating_duration_since(since) < stable_after;
                failed_since.filter(|_| relapsed).unwrap_or(now)
            }
            Self::Away { since } | Self::Failing { since } | Self::Returning { since } => since,
        };
        Self::Failing { since }
    }

    /// The node has held still until now: how long the server was out of reach meanwhile is unknown.
    pub(super) const fn counted_from(self, now: Instant) -> Self {
        match self {
            Self::Reached { .. } => self,
            Self::Away { .. } => Self::Away { since: now },
            Self::Failing { .. } => Self::Failing { since: now },
            Self::Returning { .. } => Self::Returning { since: now },
        }
    }

    /// A message was taken after all.
    pub(super) const fn served(self, link_is_up: bool, now: Instant) -> Self {
        match self {
            Self::Failing { since } if link_is_up => {
                Self::Reached { since: now, failed_since: Some(since) }
            }
            // Channels that have closed show by their return that the server is there.
            Self::Failing { since } => Self::Returning { since },
            Self::Away { .. } | Self::Reached { .. } | Self::Returning { .. } => self,
        }
    }

    /// Whether the diagram has an arrow from here to `next`. To stay is always possible.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Away { .. }, Self::Returning { .. })
            | (Self::Reached { .. }, Self::Returning { .. })
            | (Self::Failing { .. }, Self::Away { .. })
            | (Self::Returning { .. }, Self::Away { .. }) => false,
            (
                Self::Away { .. }
                | Self::Reached { .. }
                | Self::Failing { .. }
                | Self::Returning { .. },
                _,
            ) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_change_is_an_arrow_of_the_diagram() {
        let start = crate::clock::now();
        let (since, now) = (start, start + SECOND);
        let away = Reach::Away { since };
        let reached = Reach::Reached { since, failed_since: None };
        let (failing, returning) = (Reach::Failing { since }, Reach::Returning { since });
        let mut arrows = std::collections::BTreeSet::new();
        let name = |reach: Reach| format!("{reach:?}").split(' ').next().map(str::to_owned);
        for from in [away, reached, failing, returning] {
            for to in [
                from.connected(now),
                from.disconnected(now),
                from.failed(SECOND, now),
                from.served(true, now),
                from.served(false, now),
                from.counted_from(now),
            ] {
                assert!(from.may_become(to), "{from:?} to {to:?}");
                if name(from) != name(to) {
                    arrows.insert((name(from).unwrap(), name(to).unwrap()));
                }
            }
        }
        let drawn = [
            ("Away", "Failing"),
            ("Away", "Reached"),
            ("Failing", "Reached"),
            ("Failing", "Returning"),
            ("Reached", "Away"),
            ("Reached", "Failing"),
            ("Returning", "Failing"),
            ("Returning", "Reached"),
        ];
        let drawn = drawn.map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(arrows.into_iter().collect::<Vec<_>>(), drawn);
    }

    #[test]
    fn the_time_between_two_failures_counts_only_if_it_was_long() {
        let start = crate::clock::now();
        let returning = Reach::Failing { since: start }.served(false, start + SECOND);
        let again = returning.connected(start + SECOND * 2);
        assert_eq!(again.since(), start + SECOND * 2);
        assert_eq!(again.failed(SECOND * 5, start + SECOND * 6).since(), start, "a relapse");
        let late = start + SECOND * 7;
        assert_eq!(again.failed(SECOND * 5, late).since(), late, "it had held");
        let lost = again.disconnected(start + SECOND * 3).connected(start + SECOND * 4);
        assert_eq!(lost.failed(SECOND * 5, late).since(), late, "it was away as a whole");
    }
}
