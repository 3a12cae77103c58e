//! The front's side.

use super::*;
use crate::core::attachment::{AgentAbout, FrontAttachment, FrontMoment, FrontPort};
use crate::core::node_link::{
    AgentConnection, AgentFrame, Attached, AttachmentId, CloseOrder, DetachReason, ForAgentKind,
    HeartbeatsEntry, Needs, ToFront, ToHome,
};
use crate::core::ownership::MapVersion;
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, Digester, Scratch};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::proto::{
    AgentToServer, AvailableComponents, ComponentDetails, ComponentHealth, CustomMessage,
};
use crate::opamp::splice::{self, Additions};
use prost::Message;
use std::collections::BTreeMap;

/// Writes down what the front does, a word for each effect.
#[derive(Default)]
struct FrontEffects(Vec<String>);

impl FrontPort for FrontEffects {
    fn digest(&mut self, scan: &AgentScan<'_>, put: &mut dyn FnMut(u32, Digest)) -> u64 {
        Digester::default().report(scan, &mut Scratch::default(), put);
        1
    }

    fn to_home(&mut self, _: NodeIncarnation, message: &ToHome<'_>) {
        self.0.push(match message {
            ToHome::Attach(_, attach) => {
                let lately = if attach.forwarded_lately { ", forwarded lately" } else { "" };
                format!("attach {}{lately}", attach.next)
            }
            ToHome::Message(_, message) => {
                let report = message.report;
                let bytes = report.fields.len();
                let map = if report.has_map { ", a map" } else { "" };
                let (number, gone) = (message.number, report.gone.len());
                format!("message {number} of {bytes} bytes, {gone} gone{map}")
            }
            ToHome::Written(_, number) => format!("written {number}"),
            ToHome::Detach(_, detach) => format!("detach, missed: {}", detach.missed),
            other => format!("{other:?}"),
        });
    }

    fn heartbeats(&mut self, _: NodeIncarnation, entry: HeartbeatsEntry) {
        self.0.push(format!("heartbeat {} after {}", entry.last.0, entry.after));
    }

    fn to_agent(&mut self, kind: ForAgentKind, _: u64, _: &[u8]) {
        self.0.push(format!("{kind:?}"));
    }

    fn acknowledge(&mut self) {
        self.0.push("acknowledge".to_owned());
    }

    fn ping(&mut self, question: u32) {
        self.0.push(format!("ping {question}"));
    }

    fn close(&mut self, order: CloseOrder) {
        self.0.push(format!("close {order:?}"));
    }

    fn read_map(&mut self, version: MapVersion) {
        self.0.push(format!("read map {}", version.0));
    }
}

struct FrontSetup {
    front: FrontAttachment,
    now: Instant,
    policy: FrontPolicy,
    is_crowded: bool,
    effects: FrontEffects,
}

impl FrontSetup {
    fn new(home: Option<Home>) -> Self {
        let about = AgentAbout {
            transport: AgentConnection::WebSocket,
            client: 0,
            identity: Box::default(),
        };
        let front = FrontAttachment::new(handle(1), about, home);
        let effects = FrontEffects::default();
        Self { front, now: start(), policy: FRONT, is_crowded: false, effects }
    }

    /// One that is attached, with the home's credit.
    fn attached(credit: u32) -> Self {
        let mut setup = Self::new(Some(home(3)));
        setup.says(1, None, 0);
        setup.hears(&attached(1, credit));
        setup.hears(&answer(1, &[]));
        setup.done();
        setup
    }

    fn event(
        &mut self,
        call: impl FnOnce(&mut FrontAttachment, &FrontMoment<'_>, &mut FrontEffects),
    ) -> &mut Self {
        let Self { now, is_crowded, .. } = *self;
        let moment = FrontMoment { now, policy: &self.policy, is_crowded };
        call(&mut self.front, &moment, &mut self.effects);
        self
    }

    /// The agent's message, with a health of this name and a custom message of this length.
    fn says(&mut self, number: u64, health: Option<&str>, custom: usize) -> &mut Self {
        let message = AgentToServer {
            instance_uid: vec![7; 16],
            sequence_num: number,
            health: health
                .map(|text| ComponentHealth { status: text.into(), ..Default::default() }),
            custom_message: (custom > 0)
                .then(|| CustomMessage { data: vec![1; custom], ..Default::default() }),
            ..Default::default()
        };
        let bytes = message.encode_to_vec();
        self.event(|front, moment, port| {
            front.agent_message(&AgentScan::parse(&bytes).unwrap(), moment, port);
        })
    }

    fn hears(&mut self, message: &ToFront<'_>) -> &mut Self {
        self.event(|front, moment, port| front.home_said(node(1), message, moment, port))
    }

    fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.effects.0)
    }
}

fn attached(had: u64, credit: u32) -> ToFront<'static> {
    let id = AttachmentId { epoch: epoch(3), number: 1 };
    let needs = FieldSet::EMPTY;
    ToFront::Attached(handle(1), Attached { id, epoch: 3, had, needs, credit })
}

fn answer(had: u64, bytes: &[u8]) -> ToFront<'_> {
    let kind = ForAgentKind::Answer;
    ToFront::AgentFrame(handle(1), AgentFrame { epoch: 3, had, number: 0, kind, bytes })
}

#[test]
fn the_front_answers_at_its_bound_and_swallows_what_comes_later() {
    let mut setup = FrontSetup::attached(1_000);
    setup.says(2, Some("well"), 0);
    assert_eq!(setup.done(), ["message 2 of 8 bytes, 0 gone"]);
    assert_eq!(setup.front.deadline(), Some(setup.now + SECOND));
    setup.now += SECOND;
    setup.event(|front, moment, port| front.deadline_passed(moment, port));
    assert_eq!(setup.done(), ["acknowledge"]);
    setup.hears(&answer(2, &[]));
    assert!(setup.done().is_empty(), "it says nothing");
    let mut greeting = Vec::new();
    let hello = Additions { capabilities: Some(1), ..Additions::default() };
    splice::acknowledge(UID, &hello, &mut greeting);
    setup.hears(&answer(2, &greeting)).hears(&answer(2, &greeting));
    assert_eq!(setup.done(), ["Unasked"], "the agent hears once what its server can");
}

#[test]
fn heartbeats_stay_here_and_wait_behind_what_is_unconfirmed() {
    let mut setup = FrontSetup::attached(1_000);
    setup.says(2, None, 0);
    assert_eq!(setup.done(), ["acknowledge", "heartbeat 2 after 1"]);
    setup.says(3, Some("well"), 0).says(4, None, 0);
    assert_eq!(setup.done(), ["message 2 of 8 bytes, 0 gone", "acknowledge"]);
    setup.hears(&ToFront::Confirmed(handle(1), 2));
    assert_eq!(setup.done(), ["heartbeat 4 after 2"]);
    setup.says(9, None, 0);
    assert_eq!(setup.done(), ["message 3 of 0 bytes, 0 gone"], "its number jumped: no batch");
}

#[test]
fn capabilities_that_a_heartbeat_leaves_out_are_those_of_before_and_a_uid_alone_goes_on() {
    let mut setup = FrontSetup::new(Some(home(3)));
    let said = |setup: &mut FrontSetup, sequence_num, capabilities| {
        let instance_uid = vec![7; 16];
        let message =
            AgentToServer { instance_uid, sequence_num, capabilities, ..Default::default() };
        let bytes = message.encode_to_vec();
        setup.event(|front, moment, port| {
            front.agent_message(&AgentScan::parse(&bytes).unwrap(), moment, port);
        });
    };
    said(&mut setup, 1, 7);
    setup.hears(&attached(1, 1 << 20)).hears(&answer(1, &[])).done();
    said(&mut setup, 2, 0);
    said(&mut setup, 3, 7);
    let done = setup.done();
    assert_eq!(done, ["acknowledge", "heartbeat 2 after 1", "acknowledge", "heartbeat 3 after 1"]);
    said(&mut setup, 0, 0);
    assert_eq!(setup.done(), ["message 2 of 0 bytes, 0 gone"], "its home knows what that is");
    setup.hears(&answer(2, &[])).done();
    said(&mut setup, 4, 0);
    assert_eq!(setup.done(), ["acknowledge", "heartbeat 4 after 2"], "its numbers go on");
}

#[test]
fn heartbeats_go_on_one_by_one_where_servers_want_each() {
    let mut setup = FrontSetup::attached(1_000);
    setup.policy.answers_heartbeats = false;
    setup.says(2, None, 0).says(3, None, 0);
    assert_eq!(setup.done(), ["message 2 of 0 bytes, 0 gone", "message 3 of 0 bytes, 0 gone"]);
    setup.hears(&answer(3, &[]));
    assert_eq!(setup.done(), ["Answer"]);
}

/// An agent leaves out what has not changed. What it says at first may be known.
#[test]
fn small_parts_go_at_once_behind_the_first_message() {
    let mut setup = FrontSetup::new(Some(home(3)));
    setup.says(1, Some("well"), 0).says(2, Some("ill"), 0);
    setup.hears(&attached(0, 1_000));
    let attach = "attach 1";
    let sent = ["message 1 of 0 bytes, 0 gone", "message 2 of 7 bytes, 0 gone"];
    assert_eq!(setup.done(), [attach, sent[0], sent[1]]);
}

#[test]
fn only_the_parts_that_the_home_wants_go_and_credit_is_kept() {
    let mut setup = FrontSetup::attached(40);
    setup.says(2, Some(&"x".repeat(3_000)), 30).says(3, None, 30).says(4, None, 30);
    assert_eq!(setup.done(), ["message 2 of 34 bytes, 0 gone"]);
    let parts = FieldSet::of(&[agent_field::HEALTH]);
    setup.hears(&ToFront::Needs(handle(1), Needs { number: 2, parts }));
    assert_eq!(setup.done(), ["message 2 of 3040 bytes, 0 gone"]);
    assert!(!setup.front.may_read(&FRONT), "three messages are held");
    setup.hears(&ToFront::Confirmed(handle(1), 2));
    assert_eq!(setup.done().len(), 1);
    assert!(setup.front.may_read(&FRONT));
}

#[test]
fn without_a_home_the_front_answers_at_once_and_gives_parts_up_over_its_bound() {
    let mut setup = FrontSetup::new(None);
    let long = "x".repeat(3_900);
    setup.says(1, Some(&long), 0).says(2, Some(&long), 10);
    assert_eq!(setup.done(), ["acknowledge", "acknowledge"]);
    let held = setup.front.held_bytes();
    assert!((3_900..5_000).contains(&held), "the newest message is whole: {held}");
    setup.is_crowded = true;
    setup.says(3, Some(&long), 10);
    assert_eq!(setup.done(), ["acknowledge"]);
    assert!(setup.front.held_bytes() < 1_000, "{}", setup.front.held_bytes());
    setup.event(|front, moment, port| front.home_reached(home(3), moment, port));
    setup.hears(&attached(1, 1_000));
    let done = setup.done();
    assert_eq!(done[0], "attach 1");
    assert!(done[1].starts_with("message 2 of") && done[1].ends_with("1 gone"), "{done:?}");
}

/// Its digest is that of the hash, which the home has.
#[test]
fn the_home_hears_of_a_component_map_and_may_ask_for_it() {
    let mut setup = FrontSetup::attached(10_000);
    let map = [("x".repeat(3_000), ComponentDetails::default())].into();
    let seen = ["message 2 of 5 bytes, 0 gone", "message 3 of 0 bytes, 0 gone, a map"];
    for (number, (components, seen)) in (2..).zip([(BTreeMap::new(), seen[0]), (map, seen[1])]) {
        let available = AvailableComponents { hash: b"h".to_vec(), components };
        let message = AgentToServer {
            instance_uid: vec![7; 16],
            sequence_num: number,
            available_components: Some(available),
            ..Default::default()
        }
        .encode_to_vec();
        setup.event(|front, moment, port| {
            front.agent_message(&AgentScan::parse(&message).unwrap(), moment, port);
        });
        assert_eq!(setup.done(), [seen]);
    }
    let parts = FieldSet::of(&[agent_field::AVAILABLE_COMPONENTS]);
    setup.hears(&ToFront::Needs(handle(1), Needs { number: 3, parts }));
    assert_eq!(setup.done(), ["message 3 of 3012 bytes, 0 gone, a map"]);
}

#[test]
fn a_renamed_agent_gets_the_replies_that_it_is_owed() {
    let mut setup = FrontSetup::attached(1_000);
    setup.says(2, Some("well"), 0);
    assert!(!setup.front.is_settled());
    setup.event(|front, moment, port| front.closed(DetachReason::Renamed, moment, port));
    let message = "message 2 of 8 bytes, 0 gone";
    assert_eq!(setup.done(), [message, "acknowledge", message], "has the home had it?");
    setup.hears(&ToFront::Confirmed(handle(1), 2));
    assert_eq!(setup.done(), ["detach, missed: false"]);
    assert!(setup.front.is_over());
}

#[test]
fn what_is_given_up_is_told_when_the_home_is_back() {
    let mut setup = FrontSetup::attached(1_000);
    setup.event(|front, _, port| front.home_lost(port));
    setup.says(2, Some("well"), 0);
    setup.event(|front, moment, port| front.closed(DetachReason::Lost, moment, port));
    assert_eq!(setup.done(), ["acknowledge"]);
    setup.now += FRONT.leaving_max;
    setup.event(|front, moment, port| front.deadline_passed(moment, port));
    assert!(!setup.front.is_over() && setup.front.deadline().is_none());
    assert_eq!(setup.front.held_bytes(), 0);
    setup.event(|front, moment, port| front.home_reached(home(4), moment, port));
    assert_eq!(setup.done(), ["detach, missed: true"]);
}

#[test]
fn a_loss_is_told_again_until_the_home_must_have_heard_of_it() {
    let mut setup = FrontSetup::attached(1_000);
    setup.says(2, Some("well"), 0);
    setup.hears(&ToFront::Close(handle(1), CloseOrder::Replaced));
    assert_eq!(setup.done()[1..], ["close Replaced", "detach, missed: true"]);
    assert_eq!((setup.front.is_over(), setup.front.held_bytes()), (false, 0));
    setup.event(|front, _, port| front.home_lost(port));
    assert!(setup.front.deadline().is_none(), "it may be lost with the link");
    setup.event(|front, moment, port| front.home_reached(home(3), moment, port));
    setup.hears(&ToFront::NotMine(handle(1), MapVersion(8)));
    setup.event(|front, moment, port| front.home_reached(home(4), moment, port));
    assert_eq!(setup.done(), ["detach, missed: true", "read map 8", "detach, missed: true"]);
    setup.hears(&attached(1, 1_000)).hears(&ToFront::AskOpen(handle(1)));
    assert!(setup.done().is_empty(), "to all else it is gone");
    setup.now += FRONT.leaving_max;
    assert_eq!(setup.front.deadline(), Some(setup.now));
    setup.event(|front, moment, port| front.deadline_passed(moment, port));
    assert!(setup.front.is_over() && setup.done().is_empty());
}

#[test]
fn what_servers_have_answered_is_not_on_its_way() {
    let parts = FieldSet::of(&[agent_field::HEALTH]);
    let told = |number| ToFront::Told(handle(1), number);
    let mut setup = FrontSetup::attached(1_000);
    setup.says(2, Some("well"), 0).hears(&ToFront::Needs(handle(1), Needs { number: 2, parts }));
    setup.hears(&ToFront::Confirmed(handle(1), 2)).hears(&told(1)).done();
    setup.event(|front, moment, port| front.home_reached(home(4), moment, port));
    assert_eq!(setup.done(), ["attach 3, forwarded lately"], "an earlier message was answered");
    setup.hears(&attached(2, 1_000)).hears(&told(2)).done();
    setup.event(|front, moment, port| front.home_reached(home(5), moment, port));
    assert_eq!(setup.done(), ["attach 3"]);
}

#[test]
fn a_former_home_is_not_heard() {
    let mut setup = FrontSetup::attached(1_000);
    setup.hears(&ToFront::NotMine(handle(1), MapVersion(8)));
    setup.event(|front, moment, port| front.home_reached(home(4), moment, port));
    assert_eq!(setup.done(), ["read map 8", "attach 2"]);
    let offer =
        AgentFrame { epoch: 3, had: 1, number: 1, kind: ForAgentKind::Unasked, bytes: &[0x1a, 0] };
    setup.hears(&ToFront::AgentFrame(handle(1), offer));
    assert!(setup.done().is_empty());
    setup.hears(&ToFront::AgentFrame(handle(1), AgentFrame { epoch: 4, ..offer }));
    setup.event(|front, _, port| front.written(1, port));
    assert_eq!(setup.done(), ["Unasked"], "written is told once it is attached");
}
