//! The table: what each stock client does (docs/FIELD-NOTES.md, section 1, which says how each fact is
//! known). A new kind is a new row.

use std::time::Duration;

use super::habits::{
    Again, Beat, Deadline, First, FullAnswer, Habits, Idle, PauseLaw, Rhythm, Speech, Transport,
    Unanswered,
};
use Transport::{Http, WebSocket};

const FULL: Speech = Speech {
    first: First::Full,
    again: Again::Full,
    beat: Beat::Capabilities,
    answer: FullAnswer::AtOnce,
};
const EVEN: Rhythm = Rhythm::AfterSent { spread: 0.0 };

const fn idle(seconds: u64) -> Idle {
    Idle { after: Duration::from_secs(seconds), heeds_header: false }
}

const fn within(connect: u64, answer: u64) -> Deadline {
    Deadline {
        connect: Some(Duration::from_secs(connect)),
        answer: Some(Duration::from_secs(answer)),
    }
}

const FOR_EVER: Deadline = Deadline { connect: None, answer: None };

/// opamp-go from v0.23 on. gorilla's handshake, connection included, takes 45 s at most; POSTs have
/// no deadline.
pub(super) const OPAMP_GO: Habits = Habits {
    transports: &[WebSocket, Http],
    user_agent: Some("Go-http-client/1.1"),
    names_uid: true,
    first_number: 0,
    speech: Speech { again: Again::Changes, ..FULL },
    deadline: within(45, 45),
    rhythm: EVEN,
    law: PauseLaw::Go,
    unanswered: Unanswered::SameBytes,
    idle: idle(90),
    writes_apart: false,
};

/// opamp-go up to v0.22.
pub(super) const OPAMP_GO_022: Habits = Habits { names_uid: false, speech: FULL, ..OPAMP_GO };

/// opentelemetry-opamp-client 0.5 of PyPI.
pub(super) const PYTHON: Habits = Habits {
    transports: &[Http],
    user_agent: Some("OTel-OpAMP-Python/0.5b0"),
    names_uid: false,
    first_number: 0,
    speech: FULL,
    deadline: within(1, 1),
    rhythm: Rhythm::Ticks,
    law: PauseLaw::Python,
    unanswered: Unanswered::SameBytesCounting { tries_max: 11, beat_tries_max: 2 },
    idle: idle(90),
    writes_apart: true,
};

/// opamp-client 1.53 of opentelemetry-java-contrib, over HTTP.
pub(super) const JAVA_HTTP: Habits = Habits {
    transports: &[Http],
    user_agent: Some("okhttp/5.1.0"),
    names_uid: false,
    first_number: 1,
    speech: Speech { answer: FullAnswer::NextMessage, ..FULL },
    deadline: within(10, 10),
    rhythm: EVEN,
    law: PauseLaw::Java { heeds_header: true },
    unanswered: Unanswered::LostByFailure,
    idle: idle(300),
    writes_apart: false,
};

/// The same package on a WebSocket.
pub(super) const JAVA_WS: Habits = Habits {
    transports: &[WebSocket],
    first_number: 2,
    speech: Speech {
        first: First::Capabilities,
        again: Again::Silence,
        beat: Beat::Capabilities,
        answer: FullAnswer::NextChange,
    },
    rhythm: Rhythm::Never,
    law: PauseLaw::Java { heeds_header: false },
    ..JAVA_HTTP
};

/// @elastic/opamp-client-node 0.5 of npm.
pub(super) const NODE: Habits = Habits {
    transports: &[Http],
    user_agent: Some("@elastic/opamp-client-node/0.5.0"),
    names_uid: false,
    first_number: 1,
    speech: FULL,
    deadline: within(10, 10),
    rhythm: Rhythm::AfterSent { spread: 0.1 },
    law: PauseLaw::Node,
    unanswered: Unanswered::SameBytes,
    idle: Idle { after: Duration::from_secs(4), heeds_header: true },
    writes_apart: false,
};

/// OpenTelemetry.OpAmp.Client 0.6 alpha of NuGet.
pub(super) const DOTNET: Habits = Habits {
    transports: &[Http, WebSocket],
    user_agent: None,
    names_uid: true,
    first_number: 1,
    speech: Speech {
        first: First::Identification,
        again: Again::Changes,
        beat: Beat::Health,
        answer: FullAnswer::NextMessage,
    },
    deadline: within(100, 100),
    rhythm: Rhythm::Ticks,
    law: PauseLaw::NextTick,
    unanswered: Unanswered::Lost,
    idle: idle(60),
    writes_apart: false,
};

/// otel-arrow.
pub(super) const OTEL_ARROW: Habits = Habits {
    transports: &[WebSocket],
    user_agent: None,
    names_uid: false,
    first_number: 0,
    speech: Speech { again: Again::FullSameNumber, beat: Beat::HealthAndCustom, ..FULL },
    deadline: FOR_EVER,
    rhythm: Rhythm::AfterFrame,
    law: PauseLaw::OtelArrow,
    unanswered: Unanswered::Lost,
    idle: idle(90),
    writes_apart: false,
};

/// newrelic-opamp-rs, as New Relic's agent control has it: reqwest, without a name, 30 s for an answer.
pub(super) const NEWRELIC: Habits = Habits {
    transports: &[Http],
    user_agent: None,
    names_uid: false,
    first_number: 1,
    speech: Speech { answer: FullAnswer::After(5), ..FULL },
    deadline: within(30, 30),
    rhythm: Rhythm::Ticks,
    law: PauseLaw::NextTick,
    unanswered: Unanswered::Lost,
    idle: idle(90),
    writes_apart: false,
};

/// opamp-fleet's client.
pub(super) const OPAMP_FLEET: Habits = Habits {
    transports: &[WebSocket],
    user_agent: None,
    names_uid: false,
    first_number: 0,
    speech: FULL,
    deadline: FOR_EVER,
    rhythm: Rhythm::Ticks,
    law: PauseLaw::OpampFleet,
    unanswered: Unanswered::Lost,
    idle: idle(90),
    writes_apart: false,
};
