//! One connection of an agent, from the open WebSocket to its end.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use seawall::clock;
use seawall::websocket::{Decoder, Incoming, Role, encode_pong};
use tokio::net::TcpStream;

use super::clients::habits::Rhythm;
use super::clients::pauses::{Ended, Pauses};
use super::dial::{Open, cut_off};
use super::life::AgentLife;
use super::load::{Load, LoadKind, LoadOrder};
use super::manners::Wave;
use super::{Cut, CutWith, frame, scratch};

/// The longest message taken.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// The deadline of a heartbeat that is switched off.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Who says nothing is in once its connection has stayed open for so long.
const SILENCE_COUNTS: Duration = Duration::from_secs(2);
/// Messages each way that make a connection one on which its client has talked.
const TALK: u32 = 2;

/// How a connection ended.
pub(crate) enum End {
    /// By this order, and what its client sees of that.
    Cut(Cut, Ended),
    /// By its own move to another target.
    Left,
    /// By the other side, or the network.
    Lost(Ended),
}

/// Why the agent ends its connection.
enum Departure {
    Cut(Cut),
    Move,
}

/// What happens on a connection.
enum ConnectionEvent {
    Read(io::Result<usize>),
    Signal,
    Timer,
}

/// A connection. Idle, it holds a socket, a timer, and a place in the thread's list of those to be
/// signalled.
pub(crate) struct AgentConnection<'a> {
    life: &'a mut AgentLife,
    stream: TcpStream,
    early: Vec<u8>,
    unsent: Vec<u8>,
    decoder: Decoder,
    answered: bool,
    heartbeat: Duration,
    last_sent: Instant,
    /// When the connection's first report was sent.
    reported: Instant,
    /// When it opened, while its client has nothing to say and is not in yet.
    silent_since: Option<Instant>,
    /// Messages that were sent and received here.
    said: u32,
    heard: u32,
    load: Option<Box<Load>>,
    /// When a forced move ends it.
    move_due: Option<Instant>,
}

/// The connection broke, or the other side broke the protocol.
struct Broken(Ended);

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self(Ended::Reset)
    }
}

impl<'a> AgentConnection<'a> {
    /// For a connection just opened.
    pub(crate) fn new(life: &'a mut AgentLife, open: Open) -> Self {
        let heartbeat = match life.habits().rhythm {
            Rhythm::Never => FAR,
            _ => life.fleet.options.heartbeat.0,
        };
        life.fleet.connected.fetch_add(1, Ordering::Relaxed);
        Self {
            life,
            stream: open.stream,
            early: open.early,
            unsent: Vec::new(),
            decoder: Decoder::new(Role::Client),
            answered: false,
            heartbeat,
            last_sent: clock::now(),
            reported: clock::now(),
            silent_since: None,
            said: 0,
            heard: 0,
            load: None,
            move_due: None,
        }
    }

    /// Serves it to its end; says whether messages went both ways, as clients count that.
    pub(crate) async fn run(mut self) -> (End, bool) {
        let fleet = self.life.fleet.clone();
        let end = match self.serve().await {
            Ok(Departure::Cut(cut)) => {
                cut_off(&self.stream, fleet.options.cut_with);
                if cut.wave == Wave::Second {
                    self.life.thread().measured.lock().second_wave_cut += 1;
                }
                let seen = match fleet.options.cut_with {
                    CutWith::Rst => Ended::Reset,
                    CutWith::Fin => Ended::Fin,
                };
                End::Cut(cut, seen)
            }
            Ok(Departure::Move) => {
                cut_off(&self.stream, fleet.options.cut_with);
                End::Left
            }
            Err(Broken(ended)) => End::Lost(ended),
        };
        let is_lost = matches!(&end, End::Lost(ended) if !matches!(ended, Ended::Told(_)));
        self.life.on_end(is_lost);
        fleet.connected.fetch_sub(1, Ordering::Relaxed);
        if self.answered {
            fleet.answered.fetch_sub(1, Ordering::Relaxed);
        }
        let talked = self.said >= TALK && self.heard >= TALK;
        if talked {
            self.life.pauses.talked();
        }
        (end, talked)
    }

    /// Returns at the instant of a cut, or when a forced move is due.
    async fn serve(&mut self) -> Result<Departure, Broken> {
        let fleet = self.life.fleet.clone();
        let thread = &fleet.threads[self.life.thread];
        let mut signal = pin!(thread.signal.notified());
        let opened = clock::now();
        self.move_due = self.life.next_move();
        let has_news = fleet.agents[self.life.local].lock().on_open();
        if has_news {
            self.reported = clock::now();
            self.report()?;
        } else {
            self.silent_since = Some(opened);
        }
        let mut timer = pin!(tokio::time::sleep_until(self.deadline().into()));
        if self.life.hops() {
            return Ok(Departure::Move);
        }
        let mut early = std::mem::take(&mut self.early);
        self.take_in(&mut early)?;
        loop {
            let event = tokio::select! {
                read = poll_fn(|cx| scratch::poll_io(&mut self.stream, &mut self.unsent, cx)) => ConnectionEvent::Read(read),
                () = &mut signal => ConnectionEvent::Signal,
                () = &mut timer => ConnectionEvent::Timer,
            };
            match event {
                ConnectionEvent::Read(count) => self.on_read(count?)?,
                ConnectionEvent::Signal => {
                    signal.set(thread.signal.notified());
                    if let Some(cut) = self.life.cut_since(opened) {
                        return Ok(Departure::Cut(cut));
                    }
                    self.move_due = self.life.next_move();
                    self.follow_load()?;
                    timer.as_mut().reset(self.deadline().into());
                }
                ConnectionEvent::Timer => {
                    let now = clock::now();
                    if self.move_due.is_some_and(|due| due <= now) {
                        self.life.leave();
                        return Ok(Departure::Move);
                    }
                    self.on_timer(now)?;
                    timer.as_mut().reset(self.deadline().into());
                }
            }
        }
    }

    fn on_read(&mut self, count: usize) -> Result<(), Broken> {
        if count == 0 {
            return Err(Broken(Ended::Fin));
        }
        if self.life.habits().rhythm == Rhythm::AfterFrame {
            self.last_sent = clock::now();
        }
        // Taken out, so that answers can be built in the rest of the scratch space meanwhile.
        let mut read = scratch::with(|scratch| std::mem::take(&mut scratch.read));
        let outcome = self.take_in(&mut read[..count]);
        scratch::with(|scratch| scratch.read = read);
        outcome
    }

    fn take_in(&mut self, bytes: &mut [u8]) -> Result<(), Broken> {
        let mut position = 0;
        loop {
            let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(Role::Client));
            let outcome = match decoder.feed(bytes, &mut position, MESSAGE_BYTES_MAX) {
                Ok(None) => Ok(false),
                Ok(Some(Incoming::Message(message))) => self.on_message(message).map(|()| true),
                // Asked for by a gateway's links alone.
                Ok(Some(Incoming::PassedOver { .. })) => Ok(true),
                Ok(Some(Incoming::Ping(payload))) => self.pong(payload).map(|()| true),
                Ok(Some(Incoming::Pong(_))) => Ok(true),
                Ok(Some(Incoming::Close(_))) => {
                    self.life.thread().measured.lock().close_frames += 1;
                    Err(Broken(Ended::Close))
                }
                Err(_) => {
                    self.life.thread().measured.lock().malformed += 1;
                    Err(Broken(Ended::Reset))
                }
            };
            self.decoder = decoder;
            if !outcome? {
                return Ok(());
            }
        }
    }

    fn on_message(&mut self, message: &[u8]) -> Result<(), Broken> {
        let reaction = self.life.fleet.agents[self.life.local].lock().on_message(message);
        let now = clock::now();
        let timed = self.load.as_mut().and_then(|load| load.on_reply(now));
        self.heard = self.heard.saturating_add(1);
        {
            let mut measured = self.life.thread().measured.lock();
            let Ok(reaction) = &reaction else {
                measured.malformed += 1;
                return Err(Broken(Ended::Reset));
            };
            measured.reacted(reaction, now);
            if let Some((latency, _)) = timed {
                measured.load_replies += 1;
                measured.load.record(latency);
            }
        }
        let Ok(reaction) = reaction else { return Err(Broken(Ended::Reset)) };
        let law = self.life.habits().law;
        if let Some(told) = reaction.unavailable.filter(|_| Pauses::heeds_messages(law)) {
            self.life.on_told();
            return Err(Broken(Ended::Told(told)));
        }
        self.is_in(self.reported, now);
        if let Some(heartbeat) = reaction.heartbeat {
            self.heartbeat = if heartbeat.is_zero() { FAR } else { heartbeat };
        }
        if reaction.report {
            self.report()?;
        }
        if timed.is_some_and(|(_, again)| again) {
            self.send_load(1)?;
        }
        self.load.take_if(|load| load.is_over(now));
        Ok(())
    }

    /// The agent is in, since this instant: what it reported then was answered, or it has nothing to say.
    fn is_in(&mut self, reported: Instant, since: Instant) {
        self.silent_since = None;
        if !self.answered {
            self.answered = true;
            self.life.fleet.answered.fetch_add(1, Ordering::Relaxed);
            self.life.on_first_reply(reported, since);
        }
    }

    fn on_timer(&mut self, now: Instant) -> Result<(), Broken> {
        if let Some(since) = self.silent_since.filter(|since| now >= *since + SILENCE_COUNTS) {
            self.is_in(since, since);
        }
        let due = self.load.as_mut().map_or(0, |load| load.on_time(now));
        if due > 0 {
            return self.send_load(due);
        }
        if now >= self.last_sent + self.heartbeat {
            self.life.fleet.agents[self.life.local].lock().on_beat();
            self.report()?;
            if self.life.habits().rhythm == Rhythm::Ticks {
                // What else was sent in between does not count.
                self.last_sent = now;
            }
        }
        Ok(())
    }

    /// The timer stays where it is when a message is sent, and may find later that it went off
    /// early.
    fn deadline(&self) -> Instant {
        let heartbeat = self.last_sent + self.heartbeat;
        let load = self.load.as_ref().and_then(|load| load.due());
        let silence = self.silent_since.map(|since| since + SILENCE_COUNTS);
        [load, self.move_due, silence].into_iter().flatten().fold(heartbeat, Instant::min)
    }

    fn follow_load(&mut self) -> Result<(), Broken> {
        let (order, ends) = {
            let orders = self.life.fleet.orders.read();
            (orders.load.clone(), orders.load_ends)
        };
        match (order, ends) {
            (Some(_), Some(ends)) => {
                if let Some(load) = &mut self.load {
                    load.end(ends);
                }
                Ok(())
            }
            (Some(order), None) => self.begin_load(&order),
            (None, _) => Ok(()),
        }
    }

    fn begin_load(&mut self, order: &LoadOrder) -> Result<(), Broken> {
        let (load, at_once) = Load::begin(order, clock::now(), &mut self.life.mix);
        self.load = Some(load);
        self.send_load(at_once)
    }

    fn send_load(&mut self, count: u32) -> Result<(), Broken> {
        self.life.thread().measured.lock().load_sent += u64::from(count);
        let changes = self.load.as_ref().is_some_and(|load| load.kind() == LoadKind::Health);
        for _ in 0..count {
            if changes {
                self.life.fleet.agents[self.life.local].lock().change_health();
            }
            self.report()?;
        }
        Ok(())
    }

    /// Sends what is pending, or else a heartbeat.
    fn report(&mut self) -> Result<(), Broken> {
        if self.life.habits().rhythm != Rhythm::Ticks {
            self.last_sent = clock::now();
        }
        self.said = self.said.saturating_add(1);
        self.life.thread().measured.lock().sent += 1;
        let fleet = &self.life.fleet;
        scratch::with(|scratch| {
            let scratch::ThreadScratch { message, frames, mix, .. } = scratch;
            message.clear();
            frames.clear();
            message.push(0);
            fleet.agents[self.life.local].lock().report(&fleet.profile, message);
            frame::binary(message, mix, frames);
            scratch::write(&self.stream, frames, &mut self.unsent)
        })?;
        Ok(())
    }

    fn pong(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let mut out = Vec::new();
        let [a, b, c, d, ..] = self.life.mix.next().to_le_bytes();
        encode_pong(Some([a, b, c, d]), payload, &mut out);
        scratch::write(&self.stream, &out, &mut self.unsent)?;
        Ok(())
    }
}
