//! Carries a drain out: `core::drain` says what comes next, and here it is done. What a step means for
//! connections the edge knows, and what it means for agents the sessions know.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::share::connections;
use super::vital::Vital;
use crate::admin::DrainView;
use crate::clock;
use crate::core::drain::{Drain, DrainPhase, DrainStep, Left, Terms};
use crate::edge::Edge;
use crate::fleet::Fleet;
use crate::sessions::Sessions;
use crate::telemetry::Label as _;
use crate::telemetry::events::drain::{DrainMeasured, DrainPhaseEntered, DrainTooSlow};

/// How often the drain is asked again about what changes by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The node's one drain, which most of the time has yet to begin.
pub(super) struct NodeDrain {
    drain: Arc<Mutex<Drain>>,
    begun: Notify,
    /// Set from the moment when agents are admitted.
    edge: OnceLock<Arc<Edge>>,
}

impl NodeDrain {
    pub(super) fn new(terms: Terms) -> Arc<Self> {
        let drain = Arc::new(Mutex::new(Drain::new(terms)));
        Arc::new(Self { drain, begun: Notify::new(), edge: OnceLock::new() })
    }

    /// Begins the drain: from now on the node is unready. Asked for once more, it goes on as it was.
    pub(super) fn begin(&self) {
        self.drain.lock().begin(clock::now());
        self.begun.notify_one();
    }

    /// Completes when the drain has begun. For one task.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    pub(super) fn phase(&self) -> DrainPhase {
        self.drain.lock().phase()
    }

    pub(super) fn view(&self) -> DrainView {
        let drain = self.drain.lock();
        let (phase, rate) = (drain.phase().as_str(), drain.rate().get());
        DrainView { phase, left: self.open_connections(), rate }
    }

    fn open_connections(&self) -> usize {
        self.edge.get().map_or(0, |edge| edge.open_connections())
    }

    /// Agents are admitted: their connections are what a drain will have to close.
    pub(super) fn serve(&self, edge: &Arc<Edge>) {
        let _ = self.edge.set(Arc::clone(edge));
        self.measure();
    }

    /// Closes the connections of all agents, from the notice to the moment when the links may stop.
    pub(super) async fn close_agents(
        &self,
        edge: &Edge,
        sessions: &Sessions,
        fleet: &Fleet,
        vital: &Vital,
    ) {
        let mut shown = DrainPhase::Serving;
        loop {
            let now = clock::now();
            let left = left(edge, sessions);
            let (step, phase) = {
                let mut drain = self.drain.lock();
                if let Some(rate) = NonZeroU32::new(connections(edge, fleet).admit) {
                    drain.others_admit(rate);
                }
                (drain.next(now, left), drain.phase())
            };
            if phase != shown {
                shown = phase;
                self.show_phase();
            }
            match step {
                DrainStep::Wait(until) => {
                    self.measure();
                    // Agents also go by themselves.
                    sleep(until.saturating_duration_since(now).min(LOOK_AGAIN)).await;
                }
                DrainStep::AssumeMoves => sessions.begin_drain(),
                DrainStep::StopAccepting { left_over } => {
                    self.warn_if_too_slow(left.connections, left_over);
                    vital.stop_listeners().await;
                    edge.begin_drain(Arc::clone(&self.drain));
                    sessions.forget_absent();
                }
                DrainStep::Census => {
                    let here = sessions.here(rand::random);
                    self.drain.lock().line_up(here, now);
                }
                DrainStep::Close { uid, patient } => {
                    let outcome = sessions.drain_agent(uid, patient);
                    self.drain.lock().closed(outcome, now);
                }
                DrainStep::CloseAll => {
                    edge.cut();
                    sessions.stop();
                }
                DrainStep::ForgetMoved => sessions.forget_drained(),
                DrainStep::StopLinks | DrainStep::Over => return,
            }
        }
    }

    fn warn_if_too_slow(&self, open: usize, left: u64) {
        if left > 0 {
            let (rate, time_max) = {
                let drain = self.drain.lock();
                (drain.rate().get(), drain.terms().time_max)
            };
            DrainTooSlow { open, rate, time_max, left }.emit();
        }
    }

    /// The links have written what waited on them.
    pub(super) fn links_stopped(&self) {
        self.drain.lock().links_stopped(clock::now());
        self.show_phase();
        self.measure();
    }

    fn show_phase(&self) {
        DrainPhaseEntered { phase: self.phase(), left: self.open_connections() }.emit();
    }

    fn measure(&self) {
        DrainMeasured { phase: self.phase(), left: self.open_connections() }.emit();
    }
}

fn left(edge: &Edge, sessions: &Sessions) -> Left {
    let (connected, absent) = sessions.count();
    let sessions = usize::try_from(connected + absent).unwrap_or(0);
    Left { connections: edge.open_connections(), sessions }
}
