//! The life of one link as its senders see it: which incarnation it is in, and whether it takes
//! messages. The queue and the connection are the caller's.
//!
//! ```text
//!             dialled                   lost: incarnation + 1
//!   Down ───────────────► Up ───────────────────────────────► Down
//!     └──── released ─────┴──► Closing, which is the end
//! ```
//!
//! A route names the incarnation that it was looked up in. A message for an earlier one is refused,
//! because what its session believes about the server is outdated: it goes again with the state that
//! the new incarnation needs.

use crate::ident::Incarnation;

/// Whether a link takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPhase {
    /// It is being dialled, or waits to be.
    Down,
    /// Established.
    Up,
    /// Released: it ends once what waits is written.
    Closing,
}

/// Why a link refuses a message. The session waits for a permit, and nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRefusal {
    /// The route was of an earlier incarnation.
    Stale,
    /// The link is down, or released.
    Down,
}

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLife {
    /// Rises with each loss.
    pub incarnation: Incarnation,
    /// See [`LinkPhase`].
    pub phase: LinkPhase,
}

impl LinkLife {
    /// Before the first dial.
    pub const FIRST: Self = Self { incarnation: Incarnation(1), phase: LinkPhase::Down };

    /// The link is established. `None`: it has been released meanwhile.
    #[must_use]
    pub fn up(self) -> Option<Self> {
        let phase = LinkPhase::Up;
        (self.phase != LinkPhase::Closing).then_some(Self { phase, ..self })
    }

    /// The link is lost, and with it what waited on it: sessions see it by the incarnation.
    #[must_use]
    pub const fn lost(self) -> Self {
        let incarnation = Incarnation(self.incarnation.0.wrapping_add(1));
        let phase = match self.phase {
            LinkPhase::Closing => LinkPhase::Closing,
            LinkPhase::Down | LinkPhase::Up => LinkPhase::Down,
        };
        Self { incarnation, phase }
    }

    /// The link has served its purpose.
    #[must_use]
    pub const fn released(self) -> Self {
        Self { phase: LinkPhase::Closing, ..self }
    }

    /// Whether a message with this incarnation in its route may be sent. `own`: the link is one
    /// agent's, and takes messages while it is dialled. A shared one refuses them until it is up, when
    /// its agents come again.
    ///
    /// # Errors
    /// Says why the message is refused.
    pub fn accepts(self, incarnation: Incarnation, own: bool) -> Result<(), LinkRefusal> {
        if incarnation != self.incarnation {
            return Err(LinkRefusal::Stale);
        }
        match self.phase {
            LinkPhase::Up => Ok(()),
            LinkPhase::Down if own => Ok(()),
            LinkPhase::Down | LinkPhase::Closing => Err(LinkRefusal::Down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_to_the_incarnation_that_it_was_meant_for() {
        let (first, second) = (Incarnation(1), Incarnation(2));
        let down = LinkLife::FIRST;
        assert_eq!(down.accepts(first, false), Err(LinkRefusal::Down));
        assert_eq!(down.accepts(first, true), Ok(()));
        let up = down.up().unwrap();
        assert_eq!(up.accepts(first, false), Ok(()));
        let again = up.lost().up().unwrap();
        assert_eq!(again.accepts(first, true), Err(LinkRefusal::Stale));
        assert_eq!(again.accepts(second, false), Ok(()));
        let released = again.released();
        assert_eq!(released.accepts(second, true), Err(LinkRefusal::Down));
        assert_eq!((released.up(), released.lost().phase), (None, LinkPhase::Closing));
    }
}
