//! What follows for a message whose answer takes long, so that its exchange has gone on beside its channel. The channel
//! is with other messages by then, on another connection: what is decided here concerns the message alone.

use std::time::Duration;

use super::answer::{Answered, Meaning, PostResult, meaning, result};
use super::steps::ChannelEffect;
use crate::core::server::Blame;

/// How long a message has its channel for itself while others wait there. After that its exchange goes on aside:
/// one answer that does not end holds up no other agent.
pub const ASIDE_AFTER: Duration = Duration::from_secs(2);
/// The same for a message of an agent whose last exchange aside has failed.
pub const ASIDE_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Exchanges aside of one channel at one time.
pub const ASIDES_MAX: usize = 4;

/// What the driver must do about the message, in this order. After [`ChannelEffect::Deliver`] it asks
/// [`after_delivery`].
pub fn settle_aside(answered: Answered) -> Vec<ChannelEffect> {
    let failed = |result, blame| {
        let not_taken = ChannelEffect::NotTaken { again: true };
        vec![ChannelEffect::PostFailed(result), not_taken, ChannelEffect::ServerFailed(blame)]
    };
    match answered {
        Answered::Message => vec![ChannelEffect::Deliver],
        Answered::Status { status, retry_after } => match meaning(status) {
            Meaning::Throttled => vec![
                ChannelEffect::PostFailed(PostResult::Unavailable),
                ChannelEffect::Requeue,
                ChannelEffect::PauseServer(retry_after),
            ],
            Meaning::Failed(blame) => failed(result(blame), blame),
            Meaning::Refused(objection) => {
                vec![ChannelEffect::Refuse { status, objection }, ChannelEffect::ServerServed]
            }
        },
        Answered::Unsent | Answered::Lost => failed(PostResult::Lost, Blame::Server),
        Answered::Timeout => failed(PostResult::Timeout, Blame::Server),
        Answered::Foreign => failed(PostResult::Foreign, Blame::Server),
        Answered::TooBig => vec![
            ChannelEffect::PostFailed(PostResult::TooBig),
            ChannelEffect::NotTaken { again: false },
            ChannelEffect::ServerServed,
        ],
    }
}

/// The answer was given to its agent. `taken`: it was one for this agent.
pub const fn after_delivery(taken: bool) -> ChannelEffect {
    if taken { ChannelEffect::ServerServed } else { ChannelEffect::NotTaken { again: false } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_settled_once_whatever_came_of_it() {
        let status = |status| Answered::Status { status, retry_after: None };
        for (answered, again) in [
            (Answered::Message, None),
            (status(413), None),
            (status(503), None),
            (status(500), Some(true)),
            (Answered::Unsent, Some(true)),
            (Answered::Lost, Some(true)),
            (Answered::Timeout, Some(true)),
            (Answered::Foreign, Some(true)),
            (Answered::TooBig, Some(false)),
        ] {
            let effects = settle_aside(answered);
            let settles = |effect: &&ChannelEffect| {
                matches!(
                    effect,
                    ChannelEffect::Deliver
                        | ChannelEffect::Requeue
                        | ChannelEffect::Refuse { .. }
                        | ChannelEffect::NotTaken { .. }
                )
            };
            assert_eq!(effects.iter().filter(settles).count(), 1, "{answered:?}");
            let found = effects.iter().find_map(|effect| match effect {
                ChannelEffect::NotTaken { again } => Some(*again),
                _ => None,
            });
            assert_eq!(found, again, "{answered:?}");
        }
        assert_eq!(after_delivery(true), ChannelEffect::ServerServed);
        assert_eq!(after_delivery(false), ChannelEffect::NotTaken { again: false });
    }
}
