//! R10 across nodes: which of an agent's connections has the session.

use std::time::Instant;

use super::{
    ConnectionAt, GAP_MEMORY, HeldBy, Highest, HomeAttachment, HomeMoment, HomePort, Newcomer,
    SessionCall, Telling, Unwritten, says_all,
};
use crate::core::attachment::home::session_side::{self, OF_SESSION, ping_of_session};
use crate::core::node_link::{AgentConnection, Attach, AttachmentId, CloseOrder, ToFront};
use crate::mutation::{Breach, is_on};

impl Newcomer {
    fn new(at: ConnectionAt, attach: &Attach<'_>) -> Self {
        let Attach { transport, client, identity, forwarded_lately, .. } = *attach;
        Self { at, transport, client, identity: identity.into(), forwarded_lately }
    }
}

/// A newcomer whose case is open: whether it may replace the current connection.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) newcomer: Newcomer,
    /// See [`Attach::next`] and [`Attach::had`].
    next: u64,
    had: u64,
    credit: u32,
    /// What it said first may be older than what the session has heard: its front has yet to say that it is open.
    is_doubted: bool,
    /// How often its front was asked whether it is open, and has yet to answer. An answer to an earlier question says
    /// nothing of now: the agent may have let this connection go to open the one that is current.
    unanswered: u32,
    /// Its front has said that it is open, and the current one's agent was sent the ping of this number.
    question: Option<u32>,
    /// When the question that is open now counts as answered by silence.
    pub(super) until: Instant,
}

impl HomeAttachment {
    /// A connection attaches, for the first time or once more.
    pub fn attach<'a, P: HomePort<'a>>(
        &mut self,
        at: ConnectionAt,
        attach: &Attach<'a>,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        if let Some(first) = attach.first.filter(|_| attach.transport == AgentConnection::PlainHttp)
        {
            self.requests.get_or_insert_default().attaches(at, &first);
        }
        if self.current_at(at).is_some() {
            return self.attach_again(attach, moment, port);
        }
        let is_lower = |id| self.highest.is_some_and(|highest| highest.id > id);
        match attach.resumes.or_else(|| id_of(self.highest, at)) {
            Some(id) if is_lower(id) && !is_on(Breach::AttachmentLowerDisplaces) => {
                port.to_front(at.front, &ToFront::Close(self.handle(at), CloseOrder::Replaced));
            }
            Some(id) => {
                let attach = Attach { resumes: Some(id), ..*attach };
                self.accept(Newcomer::new(at, &attach), &attach, moment, port);
            }
            None => self.first_attach(at, attach, moment, port),
        }
    }

    /// The current connection attaches once more.
    fn attach_again<'a, P: HomePort<'a>>(
        &mut self,
        attach: &Attach<'a>,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        let (Some(current), Some(highest)) = (&mut self.current, &mut self.highest) else { return };
        current.unwritten.set_credit(attach.credit);
        let before = attach.next.saturating_sub(1);
        if current.had < before {
            // Another home has confirmed what this session lacks: it will not come again.
            (current.had, highest.had) = (before, before);
            port.session(SessionCall::Missed);
            self.missed = Some(moment.now + GAP_MEMORY);
        }
        self.answer_attach(attach, moment, port);
        ask_current(self, port);
        if let Some(current) = &self.current {
            session_side::ping_again(self.uid, current, port);
        }
    }

    fn first_attach<'a, P: HomePort<'a>>(
        &mut self,
        at: ConnectionAt,
        attach: &Attach<'a>,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        let same_front = self.highest.filter(|highest| highest.at.front == at.front);
        let may_replace = match (same_front, &self.current) {
            (Some(highest), _) => Some(at.connection > highest.at.connection),
            (None, Some(_)) if is_on(Breach::AttachmentDisplacesUnasked) => Some(true),
            (None, _) if is_doubted(attach, port) => None,
            (None, None) => Some(true),
            // Without a connection there is none to ask: its next request will tell. One whose message is on its way may
            // say the same, and be the one that waits.
            (None, Some(current)) if current.transport == AgentConnection::PlainHttp => {
                (current.had > 0).then_some(true)
            }
            (None, Some(_)) => None,
        };
        match may_replace {
            Some(true) if holds_socket(self.current.as_ref()) && port.is_cloned() => {
                port.to_front(at.front, &ToFront::Close(self.handle(at), CloseOrder::Cloned));
            }
            Some(true) => self.accept(Newcomer::new(at, attach), attach, moment, port),
            Some(false) => {
                port.to_front(at.front, &ToFront::Close(self.handle(at), CloseOrder::Replaced));
            }
            None => self.ask_open(at, attach, moment, port),
        }
    }

    /// Asks the newcomer's front whether the connection is open. One case is open at a time: an earlier newcomer
    /// attaches again later.
    fn ask_open<'a, P: HomePort<'a>>(
        &mut self,
        at: ConnectionAt,
        attach: &Attach<'a>,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        if self.candidate.as_ref().is_some_and(|candidate| candidate.newcomer.at == at) {
            return;
        }
        let candidate = Contender {
            newcomer: Newcomer::new(at, attach),
            next: attach.next,
            had: attach.had,
            credit: attach.credit,
            is_doubted: is_doubted(attach, port),
            unanswered: 1,
            question: None,
            until: moment.now + moment.policy.answer_wait,
        };
        if let Some(former) = self.candidate.replace(candidate) {
            let former = former.newcomer.at;
            port.to_front(former.front, &ToFront::Later(self.handle(former)));
        }
        port.to_front(at.front, &ToFront::AskOpen(self.handle(at)));
    }

    /// The newcomer's front says that the connection is open: now the current one's agent is asked, if that has a
    /// connection on which it can be.
    pub fn open<'a, P: HomePort<'a>>(
        &mut self,
        at: ConnectionAt,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        let Some(candidate) = &mut self.candidate else { return };
        if candidate.newcomer.at != at || candidate.question.is_some() {
            return;
        }
        candidate.unanswered = candidate.unanswered.saturating_sub(1);
        if candidate.unanswered > 0 {
            return;
        }
        // Its agent has begun anew, or messages were lost before this one: its number shows no more.
        candidate.is_doubted = false;
        if !holds_socket(self.current.as_ref()) {
            return self.admit_candidate(moment, port);
        }
        self.question = self.question.wrapping_add(1) & !OF_SESSION;
        candidate.question = Some(self.question);
        candidate.until = moment.now + moment.policy.answer_wait;
        ask_current(self, port);
    }

    /// The current connection's agent has answered a ping that was sent after the newcomer was seen open: both are
    /// alive, and the newcomer needs another uid.
    pub fn alive<'a, P: HomePort<'a>>(&mut self, at: ConnectionAt, question: u32, port: &mut P) {
        if self.current_at(at).is_none() {
            return;
        }
        if let Some(ping) = ping_of_session(question) {
            if let Some(current) = self.current_at(at) {
                current.asked.take_if(|asked| *asked == ping);
            }
            return port.session(SessionCall::Confirmed(ping));
        }
        port.session(SessionCall::Heard);
        let answered = |candidate: &mut Contender| candidate.question == Some(question);
        if let Some(candidate) = self.candidate.take_if(answered) {
            let at = candidate.newcomer.at;
            port.to_front(at.front, &ToFront::Close(self.handle(at), CloseOrder::Cloned));
        }
    }

    pub(super) fn drop_candidate(&mut self, at: ConnectionAt) {
        self.candidate.take_if(|candidate| candidate.newcomer.at == at);
    }

    /// A question has waited long enough. The silence of the newcomer's front ends its case; the silence of the
    /// current one's agent means that its connection is stale.
    pub(super) fn answer_overdue<'a, P: HomePort<'a>>(
        &mut self,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        let Some(candidate) = self.candidate.as_ref().filter(|it| it.until <= moment.now) else {
            return;
        };
        if candidate.question.is_some() {
            return self.admit_candidate(moment, port);
        }
        if let Some(candidate) = self.candidate.take() {
            let at = candidate.newcomer.at;
            port.to_front(at.front, &ToFront::Later(self.handle(at)));
        }
    }

    /// The way is free for the candidate, if there is one, unless it may be older than what went this way. What it said
    /// at first, its front says again.
    pub(super) fn admit_candidate<'a, P: HomePort<'a>>(
        &mut self,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        let Some(candidate) = self.candidate.take_if(|candidate| !candidate.is_doubted) else {
            return;
        };
        let Contender { newcomer, next, had, credit, .. } = candidate;
        let attach = Attach {
            resumes: None,
            transport: newcomer.transport,
            client: newcomer.client,
            identity: &[],
            forwarded_lately: newcomer.forwarded_lately,
            next,
            had,
            credit,
            heartbeats: None,
            first: None,
        };
        self.accept(newcomer, &attach, moment, port);
    }

    /// The newcomer has the session; a former connection closes.
    fn accept<'a, P: HomePort<'a>>(
        &mut self,
        newcomer: Newcomer,
        attach: &Attach<'a>,
        moment: &HomeMoment<'_>,
        port: &mut P,
    ) {
        self.drop_candidate(newcomer.at);
        self.confirm(port);
        if let Some(former) = self.take_current() {
            let close = ToFront::Close(self.handle(former.at), CloseOrder::Replaced);
            port.to_front(former.at.front, &close);
        }
        let id = match attach.resumes {
            Some(id) => id,
            None => AttachmentId { epoch: moment.epoch, number: port.next_number() },
        };
        let before = attach.next.saturating_sub(1);
        let highest = self.highest.filter(|highest| highest.id == id);
        let known = highest.map_or(0, |highest| highest.had);
        // Messages that came before are lost to this session if it had fewer of them.
        let says_all = before == 0 && attach.first.as_ref().is_some_and(says_all);
        let missed = self.missed.is_some_and(|until| moment.now < until) && !says_all;
        // What it said at first may say all, and comes later.
        let waits = missed && before == 0 && attach.first.is_none();
        let gap = known < before && !is_on(Breach::AttachmentIgnoresGap) || missed && !waits;
        let had = known.max(before);
        // An old frame may say less than its front has had.
        let numbered = highest.map_or(attach.had, |highest| highest.numbered.max(attach.had));
        self.highest = Some(Highest { id, at: newcomer.at, had, numbered });
        self.current = Some(HeldBy {
            id,
            at: newcomer.at,
            transport: newcomer.transport,
            had,
            telling: Telling::default(),
            unwritten: Unwritten::new(numbered, attach.credit),
            greeted: None,
            reached: true,
            closing: false,
            reply_due: None,
            asked: None,
            unsure_until: Some(moment.now + GAP_MEMORY),
            missed_before_first: waits,
            under_way: None,
        });
        port.session(SessionCall::Open { newcomer, gap });
        self.answer_attach(attach, moment, port);
        judge_anew(self, moment, port);
    }
}

/// Another connection has the session than the one that the candidate was judged against: both questions are open
/// again.
fn judge_anew<'a, P: HomePort<'a>>(
    home: &mut HomeAttachment,
    moment: &HomeMoment<'_>,
    port: &mut P,
) {
    let Some(candidate) = &mut home.candidate else { return };
    candidate.question = None;
    candidate.unanswered = candidate.unanswered.saturating_add(1);
    candidate.until = moment.now + moment.policy.answer_wait;
    let at = candidate.newcomer.at;
    port.to_front(at.front, &ToFront::AskOpen(home.handle(at)));
}

/// Asks the current connection's agent whether it is alive, if that is the open question.
fn ask_current<'a, P: HomePort<'a>>(home: &HomeAttachment, port: &mut P) {
    if let Some(current) = &home.current
        && let Some(question) = home.candidate.as_ref().and_then(|candidate| candidate.question)
    {
        port.to_front(current.at.front, &ToFront::Ping(home.handle(current.at), question));
    }
}

/// Whether a connection's first message may be older than what the session has heard. An answer that a front gave in
/// the home's place lets an agent go on over another front, while the message waits. So does one that is lost on its way:
/// the message was taken, and comes again.
fn is_doubted<'a, P: HomePort<'a>>(attach: &Attach<'_>, port: &P) -> bool {
    attach.first.is_some_and(|first| !port.follows(first.sequence_num))
        && !is_on(Breach::AttachmentTakesOld)
}

fn holds_socket(current: Option<&HeldBy>) -> bool {
    current.is_some_and(|it| it.transport == AgentConnection::WebSocket)
}

/// The name of a connection, if it was given one. A first attach of it went before that: the shard has moved
/// away and back since then, and the frame was slow.
fn id_of(highest: Option<Highest>, at: ConnectionAt) -> Option<AttachmentId> {
    highest.filter(|highest| highest.at == at).map(|highest| highest.id)
}
