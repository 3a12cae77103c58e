//! The words by which the metrics of node links are split.

use crate::telemetry::label::label;

label! {
    /// How a dial of another node ended.
    pub(crate) enum NodeDialResult("result") {
        /// The link is up.
        Up = "up",
        /// The connection ended early.
        Failed = "failed",
        /// The other node finds this one's certificate in no lease.
        Refused = "refused",
        /// It does not answer.
        Timeout = "timeout",
        /// Another node answers, or one that has no lease.
        OtherNode = "other_node",
        /// Both nodes dialled, and the other connection is used.
        Surplus = "surplus",
    }
}

label! {
    /// How a connection that another node dialled ended.
    pub(crate) enum NodeAcceptResult("result") {
        /// The link is up.
        Up = "up",
        /// The connection ended early.
        Failed = "failed",
        /// The other node's certificate is in no lease.
        Unknown = "unknown",
        /// The other node does not go on.
        Timeout = "timeout",
        /// Both nodes dialled, and the other connection is used.
        Surplus = "surplus",
        /// Too many handshakes are under way.
        Busy = "busy",
    }
}

label! {
    /// Why a frame for another node was refused.
    pub(crate) enum FrameRefusal("reason") {
        /// The queue is full.
        Full = "full",
        /// It is over the limit.
        TooBig = "too_big",
        /// The link is lost.
        Lost = "lost",
    }
}
