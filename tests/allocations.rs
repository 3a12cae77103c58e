//! The two commonest messages allocate nothing: a heartbeat that is answered here, and a report that says what
//! the server has. A binary of its own, because it counts every allocation of its process.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use seawall::core::pacing::{Class, Permit};
use seawall::core::session::Route;
use seawall::ident::{ConnectionId, Incarnation, InstanceUid, LinkId, ServerId};
use seawall::opamp::digest::DigestKey;
use seawall::opamp::proto::{AgentDescription, AgentToServer, ComponentHealth, ServerToAgent};
use seawall::opamp::server::ServerScan;
use seawall::sessions::{NotSent, ServerHello, Sessions, Uplink};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);
const ROUTE: Route = Route::of_link(LinkId { server: ServerId(0), index: 0 }, Incarnation(1));

/// A server that takes every message, and counts them.
#[derive(Debug, Default)]
struct Server {
    messages: AtomicUsize,
}

impl Uplink for Server {
    fn route(&self, _: InstanceUid) -> Option<Route> {
        Some(ROUTE)
    }

    fn admit(&self, _: InstanceUid, _: Route) -> Permit {
        Permit::Granted
    }

    fn state_lost(&self, _: Route) -> bool {
        false
    }

    fn send(
        &self,
        _: InstanceUid,
        _: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        write(&mut Vec::new());
        self.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn orphaned(&self, _: Route, _: u32) {}

    fn announced(&self, _: InstanceUid, _: ServerId) {}

    fn server_hello(&self, _: ServerId) -> Arc<ServerHello> {
        Arc::new(ServerHello { capabilities: Some(1), custom_capabilities: None })
    }

    fn enqueue(&self, _: InstanceUid, _: Class) {}

    fn release(&self, _: InstanceUid) {}
}

fn heartbeat(sequence_num: u64) -> AgentToServer {
    let instance_uid = UID.as_bytes().to_vec();
    AgentToServer { instance_uid, sequence_num, capabilities: 1, ..AgentToServer::default() }
}

fn report(sequence_num: u64) -> AgentToServer {
    let agent_description = Some(AgentDescription::default());
    let health = Some(ComponentHealth { status: "fine".to_owned(), ..Default::default() });
    AgentToServer { agent_description, health, ..heartbeat(sequence_num) }
}

#[test]
fn heartbeats_and_unchanged_reports_allocate_nothing() {
    let server = Arc::new(Server::default());
    let sessions =
        Arc::new(Sessions::new(Default::default(), DigestKey::default(), Arc::clone(&server) as _));
    let messages: Vec<Vec<u8>> = (0..40)
        .map(|number| if number % 2 == 0 { report(number) } else { heartbeat(number) })
        .map(|message| message.encode_to_vec())
        .collect();
    let (mut attachment, mut out) = (None, Vec::with_capacity(1 << 12));
    let answer = ServerToAgent { instance_uid: UID.as_bytes().to_vec(), ..Default::default() };
    let answer = answer.encode_to_vec();
    // The first report opens the session and goes to the server, which answers; some more warm up what the
    // thread and the metrics hold once.
    let (first, rest) = messages.split_at(8);
    for message in first {
        sessions.receive(&mut attachment, ConnectionId(1), message, &mut out).unwrap();
        sessions.from_server(UID, ROUTE, &ServerScan::parse(&answer).unwrap());
        out.clear();
    }
    assert_eq!(server.messages.load(Ordering::Relaxed), 1, "the rest is answered here");
    for message in rest {
        let region = Region::new(ALLOCATOR);
        sessions.receive(&mut attachment, ConnectionId(1), message, &mut out).unwrap();
        let counted = region.change();
        assert!(!out.is_empty(), "the agent is answered at once");
        assert_eq!((counted.allocations, counted.reallocations), (0, 0), "{message:?}");
        out.clear();
    }
    // What does allocate is noticed: the report says something else.
    let health = Some(ComponentHealth { status: "bad".to_owned(), ..Default::default() });
    let changed = AgentToServer { health, ..report(40) }.encode_to_vec();
    let region = Region::new(ALLOCATOR);
    sessions.receive(&mut attachment, ConnectionId(1), &changed, &mut out).unwrap();
    assert!(region.change().allocations > 0);
    assert_eq!(server.messages.load(Ordering::Relaxed), 2);
}
