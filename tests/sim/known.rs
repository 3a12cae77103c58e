//! Where the gateway is known to fall short of a rule. Each is to be mended there, and to go here; with
//! it, the simulation looks away from exactly that.

/// An agent that comes back to a server after it was at another is only introduced. A server that kept
/// what it knew of it believes that nothing has changed, unless it counts and the numbers show it.
pub(crate) const MOVED_AGENTS_ARE_ONLY_TOUCHED: bool = false;

/// A state of which the content store keeps nothing, or of which nothing but the capabilities is known
/// or unsent, goes on as an empty message.
pub(crate) const EMPTY_STATES_GO_ON: bool = true;

/// A state that went in parts, without the capabilities that go with every message, does not count as
/// the whole that a server has asked for, and goes once more.
pub(crate) const WHOLE_STATES_GO_TWICE: bool = false;

/// A component map that a server asks for together with the full state, and that only the agent has, is
/// taken for the hash that went with the full state in the meantime.
pub(crate) const MAPS_ARE_LOST: bool = false;

/// A custom message that waits takes fields along that the schema does not know; when it goes, they may
/// be older than what the server has.
pub(crate) const CUSTOM_MESSAGES_CARRY_STALE_FIELDS: bool = false;

/// On a link's new incarnation an agent may be introduced by some parts of its state. If they are all that
/// its capabilities promise, a server that has lost it takes them for all there is.
pub(crate) const PARTS_INTRODUCE: bool = true;
