//! An agent: what is true of it, what it has reported of that, and what it says next. As opamp-go's
//! client, before and since it left out what is unchanged on reconnecting, and others besides.
//!
//! The network is outside of it: the story takes messages from it, and gives it others.

use std::collections::VecDeque;
use std::time::Duration;

use seawall::opamp::proto::ServerToAgent;

use crate::simulation::random::Random;
use crate::status::{
    self, ACCEPTS_CONFIG, ACCEPTS_RESTART, PARTS, Part, REPORTS_STATUS, Report, Status,
};
use crate::world::{NodeKey, Time};

/// What stays the same about an agent for the whole story.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    /// Reports everything on every connection (opamp-go up to v0.22); later clients report what has changed.
    pub(crate) full_on_reconnect: bool,
    /// The number of a process's first message: 0, or 1 as Java's and New Relic's.
    pub(crate) first_number: u64,
    /// Plain HTTP.
    pub(crate) polls: bool,
    /// Plain HTTP: a request that failed is made again with the same bytes, or given up.
    pub(crate) retries: bool,
    /// How long it waits for the answer to its dial or its first request.
    pub(crate) patience: Duration,
    /// It comes at the moment that a refusal tells, as opamp-go does; others try by their own backoff.
    pub(crate) obeys: bool,
    /// How fast its clock runs, in percent.
    pub(crate) clock_percent: u32,
    /// Its requests say who it is before they are read: by a header, a certificate or a credential.
    pub(crate) shows_uid: bool,
    /// Time between heartbeats (or polls); empty: it is one of those agents that stay silent between changes.
    pub(crate) heartbeat: Option<Duration>,
    /// Stays silent on a connection until something changes.
    pub(crate) silent: bool,
    /// Takes remote configuration.
    pub(crate) accepts_config: bool,
    /// Reports a configuration it was offered also if it had it already.
    pub(crate) echoes: bool,
    /// A new process has the remote configuration of the old one.
    pub(crate) remembers_config: bool,
    /// Which parts it has at all.
    pub(crate) has: [bool; PARTS],
}

impl Kind {
    pub(crate) fn capabilities(&self) -> u64 {
        let parts = Part::ALL.into_iter().filter(|part| self.has[*part as usize]);
        let promised: u64 = parts.map(Part::capability).sum();
        let accepts = if self.accepts_config { ACCEPTS_CONFIG } else { 0 };
        promised | accepts | REPORTS_STATUS | ACCEPTS_RESTART
    }
}

/// A plain-HTTP connection that is kept alive from one request to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) node: NodeKey,
    pub(crate) id: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) index: usize,
    pub(crate) kind: Kind,
    /// What is true of it.
    pub(crate) truth: Status,
    /// What has changed since the agent's last report.
    unreported: [bool; PARTS],
    /// It has been asked for its full state, or its components.
    asked: (bool, bool),
    /// A message is due, even an empty one.
    due: bool,
    /// It has yet to speak on this connection, and waits for a change before it does.
    quiet: bool,
    customs: VecDeque<u32>,
    next_custom: u32,
    next_number: u64,
    /// How many processes it has been, and since when this one runs.
    pub(crate) process: u32,
    pub(crate) since: Time,
    pub(crate) running: bool,
    /// It is gone for good.
    pub(crate) gone: bool,
    /// Its connection, or the request under way.
    pub(crate) wire: Option<u64>,
    /// Its WebSocket's dial that is under way.
    pub(crate) dialling: Option<u64>,
    /// Its kept-alive connection for plain HTTP.
    pub(crate) channel: Option<Channel>,
    pub(crate) spoke_at: Time,
    /// Failed dials or requests in a row.
    pub(crate) failures: u32,
}

impl Agent {
    pub(crate) fn new(index: usize, kind: Kind, random: &mut Random) -> Self {
        let mut truth = Status { map: true, ..Status::default() };
        for part in Part::ALL {
            if kind.has[part as usize] {
                // Few versions, so that agents have contents in common.
                let version = if part == Part::Remote { 0 } else { u32::from(random.percent(30)) };
                truth.set(part, version);
            }
        }
        Self {
            index,
            unreported: kind.has,
            kind,
            truth,
            asked: (false, false),
            due: false,
            quiet: false,
            customs: VecDeque::new(),
            next_custom: 1,
            next_number: 0,
            process: 0,
            since: Time::ZERO,
            running: false,
            gone: false,
            wire: None,
            dialling: None,
            channel: None,
            spoke_at: Time::ZERO,
            failures: 0,
        }
    }

    /// A process starts, the first or another.
    pub(crate) fn start(&mut self, now: Time, random: &mut Random) {
        self.process += 1;
        (self.since, self.running, self.wire, self.failures) = (now, true, None, 0);
        self.next_number = self.kind.first_number;
        self.unreported = self.kind.has;
        self.asked = (false, false);
        self.customs.clear();
        if !self.kind.remembers_config && self.kind.has[Part::Remote as usize] {
            self.truth.set(Part::Remote, 0);
        }
        if random.percent(50) {
            self.change(random);
        }
        self.due = self.kind.polls;
        self.quiet = false;
    }

    /// The process ends.
    pub(crate) const fn stop(&mut self) {
        self.running = false;
        self.wire = None;
    }

    /// A WebSocket is open.
    pub(crate) fn connected(&mut self, wire: u64) {
        self.wire = Some(wire);
        self.failures = 0;
        self.asked = (false, false);
        self.quiet = self.kind.silent;
        self.due = !self.kind.silent;
        if self.kind.full_on_reconnect || self.next_number == self.kind.first_number {
            // opamp-go's first report of a connection has health only if it has changed.
            let health = self.unreported[Part::Health as usize];
            self.unreported = self.kind.has;
            self.unreported[Part::Health as usize] = health;
        }
    }

    /// Something changes.
    pub(crate) fn change(&mut self, random: &mut Random) {
        let changes: Vec<Part> = Part::ALL
            .into_iter()
            .filter(|part| *part != Part::Remote && self.kind.has[*part as usize])
            .collect();
        for _ in 0..=random.below(2) {
            let part = random.pick(&changes);
            let old = self.truth.get(part).unwrap_or(0);
            // Sometimes back to what it was.
            let new = if random.percent(25) { old.saturating_sub(1) } else { old + 1 };
            self.truth.set(part, new);
            self.unreported[part as usize] = true;
        }
        self.quiet = false;
    }

    /// The application has a custom message.
    pub(crate) fn custom(&mut self) {
        self.customs.push_back(self.next_custom);
        self.next_custom += 1;
        self.quiet = false;
    }

    /// A heartbeat, a poll, or the first word of a connection.
    pub(crate) const fn speak(&mut self) {
        self.due = true;
        self.quiet = false;
    }

    /// The last word of the process.
    pub(crate) fn farewell(&mut self) -> Report {
        let number = self.next_number;
        self.next_number += 1;
        let capabilities = self.kind.capabilities();
        Report { agent: self.index, number, capabilities, disconnects: true, ..Report::default() }
    }

    /// Whether its silence, if it means to be silent, is over.
    pub(crate) const fn has_spoken(&self) -> bool {
        !self.quiet
    }

    /// What it says next. Taken off before it is written: if that fails, it is lost.
    pub(crate) fn next_message(&mut self) -> Option<Report> {
        let asked = self.asked.0 || self.asked.1;
        let news = self.unreported.contains(&true) || !self.customs.is_empty();
        if !self.running || self.quiet || !(asked || news || self.due) {
            return None;
        }
        let mut status = Status::default();
        for (part, version) in self.truth.iter() {
            let components = part == Part::Components && self.asked.1;
            if self.asked.0 || components || self.unreported[part as usize] {
                status.set(part, version);
            }
        }
        let promised = |part: &Part| *part == Part::Description || part.capability() != 0;
        let has = |part: &Part| self.truth.get(*part).is_some();
        if Part::ALL.iter().filter(|p| promised(p) && has(p)).all(|p| status.get(*p).is_some()) {
            // A reader takes it for a full report, so it is one.
            status.parts = self.truth.parts;
        }
        status.map = asked && status.get(Part::Components).is_some();
        (self.unreported, self.asked, self.due) = ([false; PARTS], (false, false), false);
        let number = self.next_number;
        self.next_number += 1;
        let custom = self.customs.pop_front();
        let capabilities = self.kind.capabilities();
        Some(Report { agent: self.index, number, capabilities, status, custom, disconnects: false })
    }

    /// A message for it. Returns whether the process is to restart.
    pub(crate) fn receive(&mut self, message: &ServerToAgent) -> bool {
        // The specification: what stands beside a command is ignored.
        if message.command.is_some() {
            return true;
        }
        let has_components = self.kind.has[Part::Components as usize];
        self.asked.0 |= message.flags & 1 != 0;
        self.asked.1 |= message.flags & 2 != 0 && has_components;
        self.quiet &= message.flags == 0;
        if let Some(config) = &message.remote_config
            && self.kind.accepts_config
            && let Some((_, version)) = status::parse_hash(&config.config_hash)
        {
            let news = self.truth.get(Part::Remote) != Some(version);
            self.truth.set(Part::Remote, version);
            self.unreported[Part::Remote as usize] |= news || self.kind.echoes;
            self.quiet &= !news;
        }
        false
    }
}
