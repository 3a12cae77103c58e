//! The ways in which the stand-in can be a bad server, as flags and switchable while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

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
    /// Ask for the component map while it is not known
    #[arg(long)]
    pub(crate) ask_components: bool,
    /// Answer every Nth report with UNAVAILABLE, and do not apply it
    #[arg(long, value_name = "N")]
    pub(crate) unavailable_every: Option<u64>,
    /// The retry_info of UNAVAILABLE
    #[arg(long, value_name = "DURATION", requires = "unavailable_every")]
    pub(crate) retry_after: Option<Human>,
    /// Work through at most this many reports a second
    #[arg(long, value_name = "REPORTS_PER_SECOND")]
    pub(crate) capacity: Option<u32>,
    /// Refuse WebSocket upgrades and POSTs with this status: 503, or 503:30 with a Retry-After
    #[arg(long, value_name = "STATUS[:SECONDS]", value_parser = refusal)]
    pub(crate) refuse_upgrade: Option<String>,
    /// Forget an agent's state on agent_disconnect, as some servers do
    #[arg(long)]
    pub(crate) forget_disconnected: bool,
    /// Falsify what is kept of one agent: proof that the oracle can fail
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
    next_slot: Mutex<Option<Instant>>,
}

/// Timers are no finer than a millisecond; a wait shorter than this is not worth one.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);

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

    /// Takes the next slot of a server that works through `per_second` reports, and says how long
    /// to wait for it.
    pub(crate) fn wait_for_slot(&self, per_second: u32, now: Instant) -> Duration {
        let mut next = self.next_slot.lock();
        let slot = next.map_or(now, |next| next.max(now));
        *next = Some(slot + Duration::from_secs(1) / per_second.max(1));
        let wait = slot - now;
        if wait < SHORTEST_WAIT { Duration::ZERO } else { wait }
    }
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
    fn capacity_spaces_reports() {
        let faults = Faults::default();
        let now = seawall::clock::now();
        let waits: Vec<_> = (0..11).map(|_| faults.wait_for_slot(100, now)).collect();
        assert_eq!(waits[0], Duration::ZERO);
        assert_eq!(waits[10], Duration::from_millis(100));
    }
}
