//! Agents that stay connected through a storm and send heartbeats on schedule: what a storm costs
//! the agents beside it. They live in a process of their own, since in the herd's process they
//! would wait for the herd's work. They share the machine's processors with it all the same.
//!
//! A heartbeat is timed from the instant at which it was meant to be sent, so that a stall counts
//! for all heartbeats it holds up. Replies still under way when all agents are back are waited for.

use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use serde::Serialize;

use super::args::{POLL, StormArgs};
use super::fill::fill_with;
use super::progress::Progress;
use crate::crew::Crew;
use crate::figures::{round, shown};
use crate::fleet::clients::shares::ClientShares;
use crate::fleet::load::{LoadKind, LoadOrder, LoadPace};
use crate::fleet::measured::Measured;
use crate::fleet::{FleetRequest, Options};

/// How long replies are waited for after the end.
const TAIL: Duration = Duration::from_secs(10);

/// What they found out; part of [`super::outcome::StormOutcome`], whose keys are an interface.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ProbeFigures {
    pub(crate) probes: u64,
    /// From the cut until all agents were back; null if there are no probes.
    pub(crate) probe_rtt_ms_p50: Option<f64>,
    pub(crate) probe_rtt_ms_p99: Option<f64>,
    pub(crate) probe_rtt_ms_max: Option<f64>,
    pub(crate) probe_heartbeats: u64,
    /// Heartbeats that lacked a reply ten seconds after the end, or were lost with their
    /// connection.
    pub(crate) probe_unanswered: u64,
    /// Connections of probes that were closed on them.
    pub(crate) probe_connections_closed: u64,
    /// Messages to probes that were meant for another agent, or were malformed.
    #[serde(skip)]
    strays: u64,
}

impl ProbeFigures {
    fn new(measured: &Measured, probes: u32) -> Self {
        let in_milliseconds = |share| measured.load.quantile_ms(share).map(round);
        Self {
            probes: probes.into(),
            probe_rtt_ms_p50: in_milliseconds(0.5),
            probe_rtt_ms_p99: in_milliseconds(0.99),
            probe_rtt_ms_max: in_milliseconds(1.0),
            probe_heartbeats: measured.load_sent,
            probe_unanswered: measured.load_sent.saturating_sub(measured.load_replies),
            probe_connections_closed: measured.closed_by_peer,
            strays: measured.misrouted + measured.malformed,
        }
    }

    /// The faults, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (count, what) in [
            (self.probe_unanswered, "heartbeats of probes got no reply"),
            (self.probe_connections_closed, "connections were closed on probes"),
            (self.strays, "messages to probes were not theirs or could not be read"),
        ] {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        }
        if self.probes > 0 && self.probe_heartbeats == 0 {
            faults.push("the probes have sent nothing".to_owned());
        }
        faults
    }

    /// What a reader sees of it, as names and values.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("probes: round trip, p50", shown(self.probe_rtt_ms_p50, " ms")),
            ("probes: round trip, p99", shown(self.probe_rtt_ms_p99, " ms")),
            ("probes: round trip, longest", shown(self.probe_rtt_ms_max, " ms")),
            ("probes: heartbeats", self.probe_heartbeats.to_string()),
        ]
    }
}

/// Connects the probes that are wanted, as agents behind the last of the herd.
///
/// # Errors
/// When they fail to connect.
pub(crate) async fn hire(args: &StormArgs, herd: &Options) -> io::Result<Option<Box<Crew>>> {
    let count = u32::from(args.conditions.probes);
    if count == 0 {
        return Ok(None);
    }
    let options = Options {
        first: herd.first.saturating_add(herd.agents),
        agents: count,
        threads: 1,
        shares: Default::default(),
        clients: ClientShares::plain(args.fleet.behaviour),
        connections: 0,
        ..herd.clone()
    };
    let mut crew = Crew::hire_apart(&options).await?;
    fill_with(&mut crew, args.timeout.0, &mut Progress::new()).await?;
    Ok(Some(Box::new(crew)))
}

/// Lets them send from the cut on.
///
/// # Errors
/// When their process has died.
pub(crate) async fn begin(crew: &mut Crew, args: &StormArgs, cut_at: Instant) -> io::Result<()> {
    let Some(probes) = &mut crew.bystanders else { return Ok(()) };
    let interval = args.conditions.probe_interval.0.max(Duration::from_millis(1));
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    // The storm ends before this, and ends the load then.
    let lasts = args.timeout.0 * 2;
    let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let order =
        LoadOrder { kind: LoadKind::Heartbeats, pace: LoadPace::Open { interval_us }, lasts_ms };
    probes.load(cut_at, order).await
}

/// Ends the sending once all agents are back, and waits for the replies under way.
///
/// # Errors
/// When their process has died.
pub(crate) async fn end(crew: &mut Crew) -> io::Result<ProbeFigures> {
    let Some(probes) = &mut crew.bystanders else { return Ok(ProbeFigures::default()) };
    probes.ask(&FleetRequest::EndLoad).await?;
    let deadline = clock::now() + TAIL;
    loop {
        // First, so that what was due at the end has been sent when it is counted.
        tokio::time::sleep(POLL).await;
        let measured = probes.measured().await?;
        if measured.load_replies >= measured.load_sent || clock::now() >= deadline {
            return Ok(ProbeFigures::new(&measured, probes.agents));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_probes_miss_is_a_fault() {
        let mut measured = Measured { load_sent: 10, load_replies: 10, ..Measured::default() };
        measured.load.record(Duration::from_millis(5));
        let figures = ProbeFigures::new(&measured, 2);
        assert!(figures.faults().is_empty(), "{:?}", figures.faults());
        assert!((figures.probe_rtt_ms_max.unwrap() - 5.0).abs() < 0.01);
        measured.load_replies = 7;
        measured.closed_by_peer = 1;
        measured.misrouted = 1;
        let figures = ProbeFigures::new(&measured, 2);
        assert_eq!((figures.probe_unanswered, figures.faults().len()), (3, 3));
        let silent = ProbeFigures::new(&Measured::default(), 2);
        assert_eq!(silent.faults().len(), 1);
        assert!(ProbeFigures::default().faults().is_empty(), "there were none");
    }
}
