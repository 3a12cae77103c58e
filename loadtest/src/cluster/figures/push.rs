//! What became of pushes.

use serde::Serialize;

use crate::figures::{round, shown};
use crate::fleet::measured::Measured;

/// The figures; part of [`super::ClusterFigures`], whose keys are an interface.
#[derive(Debug, Serialize)]
pub(super) struct PushFigures {
    pushes_ordered: u64,
    pub(super) pushes_lost: u64,
    pub(super) pushes_repeated: u64,
    /// From the sending at the server to the arrival at the agent.
    push_ms_p50: Option<f64>,
    push_ms_p99: Option<f64>,
    push_ms_max: Option<f64>,
}

impl PushFigures {
    /// Of the pushes that the case ordered.
    pub(super) fn new(pushes_ordered: u64, since: &Measured) -> Self {
        let in_milliseconds = |share| since.pushes.quantile_ms(share).map(round);
        let came = since.custom_messages - since.pushes_repeated;
        Self {
            pushes_ordered,
            pushes_lost: pushes_ordered.saturating_sub(came),
            pushes_repeated: since.pushes_repeated,
            push_ms_p50: in_milliseconds(0.5),
            push_ms_p99: in_milliseconds(0.99),
            push_ms_max: in_milliseconds(1.0),
        }
    }

    /// What a reader sees of it, if there were any.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        if self.pushes_ordered == 0 {
            return Vec::new();
        }
        vec![
            ("pushes lost", self.pushes_lost.to_string()),
            ("pushes repeated", self.pushes_repeated.to_string()),
            ("push to arrival, p99", shown(self.push_ms_p99, " ms")),
            ("push to arrival, longest", shown(self.push_ms_max, " ms")),
        ]
    }
}
