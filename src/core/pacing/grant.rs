//! What becomes of a permit that the pacer has granted, before the session is asked.

use super::Class;

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct GrantFacts {
    /// Why the session has waited.
    pub class: Class,
    /// The session's agent still belongs to this server.
    pub placed_here: bool,
    /// The link that its message would take; `None` if it is made when the message is sent.
    pub link: Option<GrantLink>,
}

/// How that link is.
#[derive(Debug, Clone, Copy)]
pub struct GrantLink {
    /// It is up.
    pub is_up: bool,
    /// A good part of its queue is free: what is paced leaves room for what is urgent.
    pub has_room: bool,
}

/// What becomes of the permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The session uses it.
    Use,
    /// The agent has moved since: the permit is given back, and the session waits at its new server.
    Elsewhere,
    /// The link is down: the permit is given back. The link's return enqueues the session.
    LinkDown,
    /// The link is full: the permit is given back, and the session waits again, behind the others.
    LinkFull,
}

impl Grant {
    /// Decides.
    pub const fn of(facts: GrantFacts) -> Self {
        if !facts.placed_here {
            return Self::Elsewhere;
        }
        match (facts.class, facts.link) {
            // The agent is asked, whether or not its server is there.
            (Class::Ask, _) | (_, None) => Self::Use,
            (_, Some(GrantLink { is_up: false, .. })) => Self::LinkDown,
            (_, Some(GrantLink { has_room: false, .. })) => Self::LinkFull,
            (_, Some(_)) => Self::Use,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_used_where_the_message_can_go() {
        let link = |is_up, has_room| Some(GrantLink { is_up, has_room });
        for (class, placed_here, link, expected) in [
            (Class::Change, true, link(true, true), Grant::Use),
            (Class::Change, true, None, Grant::Use),
            (Class::Change, false, link(true, true), Grant::Elsewhere),
            (Class::Change, true, link(false, true), Grant::LinkDown),
            (Class::Change, true, link(true, false), Grant::LinkFull),
            (Class::Ask, true, link(false, false), Grant::Use),
            (Class::Ask, false, None, Grant::Elsewhere),
        ] {
            assert_eq!(Grant::of(GrantFacts { class, placed_here, link }), expected);
        }
    }
}
