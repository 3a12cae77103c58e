//! How a server knows its agents, which matters when an agent's home, and so the link it is spoken for on, changes.

/// How a server knows its agents, as the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum KeyedBy {
    /// By uid, until it shows otherwise.
    #[default]
    Auto,
    /// See [`Keying::Uid`].
    Uid,
    /// See [`Keying::Link`].
    Link,
    /// See [`Keying::Exclusive`].
    Exclusive,
    /// See [`Keying::OwnLink`]: mode `per-agent` says so.
    OwnLink,
}

/// How a server knows its agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keying {
    /// By uid, whatever connection they come on: a change of homes is none of its business, until the connection
    /// ends on which it heard of the agent.
    Uid,
    /// By connection: on another one it has to be told of the agent again.
    Link,
    /// By uid, and by one connection at a time: it refuses, or renames, an agent that comes on a second one. The
    /// former home has to say goodbye first.
    Exclusive,
    /// By a connection of the agent's own, which the former home has to close first.
    OwnLink,
}

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerKeys {
    configured: KeyedBy,
    shown: Keying,
}

impl ServerKeys {
    pub(super) const fn new(configured: KeyedBy) -> Self {
        Self { configured, shown: Keying::Uid }
    }

    pub(super) const fn keying(self) -> Keying {
        match self.configured {
            KeyedBy::Auto => self.shown,
            KeyedBy::Uid => Keying::Uid,
            KeyedBy::Link => Keying::Link,
            KeyedBy::Exclusive => Keying::Exclusive,
            KeyedBy::OwnLink => Keying::OwnLink,
        }
    }

    /// The server has shown how it knows agents. Each kind costs more than the one before it, so the one that costs
    /// most counts. Returns whether this is news.
    pub(super) fn shows(&mut self, keying: Keying) -> bool {
        let before = self.keying();
        self.shown = self.shown.max(keying);
        self.keying() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_learns_and_what_is_configured_stays() {
        let mut auto = ServerKeys::new(KeyedBy::Auto);
        assert_eq!(auto.keying(), Keying::Uid);
        assert!(auto.shows(Keying::Link) && !auto.shows(Keying::Link));
        assert!(auto.shows(Keying::Exclusive) && !auto.shows(Keying::Link));
        assert_eq!(auto.keying(), Keying::Exclusive);
        let mut uid = ServerKeys::new(KeyedBy::Uid);
        assert!(!uid.shows(Keying::Exclusive));
        assert_eq!(uid.keying(), Keying::Uid);
        assert_eq!(ServerKeys::new(KeyedBy::Exclusive).keying(), Keying::Exclusive);
        let mut own = ServerKeys::new(KeyedBy::OwnLink);
        assert!(!own.shows(Keying::Exclusive) && own.keying() == Keying::OwnLink);
    }
}
