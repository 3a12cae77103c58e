//! The words by which the metrics of agents' connections and messages are split.

use crate::telemetry::label::label;

label! {
    /// Which of OpAMP's transports a message came on.
    pub(crate) enum Transport("transport") {
        /// WebSocket.
        WebSocket = "ws",
        /// Plain HTTP.
        Http = "http",
    }
}

label! {
    /// Why an agent's connection ended.
    pub(crate) enum CloseReason("reason") {
        /// The agent closed it (WebSocket close, or end of stream between requests).
        AgentClosed = "agent_closed",
        /// The connection broke.
        Reset = "reset",
        /// The agent said `agent_disconnect`, then went.
        AgentDisconnect = "agent_disconnect",
        /// The agent left a ping unanswered for too long.
        PingTimeout = "ping_timeout",
        /// The agent came on a newer connection.
        Replaced = "replaced",
        /// The agent broke the rules of HTTP or WebSocket (1002, 400).
        ProtocolFault = "protocol_fault",
        /// The agent sent text (1003).
        UnsupportedData = "unsupported_data",
        /// A message over the limit (1009, 413).
        TooBig = "too_big",
        /// The agent reads too slowly: what waits for it is over its limit.
        SlowReader = "slow_reader",
        /// The request head took too long.
        HeadTimeout = "head_timeout",
        /// A message or body took too long from its first byte to its last.
        MessageTimeout = "message_timeout",
        /// A plain-HTTP connection stood idle between requests.
        HttpIdle = "http_idle",
        /// The request was refused and the connection closed with it.
        Refused = "refused",
        /// Seawall is stopping.
        Drain = "drain",
        /// A limit on connections, sessions or bytes held was reached.
        OverLimit = "over_limit",
        /// Seawall's own fault.
        Internal = "internal",
    }
}

label! {
    /// Why a request (an upgrade or a POST) was refused.
    pub(crate) enum RefuseReason("reason") {
        /// 404: another path.
        NotFound = "not_found",
        /// 405: a method other than GET and POST.
        MethodNotAllowed = "method_not_allowed",
        /// 415: a body of another type than protobuf, or an unknown content encoding.
        UnsupportedMediaType = "unsupported_media_type",
        /// 501: a body in a transfer coding other than chunks.
        TransferCoding = "transfer_coding",
        /// 426: a plain GET, or an upgrade to another WebSocket version.
        UpgradeRequired = "upgrade_required",
        /// 400: malformed HTTP or OpAMP.
        BadRequest = "bad_request",
        /// 413: a body over the limit.
        TooLarge = "too_large",
        /// 431: a request head over the limit.
        HeadTooLarge = "head_too_large",
        /// 503: the node is full.
        Overloaded = "overloaded",
        /// 503: the agent must come again at its reservation (`seawall_admission_outcomes_total` says why).
        NotYet = "not_yet",
        /// 408: the request head took too long.
        HeaderTimeout = "header_timeout",
        /// 408: the body took too long.
        BodyTimeout = "body_timeout",
    }
}

label! {
    /// What is wrong with a message that Seawall rejected.
    pub(crate) enum MessageFault("fault") {
        /// Malformed protobuf.
        Scan = "scan",
        /// The instance uid is missing or malformed.
        Uid = "uid",
        /// Another live agent uses the uid.
        ClonedUid = "cloned_uid",
        /// Over the size limit.
        TooBig = "too_big",
        /// Malformed gzip.
        Gzip = "gzip",
        /// A text message.
        Text = "text",
        /// WebSocket framing.
        Frame = "frame",
        /// The table of sessions is full.
        SessionsFull = "sessions_full",
        /// One more agent than one connection may bring.
        TooManyAgents = "too_many_agents",
        /// As much of what the agent says once waits for its server as may.
        Busy = "busy",
    }
}

label! {
    /// Why an agent left a WebSocket that others use.
    pub(crate) enum SharedAgentEnd("reason") {
        /// It said goodbye, or its session was over.
        Left = "left",
        /// Another connection has its session.
        Replaced = "replaced",
        /// More waited for it than may.
        SlowReader = "slow_reader",
        /// It stayed silent for longer than its rhythm allows.
        Silent = "silent",
        /// It goes on under another uid.
        Renamed = "renamed",
    }
}

label! {
    /// What a message to an agent is.
    pub(crate) enum SendKind("kind") {
        /// A server's reply.
        Reply = "reply",
        /// A server's message that it sent unasked.
        Push = "push",
        /// Seawall's own acknowledgement.
        LocalAck = "local_ack",
        /// Seawall's own error response.
        Error = "error",
    }
}

label! {
    /// Why the system failed to accept a connection.
    pub(crate) enum AcceptError("kind") {
        /// The descriptors are used up.
        Descriptors = "descriptors",
        /// Anything else.
        Other = "other",
    }
}
