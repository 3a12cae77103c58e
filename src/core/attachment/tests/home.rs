//! The home's side.

use super::*;
use crate::core::attachment::{
    ConnectionAt, HomeAttachment, HomeMoment, HomePort, HomeRecord, SessionCall, may_say_more,
};
use crate::core::node_link::{
    AgentConnection, AgentReport, Attach, AttachmentId, CloseOrder, Detach, DetachReason,
    ForAgentKind, Numbered, ToFront,
};
use crate::ident::SequenceNum;
use crate::opamp::field_set::{FieldSet, agent_field};

const REPORT: AgentReport<'static> = AgentReport {
    sequence_num: SequenceNum(1),
    capabilities: 0,
    flags: 0,
    present: FieldSet::EMPTY,
    heartbeats: None,
    has_map: false,
    digests: None,
    gone: FieldSet::EMPTY,
    fields: &[],
};

const ATTACH: Attach<'static> = Attach {
    resumes: None,
    transport: AgentConnection::WebSocket,
    client: 0,
    identity: &[],
    forwarded_lately: false,
    next: 1,
    had: 0,
    credit: 8,
    heartbeats: None,
    first: Some(REPORT),
};

/// `remote_config`, empty.
const OFFER: [u8; 2] = [0x1a, 0];

/// Writes down what the home does, a word for each effect.
struct HomeEffects {
    done: Vec<String>,
    needs: FieldSet,
    number: u64,
    is_cloned: bool,
    /// The number of the last message that the session has heard.
    heard: Option<u64>,
}

impl<'a> HomePort<'a> for HomeEffects {
    fn to_front(&mut self, front: NodeIncarnation, message: &ToFront<'_>) {
        let connection = message.handle().connection.0;
        let what = match message {
            ToFront::Attached(_, attached) => {
                format!("attached {} had {}", attached.id.number, attached.had)
            }
            ToFront::AgentFrame(_, message) => format!("message {}", message.number),
            ToFront::Close(_, order) => format!("close {order:?}"),
            ToFront::Confirmed(_, number) => format!("confirmed {number}"),
            ToFront::Needs(_, needs) => format!("needs of {}", needs.number),
            ToFront::AskOpen(_) => "open?".to_owned(),
            ToFront::Ping(_, question) => format!("ping {question}"),
            ToFront::Later(_) => "later".to_owned(),
            ToFront::NotMine(..) => "not mine".to_owned(),
            ToFront::Told(_, number) => format!("told {number}"),
        };
        self.done.push(format!("{front:?}.{connection}: {what}").replace("NodeIncarnation", ""));
    }

    fn needs(&self, _: &AgentReport<'_>) -> FieldSet {
        self.needs
    }

    fn follows(&self, number: SequenceNum) -> bool {
        self.heard.is_none_or(|heard| number.0 == heard + 1)
    }

    fn session(&mut self, call: SessionCall<'a>) {
        self.done.push(match call {
            SessionCall::Open { gap, .. } => format!("open {gap}"),
            SessionCall::Message(report) => format!("takes {}", report.sequence_num.0),
            SessionCall::Heartbeats(last) => format!("heartbeats {}", last.0),
            SessionCall::Lost { .. } => "lost".to_owned(),
            SessionCall::Missed => "missed".to_owned(),
            SessionCall::Heard => "heard".to_owned(),
            SessionCall::Confirmed(ping) => format!("confirmed {ping}"),
            SessionCall::ReplyOverdue => "overdue".to_owned(),
        });
    }

    fn is_cloned(&self) -> bool {
        self.is_cloned
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

struct HomeSetup {
    home: HomeAttachment,
    now: Instant,
    effects: HomeEffects,
}

impl HomeSetup {
    fn new() -> Self {
        let effects = HomeEffects {
            done: Vec::new(),
            needs: FieldSet::EMPTY,
            number: 0,
            is_cloned: false,
            heard: None,
        };
        Self { home: HomeAttachment::new(UID), now: start(), effects }
    }

    /// With connection 5 of node 2 attached.
    fn attached() -> Self {
        let mut setup = Self::new();
        setup.attaches(at(2, 5), &ATTACH);
        assert_eq!(setup.done(), ["open false", "(2).5: attached 1 had 1", "takes 1"]);
        setup
    }

    fn event(
        &mut self,
        call: impl FnOnce(&mut HomeAttachment, &HomeMoment<'_>, &mut HomeEffects),
    ) -> &mut Self {
        let moment = HomeMoment { now: self.now, epoch: epoch(3), policy: &HOME };
        call(&mut self.home, &moment, &mut self.effects);
        self
    }

    fn attaches(&mut self, at: ConnectionAt, attach: &Attach<'static>) -> &mut Self {
        self.event(|home, moment, port| home.attach(at, attach, moment, port))
    }

    fn says(&mut self, at: ConnectionAt, number: u64) -> &mut Self {
        let report = AgentReport { sequence_num: SequenceNum(number), ..REPORT };
        self.event(|home, _, port| {
            home.message(at, &Numbered { number, report }, port);
            home.settle(port);
        })
    }

    fn offers(&mut self) -> bool {
        let mut fits = false;
        self.event(|home, _, port| {
            fits = home.for_agent(ForAgentKind::Unasked, &OFFER, epoch(3), port);
        });
        fits
    }

    fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.effects.done)
    }
}

fn at(front: u64, connection: u64) -> ConnectionAt {
    ConnectionAt { front: node(front), connection: ConnectionId(connection) }
}

/// Both ends of their strife are at one front, which cannot tell which of the two is stale.
#[test]
fn of_a_cloned_uid_the_connection_that_is_there_stays() {
    let mut setup = HomeSetup::attached();
    setup.effects.is_cloned = true;
    setup.attaches(at(2, 6), &ATTACH);
    assert_eq!(setup.done(), ["(2).6: close Cloned"]);
    setup.says(at(2, 5), 2);
    assert_eq!(setup.done(), ["takes 2", "(2).5: confirmed 2"]);
    setup.effects.is_cloned = false;
    setup.attaches(at(2, 6), &ATTACH);
    assert_eq!(setup.done()[0], "(2).5: close Replaced");
}

#[test]
fn the_next_message_is_taken_and_no_other() {
    let mut setup = HomeSetup::attached();
    setup.says(at(2, 5), 3).says(at(2, 6), 2).says(at(3, 5), 2);
    assert!(setup.done().is_empty(), "one too far, and two of strangers");
    setup.effects.needs = FieldSet::of(&[agent_field::HEALTH]);
    setup.says(at(2, 5), 2);
    assert_eq!(setup.done(), ["(2).5: needs of 2"]);
    setup.effects.needs = FieldSet::EMPTY;
    setup.says(at(2, 5), 2).says(at(2, 5), 2);
    assert_eq!(setup.done(), ["takes 2", "(2).5: confirmed 2", "(2).5: confirmed 2"]);
}

/// Its front holds what it was not told of, and reads its agent no further once it has no room itself.
#[test]
fn while_as_much_waits_for_a_server_as_may_the_front_is_not_told_what_was_taken() {
    let mut setup = HomeSetup::attached();
    let may = |setup: &mut HomeSetup, may| {
        setup.event(|home, _, port| may_say_more(home, may, port));
    };
    may(&mut setup, false);
    setup.says(at(2, 5), 2).says(at(2, 5), 3);
    assert!(setup.offers());
    assert_eq!(setup.done(), ["takes 2", "takes 3", "(2).5: message 1"]);
    may(&mut setup, false);
    assert!(setup.done().is_empty());
    may(&mut setup, true);
    assert_eq!(setup.done(), ["(2).5: confirmed 3"]);
    may(&mut setup, true);
    assert!(setup.done().is_empty(), "once");
    may(&mut setup, false);
    setup.says(at(2, 5), 4);
    setup.event(|home, _, port| home.close(CloseOrder::Left, port));
    assert_eq!(setup.done(), ["takes 4", "(2).5: confirmed 4", "(2).5: close Left"]);
}

/// The reply says it, too.
#[test]
fn while_a_reply_is_due_soon_it_confirms_what_was_taken() {
    let mut setup = HomeSetup::attached();
    let due = setup.now + SECOND;
    setup.event(|home, _, _| home.reply_due(Some(due)));
    setup.says(at(2, 5), 2);
    assert_eq!(setup.done(), ["takes 2"]);
    setup.event(|home, _, port| {
        home.for_agent(ForAgentKind::Answer, &[], epoch(3), port);
        home.settle(port);
    });
    assert_eq!(setup.done(), ["(2).5: message 0"]);
    for number in 3..=18 {
        setup.says(at(2, 5), number);
    }
    assert_eq!(setup.done().last().unwrap(), "(2).5: confirmed 18", "the front holds too much");
    setup.says(at(2, 5), 19).says(at(2, 5), 19);
    assert_eq!(setup.done(), ["takes 19", "(2).5: confirmed 19"], "the front asks");
    setup.says(at(2, 5), 20);
    setup.attaches(at(3, 1), &ATTACH).event(|home, _, port| home.settle(port));
    assert_eq!(setup.done(), ["takes 20", "(3).1: open?", "(2).5: confirmed 20"]);
}

#[test]
fn a_front_hears_once_that_servers_have_answered_what_it_takes_for_being_on_its_way() {
    let all_told = |setup: &mut HomeSetup| setup.event(|home, _, port| home.all_told(port)).done();
    let mut setup = HomeSetup::attached();
    assert!(all_told(&mut setup).is_empty(), "nothing was asked for");
    setup.effects.needs = FieldSet::of(&[agent_field::HEALTH]);
    setup.says(at(2, 5), 2).done();
    assert!(all_told(&mut setup).is_empty(), "it has yet to come");
    setup.effects.needs = FieldSet::EMPTY;
    setup.says(at(2, 5), 2).done();
    assert_eq!(all_told(&mut setup), ["(2).5: told 2"]);
    assert!(all_told(&mut setup).is_empty());
    let again = Attach { forwarded_lately: true, next: 3, first: None, ..ATTACH };
    setup.attaches(at(2, 5), &again).done();
    assert_eq!(all_told(&mut setup), ["(2).5: told 2"], "a former home has forwarded it");
}

#[test]
fn what_is_unwritten_goes_again_and_its_credit_ends() {
    let mut setup = HomeSetup::attached();
    assert!(setup.offers() && setup.offers());
    setup.event(|home, _, _| home.written(at(2, 5), 1));
    setup.event(|home, _, _| home.link_lost(node(2)));
    assert!(setup.offers());
    assert_eq!(setup.done(), ["(2).5: message 1", "(2).5: message 2"], "the third waits");
    setup.attaches(at(2, 5), &Attach { next: 2, had: 2, first: None, ..ATTACH });
    assert_eq!(setup.done(), ["(2).5: attached 1 had 1", "(2).5: message 3"]);
    assert!(setup.offers() && setup.offers() && !setup.offers(), "8 bytes may wait");
    assert_eq!(setup.done().last().unwrap(), "(2).5: close Overflowed");
    assert!(setup.home.is_attached(), "until its front says that it is closed");
}

#[test]
fn a_ping_of_the_sessions_is_told_from_a_question_and_goes_again_after_a_lost_link() {
    let of_session = |ping: u32| (1 << 31) | ping;
    let mut setup = HomeSetup::attached();
    setup.event(|home, _, port| home.ping(7, port));
    assert_eq!(setup.done(), [format!("(2).5: ping {}", of_session(7))]);
    setup.event(|home, _, _| home.link_lost(node(2)));
    setup.event(|home, _, port| home.ping(8, port));
    assert!(setup.done().is_empty());
    setup.attaches(at(2, 5), &Attach { next: 2, first: None, ..ATTACH });
    assert_eq!(setup.done().last().unwrap(), &format!("(2).5: ping {}", of_session(8)));
    setup.event(|home, _, port| home.alive(at(3, 9), of_session(8), port));
    assert!(setup.done().is_empty(), "another connection");
    setup.event(|home, _, port| home.alive(at(2, 5), of_session(8), port));
    assert_eq!(setup.done(), ["confirmed 8"]);
    setup.attaches(at(2, 5), &Attach { next: 2, first: None, ..ATTACH });
    assert_eq!(setup.done(), ["(2).5: attached 1 had 1"]);
}

#[test]
fn two_fronts_are_asked_before_one_replaces_the_other() {
    let mut setup = HomeSetup::attached();
    setup.attaches(at(3, 1), &ATTACH);
    assert_eq!(setup.done(), ["(3).1: open?"]);
    setup.event(|home, moment, port| home.open(at(3, 1), moment, port));
    assert_eq!(setup.done(), ["(2).5: ping 1"]);
    setup.event(|home, _, port| home.alive(at(2, 5), 1, port));
    assert_eq!(setup.done(), ["heard", "(3).1: close Cloned"]);
    setup.attaches(at(3, 2), &ATTACH);
    setup.event(|home, moment, port| home.open(at(3, 2), moment, port));
    setup.event(|home, _, port| home.alive(at(2, 5), 1, port));
    setup.done();
    setup.now = setup.home.deadline().unwrap();
    setup.event(|home, moment, port| home.deadline_passed(moment, port));
    let expected = ["(2).5: close Replaced", "open false", "(3).2: attached 2 had 0"];
    assert_eq!(
        setup.done(),
        expected,
        "an old pong proves nothing, and the newcomer repeats itself"
    );
}

/// An answer that a front gave in its home's place lets an agent go on over another front, while what it answered waits.
#[test]
fn what_an_agent_said_before_it_went_on_elsewhere_is_a_gap() {
    let request = Attach { transport: AgentConnection::PlainHttp, ..ATTACH };
    let mut setup = HomeSetup::new();
    let second = AgentReport { sequence_num: SequenceNum(2), ..REPORT };
    setup.attaches(at(2, 5), &Attach { first: Some(second), ..request });
    setup.event(|home, moment, port| {
        let end = Detach { reason: DetachReason::Answered, heartbeats: None, missed: false };
        home.detach(at(2, 5), &end, moment, port);
    });
    setup.done();
    setup.effects.heard = Some(2);
    let once = FieldSet::of(&[agent_field::CUSTOM_MESSAGE]);
    let custom = AgentReport { present: once, ..REPORT };
    setup.attaches(at(3, 1), &Attach { first: Some(custom), ..request });
    assert_eq!(setup.done(), ["(3).1: open?"]);
    let gone = Detach { reason: DetachReason::Answered, heartbeats: None, missed: true };
    setup.event(|home, moment, port| home.detach(at(3, 1), &gone, moment, port));
    assert_eq!(setup.done(), ["missed"]);
    // Its front says nothing: it attaches again.
    setup.attaches(at(3, 2), &request);
    setup.now = setup.home.deadline().unwrap();
    setup.event(|home, moment, port| home.deadline_passed(moment, port));
    assert_eq!(setup.done(), ["(3).2: open?", "(3).2: later"]);
    // It is open: a new process, say. The gap shows once its first message is there.
    setup.attaches(at(3, 2), &request);
    setup.event(|home, moment, port| home.open(at(3, 2), moment, port));
    assert_eq!(setup.done(), ["(3).2: open?", "open false", "(3).2: attached 2 had 0"]);
    // Of one front it is plain which is the earlier one.
    setup.attaches(at(3, 1), &request);
    assert_eq!(setup.done(), ["(3).1: close Replaced"]);
    setup.effects.heard = Some(1);
    setup.attaches(at(2, 6), &request);
    assert_eq!(setup.done(), ["(2).6: open?"], "it may have been taken");
    setup.effects.heard = Some(0);
    setup.attaches(at(2, 7), &request);
    assert_eq!(setup.done(), ["(2).6: later", "(2).7: open?"], "3.2 may be about to say the same");
    setup.says(at(3, 2), 1).done();
    setup.attaches(at(2, 8), &request);
    assert_eq!(setup.done()[..2], ["(3).2: close Replaced", "open true"], "it goes on");
}

/// An agent that polls and gets no answer says the same over another front. Its first front has closed the request by
/// the time that its message is taken, or has yet to bring it.
#[test]
fn what_is_said_once_more_is_not_lost_with_an_earlier_request() {
    let says = |number| {
        let report = AgentReport { sequence_num: SequenceNum(number), ..REPORT };
        Attach { transport: AgentConnection::PlainHttp, first: Some(report), ..ATTACH }
    };
    let late = Detach { reason: DetachReason::Lost, heartbeats: None, missed: true };
    let is_late = |setup: &mut HomeSetup, at| {
        setup.event(|home, moment, port| home.detach(at, &late, moment, port)).done()
    };
    let again = |setup: &mut HomeSetup, at, number| {
        setup.effects.heard = Some(1);
        setup.attaches(at, &says(number));
        setup.event(|home, moment, port| home.open(at, moment, port));
        let report = AgentReport { sequence_num: SequenceNum(number), ..REPORT };
        setup.event(|home, _, port| home.message(at, &Numbered { number: 1, report }, port));
        let mut done = setup.done();
        done.retain(|what| what.starts_with("takes") || what == "missed");
        done
    };
    let first = |setup: &mut HomeSetup| drop(setup.attaches(at(2, 5), &says(1)).done());
    // It was taken, and is said again.
    let mut setup = HomeSetup::new();
    first(&mut setup);
    assert_eq!(is_late(&mut setup, at(2, 5)), ["lost"], "it may come again");
    assert_eq!(again(&mut setup, at(3, 1), 1), ["takes 1"]);
    // It was taken from another.
    setup.attaches(at(4, 1), &says(1));
    assert_eq!(setup.done(), ["(4).1: open?"]);
    assert!(is_late(&mut setup, at(4, 1)).is_empty());
    // It is overtaken before its front says so.
    let mut setup = HomeSetup::new();
    first(&mut setup);
    assert_eq!(again(&mut setup, at(3, 1), 1), ["takes 1"]);
    assert!(is_late(&mut setup, at(2, 5)).is_empty());
    // It was taken, and the agent goes on.
    let mut setup = HomeSetup::new();
    first(&mut setup);
    is_late(&mut setup, at(2, 5));
    assert_eq!(again(&mut setup, at(3, 1), 2), ["takes 2"]);
    // The agent says something else: what came late may be an earlier process's.
    let mut setup = HomeSetup::new();
    first(&mut setup);
    is_late(&mut setup, at(2, 5));
    assert_eq!(again(&mut setup, at(3, 1), 3), ["takes 3", "missed"]);
    setup.attaches(at(3, 2), &says(3));
    assert!(setup.done().contains(&"open true".to_owned()), "and those that follow");
    // What is said once is like nothing else.
    let mut setup = HomeSetup::new();
    let once = FieldSet::of(&[agent_field::CUSTOM_MESSAGE]);
    let custom = AgentReport { present: once, ..REPORT };
    setup.attaches(at(2, 5), &Attach { first: Some(custom), ..says(1) }).done();
    is_late(&mut setup, at(2, 5));
    assert_eq!(again(&mut setup, at(3, 1), 1), ["takes 1", "missed"]);
}

/// The end of the connection that has the session frees the way for a newcomer, and not for one that may be old.
#[test]
fn one_that_may_be_old_waits_for_its_front_though_the_way_is_free() {
    let mut setup = HomeSetup::attached();
    setup.effects.heard = Some(2);
    setup.attaches(at(3, 1), &ATTACH);
    let lost = Detach { reason: DetachReason::Lost, heartbeats: None, missed: false };
    setup.event(|home, moment, port| home.detach(at(2, 5), &lost, moment, port));
    assert_eq!(setup.done(), ["(3).1: open?", "lost"]);
    setup.event(|home, moment, port| home.open(at(3, 1), moment, port));
    assert_eq!(setup.done(), ["open false", "(3).1: attached 2 had 0"]);
}

/// The agent has let the one go to open the other since: that its front had it open before says nothing.
#[test]
fn an_answer_to_an_earlier_question_opens_no_case_against_a_later_connection() {
    let mut setup = HomeSetup::attached();
    setup.effects.heard = Some(2);
    setup.attaches(at(3, 1), &ATTACH);
    setup.attaches(at(2, 6), &ATTACH);
    assert_eq!(setup.done().last().unwrap(), "(3).1: open?", "once more");
    let opens = |setup: &mut HomeSetup| {
        setup.event(|home, moment, port| home.open(at(3, 1), moment, port)).done()
    };
    assert!(opens(&mut setup).is_empty());
    assert_eq!(opens(&mut setup), ["(2).6: ping 1"]);
}

#[test]
fn of_one_front_the_later_connection_has_the_session() {
    let mut setup = HomeSetup::attached();
    setup.attaches(at(2, 4), &ATTACH);
    assert_eq!(setup.done(), ["(2).4: close Replaced"]);
    setup.attaches(at(2, 6), &ATTACH);
    assert_eq!(setup.done()[..2], ["(2).5: close Replaced", "open false"]);
}

#[test]
fn one_that_goes_on_displaces_no_higher_one_and_names_its_gap() {
    let mut setup = HomeSetup::new();
    let id = |number| AttachmentId { epoch: epoch(2), number };
    let resumes = |number| Attach { resumes: Some(id(number)), next: 4, first: None, ..ATTACH };
    setup.attaches(at(2, 5), &resumes(7));
    assert_eq!(setup.done(), ["open true", "(2).5: attached 7 had 3"]);
    setup.attaches(at(3, 1), &resumes(6));
    assert_eq!(setup.done(), ["(3).1: close Replaced"]);
    setup.attaches(at(3, 1), &resumes(8));
    assert_eq!(setup.done()[..2], ["(2).5: close Replaced", "open true"]);
}

#[test]
fn what_a_front_dropped_is_a_gap_now_and_for_those_that_follow() {
    let mut setup = HomeSetup::attached();
    let lost = Detach { reason: DetachReason::Lost, heartbeats: None, missed: true };
    setup.event(|home, moment, port| home.detach(at(3, 9), &lost, moment, port));
    assert_eq!(setup.done(), ["missed"]);
    setup.attaches(at(2, 6), &ATTACH);
    assert!(setup.done().contains(&"open true".to_owned()));
    setup.now += Duration::from_secs(60);
    setup.attaches(at(2, 7), &ATTACH);
    assert!(setup.done().contains(&"open false".to_owned()));
}

#[test]
fn a_front_that_is_gone_may_have_held_something_of_any_agent() {
    let full = FieldSet::of(&[agent_field::AGENT_DESCRIPTION]);
    let all = Attach { first: Some(AgentReport { present: full, ..REPORT }), ..ATTACH };
    let gone = |setup: &mut HomeSetup| {
        setup.event(|home, moment, port| home.front_gone(node(9), moment, port)).done()
    };
    let mut setup = HomeSetup::attached();
    assert_eq!(gone(&mut setup), ["missed"], "connection 5 has said little, and may be later");
    setup.attaches(at(2, 6), &ATTACH);
    assert!(setup.done().contains(&"open true".to_owned()));
    setup.attaches(at(2, 7), &all);
    assert!(setup.done().contains(&"open false".to_owned()), "it says all");
    assert!(gone(&mut setup).is_empty());
    let mut setup = HomeSetup::attached();
    setup.now += Duration::from_secs(60);
    assert!(gone(&mut setup).is_empty(), "front 9 would have noticed that connection 5 is later");
    setup.event(|home, moment, port| home.front_gone(node(2), moment, port));
    assert_eq!(setup.done(), ["missed", "lost"]);
}

/// The first report of a connection often lacks what the answer to a question has (opamp-go leaves health out).
#[test]
fn a_question_waits_for_the_first_message_that_is_on_its_way() {
    let full = AgentReport { present: FieldSet::of(&[agent_field::AGENT_DESCRIPTION]), ..REPORT };
    let with_first_to_come = || {
        let mut setup = HomeSetup::new();
        setup.effects.needs = FieldSet::of(&[agent_field::AGENT_DESCRIPTION]);
        setup.attaches(at(2, 5), &Attach { first: Some(full), ..ATTACH });
        assert_eq!(setup.done(), ["open false", "(2).5: attached 1 had 0"]);
        setup.event(|home, moment, port| home.front_gone(node(9), moment, port));
        assert!(setup.done().is_empty());
        setup.effects.needs = FieldSet::EMPTY;
        setup
    };
    let mut setup = with_first_to_come();
    let first = Numbered { number: 1, report: full };
    setup.event(|home, _, port| home.message(at(2, 5), &first, port));
    assert!(!setup.done().contains(&"missed".to_owned()), "it says all");
    let mut setup = with_first_to_come();
    setup.says(at(2, 5), 1);
    assert_eq!(setup.done()[..2], ["takes 1", "missed"]);
    let mut setup = with_first_to_come();
    setup.event(|home, moment, port| home.front_gone(node(2), moment, port));
    assert_eq!(setup.done(), ["missed", "lost"], "it does not come");
}

#[test]
fn a_first_attach_that_comes_late_changes_nothing() {
    let mut setup = HomeSetup::attached();
    setup.says(at(2, 5), 2).offers();
    setup.event(|home, _, _| home.link_lost(node(2)));
    setup.event(|home, moment, port| home.not_here(node(2), moment, port));
    setup.done();
    setup.attaches(at(2, 5), &ATTACH);
    assert_eq!(setup.done(), ["open false", "(2).5: attached 1 had 2"]);
    setup.offers();
    assert_eq!(setup.done(), ["(2).5: message 2"], "the front has had a message 1");
}

#[test]
fn what_another_home_has_confirmed_is_not_waited_for() {
    let mut setup = HomeSetup::attached();
    setup.attaches(at(2, 5), &Attach { next: 4, first: None, ..ATTACH });
    assert_eq!(setup.done(), ["missed", "(2).5: attached 1 had 3"]);
    setup.says(at(2, 5), 4);
    assert_eq!(setup.done(), ["takes 4", "(2).5: confirmed 4"]);
}

#[test]
fn a_front_that_has_named_all_lacks_the_rest() {
    let mut setup = HomeSetup::attached();
    setup.event(|home, moment, port| home.not_here(node(2), moment, port));
    assert!(setup.home.is_attached() && setup.done().is_empty());
    setup.offers();
    setup.event(|home, _, _| home.link_lost(node(2)));
    setup.event(|home, moment, port| home.not_here(node(2), moment, port));
    assert_eq!(setup.done()[1..], ["lost"]);
    assert!(!setup.home.is_attached());
}

#[test]
fn a_record_goes_on_where_the_former_home_stopped() {
    let mut setup = HomeSetup::attached();
    setup.offers();
    let mut bytes = Vec::new();
    let record = setup.home.to_record(setup.now);
    record.encode(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden =
        "01 01 03 0100000000000000 01 0200000000000000 05 01 00 00 01 00 01 00 08 01 01 02 1a00";
    assert_eq!(hex, golden.replace(' ', ""), "a change here is a new format");
    assert_eq!(HomeRecord::decode(&bytes).as_ref(), Ok(&record));
    for end in 0..bytes.len() {
        assert!(HomeRecord::decode(&bytes[..end]).is_err());
    }
    let later = setup.home.to_record(setup.now + Duration::from_secs(60));
    assert_ne!(later, record, "connection 5 is too old to be doubted");
    let mut next = HomeSetup::new();
    next.home = HomeAttachment::from_record(UID, record, next.now);
    assert_eq!(next.home.unwritten_bytes(), OFFER.len());
    let id = AttachmentId { epoch: epoch(3), number: 1 };
    next.attaches(at(2, 5), &Attach { resumes: Some(id), ..ATTACH });
    assert_eq!(next.done(), ["(2).5: attached 1 had 1", "(2).5: message 1"], "it had message 1");
    let closed = next.event(|home, _, port| home.close(CloseOrder::Left, port)).done();
    assert_eq!(closed, ["(2).5: close Left"]);
}
