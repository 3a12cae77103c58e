//! Where the gateway is known to fall short of a rule. Each is to be mended there, and to go here; with
//! it, the simulation looks away from exactly that.

/// A state that the content store keeps no longer when its turn comes is asked for, and its answer waits
/// for a turn again: where every message has to wait, it may never arrive.
pub(crate) const STATES_WITHOUT_ROOM_GO_ROUND: bool = true;
