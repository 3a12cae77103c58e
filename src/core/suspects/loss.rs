//! What the end of a link says of the messages that were under way.

use crate::core::link::LossReason;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// A message was too large for the server.
    Size,
    /// The server objects to a message, or to an agent.
    Message,
    /// Whether a message has to do with it is open: servers, balancers and networks end connections at any time.
    Unclear,
}

impl LossKind {
    /// `code`: that of the server's Close. `None`: no message has to do with it, as the server or the node says.
    pub const fn of(reason: LossReason, code: Option<u16>) -> Option<Self> {
        match reason {
            LossReason::Released | LossReason::HoldsStill | LossReason::Unhealthy => None,
            LossReason::Closed => match code {
                // RFC 6455, section 7.4.1, and the registry of codes: going away, restart, try again later.
                Some(1001 | 1012 | 1013) => None,
                Some(1009) => Some(Self::Size),
                Some(1002 | 1003 | 1007 | 1008) => Some(Self::Message),
                _ => Some(Self::Unclear),
            },
            // What the server says to this agent is wrong.
            LossReason::TooBig | LossReason::ProtocolFault => Some(Self::Message),
            LossReason::Reset | LossReason::PingTimeout | LossReason::RequestTimeout => {
                Some(Self::Unclear)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_goes_away_accuses_nobody() {
        for (reason, code, kind) in [
            (LossReason::Closed, Some(1001), None),
            (LossReason::Closed, Some(1012), None),
            (LossReason::Closed, Some(1009), Some(LossKind::Size)),
            (LossReason::Closed, Some(1008), Some(LossKind::Message)),
            (LossReason::Closed, Some(1000), Some(LossKind::Unclear)),
            (LossReason::Closed, None, Some(LossKind::Unclear)),
            (LossReason::Reset, None, Some(LossKind::Unclear)),
            (LossReason::TooBig, None, Some(LossKind::Message)),
            (LossReason::Released, None, None),
            (LossReason::HoldsStill, None, None),
        ] {
            assert_eq!(LossKind::of(reason, code), kind, "{reason:?} {code:?}");
        }
    }
}
