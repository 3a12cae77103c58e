//! The words by which the metrics of servers and links are split.

use crate::telemetry::label::label;

label! {
    /// How a dial ended.
    pub enum DialResult("result") {
        /// The link is up.
        Up = "up",
        /// The server answered with something else than an upgrade.
        Refused = "refused",
        /// No connection, or no TLS.
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
        /// A ping was not answered in time.
        PingTimeout = "ping_timeout",
        /// The server broke the rules of WebSocket.
        ProtocolFault = "protocol_fault",
        /// A request (`http` mode) was not answered in time.
        RequestTimeout = "request_timeout",
        /// A message over the limit.
        TooBig = "too_big",
        /// The server answers, but nothing that is sent there is taken (`http` mode).
        Useless = "useless",
        /// Its agent is gone (`per-agent` mode), or Seawall is stopping.
        Released = "released",
    }
}

label! {
    /// What came of a POST instead of a message.
    pub enum PostResult("result") {
        /// A status that says that the server does not want it (4xx).
        Refused = "refused",
        /// A status that says that the server is in trouble (5xx).
        Failed = "failed",
        /// 401, 403 or 407: the server does not accept the gateway's credential.
        Credential = "credential",
        /// 404, 405 or 3xx: the server has no OpAMP at the configured address.
        Address = "address",
        /// 503 or 429: the server asks to be spared.
        Unavailable = "unavailable",
        /// The connection broke.
        Lost = "lost",
        /// There was no response in time.
        Timeout = "timeout",
        /// The response was over the limit.
        TooBig = "too_big",
    }
}
