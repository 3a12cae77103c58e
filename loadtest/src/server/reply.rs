//! One message in, one reply out: what the stand-in says to a report.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use seawall::ident::InstanceUid;
use seawall::opamp::proto::{
    AgentIdentification, CustomCapabilities, RetryInfo, ServerErrorResponse, ServerToAgent,
    server_error_response::Details,
};

use super::counts::Counts;
use super::links::{LinkHold, LinkLog, Word};
use super::misbehave::{Faults, Misbehaviour};
use super::peaks::{Peaks, Sort};
use super::store::{AgentRoute, AgentStore, Applied, Keying};
use crate::oracle::fields::ReportShape;

/// `ServerCapabilities`: accepts status, offers remote configuration, accepts effective
/// configuration, package statuses, offers connection settings.
const CAPABILITIES: u64 = 0x1 | 0x2 | 0x4 | 0x10 | 0x20;
/// What the first reply of a connection says besides; also the capability of custom pushes.
pub(crate) const CUSTOM_CAPABILITY: &str = "org.seawall.loadtest";

const REPORT_FULL_STATE: u64 = 1;
const REPORT_AVAILABLE_COMPONENTS: u64 = 2;
const BAD_REQUEST: i32 = 1;
const UNAVAILABLE: i32 = 2;

/// The whole server, shared by its connections.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// What it believes.
    pub(crate) store: AgentStore,
    /// What it counts.
    pub(crate) counts: Counts,
    /// The worst seconds of it.
    pub(crate) peaks: Peaks,
    /// What is wrong with it.
    pub(crate) faults: Faults,
    /// Which nodes' links spoke for which agents.
    pub(crate) links: LinkLog,
    connections: AtomicU64,
    corrupted: OnceLock<InstanceUid>,
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The connection, as the record of who spoke for whom has it.
    pub(crate) link: &'a LinkHold,
    /// How to reach the agent; `None` for a POST.
    pub(crate) route: Option<&'a AgentRoute>,
    /// It is the first message of its connection.
    pub(crate) is_first: bool,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) struct Handled {
    /// The reply, header included.
    pub(crate) reply: Bytes,
    /// The agent whose connection this is from now on, if that is news.
    pub(crate) new_here: Option<InstanceUid>,
}

impl Handled {
    /// The reply as the body of an HTTP answer, which has no header (OpAMP, Plain HTTP Transport).
    pub(crate) fn body(&self) -> Bytes {
        self.reply.slice(HEADER_BYTES..)
    }
}

impl StandIn {
    /// It begins with an empty store.
    pub(crate) fn new(faults: Misbehaviour, keying: Keying) -> Self {
        Self {
            store: AgentStore::new(keying),
            counts: Counts::default(),
            peaks: Peaks::new(),
            faults: Faults::new(faults),
            links: LinkLog::new(),
            connections: AtomicU64::new(0),
            corrupted: OnceLock::new(),
        }
    }

    /// A number for a new connection.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Works through one message.
    pub(crate) fn handle(&self, message: &Bytes, origin: Origin<'_>) -> Handled {
        self.counts.messages.one();
        self.counts.bytes.more(message.len() as u64);
        self.counts.replies.one();
        let faults = self.faults.current();
        let mut reply = ServerToAgent { capabilities: CAPABILITIES, ..Default::default() };
        if origin.is_first {
            let capabilities = vec![CUSTOM_CAPABILITY.to_owned()];
            reply.custom_capabilities = Some(CustomCapabilities { capabilities });
        }
        let (uid, report) = match read(message) {
            Ok(read) => read,
            Err(fault) => {
                self.counts.malformed.one();
                self.peaks.message(Sort::Other);
                reply.error_response = Some(error(BAD_REQUEST, &fault));
                return Handled { reply: encode(&reply), new_here: None };
            }
        };
        reply.instance_uid = report.instance_uid.to_vec();
        if self.faults.is_unavailable(&faults) {
            // The report is dropped and its number used up: the next message shows a gap.
            self.counts.unavailable.one();
            self.peaks.message(Sort::Other);
            let mut answer = error(UNAVAILABLE, "busy");
            let wait = faults.retry_after.map_or(0, |wait| wait.0.as_nanos());
            let retry_after_nanoseconds = u64::try_from(wait).unwrap_or(u64::MAX);
            answer.details = Some(Details::RetryInfo(RetryInfo { retry_after_nanoseconds }));
            reply.error_response = Some(answer);
            return Handled { reply: encode(&reply), new_here: None };
        }
        let outcome = self.store.apply(uid, &report, origin.route);
        let by_post = origin.route.is_none();
        let word = Word::of(&report, outcome.asked, outcome.new_here, by_post);
        self.links.heard(origin.link, uid, word);
        if outcome.usurps {
            self.counts.renamed.one();
            self.peaks.message(Sort::Other);
            let new_instance_uid = rand::random::<[u8; 16]>().to_vec();
            reply.agent_identification = Some(AgentIdentification { new_instance_uid });
            return Handled { reply: encode(&reply), new_here: None };
        }
        self.peaks.message(self.count(&report, outcome));
        // A server that asks for full state on every reply gets what it asks for.
        if outcome.repeated && !faults.always_full_state {
            self.counts.full_states_repeated.one();
        }
        if report.agent_disconnect.is_some() && faults.forget_disconnected {
            self.store.forget(uid);
        }
        if faults.corrupt_one {
            self.corrupt(uid, &report);
        }
        reply.flags = self.questions(&faults, outcome, &report);
        self.store.add_push(uid, &mut reply);
        Handled { reply: encode(&reply), new_here: outcome.new_here.then_some(uid) }
    }

    fn questions(&self, faults: &Misbehaviour, outcome: Applied, report: &ReportShape) -> u64 {
        let mut flags = 0;
        if report.agent_disconnect.is_some() {
            return flags;
        }
        if outcome.wants_full || faults.always_full_state {
            self.counts.full_state_requests.one();
            flags |= REPORT_FULL_STATE;
        }
        if faults.ask_components && outcome.wants_components {
            self.counts.component_requests.one();
            flags |= REPORT_AVAILABLE_COMPONENTS;
        }
        flags
    }

    fn count(&self, report: &ReportShape, outcome: Applied) -> Sort {
        let counts = &self.counts;
        if outcome.unknown {
            counts.unknown_agents.one();
        }
        if outcome.gap {
            counts.gaps.one();
        }
        if report.custom_message.is_some() {
            counts.custom_messages.one();
        }
        if report.agent_disconnect.is_some() {
            counts.disconnects.one();
        } else if report.is_full_state() {
            counts.full_states.one();
            return Sort::FullState;
        } else if report.status_fields().iter().all(Option::is_none)
            && report.custom_message.is_none()
        {
            if outcome.new_here {
                counts.announces.one();
                return Sort::Announce;
            }
            counts.heartbeats.one();
        }
        Sort::Other
    }

    /// Always the same agent: the first to report a configuration.
    fn corrupt(&self, uid: InstanceUid, report: &ReportShape) {
        if report.effective_config.is_some() && *self.corrupted.get_or_init(|| uid) == uid {
            self.store.corrupt(uid);
        }
    }
}

/// Cuts a message open, or says what is wrong with it.
fn read(message: &Bytes) -> Result<(InstanceUid, ReportShape), String> {
    // The header is one zero byte; old agents leave it out, and every message begins with another
    // byte.
    let body = match message.first() {
        Some(0) => message.slice(1..),
        _ => message.clone(),
    };
    let report = ReportShape::decode(body).map_err(|error| error.to_string())?;
    let uid = InstanceUid::from_wire(&report.instance_uid).map_err(|error| error.to_string())?;
    Ok((uid, report))
}

fn error(kind: i32, message: &str) -> ServerErrorResponse {
    ServerErrorResponse { r#type: kind, error_message: message.to_owned(), details: None }
}

/// The header of a WebSocket message: one zero byte.
const HEADER_BYTES: usize = 1;

/// The bytes of a message with the header in front.
pub(crate) fn encode(message: &ServerToAgent) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + message.encoded_len());
    out.put_bytes(0, HEADER_BYTES);
    // A `BytesMut` grows, so encoding always succeeds.
    message.encode(&mut out).expect("room for the message");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall::opamp::proto::AgentToServer;
    use tokio::sync::mpsc;

    fn server(faults: Misbehaviour) -> (StandIn, LinkHold) {
        let server = StandIn::new(faults, Keying::Uid);
        let link = server.links.open(0, None);
        (server, link)
    }

    fn post(link: &LinkHold, is_first: bool) -> Origin<'_> {
        Origin { link, route: None, is_first }
    }

    fn message(number: u64) -> Bytes {
        let message =
            AgentToServer { instance_uid: vec![1; 16], sequence_num: number, ..Default::default() };
        [&[0][..], &message.encode_to_vec()].concat().into()
    }

    fn reply(handled: &Handled) -> ServerToAgent {
        assert_eq!(handled.reply[0], 0, "the header");
        let message = ServerToAgent::decode(&handled.reply[1..]).unwrap();
        assert_eq!(
            ServerToAgent::decode(handled.body()).as_ref(),
            Ok(&message),
            "the body of a POST's answer has none"
        );
        message
    }

    #[test]
    fn every_reply_names_its_agent_and_the_first_introduces_the_server() {
        let (server, link) = server(Misbehaviour::default());
        let first = reply(&server.handle(&message(0), post(&link, true)));
        assert_eq!(first.instance_uid, vec![1; 16]);
        assert!(first.custom_capabilities.is_some() && first.capabilities == CAPABILITIES);
        assert_eq!(first.flags, REPORT_FULL_STATE);
        let second = reply(&server.handle(&message(1), post(&link, false)));
        assert!(second.custom_capabilities.is_none() && second.capabilities == CAPABILITIES);
    }

    #[test]
    fn what_cannot_be_read_is_a_bad_request() {
        let (server, link) = server(Misbehaviour::default());
        for wrong in [&b"\x00\x0a\x03abc"[..], b"\x00\xff\xff", b""] {
            let wrong = Bytes::copy_from_slice(wrong);
            let answer = reply(&server.handle(&wrong, post(&link, false)));
            assert_eq!(answer.error_response.unwrap().r#type, BAD_REQUEST);
        }
    }

    #[test]
    fn an_unavailable_server_loses_the_report_and_asks_later() {
        let faults = Misbehaviour { unavailable_every: Some(2), ..Default::default() };
        let (server, link) = server(faults);
        server.handle(&message(0), post(&link, true));
        let refused =
            reply(&server.handle(&message(1), post(&link, false))).error_response.unwrap();
        assert_eq!(refused.r#type, UNAVAILABLE);
        assert_eq!(reply(&server.handle(&message(2), post(&link, false))).flags, REPORT_FULL_STATE);
        assert_eq!(server.store.totals().agents, 1);
    }

    #[test]
    fn an_exclusive_server_renames_a_second_connection_until_the_first_says_goodbye() {
        let server = StandIn::new(Misbehaviour::default(), Keying::Exclusive);
        let (outbox, _pushes) = mpsc::channel(1);
        let links = [1, 2].map(|number| server.links.open(number, Some("a node")));
        let routes = [1, 2].map(|connection| AgentRoute { connection, outbox: outbox.clone() });
        let say = |place: usize, message: Bytes| {
            let route = Some(&routes[place]);
            let origin = Origin { link: &links[place], route, is_first: false };
            reply(&server.handle(&message, origin)).agent_identification.is_some()
        };
        assert!(!say(0, message(0)));
        assert!(say(1, message(1)), "renamed");
        let goodbye = AgentToServer {
            instance_uid: vec![1; 16],
            agent_disconnect: Some(Default::default()),
            ..Default::default()
        };
        assert!(!say(0, goodbye.encode_to_vec().into()));
        assert!(!say(1, message(2)));
        assert!(say(0, message(3)), "the second connection is the agent's now");
    }
}
