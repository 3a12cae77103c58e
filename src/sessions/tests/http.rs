//! Agents that poll over plain HTTP: one request, one reply.

use std::task::Poll;
use std::time::Duration;

use super::*;
use crate::clock;
use crate::opamp::proto::ServerToAgentCommand;

struct Request {
    waiting: Waiting,
    woken: Arc<Woken>,
}

impl Request {
    fn new(bench: &Bench, n: u8, number: u64, message: AgentToServer) -> Self {
        let waiting = bench.sessions.receive_http(&addressed(message, n, number)).unwrap();
        Self { waiting, woken: Arc::default() }
    }

    fn poll(&self, expired: bool) -> Option<ServerToAgent> {
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.waiting.poll_answer(&Context::from_waker(&waker), expired) {
            Poll::Ready(answer) => {
                let message = ServerToAgent::decode(&answer.message[..]).unwrap();
                Some(ServerToAgent { capabilities: 0, ..message })
            }
            Poll::Pending => None,
        }
    }
}

#[test]
pub(super) fn the_servers_own_reply_if_it_comes_soon() {
    let bench = Bench::default();
    let request = Request::new(&bench, 1, 0, full());
    assert!(request.waiting.reply_due().is_some());
    assert_eq!(request.poll(false), None);
    bench.says(1, &offer(b"x"));
    assert!(request.woken.is_set());
    assert_eq!(request.poll(false), Some(to(1, offer(b"x"))));
}

#[test]
pub(super) fn what_comes_late_is_in_the_next_reply() {
    let bench = Bench::default();
    let request = Request::new(&bench, 1, 0, full());
    assert_eq!(request.poll(true), Some(ack(1)), "an acknowledgement in the server's place");
    drop(request);
    bench.says(1, &offer(b"late"));
    let next = Request::new(&bench, 1, 1, heartbeat());
    assert_eq!(next.waiting.reply_due(), None, "answered here");
    assert_eq!(next.poll(false), Some(to(1, offer(b"late"))));
    bench.says(1, &ServerToAgent::default());
    assert_eq!(bench.sessions.counters.agent_bytes(), 0, "a late acknowledgement is swallowed");
}

#[test]
pub(super) fn a_command_goes_alone() {
    let bench = Bench::default();
    let request = Request::new(&bench, 1, 0, full());
    let command = Some(ServerToAgentCommand::default());
    bench.says(1, &ServerToAgent { command, ..ServerToAgent::default() });
    bench.says(1, &offer(b"x"));
    let mut got = vec![request.poll(false).unwrap()];
    for number in 1..=2 {
        got.push(Request::new(&bench, 1, number, heartbeat()).poll(true).unwrap());
    }
    assert_eq!(got.iter().filter(|m| m.remote_config.is_some()).count(), 1);
    for message in got.iter().filter(|message| message.command.is_some()) {
        assert_eq!(*message, to(1, ServerToAgent { command, ..ServerToAgent::default() }));
    }
    assert_eq!(got.iter().filter(|m| m.command.is_some()).count(), 1);
}

#[test]
pub(super) fn of_two_requests_the_newer_waits_and_the_older_is_answered() {
    let bench = Bench::default();
    let older = Request::new(&bench, 1, 0, full());
    assert_eq!(older.poll(false), None);
    let newer = Request::new(&bench, 1, 1, health());
    assert!(older.woken.is_set());
    assert_eq!(newer.poll(false), None);
    assert_eq!(older.poll(false), Some(ack(1)));
    drop(older);
    bench.says(1, &offer(b"x"));
    assert!(newer.woken.is_set(), "the older's end has not taken its waker");
    assert_eq!(newer.poll(false), Some(to(1, offer(b"x"))));
    assert_eq!(bench.sessions.count(), (1, 0));
}

#[test]
pub(super) fn a_request_and_a_websocket_do_not_take_each_others_replies() {
    let bench = Bench::default();
    let request = Request::new(&bench, 1, 0, full());
    assert_eq!(request.poll(false), None);
    let mut agent = Agent { number: 1, ..Agent::new(&bench, 1, 1) };
    assert_eq!(agent.says(health()), []);
    assert!(request.woken.is_set());
    assert!(matches!(agent.looks(), Outgoing::Nothing { .. }));
    assert_eq!(request.poll(true), Some(ack(1)));
    drop(request);
    bench.says(1, &offer(b"x"));
    assert!(agent.woken.is_set(), "its waker is still there");
    assert_eq!(agent.reads(), [to(1, offer(b"x"))]);
    // And back: the WebSocket is replaced.
    let request = Request::new(&bench, 1, 2, health());
    assert!(matches!(agent.looks(), Outgoing::Replaced));
    drop(agent);
    assert_eq!(bench.sessions.count(), (1, 0));
    assert_eq!(request.poll(false), None);
    bench.says(1, &ServerToAgent::default());
    assert_eq!(request.poll(false), Some(ack(1)));
}

#[test]
pub(super) fn a_request_given_up_holds_nothing() {
    let bench = Bench::default();
    let request = Request::new(&bench, 1, 0, full());
    assert_eq!(request.poll(false), None);
    let woken = Arc::clone(&request.woken);
    drop(request);
    assert_eq!(Arc::strong_count(&woken), 1, "no waker holds the task");
    bench.says(1, &offer(b"x"));
    let next = Request::new(&bench, 1, 1, heartbeat());
    assert_eq!(next.poll(false), Some(to(1, offer(b"x"))));
}

#[test]
pub(super) fn a_clean_disconnect_over_plain_http() {
    let bench = Bench::default();
    Request::new(&bench, 1, 0, full());
    let last = Request::new(&bench, 1, 1, goodbye());
    assert_eq!(last.poll(false), Some(ack(1)));
    bench.assert_empty();
}

#[tokio::test(start_paused = true)]
pub(super) async fn an_agent_that_stops_polling_has_left() {
    let bench = Bench::default();
    Request::new(&bench, 1, 0, full());
    bench.says(1, &offer(b"in vain"));
    bench.sent();
    let timeout = bench.sessions.params.poll_timeout;
    for number in 1..=5 {
        tokio::time::advance(timeout / 2).await;
        bench.sessions.sweep(clock::now());
        Request::new(&bench, 1, number, heartbeat());
        assert_eq!(bench.sessions.deadlines.len(), 1);
    }
    assert_eq!(bench.sessions.count(), (1, 0));
    tokio::time::advance(timeout + Duration::from_secs(1)).await;
    // The first look finds that it was heard since the deadline was noted.
    bench.sessions.sweep(clock::now());
    bench.sessions.sweep(clock::now());
    bench.sent();
    bench.permits();
    assert!(bench.sent()[0].1.agent_disconnect.is_some());
    bench.assert_empty();
}
