//! What happens between a front and the homes of its agents.

use tracing::{debug, trace};

use crate::core::node_link::{CloseOrder, ToFront};
use crate::ident::InstanceUid;
use crate::telemetry::label::Label as _;
pub(crate) use crate::telemetry::labels::fronts::*;
use crate::telemetry::registry::metrics;

/// The target by which operators filter the log: the part that these events are about.
const TARGET: &str = "seawall::fronts";

/// A home said something to a connection of this front.
pub(crate) struct HomeSaid<'a> {
    /// What.
    pub message: &'a ToFront<'a>,
}

impl HomeSaid<'_> {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        let frame = match self.message {
            ToFront::Attached(..) => HomeFrame::Attached,
            ToFront::Confirmed(..) => HomeFrame::Confirmed,
            ToFront::Needs(..) => HomeFrame::Needs,
            ToFront::AskOpen(_) => HomeFrame::AskOpen,
            ToFront::Ping(..) => HomeFrame::Ping,
            ToFront::AgentFrame(..) => HomeFrame::ForAgent,
            ToFront::Close(..) => HomeFrame::Close,
            ToFront::Later(_) => HomeFrame::Later,
            ToFront::NotMine(..) => HomeFrame::NotMine,
            ToFront::Told(..) => HomeFrame::Told,
        };
        metrics().home_frames.with(frame).increment(1);
        let uid = self.message.handle().uid;
        trace!(target: TARGET, uid = %uid, frame = frame.as_str(), "home said");
    }
}

/// A home ordered a front to close a connection.
pub(crate) struct AttachmentClosed {
    /// The agent.
    pub uid: InstanceUid,
    /// Why.
    pub order: CloseOrder,
}

impl AttachmentClosed {
    /// Logs and counts it.
    pub(crate) fn emit(self) {
        metrics().front_closes.with(self.order).increment(1);
        let (uid, order) = (self.uid, self.order.as_str());
        debug!(target: TARGET, uid = %uid, order, "home closes the agent's connection");
    }
}

/// An agent was pinged because another connection claims its uid.
pub(crate) struct FrontPinged;

impl FrontPinged {
    /// Counts it.
    pub(crate) fn emit(self) {
        metrics().front_pings.increment(1);
    }
}

/// The sums over all connections of this front, taken a few times a second.
pub(crate) struct FrontsMeasured {
    /// Agents whose connection ends here.
    pub connected: i64,
    /// Bytes that are held until homes have them.
    pub held_bytes: usize,
}

impl FrontsMeasured {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub(crate) fn emit(self) {
        metrics().front_agents.set(self.connected as f64);
        metrics().front_held_bytes.set(self.held_bytes as f64);
    }
}
