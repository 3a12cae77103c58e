//! The ways in which the stand-in can be a bad server, as flags and switchable while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use parking_lot::RwLock;
use seawall::clock;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::human::Human;

/// One choice of faults. Everything absent is a server that behaves.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Misbehaviour {
    /// Stop reading from a connection, once, after it has brought this many messages
    #[arg(long, value_name = "MESSAGES", requires = "stall_for")]
    pub(crate) stall_after: Option<u64>,
    /// For how long a stall lasts
    #[arg(long, value_name = "DURATION", requires = "stall_after")]
    pub(crate) stall_for: Option<Human>,
    /// Answer each message this much later (reading goes on)
    #[arg(long, value_name = "DURATION")]
    pub(crate) reply_delay: Option<Human>,
    /// Accept each WebSocket and close it at once
    #[arg(long)]
    pub(crate) accept_and_close: bool,
    /// Leave the instance uid out of pushes
    #[arg(long)]
    pub(crate) push_without_uid: bool,
    /// Set ReportFullState on every reply
    #[arg(long)]
    pub(crate) always_full_state: bool,
    /// Ask for the component map while it is unknown
    #[arg(long)]
    pub(crate) ask_components: bool,
    /// Answer every Nth report with UNAVAILABLE instead of applying it
    #[arg(long, value_name = "N")]
    pub(crate) unavailable_every: Option<u64>,
    /// The retry_info of UNAVAILABLE
    #[arg(long, value_name = "DURATION", requires = "unavailable_every")]
    pub(crate) retry_after: Option<Human>,
    /// Work through this many reports a second at most: one after the other, whatever connection
    /// they come on. Each is answered when the server is done with it
    #[arg(long, value_name = "REPORTS_PER_SECOND")]
    pub(crate) capacity: Option<u32>,
    /// Refuse WebSocket upgrades and POSTs with this status: 503, or 503:30 with a Retry-After
    #[arg(long, value_name = "STATUS[:SECONDS]", value_parser = refusal)]
    pub(crate) refuse_upgrade: Option<String>,
    /// Forget an agent's state on agent_disconnect, as some servers do
    #[arg(long)]
    pub(crate) forget_disconnected: bool,
    /// Falsify what is stored of one agent: proof that the oracle can fail
    #[arg(long, hide = true)]
    pub(crate) corrupt_one: bool,
}

/// Checks the text of `--refuse-upgrade`.
fn refusal(text: &str) -> Result<String, String> {
    parse_refusal(text).map(|_| text.to_owned()).ok_or_else(|| {
        format!("`{text}` is not a refusal; write a status from 300 to 599, and a Retry-After if wanted: 503:30")
    })
}

fn parse_refusal(text: &str) -> Option<(u16, Option<u32>)> {
    let (status, retry) = match text.split_once(':') {
        Some((status, retry)) => (status, Some(retry.parse().ok()?)),
        None => (text, None),
    };
    let status = status.parse().ok().filter(|status| (300..600).contains(status))?;
    Some((status, retry))
}

impl Misbehaviour {
    /// Reads what `POST /misbehave` carries.
    ///
    /// # Errors
    /// Says which key or value is wrong.
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, String> {
        let wanted: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match &wanted.refuse_upgrade {
            Some(text) => refusal(text).map(|_| wanted),
            None => Ok(wanted),
        }
    }

    /// The status and Retry-After with which to refuse, if so.
    pub(crate) fn refuse(&self) -> Option<(u16, Option<u32>)> {
        self.refuse_upgrade.as_deref().and_then(parse_refusal)
    }
}

/// The faults in force, shared by all connections.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    current: RwLock<Arc<Misbehaviour>>,
    /// Rises with each switch, so that a stall can happen again.
    version: AtomicU64,
    reports: AtomicU64,
    /// When a server of limited capacity is done with what it has taken on. The report that holds
    /// the lock is being worked on; the others wait in the order in which they came.
    free_at: Mutex<Option<Instant>>,
}

/// Timers have a grain of a millisecond; a shorter wait than this is skipped.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
/// Timers are late as well. This much is made up for, so that the capacity is what was asked for;
/// more would be a burst that a slow server is unable to manage.
const LATENESS_MAX: Duration = Duration::from_millis(5);

impl Faults {
    /// Starts with what the flags say.
    pub(crate) fn new(initial: Misbehaviour) -> Self {
        Self { current: RwLock::new(Arc::new(initial)), ..Self::default() }
    }

    /// What is in force now.
    pub(crate) fn current(&self) -> Arc<Misbehaviour> {
        self.current.read().clone()
    }

    /// Which switch that is.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Replaces it.
    pub(crate) fn switch(&self, wanted: Misbehaviour) {
        *self.current.write() = Arc::new(wanted);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Whether this report is one of those to be answered with UNAVAILABLE.
    pub(crate) fn is_unavailable(&self, faults: &Misbehaviour) -> bool {
        faults.unavailable_every.is_some_and(|every| {
            self.reports.fetch_add(1, Ordering::Relaxed) % every.max(1) == every.max(1) - 1
        })
    }

    /// Works on one report of a server that is good for `per_second`; returns when that is done.
    pub(crate) async fn work(&self, per_second: u32) {
        let mut free_at = self.free_at.lock().await;
        let now = clock::now();
        let done = done_at(*free_at, now, per_second);
        *free_at = Some(done);
        if done.saturating_duration_since(now) >= SHORTEST_WAIT {
            tokio::time::sleep_until(done.into()).await;
        }
    }
}

/// When a report is done that is begun now, or as soon as the server is free.
fn done_at(free_at: Option<Instant>, now: Instant, per_second: u32) -> Instant {
    let earliest = now.checked_sub(LATENESS_MAX).unwrap_or(now);
    let start = free_at.map_or(now, |free_at| free_at.max(earliest));
    start + Duration::from_secs(1) / per_second.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read() {
        assert_eq!(parse_refusal("503"), Some((503, None)));
        assert_eq!(parse_refusal("429:30"), Some((429, Some(30))));
        for wrong in ["", "200", "503:", "503:x", "x"] {
            assert_eq!(parse_refusal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn json_is_checked() {
        let wanted = Misbehaviour::from_json(br#"{"stall_after":5,"stall_for":"2s"}"#).unwrap();
        assert_eq!(wanted.stall_for, Some(Human(Duration::from_secs(2))));
        assert!(Misbehaviour::from_json(br#"{"stal_after":5}"#).is_err());
        assert!(Misbehaviour::from_json(br#"{"refuse_upgrade":"200"}"#).is_err());
    }

    #[test]
    fn work_is_done_one_after_the_other() {
        let now = clock::now() + Duration::from_secs(1);
        let each = Duration::from_millis(10);
        let first = done_at(None, now, 100);
        assert_eq!(first, now + each);
        // After the one before it, and its wait earns it no credit.
        assert_eq!(done_at(Some(first), now, 100), now + each * 2);
        assert_eq!(done_at(Some(first), first, 100), first + each);
        // A timer's lateness is made up for; idle time is lost.
        let late = Duration::from_millis(3);
        assert_eq!(done_at(Some(first), first + late, 100), first + each);
        let idle = first + Duration::from_secs(5);
        assert_eq!(done_at(Some(first), idle, 100), idle - LATENESS_MAX + each);
    }

    #[tokio::test]
    async fn reports_are_worked_on_in_the_order_of_their_coming() {
        let faults = Arc::new(Faults::default());
        let started = clock::now();
        let reports: Vec<_> = (0..5)
            .map(|report| {
                let faults = faults.clone();
                tokio::spawn(async move {
                    faults.work(100).await;
                    (report, clock::now() - started)
                })
            })
            .collect();
        let mut last = Duration::ZERO;
        for (expected, report) in reports.into_iter().enumerate() {
            let (report, after) = report.await.unwrap();
            assert_eq!(report, expected);
            assert!(after > last, "{after:?} {last:?}");
            last = after;
        }
        // The fifth is done after five times the work.
        assert!(last >= Duration::from_millis(45), "{last:?}");
    }
}
