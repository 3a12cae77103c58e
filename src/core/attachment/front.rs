//! The front's side of an attachment: what it holds for its agent, and what it owes it.
//!
//! ```text
//!             home_reached            Attached
//!   Away ─────────────────► Attaching ─────────► Attached
//!     ▲                        │  ▲                  │
//!     └──────── home_lost ─────┤  └ Later, NotMine: again
//!                              └─────────────────────┘
//!
//!           closed, all is confirmed
//!   Open ─────────────────────────────► Over      Close (Replaced, Left, Cloned) leads there, too
//!     │ closed                          ▲  ▲
//!     └───────► Leaving ────────────────┘  │  all is confirmed, or `leaving_max` has passed
//!                  │ something is lost     │
//!                  └──────────────► Missed ┘  told, and `leaving_max` has passed in reach of the same home
//!
//! What the agent said was acknowledged. If it is lost in the end, the home is told so: numbers alone would not show
//! it if the agent's next process happens to come to the number that the home expects. That word is not confirmed.
//! So it goes once more whenever the link or the home has changed, and after a home that says "not mine".
//! ```
//!
//! To drive it: call [`FrontAttachment::home_reached`] whenever the map names a home and its link is up, also if it
//! is the one from before, and [`FrontAttachment::home_lost`] when either ends. Read from the agent while
//! [`FrontAttachment::may_read`]. Call [`FrontAttachment::deadline_passed`] at [`FrontAttachment::deadline`].

mod home_said;
mod leaving;
mod port;

use std::time::{Duration, Instant};

use super::held::{HeldMessages, TakenDigests};
use super::replies::OwedReplies;
use crate::core::node_link::{Attach, AttachmentId, DetachReason, Handle, HeartbeatsEntry, ToHome};
use crate::core::ownership::Home;
use crate::ident::SequenceNum;
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;

pub use port::{AgentAbout, FrontMoment, FrontPolicy, FrontPort};

/// A state that was sent on within this time is told once more by a home that takes over.
const FORWARDED_LATELY: Duration = Duration::from_secs(60);

/// The way to the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// No home is known, or none is in reach.
    Away,
    /// The home is in reach; `again`: when to attach, if it has not answered by then.
    Attaching { home: Home, again: Option<Instant> },
    /// The home has the connection.
    Attached { home: Home, credit: usize },
}

/// Where the connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionStage {
    Open,
    Leaving {
        reason: DetachReason,
        until: Option<Instant>,
    },
    /// The home was told that something is lost. Until then it may have to be told again.
    Missed {
        reason: DetachReason,
        until: Instant,
    },
    Over,
}

/// See the module's text.
#[derive(Debug)]
pub struct FrontAttachment {
    handle: Handle,
    about: AgentAbout,
    id: Option<AttachmentId>,
    way: Way,
    stage: ConnectionStage,
    held: HeldMessages,
    replies: OwedReplies,
    /// The agent's last number and capabilities.
    said: Option<(SequenceNum, u64)>,
    /// The tenure of the latest home.
    epoch: u64,
    /// Messages for the agent up to this number have come.
    had: u64,
    /// All up to this number are written.
    written: u64,
    /// The agent has heard of its server's capabilities on this connection.
    greeted: bool,
    /// The connection was closed before it was attached.
    is_late: bool,
    /// When the home last wanted parts of what the agent said, and of which message. `None` once servers have
    /// answered all that it told them.
    forwarded: Option<(Instant, u64)>,
}

impl FrontAttachment {
    /// For a connection whose agent says its first message now: [`FrontAttachment::agent_message`] is next. `home`:
    /// the home, if it is in reach.
    pub fn new(handle: Handle, about: AgentAbout, home: Option<Home>) -> Self {
        Self {
            handle,
            about,
            id: None,
            way: home.map_or(Way::Away, |home| Way::Attaching { home, again: None }),
            stage: ConnectionStage::Open,
            held: HeldMessages::default(),
            replies: OwedReplies::default(),
            said: None,
            epoch: home.map_or(0, |home| home.epoch.number),
            had: 0,
            written: 0,
            greeted: false,
            is_late: false,
            forwarded: None,
        }
    }

    /// The agent and its connection.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Whether the agent's next message may be read. What waits for the home has a bound.
    pub fn may_read(&self, policy: &FrontPolicy) -> bool {
        self.held.has_room(policy.held_messages_max, policy.held_bytes_max)
    }

    /// Bytes that are held for the home.
    pub const fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Whether the connection is open, as far as the front knows, and still the agent's.
    pub fn is_open(&self) -> bool {
        self.stage == ConnectionStage::Open
    }

    /// Whether the home has the connection.
    pub const fn is_attached(&self) -> bool {
        matches!(self.way, Way::Attached { .. })
    }

    /// Whether the connection is over and what it said is given up, so that a home in reach must hear of a loss.
    pub fn is_given_up(&self) -> bool {
        matches!(
            self.stage,
            ConnectionStage::Leaving { until: None, .. } | ConnectionStage::Missed { .. }
        )
    }

    /// Whether the home has the content of all that the agent said, and the agent has its replies.
    pub fn is_settled(&self) -> bool {
        self.held.is_empty() && self.replies.due().is_none()
    }

    /// When the agent is owed a reply of the front's own.
    pub const fn reply_due(&self) -> Option<Instant> {
        self.replies.due()
    }

    /// Whether the front may forget it.
    pub fn is_over(&self) -> bool {
        self.stage == ConnectionStage::Over
    }

    /// Whether the home has yet to hear of it: an attach is unanswered, or was put off.
    pub fn is_yet_to_attach(&self) -> bool {
        let waits = matches!(self.way, Way::Attaching { again: Some(_), .. });
        waits && !self.is_over()
    }

    /// The agent says something.
    pub fn agent_message<P: FrontPort>(
        &mut self,
        scan: &AgentScan<'_>,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if self.stage != ConnectionStage::Open {
            return;
        }
        let before = self.said;
        let capabilities =
            scan.stated_capabilities().or(before.map(|(_, capabilities)| capabilities));
        let number = scan.number().or(before.map(|(number, _)| number));
        self.said =
            Some((number.unwrap_or(scan.sequence_num), capabilities.unwrap_or(scan.capabilities)));
        let follows = before.is_some_and(|(last, known)| {
            scan.number() == Some(last.next()) && Some(known) == capabilities
        });
        if follows && scan.is_heartbeat() && moment.policy.answers_heartbeats {
            self.held.heartbeat(scan.sequence_num);
            port.acknowledge();
            return self.tell_heartbeats(port);
        }
        let mut digests = TakenDigests::default();
        let secret = port.digest(scan, &mut |number, digest| digests.put(number, digest));
        digests.secret = secret;
        if self.held.push(scan, digests, moment.limits()) {
            self.forwarded = Some((moment.now, self.held.last()));
        }
        self.replies.owe(moment.now, moment.policy.reply_bound);
        match self.way {
            Way::Away => self.answer_here(port),
            Way::Attaching { again: None, .. } => self.attach(moment, port),
            Way::Attaching { .. } => {}
            Way::Attached { .. } => self.send(port),
        }
    }

    /// The shard's home is in reach from now on: another one, or the one from before.
    pub fn home_reached<P: FrontPort>(
        &mut self,
        home: Home,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if self.is_over() {
            return;
        }
        self.way = Way::Attaching { home, again: None };
        self.epoch = self.epoch.max(home.epoch.number);
        match self.stage {
            ConnectionStage::Leaving { until: None, .. } | ConnectionStage::Missed { .. } => {
                return self.leave(moment, port);
            }
            ConnectionStage::Open | ConnectionStage::Leaving { .. } | ConnectionStage::Over => {}
        }
        if self.id.is_some() || !self.held.is_empty() {
            self.attach(moment, port);
        }
    }

    /// The shard has no home, or the home is out of reach.
    pub fn home_lost<P: FrontPort>(&mut self, port: &mut P) {
        self.way = Way::Away;
        self.answer_here(port);
    }

    /// Everything for the agent up to this number is written to it.
    pub fn written<P: FrontPort>(&mut self, number: u64, port: &mut P) {
        self.written = self.written.max(number);
        if let Way::Attached { home, .. } = self.way
            && !self.is_over()
        {
            port.to_home(home.node, &ToHome::Written(self.handle, self.written));
        }
    }

    /// The agent answered the ping of this question.
    pub fn ponged<P: FrontPort>(&mut self, question: u32, port: &mut P) {
        if let Way::Attached { home, .. } = self.way
            && self.stage == ConnectionStage::Open
        {
            port.to_home(home.node, &ToHome::Alive(self.handle, question));
        }
    }

    /// When to call [`FrontAttachment::deadline_passed`].
    pub fn deadline(&self) -> Option<Instant> {
        let (reply, home) = (self.reply_due().filter(|_| !self.is_over()), self.home_due());
        [reply, home].into_iter().flatten().min()
    }

    /// The part of [`FrontAttachment::deadline`] that is about the home: an attach that must be repeated, and the end
    /// of a connection that is closed. It is in no hurry.
    pub fn home_due(&self) -> Option<Instant> {
        let again = match self.way {
            Way::Attaching { again, .. } => again,
            Way::Away | Way::Attached { .. } => None,
        };
        let until = match self.stage {
            ConnectionStage::Over => return None,
            ConnectionStage::Leaving { until, .. } => until,
            // Out of reach, the home has yet to hear of it.
            ConnectionStage::Missed { until, .. } => {
                return (self.way != Way::Away).then_some(until);
            }
            ConnectionStage::Open => None,
        };
        [again, until].into_iter().flatten().min()
    }

    /// Looks at what is overdue.
    pub fn deadline_passed<P: FrontPort>(&mut self, moment: &FrontMoment<'_>, port: &mut P) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= moment.now);
        match &mut self.stage {
            ConnectionStage::Leaving { until, .. } if is_due(*until) => {
                // What is given up must still be told.
                *until = None;
                self.held.give_up();
                return self.leave_if_reached(moment, port);
            }
            ConnectionStage::Missed { .. } => {
                if is_due(self.deadline()) {
                    self.stage = ConnectionStage::Over;
                }
                return;
            }
            ConnectionStage::Open | ConnectionStage::Leaving { .. } | ConnectionStage::Over => {}
        }
        if is_due(self.replies.due()) {
            self.answer_here(port);
        }
        if let Way::Attaching { again, .. } = self.way
            && is_due(again)
        {
            self.attach(moment, port);
        }
    }

    /// Answers in the home's place all that is unanswered.
    fn answer_here<P: FrontPort>(&mut self, port: &mut P) {
        for _ in 0..self.replies.waive() {
            if !is_on(Breach::AttachmentForgetsReply) {
                port.acknowledge();
            }
        }
    }

    fn attach<P: FrontPort>(&mut self, moment: &FrontMoment<'_>, port: &mut P) {
        let Way::Attaching { home, .. } = self.way else { return };
        if self.is_over() {
            return;
        }
        let again = Some(moment.now + moment.policy.attach_again);
        self.way = Way::Attaching { home, again };
        let forwarded_lately = self
            .forwarded
            .is_some_and(|(at, _)| moment.now.saturating_duration_since(at) < FORWARDED_LATELY);
        let (next, heartbeats) = (self.held.next(), self.held.heartbeats());
        self.held.send_again();
        if self.stage != ConnectionStage::Open {
            // The agent may be back on another connection. A question for the parts would come after that.
            self.held.send_whole();
            self.forwarded = Some((moment.now, self.held.last()));
        }
        let mut fields = Vec::new();
        let first = self.held.next_to_send(0, &mut fields).map(|first| first.report);
        let attach = Attach {
            resumes: self.id,
            transport: self.about.transport,
            client: self.about.client,
            identity: &self.about.identity,
            forwarded_lately,
            next,
            had: self.had,
            credit: moment.policy.agent_bytes_max,
            heartbeats,
            first,
        };
        port.to_home(home.node, &ToHome::Attach(self.handle, attach));
    }

    /// Sends what has not gone in this life of the link, as far as the home's credit goes.
    fn send<P: FrontPort>(&mut self, port: &mut P) {
        let Way::Attached { home, credit } = self.way else { return };
        let mut fields = Vec::new();
        while let Some(message) = self.held.next_to_send(credit, &mut fields) {
            port.to_home(home.node, &ToHome::Message(self.handle, message));
        }
    }

    /// Tells the home of heartbeats that were answered here. While a message is unconfirmed they wait: they
    /// belong behind it.
    fn tell_heartbeats<P: FrontPort>(&self, port: &mut P) {
        if let Way::Attached { home, .. } = self.way
            && let Some(last) = self.held.heartbeats()
        {
            let after = self.held.last();
            port.heartbeats(home.node, HeartbeatsEntry { handle: self.handle, after, last });
        }
    }
}
