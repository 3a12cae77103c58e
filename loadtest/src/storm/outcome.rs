//! A storm's figures, as JSON and as text. The keys are an interface: they stay as they are.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::entries::EntryFigures;
use super::moves::MoveFigures;
use super::probes::ProbeFigures;
use super::queue::{QueueFigures, attempts_mean};
use crate::figures::{FiguresArgs, line, megabytes, round, seconds_to, shown};
use crate::fleet::manners::Census;
use crate::fleet::measured::{Measured, quantile};
use crate::gateway::{GatewaySample, Watch};
use crate::oracle::judge::OracleVerdict;

/// Everything a storm found out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StormOutcome {
    pub(crate) agents: u64,
    /// From the cut until 50, 99 and 100 % of the agents that return (`agents_returning`) have got
    /// a reply; null if too few of them got one.
    pub(crate) seconds_to_50: Option<f64>,
    pub(crate) seconds_to_99: Option<f64>,
    pub(crate) seconds_to_100: Option<f64>,
    /// 99 % of the agents over `seconds_to_99`: a single lost packet (a second, in Linux) would
    /// otherwise decide the figure.
    pub(crate) sessions_per_second: Option<f64>,
    /// Dials of an agent from the cut to its first reply; of one that the second wave cut once more,
    /// to the first reply after that.
    pub(crate) attempts_mean: Option<f64>,
    pub(crate) attempts_p99: Option<u64>,
    /// Refused upgrades in the worst second after the cut.
    pub(crate) refused_peak_per_second: u64,
    /// From the intended instant of the dial that succeeded (the cut, for the first one) to the
    /// first reply.
    pub(crate) first_reply_ms_p50: Option<f64>,
    pub(crate) first_reply_ms_p99: Option<f64>,
    pub(crate) first_reply_ms_max: Option<f64>,
    /// From an agent's first report after the cut to the reply: the time before admission is left
    /// out.
    pub(crate) acknowledged_ms_p99: Option<f64>,
    pub(crate) acknowledged_ms_max: Option<f64>,
    /// From the cut until the server was seen to be right about every agent; null if it stayed
    /// wrong. The oracle looks a few times a second, and less often the more agents there are.
    pub(crate) seconds_to_settled: Option<f64>,
    pub(crate) agents_back: u64,
    pub(crate) refusals: u64,
    pub(crate) dials: u64,
    pub(crate) dial_failures: u64,
    pub(crate) connections_closed_by_gateway: u64,
    pub(crate) misrouted: u64,
    pub(crate) malformed: u64,
    pub(crate) error_responses: u64,
    pub(crate) custom_messages: u64,
    pub(crate) offers: u64,
    /// Messages since the cut that asked an agent for its full state, or for its component map.
    pub(crate) full_state_requests_seen: u64,
    pub(crate) component_requests_seen: u64,
    /// Processor time of the agents' processes from the cut until all were back.
    pub(crate) client_cpu_seconds: Option<f64>,
    /// From the cut on, as the server stand-in reports it; null if there is none.
    pub(crate) server: Option<Map<String, Value>>,
    /// What the server got from the cut until it was right, a second on average.
    pub(crate) server_messages_per_second: Option<f64>,
    pub(crate) gateway: GatewayFigures,
    #[serde(flatten)]
    pub(crate) queue: QueueFigures,
    #[serde(flatten)]
    pub(crate) probes: ProbeFigures,
    #[serde(flatten)]
    pub(crate) moves: MoveFigures,
    #[serde(flatten)]
    pub(crate) entries: EntryFigures,
    /// Messages that the server got from the cut on, heartbeats apart, over the agents.
    pub(crate) messages_per_agent: Option<f64>,
    /// Some of the faults, in words.
    pub(crate) faults: Vec<String>,
}

/// The gateway's part; null if there is none.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct GatewayFigures {
    pub(crate) rss_bytes: Option<f64>,
    pub(crate) rss_bytes_per_agent: Option<f64>,
    /// From the cut until all agents were back.
    pub(crate) cpu_seconds: Option<f64>,
    /// Before the cut, at most, and when the server was right about every agent.
    pub(crate) rss_bytes_start: Option<f64>,
    pub(crate) rss_bytes_peak: Option<f64>,
    pub(crate) rss_bytes_settled: Option<f64>,
}

impl GatewayFigures {
    /// From samples at the cut and when all agents were back.
    pub(crate) fn between(
        start: Option<GatewaySample>,
        end: Option<GatewaySample>,
        agents: u64,
    ) -> Self {
        let (Some(start), Some(end)) = (start, end) else { return Self::default() };
        Self {
            rss_bytes: Some(end.rss_bytes),
            rss_bytes_per_agent: Some(round(end.rss_bytes / agents.max(1) as f64)),
            cpu_seconds: Some(round(end.cpu_seconds - start.cpu_seconds)),
            ..Self::default()
        }
    }

    /// Adds how its memory went.
    pub(crate) fn with_memory(&mut self, watch: &Watch, end: Option<GatewaySample>) {
        self.rss_bytes_start = watch.start.map(|start| start.rss_bytes);
        self.rss_bytes_peak = watch.rss_bytes_peak();
        self.rss_bytes_settled = end.map(|end| end.rss_bytes);
    }
}

impl StormOutcome {
    /// Works the figures out.
    pub(crate) fn new(census: Census, measured: Measured) -> Self {
        let back = || measured.returns.iter().filter(|agent| agent.back_us.is_some());
        let mut back_us: Vec<u64> = back().filter_map(|agent| agent.back_us).collect();
        let mut attempts: Vec<u64> = back().map(|agent| agent.dials).collect();
        back_us.sort_unstable();
        attempts.sort_unstable();
        let seconds_to = |share| seconds_to(&back_us, census.returning, share);
        let in_milliseconds = |share| measured.first_reply.quantile_ms(share).map(round);
        Self {
            agents: census.agents,
            seconds_to_50: seconds_to(0.5),
            seconds_to_99: seconds_to(0.99),
            seconds_to_100: seconds_to(1.0),
            sessions_per_second: seconds_to(0.99)
                .map(|seconds| round(0.99 * census.returning as f64 / seconds.max(1e-3))),
            attempts_mean: attempts_mean(measured.returns.iter()),
            attempts_p99: quantile(&attempts, 0.99),
            refused_peak_per_second: measured.refused_per_second.iter().copied().max().unwrap_or(0),
            first_reply_ms_p50: in_milliseconds(0.5),
            first_reply_ms_p99: in_milliseconds(0.99),
            first_reply_ms_max: in_milliseconds(1.0),
            acknowledged_ms_p99: measured.acknowledged.quantile_ms(0.99).map(round),
            acknowledged_ms_max: measured.acknowledged.quantile_ms(1.0).map(round),
            seconds_to_settled: None,
            agents_back: back_us.len() as u64,
            refusals: measured.refusals,
            dials: measured.dials,
            dial_failures: measured.dial_failures,
            connections_closed_by_gateway: measured.closed_by_peer,
            misrouted: measured.misrouted,
            malformed: measured.malformed,
            error_responses: measured.error_responses,
            custom_messages: measured.custom_messages,
            offers: measured.offers,
            full_state_requests_seen: measured.full_state_requests_seen,
            component_requests_seen: measured.component_requests_seen,
            client_cpu_seconds: None,
            server: None,
            server_messages_per_second: None,
            gateway: GatewayFigures::default(),
            queue: QueueFigures::new(census, &measured),
            probes: ProbeFigures::default(),
            moves: MoveFigures::default(),
            entries: EntryFigures::default(),
            messages_per_agent: None,
            faults: Vec::new(),
        }
    }

    /// Adds what the server counted, and the oracle's verdict on it.
    pub(crate) fn with_server(&mut self, counts: Map<String, Value>, verdict: OracleVerdict) {
        self.server = Some(of_server(counts, &verdict));
        self.messages_per_agent = messages_beside_heartbeats(self.server.as_ref())
            .map(|messages| round(messages as f64 / self.agents.max(1) as f64));
        let fault = (!verdict.holds()).then(|| verdict.in_words());
        self.faults.extend(verdict.examples);
        self.faults.extend(fault);
    }

    /// Leaves what agents were asked before the cut out of account.
    pub(crate) fn with_questions(&mut self, since_the_cut: &Measured) {
        self.full_state_requests_seen = since_the_cut.full_state_requests_seen;
        self.component_requests_seen = since_the_cut.component_requests_seen;
    }

    /// Adds how long the server took to learn the truth; for after [`StormOutcome::with_server`].
    pub(crate) fn with_settled(&mut self, after: Option<Duration>) {
        let seconds = after.map(|after| after.as_secs_f64());
        self.seconds_to_settled = seconds.map(round);
        self.server_messages_per_second = seconds
            .zip(self.of_server("messages"))
            .map(|(seconds, messages)| round(messages as f64 / seconds.max(1e-3)));
    }

    /// Prints and writes the figures; see [`FiguresArgs::publish`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn publish(&self, to: &FiguresArgs) -> io::Result<ExitCode> {
        to.publish(self, &self.faults, || self.print())
    }

    /// Lists the faults.
    pub(crate) fn judge(&mut self) {
        if self.agents_back < self.queue.agents_returning {
            let missing = self.queue.agents_returning - self.agents_back;
            self.faults.push(format!("{missing} agents have not come back"));
        }
        if self.misrouted > 0 {
            self.faults.push(format!("{} messages reached the wrong agent", self.misrouted));
        }
        if self.malformed > 0 {
            self.faults.push(format!("{} messages could not be read", self.malformed));
        }
        self.faults.extend(self.probes.faults());
    }

    /// A count of the server's report.
    pub(crate) fn of_server(&self, key: &str) -> Option<u64> {
        self.server.as_ref()?.get(key)?.as_u64()
    }

    /// The figures for a reader.
    pub(crate) fn print(&self) {
        let seconds = |value| shown(value, " s");
        line("agents", self.agents.to_string());
        line("50 % back after", seconds(self.seconds_to_50));
        line("99 % back after", seconds(self.seconds_to_99));
        line("100 % back after", seconds(self.seconds_to_100));
        line("sessions per second", shown(self.sessions_per_second, ""));
        line("dials per agent, mean", shown(self.attempts_mean, ""));
        line("dials per agent, p99", shown(self.attempts_p99, ""));
        line("refusals in the worst second", self.refused_peak_per_second.to_string());
        line("first reply, p50", shown(self.first_reply_ms_p50, " ms"));
        line("first reply, p99", shown(self.first_reply_ms_p99, " ms"));
        line("first reply, longest", shown(self.first_reply_ms_max, " ms"));
        line("  after its report, p99", shown(self.acknowledged_ms_p99, " ms"));
        line("  after its report, longest", shown(self.acknowledged_ms_max, " ms"));
        let lines = self.queue.lines().into_iter().chain(self.entries.lines());
        for (name, value) in lines.chain(self.probes.lines()) {
            line(name, value);
        }
        line("connections closed on agents", self.connections_closed_by_gateway.to_string());
        line("agents asked for full state", self.full_state_requests_seen.to_string());
        line("agents asked for components", self.component_requests_seen.to_string());
        for (name, value) in self.moves.lines() {
            line(&name, value);
        }
        for (name, key) in SERVER_LINES {
            line(name, shown(self.of_server(key), ""));
        }
        line("server: messages per second", shown(self.server_messages_per_second, ""));
        line("server: right about all after", seconds(self.seconds_to_settled));
        line("gateway: memory", megabytes(self.gateway.rss_bytes));
        line("gateway: memory before the cut", megabytes(self.gateway.rss_bytes_start));
        line("gateway: memory at most", megabytes(self.gateway.rss_bytes_peak));
        line("gateway: memory in the end", megabytes(self.gateway.rss_bytes_settled));
        line("gateway: memory per agent", shown(self.gateway.rss_bytes_per_agent, " bytes"));
        line("gateway: processor time", seconds(self.gateway.cpu_seconds));
        line("load generator: processor time", seconds(self.client_cpu_seconds));
    }
}

/// Messages in a server's report, those apart that only say that an agent is alive.
pub(crate) fn messages_beside_heartbeats(server: Option<&Map<String, Value>>) -> Option<u64> {
    let count = |key| server?.get(key)?.as_u64();
    Some(count("messages")?.saturating_sub(count("heartbeats")?))
}

/// What the server says, and what the oracle says of it.
pub(crate) fn of_server(
    mut counts: Map<String, Value>,
    verdict: &OracleVerdict,
) -> Map<String, Value> {
    counts.insert("agents_missing".to_owned(), verdict.missing.into());
    counts.insert("agents_wrong".to_owned(), verdict.wrong.into());
    counts.insert("agents_unrouted".to_owned(), verdict.unrouted.into());
    counts.insert("agents_extra".to_owned(), verdict.extra.into());
    counts.insert("spoken_twice".to_owned(), verdict.spoken_twice.into());
    counts
}

/// What is shown of the server's report, and under which key it is there.
pub(crate) const SERVER_LINES: [(&str, &str); 11] = [
    ("server: messages", "messages"),
    ("server: messages, worst second", "messages_peak_per_second"),
    ("server: bytes", "bytes"),
    ("server: full states", "full_states"),
    ("server: full states, worst second", "full_states_peak_per_second"),
    ("server: full states, repeated", "full_states_repeated"),
    ("server: announces", "announces"),
    ("server: announces, worst second", "announces_peak_per_second"),
    ("server: agents missing", "agents_missing"),
    ("server: agents wrong", "agents_wrong"),
    ("server: two nodes spoke for one", "spoken_twice"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::measured::Return;

    fn one() -> Census {
        Census { agents: 1, returning: 1, obedient: 1, second_wave: 0 }
    }

    #[test]
    fn an_absent_agent_is_missed_only_if_it_was_to_return() {
        let agent =
            Return { back_us: Some(2_000_000), dials: 3, obedient: true, ..Return::default() };
        let measured = Measured { returns: vec![agent], ..Measured::default() };
        let mut outcome = StormOutcome::new(Census { agents: 5, ..one() }, measured.clone());
        outcome.judge();
        assert_eq!((outcome.agents, outcome.agents_back), (5, 1));
        assert_eq!((outcome.seconds_to_100, outcome.attempts_mean), (Some(2.0), Some(3.0)));
        assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
        let mut outcome = StormOutcome::new(Census { agents: 5, returning: 2, ..one() }, measured);
        outcome.judge();
        assert_eq!((outcome.seconds_to_100, outcome.faults.len()), (None, 1));
    }

    #[test]
    fn the_rate_is_of_what_came_until_the_truth_was_known() {
        let mut outcome = StormOutcome::new(one(), Measured::default());
        let counts = Map::from_iter([("messages".to_owned(), 300.into())]);
        outcome.with_server(counts, OracleVerdict::default());
        outcome.with_settled(Some(Duration::from_millis(1500)));
        assert_eq!(outcome.seconds_to_settled, Some(1.5));
        assert_eq!(outcome.server_messages_per_second, Some(200.0));
        outcome.with_settled(None);
        assert_eq!((outcome.seconds_to_settled, outcome.server_messages_per_second), (None, None));
    }

    #[test]
    fn the_keys_are_those_promised() {
        let mut outcome = StormOutcome::new(one(), Measured::default());
        outcome.with_server(Map::new(), OracleVerdict::default());
        outcome.judge();
        assert_eq!(outcome.faults.len(), 1);
        let json = serde_json::to_value(&outcome).unwrap();
        for key in [
            "agents",
            "seconds_to_50",
            "seconds_to_99",
            "seconds_to_100",
            "sessions_per_second",
            "attempts_mean",
            "attempts_p99",
            "refused_peak_per_second",
            "first_reply_ms_p50",
            "first_reply_ms_p99",
            "first_reply_ms_max",
            "acknowledged_ms_p99",
            "acknowledged_ms_max",
            "seconds_to_settled",
            "full_state_requests_seen",
            "component_requests_seen",
            "server_messages_per_second",
            "ideal_seconds",
            "time_ratio",
            "time_ratio_all",
            "honest_attempts_mean",
            "honest_seconds_to_100",
            "agents_returning",
            "probe_rtt_ms_p50",
            "probe_rtt_ms_p99",
            "probe_rtt_ms_max",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        let memory = ["rss_bytes_start", "rss_bytes_peak", "rss_bytes_settled"];
        for key in ["rss_bytes", "rss_bytes_per_agent", "cpu_seconds"].into_iter().chain(memory) {
            assert!(json["gateway"].get(key).is_some(), "{key}");
        }
        assert_eq!(json["server"]["agents_missing"], 0);
        assert_eq!(json["server"]["agents_wrong"], 0);
    }
}
