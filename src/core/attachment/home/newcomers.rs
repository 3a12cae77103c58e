//! R10 across nodes: which of an agent's connections has the session.

use std::time::Instant;

use super::{Current, Highest, HomeAttachment, HomeMoment, HomePort, SessionCall, Unwritten};
use crate::core::node_link::{AgentTransport, Attach, AttachmentId, CloseOrder, Handle, ToFront};
use crate::core::ownership::NodeIncarnation;
use crate::ident::ConnectionId;
use crate::mutation::{Breach, is_on};

/// A connection that attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Where it ends.
    pub front: NodeIncarnation,
    /// Which of that front's.
    pub connection: ConnectionId,
    /// How the agent is connected.
    pub transport: AgentTransport,
    /// See [`Attach::client`].
    pub client: u8,
    /// See [`Attach::identity`].
    pub identity: Box<[u8]>,
    /// See [`Attach::forwarded_lately`].
    pub forwarded_lately: bool,
}

impl Newcomer {
    fn new(front: NodeIncarnation, connection: ConnectionId, attach: &Attach<'_>) -> Self {
        let Attach { transport, client, identity, forwarded_lately, .. } = *attach;
        Self { front, connection, transport, client, identity: identity.into(), forwarded_lately }
    }
}

/// A newcomer whose case is open: whether it may replace the current connection.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) newcomer: Newcomer,
    /// See [`Attach::next`] and [`Attach::had`].
    next: u64,
    had: u64,
    credit: u32,
    /// Its front has said that it is open, and the current one's agent was sent the ping of this number.
    question: Option<u32>,
    /// When the question that is open now counts as answered by silence.
    pub(super) until: Instant,
}

impl Candidate {
    fn is(&self, front: NodeIncarnation, connection: ConnectionId) -> bool {
        self.newcomer.front == front && self.newcomer.connection == connection
    }
}

impl HomeAttachment {
    /// A connection attaches, for the first time or once more.
    pub fn attach<'a, P: HomePort<'a>>(
        &mut self,
        from: NodeIncarnation,
        handle: Handle,
        attach: &Attach<'a>,
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        if let Some(current) = self.current_at(from, handle.connection) {
            current.unwritten.set_credit(attach.credit);
            self.answer_attach(attach, (moment, port));
            return self.ping_again(port);
        }
        match attach.resumes {
            Some(id)
                if self.highest.is_some_and(|highest| highest.id > id)
                    && !is_on(Breach::AttachmentLowerDisplaces) =>
            {
                port.to_front(from, &ToFront::Close(handle, CloseOrder::Replaced));
            }
            Some(id) => self.accept(from, handle, (attach, id), (moment, port)),
            None => self.first_attach(from, handle, attach, (moment, port)),
        }
    }

    fn first_attach<'a, P: HomePort<'a>>(
        &mut self,
        from: NodeIncarnation,
        handle: Handle,
        attach: &Attach<'a>,
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        let newer_of_same = |current: &Current| {
            (current.front == from).then_some(handle.connection > current.connection)
        };
        let may_replace = match &self.current {
            None => Some(true),
            // Without a connection there is none to ask: its next request will tell.
            Some(current) if current.transport == AgentTransport::PlainHttp => Some(true),
            Some(current) => newer_of_same(current),
        };
        match may_replace {
            Some(false) => port.to_front(from, &ToFront::Close(handle, CloseOrder::Replaced)),
            None if !is_on(Breach::AttachmentDisplacesUnasked) => {
                self.ask_open(from, handle, attach, (moment, port));
            }
            Some(true) | None => {
                let id = AttachmentId { epoch: moment.epoch, number: port.next_number() };
                self.accept(from, handle, (attach, id), (moment, port));
            }
        }
    }

    /// Asks the newcomer's front whether the connection is open. One case is open at a time: an earlier newcomer
    /// attaches again later.
    fn ask_open<'a, P: HomePort<'a>>(
        &mut self,
        from: NodeIncarnation,
        handle: Handle,
        attach: &Attach<'a>,
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        if self.candidate.as_ref().is_some_and(|candidate| candidate.is(from, handle.connection)) {
            return;
        }
        let candidate = Candidate {
            newcomer: Newcomer::new(from, handle.connection, attach),
            next: attach.next,
            had: attach.had,
            credit: attach.credit,
            question: None,
            until: moment.now + moment.policy.answer_wait,
        };
        if let Some(former) = self.candidate.replace(candidate) {
            let handle = self.handle(former.newcomer.connection);
            port.to_front(former.newcomer.front, &ToFront::Later(handle));
        }
        port.to_front(from, &ToFront::AskOpen(handle));
    }

    /// The newcomer's front says that the connection is open: now the current one's agent is asked.
    pub fn open<'a, P: HomePort<'a>>(
        &mut self,
        from: NodeIncarnation,
        handle: Handle,
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        let Some(candidate) = &mut self.candidate else { return };
        if !candidate.is(from, handle.connection) || candidate.question.is_some() {
            return;
        }
        self.question = self.question.wrapping_add(1);
        candidate.question = Some(self.question);
        candidate.until = moment.now + moment.policy.answer_wait;
        self.ping_again(port);
    }

    fn ping_again<'a, P: HomePort<'a>>(&self, port: &mut P) {
        if let Some(current) = &self.current
            && let Some(question) = self.candidate.as_ref().and_then(|candidate| candidate.question)
        {
            let handle = self.handle(current.connection);
            port.to_front(current.front, &ToFront::Ping(handle, question));
        }
    }

    /// The current connection's agent has answered a ping that was sent after the newcomer was seen open: both are
    /// alive, and the newcomer needs another uid.
    pub fn alive<'a, P: HomePort<'a>>(
        &mut self,
        from: NodeIncarnation,
        handle: Handle,
        question: u32,
        port: &mut P,
    ) {
        if self.current_at(from, handle.connection).is_none() {
            return;
        }
        port.session(SessionCall::Heard);
        let answered = |candidate: &mut Candidate| candidate.question == Some(question);
        if let Some(candidate) = self.candidate.take_if(answered) {
            let handle = self.handle(candidate.newcomer.connection);
            port.to_front(candidate.newcomer.front, &ToFront::Close(handle, CloseOrder::Cloned));
        }
    }

    pub(super) fn drop_candidate(&mut self, front: NodeIncarnation, connection: ConnectionId) {
        self.candidate.take_if(|candidate| candidate.is(front, connection));
    }

    /// A question has waited long enough. The silence of the newcomer's front ends its case; the silence of the
    /// current one's agent means that its connection is stale.
    pub(super) fn answer_overdue<'a, P: HomePort<'a>>(
        &mut self,
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        let Some(candidate) = self.candidate.as_ref().filter(|it| it.until <= moment.now) else {
            return;
        };
        if candidate.question.is_some() {
            return self.admit_candidate((moment, port));
        }
        if let Some(candidate) = self.candidate.take() {
            let handle = self.handle(candidate.newcomer.connection);
            port.to_front(candidate.newcomer.front, &ToFront::Later(handle));
        }
    }

    /// The way is free for the candidate, if there is one.
    pub(super) fn admit_candidate<'a, P: HomePort<'a>>(
        &mut self,
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        let Some(candidate) = self.candidate.take() else { return };
        let Candidate { newcomer, next, had, credit, .. } = candidate;
        let Newcomer { front, connection, transport, client, identity, forwarded_lately } =
            newcomer;
        // What it said at first, its front says again.
        let attach = Attach {
            resumes: None,
            transport,
            client,
            identity: &[],
            forwarded_lately,
            next,
            had,
            credit,
            heartbeats: None,
            first: None,
        };
        let id = AttachmentId { epoch: moment.epoch, number: port.next_number() };
        self.accept_as(
            Newcomer { front, connection, transport, client, identity, forwarded_lately },
            (&attach, id),
            (moment, port),
        );
    }

    fn accept<'a, P: HomePort<'a>>(
        &mut self,
        from: NodeIncarnation,
        handle: Handle,
        (attach, id): (&Attach<'a>, AttachmentId),
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        let newcomer = Newcomer::new(from, handle.connection, attach);
        self.accept_as(newcomer, (attach, id), (moment, port));
    }

    /// The newcomer has the session; a former connection closes.
    fn accept_as<'a, P: HomePort<'a>>(
        &mut self,
        newcomer: Newcomer,
        (attach, id): (&Attach<'a>, AttachmentId),
        (moment, port): (&HomeMoment<'_>, &mut P),
    ) {
        self.drop_candidate(newcomer.front, newcomer.connection);
        let mut unwritten = false;
        if let Some(former) = self.current.take() {
            unwritten = former.unwritten.is_any();
            let handle = self.handle(former.connection);
            port.to_front(former.front, &ToFront::Close(handle, CloseOrder::Replaced));
        }
        let before = attach.next.saturating_sub(1);
        let known = self.highest.filter(|highest| highest.id == id).map(|highest| highest.had);
        let had = known.unwrap_or(0).max(before);
        // Messages that came before are lost to this session if it had fewer, or none.
        let gap = known.unwrap_or(0) < before && !is_on(Breach::AttachmentIgnoresGap)
            || self.missed.is_some_and(|until| moment.now < until);
        self.highest = Some(Highest { id, had });
        self.current = Some(Current {
            id,
            front: newcomer.front,
            connection: newcomer.connection,
            transport: newcomer.transport,
            had,
            told: 0,
            unwritten: Unwritten::new(attach.had, attach.credit),
            reached: true,
            closing: false,
            reply_due: None,
        });
        port.session(SessionCall::Open { newcomer, gap, unwritten });
        self.answer_attach(attach, (moment, port));
        self.judge_anew((moment, port));
    }

    /// Another connection has the session than the one that the candidate was judged against: both questions are
    /// open again.
    fn judge_anew<'a, P: HomePort<'a>>(&mut self, (moment, port): (&HomeMoment<'_>, &mut P)) {
        let Some(candidate) = &mut self.candidate else { return };
        candidate.question = None;
        candidate.until = moment.now + moment.policy.answer_wait;
        let (front, connection) = (candidate.newcomer.front, candidate.newcomer.connection);
        port.to_front(front, &ToFront::AskOpen(self.handle(connection)));
    }
}
