//! Mode `http`: what the status of a response means, and whose fault it is. Knows no connection.

use http::StatusCode;

use crate::core::server::Blame;
use crate::telemetry::events::upstream::PostResult;

/// What follows from a status that is no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server wants to be spared, and has not taken the message.
    Peace,
    /// The message came to nothing through no fault of its agent's: it goes again.
    Failed(Blame),
    /// The server does not want this message: it does not go again, and its agent is told (OpAMP
    /// specification, "Bad Request").
    Refused(Objection),
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objection {
    Content,
    Size,
}

/// What is refused for the gateway's sake (a credential, an address) is refused to the gateway: an
/// agent knows neither and can mend neither.
pub(super) fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        429 | 503 => Verdict::Peace,
        401 | 403 | 407 => Verdict::Failed(Blame::Credential),
        // A server that has moved is not followed: where messages go, the configuration says.
        300..=399 | 404 | 405 => Verdict::Failed(Blame::Address),
        413 | 414 | 431 => Verdict::Refused(Objection::Size),
        400..=499 if status != StatusCode::REQUEST_TIMEOUT => Verdict::Refused(Objection::Content),
        _ => Verdict::Failed(Blame::Server),
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

/// What the agent is told.
pub(super) fn objection_text(objection: Objection, status: StatusCode, bytes: usize) -> String {
    match objection {
        Objection::Content => format!("the server refused the message: {status}"),
        Objection::Size => {
            format!("the message is too large for the server: {status}, to {bytes} bytes")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_somebodys_fault() {
        let of = |status| verdict(StatusCode::from_u16(status).unwrap());
        for (statuses, expected) in [
            (&[429, 503][..], Verdict::Peace),
            (&[401, 403, 407], Verdict::Failed(Blame::Credential)),
            (&[301, 302, 307, 308, 404, 405], Verdict::Failed(Blame::Address)),
            (&[408, 500, 501, 502, 504, 599], Verdict::Failed(Blame::Server)),
            (&[413, 414, 431], Verdict::Refused(Objection::Size)),
            (&[400, 402, 409, 415, 422, 499], Verdict::Refused(Objection::Content)),
        ] {
            assert!(statuses.iter().all(|status| of(*status) == expected), "{expected:?}");
        }
    }
}
