//! Connections as two pipes: what is put in comes out later, in order, and whatever is under way when
//! the connection is cut is lost from some message on.

use std::collections::VecDeque;

use seawall::core::session::Route;

use crate::simulation::random::Random;
use crate::world::{NodeKey, Time};

/// No message begins with this byte.
const CONTROL: u8 = 0;

/// A ping, or the pong to it, as a pipe carries it between messages.
pub(crate) fn control(payload: &[u8]) -> Vec<u8> {
    [&[CONTROL], payload].concat()
}

/// The payload of a ping or pong, if it is one.
pub(crate) fn as_control(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(&[CONTROL])
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    under_way: VecDeque<(Time, Vec<u8>)>,
    /// When the last message put in comes out.
    last: Time,
}

impl Pipe {
    pub(crate) const fn new() -> Self {
        Self { under_way: VecDeque::new(), last: Time::ZERO }
    }

    /// Puts a message in that takes `delay`, or longer if those before it do; says when it comes out.
    pub(crate) fn put(&mut self, bytes: Vec<u8>, now: Time, delay: Time) -> Time {
        let at = self.last.max(now + delay);
        self.last = at;
        self.under_way.push_back((at, bytes));
        at
    }

    /// What comes out now.
    pub(crate) fn take(&mut self, now: Time) -> Option<Vec<u8>> {
        let (at, _) = self.under_way.front()?;
        if *at > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, bytes)| bytes)
    }

    /// Loses what is under way from some message on; says what that was.
    pub(crate) fn cut(&mut self, random: &mut Random) -> Vec<Vec<u8>> {
        let kept = random.index(self.under_way.len() + 1);
        let lost = self.under_way.split_off(kept);
        self.last = self.under_way.back().map_or(Time::ZERO, |(at, _)| *at);
        lost.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// Loses all of it.
    pub(crate) fn lose(&mut self) -> Vec<Vec<u8>> {
        self.last = Time::ZERO;
        self.under_way.drain(..).map(|(_, bytes)| bytes).collect()
    }

    /// When the last of what is under way arrives.
    pub(crate) const fn drained(&self) -> Time {
        self.last
    }
}

/// An agent's WebSocket. Each end finds out for itself that it is over.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) node: NodeKey,
    pub(crate) agent: usize,
    pub(crate) process: u32,
    pub(crate) agent_end: bool,
    pub(crate) gateway_end: bool,
    /// What is written now is lost.
    pub(crate) cut: bool,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
}

impl Conn {
    pub(crate) const fn new(node: NodeKey, agent: usize, process: u32) -> Self {
        Self {
            node,
            agent,
            process,
            agent_end: true,
            gateway_end: true,
            cut: false,
            up: Pipe::new(),
            down: Pipe::new(),
        }
    }
}

/// A link's wire, for one incarnation.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) server: usize,
    pub(crate) route: Route,
    pub(crate) owner: Option<usize>,
    pub(crate) gateway_end: bool,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// The server reads again from then on.
    pub(crate) stalled_until: Time,
    /// The server has said on it what it is.
    pub(crate) hello_sent: bool,
}
