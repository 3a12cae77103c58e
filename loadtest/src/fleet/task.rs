//! The life of one agent: dial until there is a connection, serve it, begin again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use seawall::clock;

use super::backoff::Backoff;
use super::dial::{Failure, Open, dial};
use super::measured::Move;
use super::mix::Mix;
use super::session::{End, Session};
use super::{Fleet, Lane};

/// The share of changed agents whose configuration changed as well as their health: one in three.
const CONFIG_CHANGES_ONE_IN: usize = 3;

/// An agent between two connections, and what is measured of its return.
pub(crate) struct Life {
    pub(crate) fleet: Arc<Fleet>,
    /// The thread's place in [`Fleet::lanes`].
    pub(crate) lane: usize,
    /// The agent's place in [`Fleet::agents`].
    pub(crate) local: usize,
    pub(crate) mix: Mix,
    /// The cut it is coming back from.
    returning: Option<Return>,
    /// The last cut it knows of.
    last_cut: Option<Instant>,
    /// How it is coming back after the other side closed its connection.
    moving: Option<Move>,
    /// When the dial that is under way, or has succeeded, was meant to start.
    intended: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Return {
    cut_at: Instant,
    dials: u64,
}

/// Lives until the runtime is dropped.
pub(crate) async fn live(fleet: Arc<Fleet>, lane: usize, local: usize, first_dial: Instant) {
    let index = u64::from(fleet.options.first) + local as u64;
    let mix = Mix::new(fleet.options.seed, index, u64::from_be_bytes(*b"lifetime"));
    let (returning, last_cut, moving) = (None, None, None);
    let mut life =
        Life { fleet, lane, local, mix, returning, last_cut, moving, intended: first_dial };
    tokio::time::sleep_until(first_dial.into()).await;
    loop {
        let open = life.connect().await;
        match Session::new(&mut life, open).run().await {
            // Its first dial afterwards is timed from the cut.
            End::Cut(at) => {
                life.on_cut(at);
                life.intended = at;
            }
            End::Lost => {
                life.intended = clock::now();
                let closed_at_us = super::to_unix_us(life.intended);
                life.moving = Some(Move { closed_at_us, turned_away: 0 });
            }
        }
    }
}

impl Life {
    /// The thread's share, where measurements go.
    pub(crate) fn lane(&self) -> &Lane {
        &self.fleet.lanes[self.lane]
    }

    /// Dials as opamp-go does: at once, then with growing pauses, for ever.
    async fn connect(&mut self) -> Open {
        let mut backoff = Backoff::new();
        loop {
            self.notice_cut();
            let target = self.mix.below(self.fleet.options.targets.len());
            if let Some(returning) = &mut self.returning {
                returning.dials += 1;
            }
            self.lane().measured.lock().dials += 1;
            let index = self.fleet.options.first + u32::try_from(self.local).unwrap_or(u32::MAX);
            let retry_after = match dial(&self.fleet, target, index).await {
                Ok(open) => {
                    if let Some(moved) = self.moving.take() {
                        self.lane().measured.lock().moved(moved);
                    }
                    return open;
                }
                Err(Failure::Refused(retry_after)) => {
                    self.on_refusal();
                    retry_after
                }
                Err(Failure::Failed) => {
                    self.lane().measured.lock().dial_failures += 1;
                    None
                }
            };
            if let Some(moving) = &mut self.moving {
                moving.turned_away += 1;
            }
            // The wait runs from now; the next dial is timed from its end, however late the timer.
            self.intended = clock::now() + backoff.next(retry_after, &mut self.mix);
            tokio::time::sleep_until(self.intended.into()).await;
        }
    }

    fn on_refusal(&mut self) {
        self.fleet.refusals.fetch_add(1, Ordering::Relaxed);
        let mut measured = self.lane().measured.lock();
        measured.refusals += 1;
        if let Some(returning) = self.returning {
            measured.refused(clock::now() - returning.cut_at);
        }
    }

    /// An agent without a connection at the cut must come back as all others.
    fn notice_cut(&mut self) {
        let cut_at = self.fleet.orders.read().cut_at;
        if let Some(at) = cut_at
            && at <= clock::now()
            && self.last_cut != Some(at)
        {
            self.on_cut(at);
        }
    }

    /// All connections were cut at this instant.
    fn on_cut(&mut self, at: Instant) {
        self.last_cut = Some(at);
        self.moving = None;
        self.returning = Some(Return { cut_at: at, dials: 0 });
        if self.mix.unit() < self.fleet.options.changed {
            let mut agent = self.fleet.agents[self.local].lock();
            agent.change_health();
            if self.mix.below(CONFIG_CHANGES_ONE_IN) == 0 {
                agent.change_config();
            }
        }
    }

    /// The first reply on a connection.
    pub(crate) fn on_first_reply(&mut self, now: Instant) {
        self.notice_cut();
        let Some(returning) = self.returning.take() else { return };
        let back = now.saturating_duration_since(returning.cut_at);
        self.fleet.back.fetch_add(1, Ordering::Relaxed);
        let mut measured = self.lane().measured.lock();
        measured.back_us.push(u64::try_from(back.as_micros()).unwrap_or(u64::MAX));
        measured.attempts.push(returning.dials.max(1));
        measured.first_reply.record(now.saturating_duration_since(self.intended));
    }
}
