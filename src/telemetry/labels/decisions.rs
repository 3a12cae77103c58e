//! The core's own types as labels: what was decided is counted under the name that the core gives it,
//! so that a new variant must be given a word here before the crate compiles.

use crate::core::admission::{Limit, Outcome};
use crate::core::drain::DrainPhase;
use crate::core::http_mode::PostResult;
use crate::core::link::LossReason;
use crate::core::node_link::{CloseOrder, NodeMessageKind};
use crate::core::ownership::HoldReason;
use crate::core::pacing::Class;
use crate::core::peer_link::LinkEnd;
use crate::core::rebalance::RebalanceEnd;
use crate::core::server::Blame;
use crate::core::session::{CustomLoss, EndReason, OfferLoss, Replier};
use crate::opamp::server::ErrorKind;
use crate::telemetry::label::{Label, label_for};

label_for! {
    Blame("blame") {
        Server = "server",
        Credential = "credential",
        Address = "address",
    }
}

label_for! {
    Limit("limit") {
        Connections = "connections",
        Sessions = "sessions",
        Memory = "memory",
    }
}

label_for! {
    LossReason("reason") {
        Closed = "closed",
        Reset = "reset",
        PingTimeout = "ping_timeout",
        ProtocolFault = "protocol_fault",
        RequestTimeout = "request_timeout",
        TooBig = "too_big",
        Unhealthy = "unhealthy",
        Released = "released",
        HoldsStill = "holds_still",
    }
}

label_for! {
    HoldReason("reason") {
        NoMember = "no_member",
        Unconfirmed = "unconfirmed",
        InDoubt = "in_doubt",
        Alone = "alone",
        AutonomyOver = "autonomy_over",
    }
}

label_for! {
    NodeMessageKind("kind") {
        Control = "control",
        Attach = "attach",
        Message = "message",
        Heartbeats = "heartbeats",
        Open = "open",
        Alive = "alive",
        Written = "written",
        Detach = "detach",
        AllHere = "all_here",
        WasAlive = "was_alive",
        FrontLeaves = "front_leaves",
        Attached = "attached",
        Confirmed = "confirmed",
        Needs = "needs",
        AskOpen = "ask_open",
        Ping = "ping",
        ForAgent = "for_agent",
        Close = "close",
        Later = "later",
        NotMine = "not_mine",
        Told = "told",
        Session = "session",
        Content = "content",
        End = "end",
        ServerSaid = "server_said",
        LetGo = "let_go",
        LinkEnded = "link_ended",
        WordTaken = "word_taken",
        Unknown = "unknown",
    }
}

label_for! {
    CloseOrder("order") {
        Replaced = "replaced",
        Overflowed = "overflowed",
        Left = "left",
        Stopping = "stopping",
        Draining = "draining",
        Cloned = "cloned",
    }
}

label_for! {
    LinkEnd("reason") {
        Closed = "closed",
        Reset = "reset",
        Silent = "silent",
        ProtocolFault = "protocol_fault",
        Replaced = "replaced",
        Overflowed = "overflowed",
        LeaseGone = "lease_gone",
        Released = "released",
    }
}

label_for! {
    RebalanceEnd("reason") {
        Balanced = "balanced",
        CameBack = "came_back",
        Stopped = "stopped",
        Alone = "alone",
    }
}

label_for! {
    PostResult("result") {
        Refused = "refused",
        Failed = "failed",
        Credential = "credential",
        Address = "address",
        Unavailable = "unavailable",
        Lost = "lost",
        Timeout = "timeout",
        TooBig = "too_big",
        Foreign = "foreign",
    }
}

label_for! {
    DrainPhase("phase") {
        Serving = "serving",
        Notice = "notice",
        Closing = "closing",
        Cutting = "cutting",
        Delivering = "delivering",
        Drained = "drained",
    }
}

label_for! {
    EndReason("reason") {
        AgentDisconnect = "agent_disconnect",
        GraceExpired = "grace_expired",
        PollExpired = "poll_expired",
        GaveWay = "gave_way",
        ReplacedUid = "replaced_uid",
        Moved = "moved",
    }
}

label_for! {
    Replier("source") {
        Server = "server",
        Gateway = "local",
    }
}

label_for! {
    OfferLoss("reason") {
        SessionEnded = "session_ended",
        OverBudget = "over_budget",
        NoRoom = "no_room",
        Evicted = "evicted",
        NewProcess = "new_process",
        FormerServer = "former_server",
        FormerHome = "former_home",
        TooLargeForAgent = "too_large_for_agent",
        FormerConnection = "former_connection",
    }
}

label_for! {
    CustomLoss("reason") {
        OverBudget = "over_budget",
        SessionEnded = "session_ended",
        Superseded = "superseded",
    }
}

label_for! {
    ErrorKind("kind") {
        Unknown = "unknown",
        BadRequest = "bad_request",
        Unavailable = "unavailable",
    }
}

label_for! {
    Class("class") {
        Urgent = "urgent",
        Change = "change",
        FullState = "full_state",
        Announce = "announce",
        Ask = "ask",
        Liveness = "liveness",
    }
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.label()
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|outcome| *outcome == self).expect("ALL has every outcome")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds<L: Label + PartialEq + std::fmt::Debug>() {
        for (place, value) in L::ALL.iter().enumerate() {
            assert_eq!((value.index(), L::ALL[place]), (place, *value), "{value:?}");
        }
    }

    #[test]
    fn the_place_of_a_decision_is_its_index() {
        holds::<DrainPhase>();
        holds::<HoldReason>();
        holds::<NodeMessageKind>();
        holds::<EndReason>();
        holds::<Replier>();
        holds::<OfferLoss>();
        holds::<CustomLoss>();
        holds::<ErrorKind>();
        holds::<Class>();
        holds::<Outcome>();
        holds::<Limit>();
    }
}
