//! Everything at once, from several threads, on few uids: sums stay right and every request is answered.

use std::task::Poll;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::clock;

const UIDS: u8 = 4;
const STEPS: u32 = 4_000;

/// One thread's doings.
struct Hammer<'a> {
    bench: &'a Bench,
    random: SmallRng,
    agents: Vec<Agent<'a>>,
    requests: Vec<Waiting>,
    connections: u64,
}

impl Hammer<'_> {
    fn step(&mut self) {
        let bench = self.bench;
        let n = self.random.random_range(1..=UIDS);
        match self.random.random_range(0..14) {
            0 => {
                self.connections += 1;
                self.agents.push(Agent::new(bench, n, self.connections));
            }
            1 | 2 if !self.agents.is_empty() => {
                let which = self.random.random_range(0..self.agents.len());
                self.agents.swap_remove(which);
            }
            3 => {
                let number = self.random.random_range(0..5);
                let bytes = addressed(health(), n, number);
                self.requests.extend(bench.sessions.receive_http(&bytes));
            }
            4 => self.requests.clear(),
            5 => drop(bench.says(n, &offer(b"x"))),
            6 => drop(bench.says(n, &ServerToAgent::default())),
            7 => drop(bench.says(n, &ask())),
            8 => drop(bench.permits()),
            9 => {
                bench.sessions.sweep(clock::now() + Duration::from_secs(100));
            }
            10 => match self.random.random_range(0..4) {
                0 => bench.relink(),
                1 => bench.refuse(NotSent::Full),
                2 => bench.refuse(NotSent::Down),
                _ => bench.refuse(None),
            },
            _ => self.talk(),
        }
        for request in &self.requests {
            let context = Context::from_waker(Waker::noop());
            let expired = self.random.random();
            let reply = request.poll_answer(&context, expired);
            assert!(!expired || matches!(reply, Poll::Ready(_)), "late, and not answered");
        }
    }

    fn talk(&mut self) {
        let Some(agent) = self.agents.last_mut() else { return };
        let message = match self.random.random_range(0..6) {
            0 => full(),
            1 => custom(b"data"),
            2 => goodbye(),
            3 => heartbeat(),
            _ => health(),
        };
        let _ = agent.tries_to_say(message);
        if agent.attachment.is_some() && self.random.random() {
            agent.looks();
        }
    }
}

#[test]
fn all_at_once() {
    let bench = Bench::new(SessionsParams { outbox_bytes_max: 200, ..SessionsParams::default() });
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let bench = &bench;
            scope.spawn(move || {
                let mut hammer = Hammer {
                    bench,
                    random: SmallRng::seed_from_u64(thread),
                    agents: Vec::new(),
                    requests: Vec::new(),
                    connections: thread << 32,
                };
                for _ in 0..STEPS {
                    hammer.step();
                    if hammer.agents.len() > 8 {
                        hammer.agents.remove(0);
                    }
                }
            });
        }
    });
    // All agents are away now: they leave, the server is told, and the table is empty.
    bench.relink();
    let mut later = clock::now();
    for _ in 0..5 {
        later += Duration::from_secs(100);
        bench.sessions.sweep(later);
        bench.permits();
    }
    bench.assert_empty();
    assert_eq!(bench.sessions.deadlines.len(), 0);
}
