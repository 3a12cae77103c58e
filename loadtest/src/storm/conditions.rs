//! The options of a storm that tests admission: how agents behave, what the gateway is set to, what
//! happens after the cut, and which agents watch.

use std::str::FromStr;

use clap::Args;

use crate::args::{positive, share};
use crate::fleet::manners::Shares;
use crate::human::Human;

/// How a storm begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Beginning {
    /// All agents are connected, and are cut off at one instant
    #[default]
    Cut,
    /// All agents start at one instant, and the gateway knows none of them
    Start,
}

/// With all of it absent, every agent is well-behaved and nothing else happens after the cut.
#[derive(Debug, Clone, Args)]
pub(crate) struct Conditions {
    /// How the storm begins
    #[arg(long, value_enum, default_value = "cut")]
    pub(crate) begin: Beginning,
    /// The agents have run for longer, and no gateway has answered them for so long: clients have the
    /// pauses that they have reached by then, and the first dial of the storm is the next that they
    /// make. The outage itself is not waited for
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    pub(crate) after_outage: Human,
    /// The rate that the gateway is set to, in admissions a second. The ideal time is the number of
    /// agents over this rate; the second of burst that a full bucket admits at once is left out
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub(crate) admission_rate: Option<f64>,
    /// Set the gateway to this rate while the fleet connects, and to --admission-rate two seconds
    /// before the cut
    #[arg(long, value_name = "PER_SECOND", value_parser = positive, requires = "admission_rate")]
    pub(crate) fill_rate: Option<f64>,
    /// At this time after the cut, set the gateway to another rate: 5s=500. May be repeated
    #[arg(long, value_name = "TIME=PER_SECOND", requires = "admission_rate")]
    pub(crate) rate_change: Vec<RateChange>,
    /// At this time after the cut, cut half of the fleet again, whether it is back or not
    #[arg(long, value_name = "TIME")]
    pub(crate) second_wave_at: Option<Human>,
    /// The share of agents (0 to 1) that ignore Retry-After and dial a second after each failure
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) misbehaving: f64,
    /// Each agent's waits are off by a fixed factor of its own, from 1-SHARE to 1+SHARE
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) clock_error: f64,
    /// The share of agents (0 to 1) that stay away after the cut; percentages in the report count
    /// only agents that return
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) no_return: f64,
    /// Agents in a process of their own that stay connected and send heartbeats all the time
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) probes: u16,
    /// The interval of their heartbeats
    #[arg(long, default_value = "100ms", value_name = "DURATION")]
    pub(crate) probe_interval: Human,
}

impl Conditions {
    /// The shares of agents that misbehave, err or stay away.
    pub(crate) fn shares(&self) -> Shares {
        Shares {
            misbehaving: self.misbehaving,
            clock_error: self.clock_error,
            no_return: self.no_return,
        }
    }
}

/// `5s=500`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateChange {
    /// After the cut.
    pub(crate) at: Human,
    pub(crate) per_second: f64,
}

impl FromStr for RateChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (at, rate) = text.split_once('=').ok_or_else(|| {
            format!("`{text}` is not a time and a rate; write for example 5s=500")
        })?;
        Ok(Self { at: at.parse()?, per_second: positive(rate)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rate_changes_are_read() {
        let wanted = RateChange { at: Human(Duration::from_secs(5)), per_second: 500.0 };
        assert_eq!("5s=500".parse(), Ok(wanted));
        for wrong in ["", "5s", "500", "5=500", "5s=0", "5s=-1", "5s=x"] {
            assert!(wrong.parse::<RateChange>().is_err(), "{wrong}");
        }
    }
}
