//! What is measured of a build: the commands, and the figures that are read from them.
//!
//! One load generator measures both gateways, so that what differs is the gateway alone.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::ratio::Better;
use crate::child::wait;
use crate::criterion::{entries, quickest};
use crate::stage::Stage;

/// A measurement that takes longer has failed. The longest takes some 15 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// A storm: sessions a second.
    Sessions,
    /// Messages that are forwarded and answered.
    Roundtrip,
    /// Memory for each agent.
    Idle,
    /// The benchmarks of the core.
    Benches,
}

/// A figure of one build.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) better: Better,
    /// Whether a worse figure fails the proof; latencies are shown only, they are mostly the machine's.
    pub(crate) judged: bool,
}

/// A pointer into the JSON of a command, and what it finds there.
type Entry = (&'static str, &'static str, Better, bool);

const SESSIONS: [Entry; 2] = [
    ("/compared/per_second", "sessions a second", Better::Larger, true),
    ("/compared/cpu_us_each", "CPU us for each session", Better::Smaller, true),
];
const ROUNDTRIP: [Entry; 4] = [
    ("/round_trips_per_second", "round trips a second", Better::Larger, true),
    ("/gateway_cpu_us_per_round_trip", "CPU us for each round trip", Better::Smaller, true),
    ("/latency_ms_p50", "latency p50, ms", Better::Smaller, false),
    ("/latency_ms_p99", "latency p99, ms", Better::Smaller, false),
];
const IDLE: [Entry; 2] = [
    ("/1/session_bytes_per_added_agent", "session bytes for each agent", Better::Smaller, true),
    ("/1/rss_bytes_per_added_agent", "bytes for each agent", Better::Smaller, true),
];

/// A build, and where its files go.
pub(crate) struct Build<'a> {
    /// The load generator, of the second build for both.
    pub(crate) loadtest: &'a Path,
    /// The folder with `seawall` and with `benches/`.
    pub(crate) bin: &'a Path,
    pub(crate) logs: &'a Path,
}

impl Case {
    pub(crate) const ALL: [Self; 4] = [Self::Sessions, Self::Roundtrip, Self::Idle, Self::Benches];

    /// Whether what else the machine does weighs more than what differs: all that is timed. Where the memory of a
    /// benchmark lies differs from process to process, too.
    pub(crate) const fn is_disturbed(self) -> bool {
        !matches!(self, Self::Idle)
    }

    /// Takes the figures of one build once.
    ///
    /// # Errors
    /// When a process cannot be started, or ends with a fault.
    pub(crate) fn measure(self, build: &Build<'_>, quick: bool) -> io::Result<Vec<Measured>> {
        let pick = |long, short| if quick { short } else { long };
        match self {
            Self::Sessions => {
                let agents = pick("8000", "500");
                let arguments = ["yardstick", "--rounds", "1", "--agents", agents];
                load(build, &arguments, "--compare", &SESSIONS)
            }
            Self::Roundtrip => {
                let seconds = pick("3", "1");
                // One rate for both, or the latencies would be those of different loads.
                let rate = pick("8000", "1000");
                let arguments =
                    ["roundtrip", "--agents", "100", "--seconds", seconds, "--rate", rate];
                load(build, &arguments, "--target", &ROUNDTRIP)
            }
            Self::Idle => {
                let agents = pick("1000,5000", "100,500");
                let arguments = ["idle", "--agents", agents, "--rest", "1s", "--watch", "1s"];
                load(build, &arguments, "--target", &IDLE)
            }
            Self::Benches => benches(build, quick),
        }
    }
}

fn load(
    build: &Build<'_>,
    arguments: &[&str],
    target: &str,
    entries: &[Entry],
) -> io::Result<Vec<Measured>> {
    let (json, log) = (build.logs.join("speed.json"), build.logs.join("speed.log"));
    let _ = fs::remove_file(&json);
    let stage =
        Stage::start(build.loadtest, &build.bin.join("seawall"), &build.logs.join("stage.log"))?;
    let mut command = Command::new(build.loadtest);
    command.args(arguments).args([target, &stage.target()]);
    command.args(["--gateway-metrics", &stage.metrics()]).arg("--json").arg(&json);
    finish(command, &log)?;
    let figures: Value = serde_json::from_str(&fs::read_to_string(&json)?)?;
    let measured = entries.iter().map(|(pointer, name, better, judged)| {
        let value = figures.pointer(pointer).and_then(Value::as_f64);
        let value = value.ok_or_else(|| io::Error::other(format!("no {pointer} in {figures}")))?;
        Ok(Measured { name: (*name).to_owned(), value, better: *better, judged: *judged })
    });
    measured.collect()
}

fn benches(build: &Build<'_>, quick: bool) -> io::Result<Vec<Measured>> {
    let folder = build.bin.join("benches");
    if quick && !folder.exists() {
        return Ok(Vec::new());
    }
    let (warm_up, measurement) = if quick { ("0.02", "0.05") } else { ("0.03", "0.15") };
    let samples = build.logs.join("criterion");
    if samples.exists() {
        fs::remove_dir_all(&samples)?;
    }
    for program in entries(&folder)? {
        let mut command = Command::new(&program);
        command
            .args(["--bench", "--noplot", "--sample-size", "20", "--nresamples", "1001"])
            .args(["--warm-up-time", warm_up, "--measurement-time", measurement])
            .env("CRITERION_HOME", &samples);
        finish(command, &build.logs.join("speed.log"))?;
    }
    // A yardstick is the same code in both builds.
    let quickest = quickest(&samples)?.into_iter().filter(|(name, _)| !name.contains("yardstick"));
    let measured = quickest.map(|(name, nanoseconds)| Measured {
        name: format!("ns, {name}"),
        value: nanoseconds,
        better: Better::Smaller,
        judged: true,
    });
    Ok(measured.collect())
}

fn finish(mut command: Command, log: &Path) -> io::Result<()> {
    let output = File::create(log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn()?;
    match wait(&mut child, PATIENCE)? {
        Some(0) => Ok(()),
        ended => {
            let fault = format!("{command:?} ended with {ended:?}; see {}", log.display());
            Err(io::Error::other(fault))
        }
    }
}
