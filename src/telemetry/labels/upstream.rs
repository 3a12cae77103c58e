//! The words by which the metrics of servers and links are split.

use crate::telemetry::label::label;

label! {
    /// How a dial ended.
    pub enum DialResult("result") {
        /// The link is up.
        Up = "up",
        /// The server answered the upgrade with another status.
        Refused = "refused",
        /// TCP or TLS failed.
        Failed = "failed",
        /// It took too long.
        Timeout = "timeout",
    }
}

label! {
    /// Why a link was lost.
    pub enum LossReason("reason") {
        /// The server closed it.
        Closed = "closed",
        /// The connection broke.
        Reset = "reset",
        /// The server left a ping unanswered for too long.
        PingTimeout = "ping_timeout",
        /// The server broke the rules of WebSocket.
        ProtocolFault = "protocol_fault",
        /// The server left a request (`http` mode) unanswered for too long.
        RequestTimeout = "request_timeout",
        /// A message over the limit.
        TooBig = "too_big",
        /// The server answers, but takes none of the messages (`http` mode).
        Useless = "useless",
        /// Its agent is gone (`per-agent` mode), or Seawall is stopping.
        Released = "released",
    }
}

label! {
    /// What came of a POST instead of a message.
    pub enum PostResult("result") {
        /// A status by which the server refuses the message (4xx).
        Refused = "refused",
        /// A status that says that the server is in trouble (5xx).
        Failed = "failed",
        /// 401, 403 or 407: the server rejects the gateway's credential.
        Credential = "credential",
        /// 404, 405 or 3xx: OpAMP is at another address than the configured one.
        Address = "address",
        /// 503 or 429: the server asks for a pause.
        Unavailable = "unavailable",
        /// The connection broke.
        Lost = "lost",
        /// The response took too long.
        Timeout = "timeout",
        /// The response was over the limit.
        TooBig = "too_big",
    }
}
