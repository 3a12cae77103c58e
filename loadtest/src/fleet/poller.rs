//! The life of an agent over plain HTTP: it speaks at its client's rhythm, and comes again as its
//! client does. A cut takes its connection; what it does then is its client's affair.

use std::time::{Duration, Instant};

use seawall::clock;
use tokio::sync::MutexGuard;

use super::backoff::obeyed;
use super::clients::habits::{PauseLaw, Rhythm, Unanswered};
use super::clients::pauses::{Next, Pauses, Setback};
use super::dial::{Failure, connect, cut_off};
use super::life::AgentLife;
use super::post::{HttpAnswer, HttpConnection, NoAnswer};

/// A message that has yet to be answered.
struct Unsent {
    bytes: Vec<u8>,
    tries: u32,
    /// It is a heartbeat: it has nothing to report.
    is_beat: bool,
}

/// See the module's text.
pub(crate) struct Poller {
    life: AgentLife,
    /// Its own connection; of a fleet that shares some, none.
    own: Option<HttpConnection>,
    /// When the process started.
    started: Instant,
    /// When it speaks next.
    due: Instant,
    /// What it says then, if that is decided already.
    unsent: Option<Unsent>,
    /// It has had an answer.
    answered: bool,
}

impl Poller {
    /// For a process that starts now.
    pub(crate) fn new(life: AgentLife, started: Instant) -> Self {
        Self { life, own: None, started, due: started, unsent: None, answered: false }
    }

    /// Lives until the runtime is dropped.
    pub(crate) async fn run(mut self) {
        if self.life.fleet.options.after_outage.0.is_zero() {
            self.agent().on_open();
        }
        let mut is_first = true;
        while self.wait().await {
            if self.unsent.is_none() {
                self.compose(std::mem::take(&mut is_first));
            }
            self.life.intended = self.due;
            let target = self.life.choose();
            let asked_at = clock::now();
            let outcome = self.exchange(target).await;
            let now = clock::now();
            match outcome {
                Ok(answer) => self.on_answer(&answer, (target, asked_at), now),
                Err(failure) => {
                    let setback = self.life.on_failure(failure, target);
                    self.on_setback(setback, now);
                }
            }
        }
    }

    fn agent(&self) -> parking_lot::MutexGuard<'_, super::agent::FleetAgent> {
        self.life.fleet.agents[self.life.local].lock()
    }

    /// Waits until it speaks next. A cut meanwhile takes its connection. False: it is gone.
    async fn wait(&mut self) -> bool {
        let mut since = clock::now();
        while clock::now() < self.due {
            let cut = tokio::select! {
                () = tokio::time::sleep_until(self.due.into()) => break,
                () = self.life.cut_meanwhile(since) => clock::now(),
            };
            since = cut;
            self.lose_connection();
            if self.life.is_gone() {
                return false;
            }
        }
        !self.life.is_gone()
    }

    fn lose_connection(&mut self) {
        if let Some(connection) = self.own.take() {
            cut_off(&connection.stream, self.life.fleet.options.cut_with);
            self.life.on_end(false);
        }
    }

    /// The next message. One that has nothing to report is a heartbeat.
    fn compose(&mut self, is_first: bool) {
        let fleet = self.life.fleet.clone();
        let mut agent = self.agent();
        let is_beat = !is_first && !agent.has_news();
        if !is_first {
            agent.on_beat();
        }
        let mut bytes = Vec::new();
        agent.report(&fleet.profile, &mut bytes);
        drop(agent);
        self.life.thread().measured.lock().sent += 1;
        self.unsent = Some(Unsent { bytes, tries: 0, is_beat });
    }

    /// One POST, on a connection that is there or on a new one.
    async fn exchange(&mut self, target: usize) -> Result<HttpAnswer, Failure> {
        let fleet = self.life.fleet.clone();
        let thread = &fleet.threads[self.life.thread];
        if thread.shared.is_empty() {
            let mut connection = self.own.take();
            let outcome = self.post_on(&mut connection, target).await;
            self.own = connection;
            return outcome;
        }
        // As a proxy before the gateway does: one request at a time on each connection.
        let place = self.life.local / fleet.threads.len() % thread.shared.len();
        let mut connection: MutexGuard<'_, _> = thread.shared[place].lock().await;
        self.post_on(&mut connection, target).await
    }

    async fn post_on(
        &self,
        connection: &mut Option<HttpConnection>,
        target: usize,
    ) -> Result<HttpAnswer, Failure> {
        let since = clock::now();
        loop {
            connection.take_if(|connection| !connection.is_usable(clock::now()));
            let dials = connection.is_none();
            self.count_try(target, dials);
            let mut open = match connection.take() {
                Some(open) => open,
                None => self.dial(target).await?,
            };
            let head = self.head(target);
            let habits = self.life.habits();
            let body = self.unsent.as_ref().map_or(&[][..], |unsent| &unsent.bytes);
            let exchange =
                open.exchange((&head, body), habits.writes_apart, habits.deadline.answer);
            let outcome = tokio::select! {
                outcome = exchange => Some(outcome),
                () = self.life.cut_meanwhile(since) => None,
            };
            self.life.has_asked(Some(since));
            let Some(outcome) = outcome else {
                cut_off(&open.stream, self.life.fleet.options.cut_with);
                return Err(Failure::Cut);
            };
            match outcome {
                Ok(answer) => {
                    if open.keeps(&answer, habits.idle) {
                        *connection = Some(open);
                    }
                    return Ok(answer);
                }
                // As every client does whose idle connection was closed on it.
                Err(NoAnswer::Stale) => {}
                Err(NoAnswer::GivenUp) => return Err(Failure::GivenUp),
                Err(NoAnswer::Failed) => return Err(Failure::Failed),
            }
        }
    }

    async fn dial(&self, target: usize) -> Result<HttpConnection, Failure> {
        let goal = &self.life.fleet.options.targets[target];
        let is_shared = self.life.fleet.options.connections > 0;
        let dialled = connect(goal, (!is_shared).then(|| self.life.index()));
        let stream = match self.life.habits().deadline.connect {
            Some(deadline) => tokio::time::timeout(deadline, dialled).await,
            None => Ok(dialled.await),
        };
        match stream {
            Ok(Ok(stream)) => Ok(HttpConnection::new(stream)),
            _ => Err(Failure::Failed),
        }
    }

    /// A POST of an agent that is not in counts as a dial, whatever connection it uses; one that is in
    /// dials when it opens a connection.
    fn count_try(&self, target: usize, dials: bool) {
        {
            let mut measured = self.life.thread().measured.lock();
            measured.posts += 1;
            measured.post_connections += u64::from(dials);
        }
        if dials || !self.answered || self.life.is_returning() {
            self.life.count_dial(target);
        }
    }

    fn head(&self, target: usize) -> Vec<u8> {
        let mut head = self.life.fleet.requests_of(self.life.client, target).post.clone();
        if self.life.habits().names_uid {
            head.push_str(&format!("OpAMP-Instance-UID: {}\r\n", self.agent().uid()));
        }
        let length = self.unsent.as_ref().map_or(0, |unsent| unsent.bytes.len());
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        head.into_bytes()
    }

    fn on_answer(&mut self, answer: &HttpAnswer, (target, asked): (usize, Instant), now: Instant) {
        if answer.status != 200 {
            let retry_after = obeyed(answer.status, answer.retry_after);
            let setback = self.life.on_failure(Failure::Refused(retry_after), target);
            return self.on_setback(setback, now);
        }
        let reaction = self.agent().on_message(&answer.body);
        let Ok(reaction) = reaction else {
            self.life.thread().measured.lock().malformed += 1;
            return self.on_setback(Setback::Failed, now);
        };
        self.life.thread().measured.lock().reacted(&reaction, now);
        let law = self.life.habits().law;
        if let Some(told) = reaction.unavailable.filter(|_| Pauses::heeds_messages(law)) {
            self.life.on_refusal(target);
            return self.on_setback(Setback::Told(told), now);
        }
        self.life.pauses.succeeded();
        self.unsent = None;
        self.is_in((target, asked), now);
        if let Some(interval) = reaction.heartbeat.filter(|interval| !interval.is_zero()) {
            self.life.heartbeat = interval;
        }
        self.due = if reaction.report {
            now
        } else if let Some(after) = reaction.report_after {
            now + after
        } else {
            self.next_beat(now)
        };
    }

    fn is_in(&mut self, (target, asked): (usize, Instant), now: Instant) {
        if !self.answered || self.life.is_returning() {
            self.life.settle_on(target);
            self.life.on_first_reply(asked, now);
        }
        if !std::mem::replace(&mut self.answered, true) {
            self.life.fleet.has_answered();
        }
    }

    fn on_setback(&mut self, setback: Setback, now: Instant) {
        let habits = self.life.habits();
        let unanswered = habits.unanswered;
        if habits.law == PauseLaw::Python {
            // A new connection after each failure.
            self.own = None;
        }
        let unsent = self.unsent.as_mut();
        let keeps = match unanswered {
            Unanswered::SameBytes => true,
            Unanswered::SameBytesCounting { tries_max, beat_tries_max } => {
                unsent.is_some_and(|it| {
                    it.tries += 1;
                    it.tries < if it.is_beat { beat_tries_max } else { tries_max }
                })
            }
            Unanswered::LostByFailure | Unanswered::Lost => false,
        };
        if keeps {
            if unanswered != Unanswered::SameBytes {
                self.agent().skip_number();
            }
        } else {
            self.unsent = None;
            if unanswered == Unanswered::LostByFailure && setback != Setback::Failed {
                self.agent().keeps_message();
            } else if self.agent().has_lost_message() {
                self.life.thread().measured.lock().refused_for_good += 1;
            }
        }
        let next = self.life.pauses.next(setback, &mut self.life.mix);
        if !keeps && unanswered != Unanswered::LostByFailure {
            // It has given the message up: the next one comes when one is due.
            self.life.pauses.succeeded();
            self.due = self.next_beat(now);
        } else {
            self.due = match next {
                Next::After(pause) => now + self.life.wait(pause),
                Next::Tick | Next::Never => self.next_beat(now),
            };
        }
    }

    /// When a heartbeat or a poll is due next.
    fn next_beat(&mut self, now: Instant) -> Instant {
        let interval = self.life.heartbeat.max(Duration::from_millis(1));
        match self.life.habits().rhythm {
            Rhythm::Ticks => {
                let ticks =
                    now.saturating_duration_since(self.started).as_nanos() / interval.as_nanos();
                let ticks = u32::try_from(ticks).unwrap_or(u32::MAX - 1);
                self.started + interval * (ticks + 1)
            }
            Rhythm::AfterSent { spread } if spread > 0.0 => {
                now + interval.mul_f64(1.0 - spread + 2.0 * spread * self.life.mix.unit())
            }
            Rhythm::AfterSent { .. } | Rhythm::AfterFrame | Rhythm::Never => now + interval,
        }
    }
}
