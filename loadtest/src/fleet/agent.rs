//! One agent as a state machine: what it reports and when, what it does with what it is told. It
//! follows the client that it behaves as ([`super::clients`]), and sockets are the business of others.

use std::time::Duration;

use prost::Message;
use seawall::ident::InstanceUid;
use seawall::opamp::proto::server_error_response::Details;
use seawall::opamp::proto::{ServerErrorResponse, ServerErrorResponseType, ServerToAgent};
use serde::{Deserialize, Serialize};

use super::clients::habits::{Again, Beat, First, FullAnswer, Habits, Speech};
use super::mix::Mix;
use super::profile::Profile;
use super::protobuf::{bytes, message as nested, uint};
use super::state::{Facts, Sending};
use crate::oracle::digest::{StateView, of_components, of_field};
use crate::oracle::fields::{ReportShape, StatusField};
use crate::oracle::judge::AgentLine;
use crate::stamp::PushStamp;

/// What an agent reports when it reconnects: opamp-go up to v0.22, and from v0.23 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Behaviour {
    /// Its full state again, each time
    FullOnReconnect,
    /// Only what has changed meanwhile
    DeltaOnReconnect,
}

/// `AgentCapabilities`: status, remote config, effective config, package statuses, own connection
/// settings, restart, health, heartbeats, components.
const CAPABILITIES: u64 =
    0x1 | 0x2 | 0x4 | 0x10 | 0x100 | 0x400 | 0x800 | 0x1000 | 0x2000 | 0x4000 | 0x8000;

const REPORT_FULL_STATE: u64 = 1;
const REPORT_AVAILABLE_COMPONENTS: u64 = 2;

/// Fields of the next report, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PendingFields(u16);

impl PendingFields {
    /// The component map, with `available_components`.
    const MAP: Self = Self(1 << StatusField::COUNT);
    const ALL: Self = Self((1 << StatusField::COUNT) - 1);

    const fn of(field: StatusField) -> Self {
        Self(1 << field.index())
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// All that a client ever reports.
    const fn of_client(first: First) -> Self {
        match first {
            First::Full | First::Capabilities => Self::ALL.with(Self::MAP),
            First::Identification => {
                Self::of(StatusField::AgentDescription).with(Self::of(StatusField::Health))
            }
        }
    }
}

/// An agent. About 120 bytes.
#[derive(Debug)]
pub(crate) struct FleetAgent {
    uid: InstanceUid,
    /// The uid before the last `new_instance_uid`: answers to it may still be on their way.
    former_uid: Option<InstanceUid>,
    facts: Facts,
    /// The number of the next message.
    next_number: u64,
    pending: PendingFields,
    connected_before: bool,
    /// Its state has changed since its last message.
    has_changed: bool,
    speech: Speech,
    /// What the last message held, while it is unanswered.
    unanswered: Option<PendingFields>,
    /// What the answered ones held; absent while there is none.
    told: Option<PendingFields>,
    /// It was refused what it says once.
    was_refused_for_good: bool,
    /// It has said nothing on the connection that it has.
    is_silent: bool,
    /// How often it has dialled.
    pub(crate) dials: u32,
    /// The number of the last push that it got.
    last_push: u64,
}

/// What a message from the server led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reaction {
    /// It was meant for another agent.
    pub(crate) misrouted: bool,
    /// A report must go out now.
    pub(crate) report: bool,
    /// A report must go out after this time.
    pub(crate) report_after: Option<Duration>,
    /// It carried an error.
    pub(crate) error: bool,
    /// That was UNAVAILABLE: to come again, after this time if it was told one.
    pub(crate) unavailable: Option<Option<Duration>>,
    /// It carried a custom message.
    pub(crate) custom: bool,
    /// That was a push of the stand-in, sent at this instant (microseconds of Unix time).
    pub(crate) pushed_us: Option<u64>,
    /// The agent had got that push already.
    pub(crate) repeated: bool,
    /// It carried an offer (configuration, settings) or a command.
    pub(crate) offer: bool,
    /// It asked for the full state.
    pub(crate) full_state_asked: bool,
    /// It asked for the component map.
    pub(crate) components_asked: bool,
    /// The heartbeat interval to use from now on; zero ends heartbeats.
    pub(crate) heartbeat: Option<Duration>,
}

impl FleetAgent {
    /// A process just started, which behaves as this client.
    pub(crate) fn new(profile: &Profile, index: u32, habits: &Habits) -> Self {
        let mut uid = [0; 16];
        Mix::new(profile.seed, u64::from(index), u64::from_be_bytes(*b"agentuid")).fill(&mut uid);
        Self {
            uid: InstanceUid::from_bytes(uid),
            former_uid: None,
            facts: Facts::new(index),
            next_number: habits.first_number,
            pending: PendingFields::default(),
            connected_before: false,
            has_changed: false,
            speech: habits.speech,
            unanswered: None,
            told: None,
            was_refused_for_good: false,
            is_silent: false,
            dials: 0,
            last_push: 0,
        }
    }

    /// The connection is open: what has to be in the first report of it. False: there is none.
    pub(crate) fn on_open(&mut self) -> bool {
        let health = PendingFields::of(StatusField::Health);
        if !std::mem::replace(&mut self.connected_before, true) {
            self.pending = match self.speech.first {
                First::Full => PendingFields::ALL,
                First::Capabilities => PendingFields::default(),
                First::Identification => PendingFields::of(StatusField::AgentDescription),
            };
            return true;
        }
        match self.speech.again {
            Again::Changes => true,
            Again::Silence => {
                self.is_silent = !self.has_changed;
                self.has_changed
            }
            Again::Full | Again::FullSameNumber => {
                if self.speech.again == Again::FullSameNumber {
                    self.next_number = self.next_number.saturating_sub(1);
                }
                // Health only if it has changed.
                self.pending = self.pending.with(PendingFields::ALL.without(health));
                true
            }
        }
    }

    /// It has run for long, and what it first said is lost: it goes on from there.
    pub(crate) fn has_run_for_long(&mut self) {
        self.connected_before = true;
        self.next_number += 1;
    }

    /// The uid that it names itself by.
    pub(crate) const fn uid(&self) -> InstanceUid {
        self.uid
    }

    /// Whether its next message has something to report.
    pub(crate) fn has_news(&self) -> bool {
        self.pending != PendingFields::default()
    }

    /// A number is used up by a message that was sent before.
    pub(crate) const fn skip_number(&mut self) {
        self.next_number += 1;
    }

    /// Its last message is lost. True: it held what the agent says once, so a server may never hear it.
    pub(crate) fn has_lost_message(&mut self) -> bool {
        let once = PendingFields::of(StatusField::AgentDescription);
        let lost = self.unanswered.take().is_some_and(|lost| lost.has(once));
        let for_good = lost && self.speech.first == First::Identification;
        self.was_refused_for_good |= for_good;
        for_good
    }

    /// Its last message was kept by the client for the next try.
    pub(crate) fn keeps_message(&mut self) {
        if let Some(unanswered) = self.unanswered.take() {
            self.pending = self.pending.with(unanswered);
        }
    }

    /// A heartbeat or a poll is due: what it carries besides.
    pub(crate) fn on_beat(&mut self) {
        if self.speech.beat != Beat::Capabilities {
            self.pending = self.pending.with(PendingFields::of(StatusField::Health));
        }
    }

    /// The agent's health has changed.
    pub(crate) fn change_health(&mut self) {
        self.facts.health_changes += 1;
        self.has_changed = true;
        self.pending = self.pending.with(PendingFields::of(StatusField::Health));
    }

    /// An operator has edited the agent's configuration on the spot.
    pub(crate) fn change_config(&mut self) {
        self.facts.config_changes += 1;
        self.has_changed = true;
        self.pending = self.pending.with(PendingFields::of(StatusField::EffectiveConfig));
    }

    /// Appends the next message; the caller writes the header byte. What was pending counts as
    /// sent, even if the connection fails: that is how opamp-go loses messages.
    pub(crate) fn report(&mut self, profile: &Profile, out: &mut Vec<u8>) {
        bytes(1, &*self.uid.to_wire(), out);
        uint(2, self.next_number, out);
        let pending = std::mem::take(&mut self.pending);
        self.has_changed = false;
        self.is_silent = false;
        self.unanswered = Some(self.unanswered.unwrap_or_default().with(pending));
        // Who says once who it is says its capabilities with that.
        let description = PendingFields::of(StatusField::AgentDescription);
        let is_capable = self.speech.first != First::Identification || pending.has(description);
        let with_components = pending.has(PendingFields::MAP);
        let index = u64::from(self.facts.index);
        let mix = Mix::new(profile.seed, index, self.next_number ^ (1 << 63));
        let sending = Sending { profile, mix, with_components };
        self.next_number += 1;
        for field in StatusField::ALL {
            if field == StatusField::Health && is_capable {
                uint(4, CAPABILITIES, out);
            }
            if pending.has(PendingFields::of(field)) {
                self.facts.encode(field, sending, out);
            }
        }
        if self.speech.beat == Beat::HealthAndCustom {
            nested(13, out, |out| {
                bytes(1, "org.opentelemetry.otel-arrow.pipeline", out);
                bytes(2, "status", out);
                bytes(3, [0x5a; 120], out);
            });
        }
    }

    /// Takes in a message from the server; the header byte may be there or missing.
    ///
    /// # Errors
    /// When it is malformed.
    pub(crate) fn on_message(&mut self, message: &[u8]) -> Result<Reaction, prost::DecodeError> {
        let body = message.strip_prefix(&[0]).unwrap_or(message);
        let message = ServerToAgent::decode(body)?;
        let mut reaction = Reaction {
            misrouted: !self.is_for_me(&message),
            error: message.error_response.is_some(),
            unavailable: message.error_response.as_ref().and_then(unavailable),
            custom: message.custom_message.is_some(),
            offer: message.command.is_some(),
            full_state_asked: message.flags & REPORT_FULL_STATE != 0,
            components_asked: message.flags & REPORT_AVAILABLE_COMPONENTS != 0,
            ..Reaction::default()
        };
        if let Some(push) = message.custom_message.as_ref().and_then(PushStamp::read) {
            reaction.pushed_us = Some(push.sent_us);
            reaction.repeated = push.number == self.last_push;
            self.last_push = push.number;
        }
        if reaction.unavailable.is_none()
            && let Some(answered) = self.unanswered.take()
        {
            self.told = Some(self.told.unwrap_or_default().with(answered));
            let once = PendingFields::of(StatusField::AgentDescription);
            self.was_refused_for_good &= !answered.has(once);
        }
        let before = self.pending;
        if reaction.full_state_asked {
            self.pending = self.pending.with(PendingFields::of_client(self.speech.first));
        }
        let asked = self.pending;
        if reaction.components_asked {
            let components = PendingFields::of(StatusField::AvailableComponents);
            self.pending = self.pending.with(components).with(PendingFields::MAP);
        }
        if let Some(config) = message.remote_config {
            reaction.offer = true;
            self.facts.remote_config = Some(config.config_hash.into());
            self.pending = self.pending.with(PendingFields::of(StatusField::RemoteConfigStatus));
        }
        if let Some(settings) = message.connection_settings {
            reaction.offer = true;
            self.facts.settings = Some(settings.hash.into());
            self.pending =
                self.pending.with(PendingFields::of(StatusField::ConnectionSettingsStatus));
            reaction.heartbeat =
                settings.opamp.map(|opamp| Duration::from_secs(opamp.heartbeat_interval_seconds));
        }
        reaction.report = self.pending != asked;
        if asked != before {
            match self.speech.answer {
                FullAnswer::AtOnce => reaction.report = true,
                FullAnswer::After(seconds) => {
                    reaction.report_after = Some(Duration::from_secs(seconds));
                }
                FullAnswer::NextMessage | FullAnswer::NextChange => {}
            }
        }
        if let Some(new) = message.agent_identification
            && let Ok(uid) = InstanceUid::from_wire(&new.new_instance_uid)
        {
            // The number goes on, and the next message waits for its own reason.
            self.former_uid = Some(std::mem::replace(&mut self.uid, uid));
        }
        Ok(reaction)
    }

    /// By the uid on the envelope, and by the one that the stand-in puts into what it pushes: a
    /// gateway might have rewritten the envelope.
    fn is_for_me(&self, message: &ServerToAgent) -> bool {
        let is_mine = |start: &[u8]| {
            start.starts_with(&self.uid.to_wire())
                || self.former_uid.is_some_and(|uid| start.starts_with(&uid.to_wire()))
        };
        let envelope = message.instance_uid.is_empty() || is_mine(&message.instance_uid);
        let custom = message.custom_message.as_ref().is_none_or(|custom| is_mine(&custom.data));
        let config = message.remote_config.as_ref().is_none_or(|c| is_mine(&c.config_hash));
        envelope && custom && config
    }

    /// What is true of this agent, for the oracle: of one that says only a part by itself, what it has
    /// said. `None` if it has said nothing or stays silent now, or was kept for good from saying who it is.
    pub(crate) fn truth(&self, profile: &Profile) -> Option<AgentLine> {
        let said = if self.speech.first.tells_all() {
            PendingFields::of_client(self.speech.first)
        } else {
            self.told.filter(|_| !self.was_refused_for_good && !self.is_silent)?
        };
        let mut view = StateView { capabilities: CAPABILITIES, ..StateView::default() };
        let mix = Mix::new(0, 0, 0);
        let mut out = Vec::with_capacity(16 << 10);
        for field in StatusField::ALL.into_iter().filter(|f| said.has(PendingFields::of(*f))) {
            self.facts.encode(field, Sending { profile, mix, with_components: true }, &mut out);
        }
        // Read back as a server reads it. It was written just now, so it can be read.
        let shape = ReportShape::decode(&out[..]).expect("an agent's report is well-formed");
        for (field, bytes) in StatusField::ALL.into_iter().zip(shape.status_fields()) {
            view.fields[field.index()] = bytes.map_or(0, |bytes| of_field(field, bytes));
        }
        view.components = shape.available_components.as_deref().map_or(0, of_components);
        let uid = self.uid.to_string();
        Some(AgentLine { uid, view, disconnected: false, routed: true, links: Vec::new() })
    }
}

/// What UNAVAILABLE says of when to come again.
fn unavailable(error: &ServerErrorResponse) -> Option<Option<Duration>> {
    let told = |details: &Details| {
        let Details::RetryInfo(info) = details;
        Duration::from_nanos(info.retry_after_nanoseconds)
    };
    let is_unavailable = error.r#type == i32::from(ServerErrorResponseType::Unavailable);
    is_unavailable.then(|| error.details.as_ref().map(told))
}

#[cfg(test)]
mod tests;
