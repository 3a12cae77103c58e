//! What a server says of itself in the first reply of a connection. Every agent hears it once on each of
//! its connections, also from a gateway that answers in the server's place (OpAMP specification,
//! "ServerToAgent.capabilities"). Servers themselves are the port's business.

use crate::opamp::splice::Additions;

/// `ServerCapabilities_AcceptsStatus`: all that can be promised in the name of a server that has yet to
/// speak.
const ACCEPTS_STATUS: u64 = 1;

/// What a server says of itself in the first reply of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// `ServerToAgent.capabilities`; `None` before the server has spoken.
    pub capabilities: Option<u64>,
    /// The encoded `ServerToAgent.custom_capabilities`.
    pub custom_capabilities: Option<Vec<u8>>,
}

impl ServerHello {
    /// Whether the server has said what it can.
    pub(super) const fn has_spoken(&self) -> bool {
        self.capabilities.is_some()
    }
}

/// Whether the agent has heard it on its present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Greeting {
    told: bool,
}

impl Greeting {
    /// Restores what [`Greeting::is_told`] said.
    pub(super) const fn restored(told: bool) -> Self {
        Self { told }
    }

    /// The agent is there over another connection than before.
    pub(super) const fn begin_anew(&mut self) {
        self.told = false;
    }

    pub(super) const fn is_told(self) -> bool {
        self.told
    }

    /// The agent has been given this greeting. That of a server which has yet to speak does not count:
    /// the agent is greeted again afterwards.
    pub(super) fn gave(&mut self, hello: Option<&ServerHello>) {
        self.told |= hello.is_some_and(ServerHello::has_spoken);
    }
}

/// The greeting as additions to a reply.
pub(super) fn additions(hello: Option<&ServerHello>, flags: u64) -> Additions<'_> {
    hello.map_or_else(
        || Additions { flags, ..Additions::default() },
        |hello| Additions {
            flags,
            capabilities: Some(hello.capabilities.unwrap_or(ACCEPTS_STATUS)),
            custom_capabilities: hello.custom_capabilities.as_deref(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_yet_to_speak_is_greeted_for_again() {
        let mut greeting = Greeting::default();
        let silent = ServerHello::default();
        assert_eq!(additions(Some(&silent), 0).capabilities, Some(ACCEPTS_STATUS));
        greeting.gave(Some(&silent));
        assert!(!greeting.is_told());
        let spoke = ServerHello { capabilities: Some(7), custom_capabilities: Some(vec![1]) };
        let with = additions(Some(&spoke), 2);
        assert_eq!((with.flags, with.capabilities), (2, Some(7)));
        assert_eq!(with.custom_capabilities, Some(&[1][..]));
        greeting.gave(Some(&spoke));
        greeting.gave(None);
        assert!(greeting.is_told());
        greeting.begin_anew();
        assert!(!greeting.is_told());
    }
}
