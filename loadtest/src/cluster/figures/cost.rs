//! What a run cost in processor time and memory: of the nodes, and apart from them of the fleet.

use serde::Serialize;

use super::super::node::NodeSample;
use super::super::scene::Scene;
use super::Course;
use crate::figures::{round, shown};

/// The figures; part of [`super::ClusterFigures`], whose keys are an interface.
#[derive(Debug, Serialize)]
pub(in crate::cluster) struct CostFigures {
    /// Processor time of all nodes, without that of processes that ended: until the case had ended, and
    /// until the end of the watch after it.
    pub(in crate::cluster) nodes_case_cpu_seconds: Option<f64>,
    nodes_cpu_seconds: Option<f64>,
    /// That of the fleet's processes, until the end of the watch.
    fleet_cpu_seconds: f64,
    /// Resident memory that the nodes need more with all agents connected than with none, over the
    /// agents.
    pub(in crate::cluster) rss_bytes_per_agent: Option<f64>,
}

impl CostFigures {
    /// From what was sampled on the way.
    pub(super) fn new(scene: &Scene, course: &Course<'_>) -> Self {
        let Course { start, end, nodes_then, .. } = *course;
        let full = NodeSample::rss_bytes(&start.nodes);
        let more = full.zip(scene.empty_rss_bytes).map(|(full, empty)| full - empty);
        let fleet = end.fleet_cpu_seconds - start.fleet_cpu_seconds;
        Self {
            nodes_case_cpu_seconds: NodeSample::cpu_seconds(&start.nodes, nodes_then).map(round),
            nodes_cpu_seconds: NodeSample::cpu_seconds(&start.nodes, &end.nodes).map(round),
            fleet_cpu_seconds: round(fleet),
            rss_bytes_per_agent: more.map(|bytes| round(bytes / f64::from(scene.crew.agents))),
        }
    }

    /// What a reader sees of it.
    pub(super) fn lines(&self) -> [(&'static str, String); 4] {
        [
            ("nodes: processor time", shown(self.nodes_cpu_seconds, " s")),
            ("  of it until all was over", shown(self.nodes_case_cpu_seconds, " s")),
            ("nodes: memory for an agent", shown(self.rss_bytes_per_agent, " bytes")),
            ("fleet: processor time", format!("{} s", self.fleet_cpu_seconds)),
        ]
    }
}
