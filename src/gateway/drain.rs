//! A drain carried out: `core::drain` says what comes next, and here it is done.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::admin::DrainView;
use crate::clock;
use crate::core::drain::{Drain, DrainPhase, Step, Terms};
use crate::edge::Edge;
use crate::sessions::{AgentDrain, Sessions};
use crate::telemetry::Label as _;
use crate::telemetry::events::drain::{DrainMeasured, DrainPhaseEntered, DrainTooSlow};

/// How long those who said that they leave may take until their servers have been told.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether something has come about that nobody tells.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The node's one drain, which most of the time has not begun.
pub(super) struct NodeDrain {
    drain: Arc<Mutex<Drain>>,
    begun: Notify,
    /// There from the moment when agents are let in.
    edge: OnceLock<Arc<Edge>>,
}

impl NodeDrain {
    pub(super) fn new(terms: Terms) -> Arc<Self> {
        let drain = Arc::new(Mutex::new(Drain::new(terms)));
        Arc::new(Self { drain, begun: Notify::new(), edge: OnceLock::new() })
    }

    /// From here on the node is not ready. Does nothing if it has begun.
    pub(super) fn begin(&self) {
        self.drain.lock().begin(clock::now());
        self.begun.notify_one();
    }

    /// Completes when it has begun. For one task.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    pub(super) fn phase(&self) -> DrainPhase {
        self.drain.lock().phase()
    }

    pub(super) fn view(&self) -> DrainView {
        let drain = self.drain.lock();
        let (phase, rate) = (drain.phase().as_str(), drain.rate().get());
        DrainView { phase, left: self.left(), rate }
    }

    fn left(&self) -> usize {
        self.edge.get().map_or(0, |edge| edge.open_connections())
    }

    /// Agents are let in: these connections are what there will be to close.
    pub(super) fn serve(&self, edge: &Arc<Edge>) {
        let _ = self.edge.set(Arc::clone(edge));
        self.measure();
    }

    /// Closes every agent's connection, from the notice to the last.
    pub(super) async fn close_agents(
        &self,
        edge: &Edge,
        sessions: &Sessions,
        mut listeners: JoinSet<()>,
    ) {
        sessions.begin_drain();
        let mut shown = DrainPhase::Serving;
        loop {
            let now = clock::now();
            let (step, phase) = {
                let mut drain = self.drain.lock();
                (drain.next(now, edge.open_connections()), drain.phase())
            };
            if phase != shown {
                shown = phase;
                DrainPhaseEntered { phase: phase, left: self.left() }.emit();
            }
            match step {
                Step::Wait(until) => {
                    self.measure();
                    // Agents go by themselves, too.
                    sleep(until.saturating_duration_since(now).min(LOOK_AGAIN)).await;
                }
                Step::StopAccepting => {
                    self.warn_if_too_slow(edge.open_connections());
                    listeners.shutdown().await;
                    edge.begin_drain(Arc::clone(&self.drain));
                    sessions.forget_absent();
                }
                Step::Census => {
                    let here = sessions.here(rand::random);
                    self.drain.lock().line_up(here, now);
                }
                Step::Close { uid, patient } => {
                    let outcome = sessions.drain_agent(uid, patient);
                    let mut drain = self.drain.lock();
                    match outcome {
                        AgentDrain::Closing => drain.closed(),
                        AgentDrain::Pending => drain.not_yet(now),
                        AgentDrain::Absent => drain.absent(),
                    }
                }
                Step::CloseAll => {
                    edge.cut();
                    sessions.stop();
                }
                Step::Deliver | Step::Over => break,
            }
        }
        self.deliver(sessions).await;
    }

    fn warn_if_too_slow(&self, open: usize) {
        let (rate, terms) = {
            let drain = self.drain.lock();
            (drain.rate().get(), drain.terms())
        };
        let left = terms.left_over(open);
        if left > 0 {
            DrainTooSlow { open, rate, time_max: terms.time_max, left }.emit();
        }
    }

    /// What remains are agents that said goodbye to a server which had no time for it yet.
    async fn deliver(&self, sessions: &Sessions) {
        sessions.forget_drained();
        let told = async {
            while sessions.count() != (0, 0) {
                sleep(LOOK_AGAIN).await;
            }
        };
        let _ = timeout(DELIVERY_PATIENCE, told).await;
    }

    /// The links have written what waited on them.
    pub(super) fn delivered(&self) {
        self.drain.lock().delivered(clock::now());
        DrainPhaseEntered { phase: DrainPhase::Drained, left: self.left() }.emit();
        self.measure();
    }

    fn measure(&self) {
        DrainMeasured { phase: self.phase(), left: self.left() }.emit();
    }
}
