//! What the answer to a POST means, and whose fault it is.

use std::time::Duration;

use crate::core::server::Blame;

/// What came of a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// A status of success, and a body within the limit.
    Message,
    /// Any other status.
    Status {
        /// It.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The connection was gone before a byte of the request was written: the server knows nothing of it.
    Unsent,
    /// The connection broke: the server may have taken the message.
    Lost,
    /// The response took too long: the server may have taken the message.
    Timeout,
    /// The response is over the limit: the server has taken the message.
    TooBig,
    /// A status of success, and something else than a `ServerToAgent`: a page, or nothing. What answered may be something
    /// else than the server.
    Foreign,
}

/// As what a POST is counted that a message was due to and something else came of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostResult {
    /// The server refuses this message (4xx).
    Refused,
    /// The server is in trouble (5xx).
    Failed,
    /// 401, 403 or 407: the server refuses the gateway's credential.
    Credential,
    /// 404, 405 or 3xx: the configured address is that of something else than OpAMP.
    Address,
    /// 503 or 429: the server has asked for a pause.
    Unavailable,
    /// The connection broke.
    Lost,
    /// The response took too long.
    Timeout,
    /// The response was over the limit.
    TooBig,
    /// The response was something else than a `ServerToAgent`.
    Foreign,
}

/// What is wrong with a message that a server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// Something in it.
    Content,
    /// Its size.
    Size,
}

impl Objection {
    /// What its agent is told (OpAMP specification, "Bad Request"). `bytes`: the message's size.
    pub fn text(self, status: &dyn std::fmt::Display, bytes: usize) -> String {
        match self {
            Self::Content => format!("the server refused the message: {status}"),
            Self::Size => {
                format!("the message is too large for the server: {status}, to {bytes} bytes")
            }
        }
    }
}

/// What follows from a status other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The server wants a pause, and has left the message to be sent again.
    Throttled,
    /// The message failed, and its agent is innocent of it: it goes again.
    Failed(Blame),
    /// The server refuses this message for good: its agent is told.
    Refused(Objection),
}

/// What is refused because of a credential or an address is the gateway's fault: both are in its own
/// configuration, out of the agent's reach.
pub(super) const fn meaning(status: u16) -> Meaning {
    match status {
        429 | 503 => Meaning::Throttled,
        401 | 403 | 407 => Meaning::Failed(Blame::Credential),
        // A redirect is an error: the configuration alone says where messages go.
        300..=399 | 404 | 405 => Meaning::Failed(Blame::Address),
        413 | 414 | 431 => Meaning::Refused(Objection::Size),
        // 408 (Request Timeout) is the server's own trouble.
        408 => Meaning::Failed(Blame::Server),
        400..=499 => Meaning::Refused(Objection::Content),
        _ => Meaning::Failed(Blame::Server),
    }
}

/// As what a failure is counted.
pub(super) const fn result(blame: Blame) -> PostResult {
    match blame {
        Blame::Server => PostResult::Failed,
        Blame::Credential => PostResult::Credential,
        Blame::Address => PostResult::Address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        for (statuses, expected) in [
            (&[429, 503][..], Meaning::Throttled),
            (&[401, 403, 407], Meaning::Failed(Blame::Credential)),
            (&[301, 302, 307, 308, 404, 405], Meaning::Failed(Blame::Address)),
            (&[408, 500, 501, 502, 504, 599], Meaning::Failed(Blame::Server)),
            (&[413, 414, 431], Meaning::Refused(Objection::Size)),
            (&[400, 402, 409, 415, 422, 499], Meaning::Refused(Objection::Content)),
        ] {
            assert!(statuses.iter().all(|status| meaning(*status) == expected), "{expected:?}");
        }
    }
}
