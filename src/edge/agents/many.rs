//! Many agents on one connection. The end of one, its move to another connection, a limit that it meets: all of that
//! concerns it alone. The end of the connection, or of the node, concerns all.
//!
//! A connection is taken to have several agents once two have spoken of which neither is the other, renamed. Until then
//! it ends as the connection of one agent does.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::super::Edge;
use super::super::ending::reject;
use super::newcomers::{AskOutcome, Newcomers};
use super::ready::{AttachmentWaker, ReadyAttachments};
use super::{Arrived, RejectedSpeech};
use crate::clock;
use crate::core::shared_connection::{AgentSilence, SpeakingRhythm};
use crate::ident::{ConnectionId, InstanceUid};
use crate::opamp::server::REPORT_FULL_STATE;
use crate::opamp::splice::{self, Additions};
use crate::sessions::{
    Attachment, Outgoing, Rejected, SpokenMessage, UnwrittenBytes, given_to, silence_max,
};
use crate::telemetry::events::edge::{
    ConnectionFull, ConnectionShared, MessageSent, SendKind, SharedAgentEnd, SharedAgentEnded,
    SharedConnectionClosed,
};
use crate::websocket;

/// Attachments that are looked at, and bytes that are taken, before the socket has its turn.
const LOOKS_MAX: usize = 256;
const BYTES_MAX: usize = 256 << 10;
/// When the agent is asked whether it is there whose uid may have changed by itself.
const DOUBT: Duration = Duration::from_millis(500);
/// How often silent agents are looked for, and how many are asked each time.
const SILENCE_LOOK: Duration = Duration::from_secs(10);
const ASKED_MAX: usize = 1_024;
/// For how long an agent is remembered that has moved to another connection: if it speaks here again, there are two.
const REPLACED_FOR: Duration = Duration::from_secs(300);

/// See the module's text.
pub(in crate::edge) struct ManyAgents {
    peer: SocketAddr,
    connection: ConnectionId,
    /// By number, which is never used again: it names the agent in pings.
    slots: HashMap<u32, AgentSlot>,
    by_uid: HashMap<InstanceUid, u32>,
    next_slot: u32,
    ready: Arc<ReadyAttachments>,
    /// When replies are due.
    due: BTreeSet<(Instant, u32)>,
    newcomers: Newcomers,
    /// A uid that may have been given up, and when it is asked for.
    doubt: Option<(InstanceUid, Instant)>,
    look_for_silence: Instant,
    /// Two agents have spoken: see the module's text.
    is_shared: bool,
    /// It was said that no more agents are taken.
    full_said: bool,
    socket: SocketSide,
    /// Agents after whose last message no more was to be read.
    full: BTreeSet<u32>,
    /// How the connection ends, behind what is written.
    ending: Option<Outgoing>,
}

/// The connection's socket.
struct SocketSide {
    /// It takes bytes.
    writable: bool,
    /// Answers that it has yet to take.
    answers: UnwrittenBytes,
}

/// One agent.
struct AgentSlot {
    attachment: Attachment,
    waker: Arc<AttachmentWaker>,
    task: Waker,
    due: Option<Instant>,
    rhythm: SpeakingRhythm,
    /// The most bytes that were written for it at one time since its last pong.
    unconfirmed_max: usize,
    /// Since when another connection has its session.
    replaced: Option<Instant>,
}

impl ManyAgents {
    pub(super) fn new(at: Arrived<'_>, connection: ConnectionId) -> Self {
        ConnectionShared { peer: at.peer }.emit();
        Self {
            peer: at.peer,
            connection,
            slots: HashMap::new(),
            by_uid: HashMap::new(),
            // 0 names the agent in whose pings nothing stands beside their number.
            next_slot: 1,
            ready: Arc::default(),
            due: BTreeSet::new(),
            newcomers: Newcomers::new(at.edge),
            doubt: None,
            look_for_silence: clock::now() + SILENCE_LOOK,
            is_shared: false,
            full_said: false,
            socket: SocketSide { writable: true, answers: UnwrittenBytes::new(&at.edge.sessions) },
            full: BTreeSet::new(),
            ending: None,
        }
    }

    /// For a connection that is known to be a gateway's.
    pub(super) fn of_gateway(at: Arrived<'_>, connection: ConnectionId) -> Self {
        let mut many = Self::new(at, connection);
        many.is_shared = true;
        many
    }

    /// The agent that was alone here until now.
    pub(super) fn begin_with(&mut self, attachment: Attachment) {
        self.insert(0, attachment);
    }

    fn insert(&mut self, id: u32, attachment: Attachment) {
        let waker = AttachmentWaker::new(&self.ready, id);
        waker.look_again();
        self.by_uid.insert(attachment.uid(), id);
        let slot = AgentSlot {
            attachment,
            task: Waker::from(Arc::clone(&waker)),
            waker,
            due: None,
            rhythm: SpeakingRhythm::new(clock::now()),
            unconfirmed_max: 0,
            replaced: None,
        };
        self.slots.insert(id, slot);
    }

    /// Takes an agent off the connection. Dropping its attachment is the loss of the connection for it.
    fn remove(&mut self, id: u32) -> Option<Attachment> {
        let slot = self.slots.remove(&id)?;
        self.full.remove(&id);
        self.by_uid.remove(&slot.attachment.uid());
        if let Some(due) = slot.due {
            self.due.remove(&(due, id));
        }
        Some(slot.attachment)
    }

    /// An agent says something.
    pub(super) fn receive(
        &mut self,
        at: Arrived<'_>,
        (spoken, bytes): (&SpokenMessage<'_>, &[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let uid = spoken.uid;
        if let Some(id) = self.by_uid.get(&uid).copied() {
            // It may have left, or moved, a moment ago.
            self.see_end(id);
        }
        if self.ending.is_some() {
            return Ok(());
        }
        if let Some(id) = self.by_uid.get(&uid).copied() {
            let slot = self.slots.get_mut(&id).filter(|slot| slot.replaced.is_none());
            if let Some(slot) = slot {
                slot.rhythm.heard(clock::now());
                slot.waker.look_again();
                let said = slot.attachment.says(spoken, out);
                self.see_room(id);
                return said;
            }
            // It speaks here, and on the connection that replaced this one.
            if let Some(former) = self.remove(id) {
                former.replaced_was_alive();
            }
        }
        if self.newcomers.has(uid) {
            return if self.newcomers.hold(uid, bytes) { Ok(()) } else { Err(Rejected::Full) };
        }
        let given = given_to(&at.edge.sessions, uid);
        if let Some(id) = given.and_then(|former| self.by_uid.get(&former).copied()) {
            return self.rename(at, id, spoken, out);
        }
        self.receive_newcomer(at, (spoken, bytes), out)
    }

    /// A uid speaks that is new here.
    fn receive_newcomer(
        &mut self,
        at: Arrived<'_>,
        (spoken, bytes): (&SpokenMessage<'_>, &[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let uid = spoken.uid;
        let max = at.edge.agents_per_connection_max();
        if self.by_uid.len() + self.newcomers.len() >= max {
            if !std::mem::replace(&mut self.full_said, true) {
                ConnectionFull { peer: self.peer, max }.emit();
            }
            return Err(Rejected::TooManyHere { max });
        }
        self.is_shared = true;
        // While the node drains, connections end at their pace, and their agents are served until then.
        if at.edge.sessions.has(uid) || at.edge.drains() {
            return self.attach(at, spoken, out);
        }
        match self.newcomers.ask(at.edge, at.peer, (uid, bytes)) {
            AskOutcome::Admitted => self.attach(at, spoken, out),
            AskOutcome::Waits => Ok(()),
            AskOutcome::NoRoom => Err(Rejected::Full),
        }
    }

    fn attach(
        &mut self,
        at: Arrived<'_>,
        spoken: &SpokenMessage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        self.doubt.take_if(|(uid, _)| *uid == spoken.uid);
        let attachment = Attachment::open(&at.edge.sessions, spoken.uid, self.connection)?;
        let id = self.next_slot;
        self.next_slot = self.next_slot.wrapping_add(1).max(1);
        let said = attachment.says(spoken, out);
        self.insert(id, attachment);
        self.see_room(id);
        said
    }

    /// Looks whether more may be read after an agent's message. The connection is read in order: while one of its agents
    /// has no room, all wait.
    fn see_room(&mut self, id: u32) {
        if self.slots.get(&id).is_some_and(|slot| !slot.attachment.may_read()) {
            self.full.insert(id);
        }
    }

    /// An agent goes on under the uid that it was given.
    fn rename(
        &mut self,
        at: Arrived<'_>,
        id: u32,
        spoken: &SpokenMessage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        self.attach(at, spoken, out)?;
        self.note_end(id, SharedAgentEnd::Renamed);
        if let Some(former) = self.remove(id) {
            former.hand_over(out);
        }
        Ok(())
    }

    /// The agent that was alone here may go on under this uid: it took it by itself. Whether it did is asked in a
    /// moment.
    pub(super) fn receive_renamed(
        &mut self,
        at: Arrived<'_>,
        former: InstanceUid,
        spoken: &SpokenMessage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        self.doubt = Some((former, clock::now() + DOUBT));
        self.attach(at, spoken, out)
    }

    /// Looks whether the session has let the connection go, before its agent's next message is taken. What waits for
    /// the agent goes on waiting.
    fn see_end(&mut self, id: u32) {
        let Some(slot) = self.slots.get(&id).filter(|slot| slot.replaced.is_none()) else { return };
        let context = Context::from_waker(&slot.task);
        match slot.attachment.poll_outgoing(&context, false) {
            Outgoing::Nothing { .. } | Outgoing::Bytes(_) => {}
            ended => self.end(id, ended),
        }
    }

    /// One agent's part of the connection ends, or all of it.
    fn end(&mut self, id: u32, ended: Outgoing) {
        let concerns_all = matches!(ended, Outgoing::Stopping) || !self.is_shared;
        let reason = match ended {
            Outgoing::Replaced => SharedAgentEnd::Replaced,
            Outgoing::Overflowed => SharedAgentEnd::SlowReader,
            _ => SharedAgentEnd::Left,
        };
        if reason == SharedAgentEnd::Replaced
            && let Some(slot) = self.slots.get_mut(&id)
        {
            slot.replaced = Some(clock::now());
        }
        if concerns_all {
            self.ending.get_or_insert(ended);
        } else {
            self.note_end(id, reason);
            if reason != SharedAgentEnd::Replaced {
                drop(self.remove(id));
            }
        }
    }

    fn note_end(&self, id: u32, reason: SharedAgentEnd) {
        if let Some(slot) = self.slots.get(&id) {
            SharedAgentEnded { uid: slot.attachment.uid(), reason }.emit();
        }
    }

    /// What the connection's task has to do now.
    pub(super) fn poll_outgoing(
        &mut self,
        at: Arrived<'_>,
        context: &mut Context<'_>,
        writable: bool,
    ) -> Outgoing {
        self.socket.writable = writable;
        self.ready.wake_next(context.waker());
        if !writable {
            return Outgoing::Nothing { reply_due: None };
        }
        self.socket.answers.set(0);
        let mut out = Vec::new();
        if self.ending.is_none() {
            let now = clock::now();
            self.forget_room();
            self.let_in(at, context, &mut out);
            self.note_due(now);
            self.ask_silent(at.edge, now, &mut out);
            self.take_ready(&mut out);
            if matches!(self.ending, Some(Outgoing::Stopping)) {
                self.take_all(&mut out);
            }
        }
        if !out.is_empty() {
            return Outgoing::Bytes(out);
        }
        if let Some(ending) = self.ending.take() {
            return ending;
        }
        if !self.ready.is_empty() {
            context.waker().wake_by_ref();
        }
        Outgoing::Nothing { reply_due: self.look_due() }
    }

    /// Takes what waits for the attachments whose wakers have called.
    fn take_ready(&mut self, out: &mut Vec<u8>) {
        let mut again = Vec::new();
        for _ in 0..LOOKS_MAX {
            let Some(id) = self.ready.next() else { break };
            if let Some(slot) = self.slots.get(&id) {
                slot.waker.looks();
            }
            if self.look(id, out) {
                again.push(id);
            }
            if out.len() >= BYTES_MAX || self.ending.is_some() {
                break;
            }
        }
        // The next look says that these bytes are written: it comes when they are.
        for slot in again.iter().filter_map(|id| self.slots.get(id)) {
            slot.waker.look_again();
        }
    }

    /// Looks at one attachment. Returns whether it had bytes.
    fn look(&mut self, id: u32, out: &mut Vec<u8>) -> bool {
        let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.replaced.is_none()) else {
            return false;
        };
        match slot.attachment.poll_outgoing(&Context::from_waker(&slot.task), true) {
            Outgoing::Bytes(bytes) => {
                slot.unconfirmed_max = slot.unconfirmed_max.max(bytes.len());
                take_bytes(id, &bytes, out);
                return true;
            }
            Outgoing::Nothing { reply_due } => self.set_due(id, reply_due),
            ended => self.end(id, ended),
        }
        false
    }

    /// The connection ends: what waits for its other agents is written first.
    fn take_all(&mut self, out: &mut Vec<u8>) {
        for (id, slot) in self.slots.iter().filter(|(_, slot)| slot.replaced.is_none()) {
            let context = Context::from_waker(&slot.task);
            if let Outgoing::Bytes(bytes) = slot.attachment.poll_outgoing(&context, true) {
                take_bytes(*id, &bytes, out);
            }
        }
    }

    fn set_due(&mut self, id: u32, due: Option<Instant>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut slot.due, due) {
            self.due.remove(&(before, id));
        }
        self.due.extend(due.map(|due| (due, id)));
    }

    fn note_due(&mut self, now: Instant) {
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, id));
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.due = None;
                slot.waker.look_again();
            }
        }
    }

    /// Agents that have waited are in by now.
    fn let_in(&mut self, at: Arrived<'_>, context: &mut Context<'_>, out: &mut Vec<u8>) {
        while out.len() < BYTES_MAX
            && let Some((uid, said)) = self.newcomers.poll_admitted(context)
        {
            for bytes in said {
                let said = SpokenMessage::parse(&bytes).and_then(|spoken| {
                    match self.by_uid.get(&uid).and_then(|id| self.slots.get(id)) {
                        Some(slot) => slot.attachment.says(&spoken, out),
                        None => self.attach(at, &spoken, out),
                    }
                });
                if let Err(why) = said {
                    let rejected = RejectedSpeech { why, uid: Some(uid), shared: true };
                    reject(&rejected, at.peer, 0, out);
                }
            }
        }
    }

    /// Asks agents for a sign of life that are silent for longer than they use to be, and gives up the others.
    /// An agent that has moved long ago is forgotten.
    fn ask_silent(&mut self, edge: &Edge, now: Instant, out: &mut Vec<u8>) {
        if let Some((uid, _)) = self.doubt.take_if(|(_, at)| *at <= now) {
            ask(uid, out);
        }
        if now < self.look_for_silence {
            return;
        }
        self.look_for_silence = now + SILENCE_LOOK;
        let patience = silence_max(&edge.sessions);
        let (mut asked, mut gone, mut past) = (0, Vec::new(), Vec::new());
        for (id, slot) in &mut self.slots {
            if let Some(since) = slot.replaced {
                if now.saturating_duration_since(since) > REPLACED_FOR {
                    past.push(*id);
                }
                continue;
            }
            match slot.rhythm.look(now, patience) {
                AgentSilence::There => {}
                AgentSilence::Gone => gone.push(*id),
                AgentSilence::Ask => {
                    ask(slot.attachment.uid(), out);
                    asked += 1;
                }
            }
            if asked >= ASKED_MAX {
                break;
            }
        }
        for id in gone {
            self.note_end(id, SharedAgentEnd::Silent);
            drop(self.remove(id));
        }
        for id in past {
            drop(self.remove(id));
        }
    }

    /// When [`Self::poll_outgoing`] has something without being woken.
    pub(super) fn look_due(&self) -> Option<Instant> {
        if !self.socket.writable {
            return None;
        }
        let doubt = self.doubt.map(|(_, at)| at);
        let reply = self.due.first().map(|(due, _)| *due);
        let full = self.full_slots().filter_map(|slot| slot.attachment.held_back_until());
        doubt.into_iter().chain(reply).chain([self.look_for_silence]).chain(full).min()
    }

    pub(super) fn may_read(&self) -> bool {
        self.newcomers.has_room() && self.full_slots().all(|slot| slot.attachment.may_read())
    }

    /// Of agents that have room again, no more need be asked.
    fn forget_room(&mut self) {
        let slots = &self.slots;
        self.full.retain(|id| slots.get(id).is_some_and(|slot| !slot.attachment.may_read()));
    }

    fn full_slots(&self) -> impl Iterator<Item = &AgentSlot> {
        let slots = self.full.iter().filter_map(|id| self.slots.get(id));
        slots.filter(|slot| slot.replaced.is_none())
    }

    /// The connection's task holds this many bytes that its socket has yet to take.
    pub(super) fn left_to_write(&mut self, bytes: usize) {
        self.socket.answers.set(bytes);
    }

    /// Agents that wait for admission count until the node drains: none is admitted from then on.
    pub(super) fn is_nobody(&self, drains: bool) -> bool {
        let none_waits = drains || self.newcomers.len() == 0;
        self.slots.is_empty() && none_waits && self.ending.is_none()
    }

    pub(super) fn only(&self) -> Option<InstanceUid> {
        let mut slots = self.slots.values();
        slots.next().filter(|_| self.slots.len() == 1).map(|slot| slot.attachment.uid())
    }

    /// A pong came. Its payload says whose it is; the connection's own pings are empty.
    pub(super) fn ponged(&mut self, payload: &[u8]) {
        const TAG_BYTES: usize = size_of::<u32>();
        let (payload, id) = match payload.split_last_chunk::<TAG_BYTES>() {
            Some((ping, tag)) if !ping.is_empty() => (ping, u32::from_be_bytes(*tag)),
            _ => (payload, 0),
        };
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.unconfirmed_max = 0;
            slot.attachment.ponged(payload);
        }
    }

    /// The peer closes, because a message was too large for it: the largest that was written of late, and not confirmed.
    pub(super) fn refused_for_size(&self) {
        let open = self.slots.values().filter(|slot| slot.unconfirmed_max > 0);
        if let Some(culprit) = open.max_by_key(|slot| slot.unconfirmed_max) {
            culprit.attachment.refused_for_size();
        }
    }

    pub(super) fn replaced_were_alive(&self) {
        let replaced = self.slots.values().filter(|slot| slot.replaced.is_some());
        replaced.for_each(|slot| slot.attachment.replaced_was_alive());
    }
}

impl Drop for ManyAgents {
    fn drop(&mut self) {
        SharedConnectionClosed.emit();
    }
}

/// An agent's frames, as they go on the shared connection.
fn take_bytes(id: u32, frames: &[u8], out: &mut Vec<u8>) {
    if id == 0 {
        out.extend_from_slice(frames);
    } else {
        websocket::copy_tagged(frames, id.to_be_bytes(), out);
    }
}

/// Has an agent show that it is there. Its answer is worth nothing else.
fn ask(uid: InstanceUid, out: &mut Vec<u8>) {
    let before = out.len();
    let flags = Additions { flags: REPORT_FULL_STATE, ..Additions::default() };
    let frame = websocket::begin_message(None, InstanceUid::WIRE_BYTES_MAX + 4, out);
    splice::acknowledge(uid, &flags, out);
    websocket::finish_message(frame, out);
    MessageSent { kind: SendKind::Push, bytes: out.len() - before }.emit();
}
