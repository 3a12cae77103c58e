//! `loadtest gate --client`, `--clients`: storms of stock clients, and what each may take. A fleet that
//! no gateway knows starts at one instant; a fleet with WebSockets is also cut off.
//!
//! | | at most |
//! |---|---|
//! | all are in | 1.2 times N / R, and 30 seconds |
//! | waits that clients give up | none; of a client that waits for a second, one in twenty dials |
//! | dials of an agent | 2.2; of a client that can be told nothing, 3.0 |
//! | entries | 1.02 for each agent |
//! | agents missing and wrong at the server, of those that can speak | none |
//! | Close frames to clients that one would lose | none |

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::{GateArgs, on_stage};
use crate::figures::{round, shown};
use crate::fleet::clients::habits::{PauseLaw, Transport};
use crate::fleet::clients::shares::{ClientShare, ClientShares};
use crate::human::Human;
use crate::storm::conditions::Beginning;
use crate::storm::outcome::StormOutcome;

/// Beside its share of the ideal, what a storm may take.
const SLACK_SECONDS: f64 = 30.0;
/// How much longer than the ideal.
const OVER_IDEAL: f64 = 1.2;
/// Entries for each agent.
const ENTRIES: f64 = 1.02;
/// Polls over HTTP that are watched after all are in, and what is watched of WebSockets.
const POLLS_WATCHED: u32 = 2;
const WATCHED: Duration = Duration::from_secs(5);

/// What a storm of stock clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct ClientBudget {
    seconds: f64,
    dials_mean: f64,
    /// Of the agents' dials.
    waits_given_up_share: f64,
    entries: f64,
    /// Null where clients survive them.
    close_frames: Option<u64>,
}

/// One storm's figures. The keys are an interface.
#[derive(Debug, Serialize)]
struct ClientRow {
    client: String,
    /// `start`, `after-outage` or `cut`.
    storm: &'static str,
    rate: f64,
    budget: ClientBudget,
    waits_given_up_share: f64,
    missed: Vec<String>,
    outcome: StormOutcome,
}

/// Which storms there are for a fleet; with `only`, those that begin in this way.
fn storms(
    clients: &ClientShares,
    after_outage: Human,
    only: Option<Beginning>,
) -> Vec<(&'static str, Beginning)> {
    if !after_outage.0.is_zero() {
        return vec![("after-outage", Beginning::Start)];
    }
    let mut storms = vec![("start", Beginning::Start)];
    // A client that never comes again has nothing to show after a cut.
    let comes_again = |part: &ClientShare| part.habits().law != PauseLaw::NextTick;
    if clients.any(|part| part.transport == Transport::WebSocket && comes_again(part)) {
        storms.push(("cut", Beginning::Cut));
    }
    storms.retain(|(_, begin)| only.is_none_or(|only| only == *begin));
    storms
}

impl ClientBudget {
    fn new(clients: &ClientShares, agents: u32, rate: f64) -> Self {
        let is_untold = |part: &ClientShare| part.habits().law == PauseLaw::Python;
        let is_lost_by_close = |part: &ClientShare| {
            matches!(part.habits().law, PauseLaw::Java { heeds_header: false })
        };
        let agents = f64::from(agents);
        Self {
            seconds: round(OVER_IDEAL * agents / rate + SLACK_SECONDS),
            dials_mean: if clients.any(is_untold) { 3.0 } else { 2.2 },
            waits_given_up_share: if clients.any(is_untold) { 0.05 } else { 0.0 },
            entries: (ENTRIES * agents).floor(),
            close_frames: clients.any(is_lost_by_close).then_some(0),
        }
    }

    /// What was missed, in words. An unknown figure counts as missed.
    fn missed(&self, row: &StormOutcome, given_up: f64) -> Vec<String> {
        let entries = &row.entries;
        let wanted = [
            ("seconds until all are in", row.seconds_to_100, Some(self.seconds)),
            ("dials for each agent", row.attempts_mean, Some(self.dials_mean)),
            ("waits given up", Some(given_up), Some(self.waits_given_up_share)),
            ("entries", entries.entries, Some(self.entries)),
            ("entries after all were in", entries.entries_later, Some(0.0)),
            (
                "Close frames",
                Some(entries.close_frames as f64),
                self.close_frames.map(|most| most as f64),
            ),
        ];
        let missed = wanted.into_iter().filter_map(|(what, got, most)| {
            let most = most?;
            (!got.is_some_and(|got| got <= most))
                .then(|| format!("{what}: {} instead of at most {most}", shown(got, "")))
        });
        missed.collect()
    }
}

/// Runs what is wanted and prints it.
///
/// # Errors
/// When a process fails to start or ends early, the gateway refuses the rate, the clients wanted are
/// none, or the figures cannot be written.
pub(super) async fn run(args: &GateArgs) -> io::Result<ExitCode> {
    let agents = args.agents.agents;
    let fleet = args.staged.fleet.options(&[], agents);
    let clients = args.clients.apply(fleet)?.clients;
    let figures = &args.staged.figures;
    let has_table = !figures.takes_stdout();
    if has_table {
        println!("{agents} agents, {} a second: {}\n\n{HEAD}", args.rate, clients.title());
    }
    let mut rows = Vec::new();
    for (storm, begin) in storms(&clients, args.after_outage, args.begin) {
        let row = one(args, &clients, (storm, begin)).await?;
        if has_table {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    figures.write(&rows)?;
    let complaints = complaints(&rows);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn one(
    args: &GateArgs,
    clients: &ClientShares,
    (storm, begin): (&'static str, Beginning),
) -> io::Result<ClientRow> {
    let budget = ClientBudget::new(clients, args.agents.agents, args.rate);
    let polls = clients.any(|part| part.transport == Transport::Http);
    let outcome = on_stage(args, &[], |storm| {
        storm.clients = args.clients.clone();
        storm.conditions.begin = begin;
        if begin == Beginning::Start {
            storm.conditions.after_outage = args.after_outage;
        } else {
            storm.conditions.fill_rate = Some(args.fill_rate);
        }
        storm.conditions.admission_rate = Some(args.rate);
        storm.timeout = Human(Duration::from_secs_f64(budget.seconds * 4.0));
        let watched = if polls { args.staged.fleet.heartbeat.0 * POLLS_WATCHED } else { WATCHED };
        storm.hold = Human(watched.max(WATCHED));
    });
    let outcome = outcome.await?;
    let dials = outcome.attempts_mean.unwrap_or(1.0) * outcome.agents_back.max(1) as f64;
    let given_up = round(outcome.entries.waits_given_up as f64 / dials.max(1.0));
    let missed = budget.missed(&outcome, given_up);
    let client = clients.title();
    Ok(ClientRow {
        client,
        storm,
        rate: args.rate,
        budget,
        waits_given_up_share: given_up,
        missed,
        outcome,
    })
}

/// What stands over the rows.
const HEAD: &str = "\
storm           ideal    100 %  budget  dials/agent  given up  entries   later   beside   Close  for good    mute   agents   agents
                    s        s       s                                                                              missing    wrong";

fn line(row: &ClientRow) -> String {
    let outcome = &row.outcome;
    let entries = &outcome.entries;
    let fitting = |value| shown(value, "");
    format!(
        "{:<13}{:>8}{:>9}{:>8}{:>13}{:>10}{:>9}{:>8}{:>9}{:>8}{:>10}{:>8}{:>9}{:>9}",
        row.storm,
        fitting(outcome.queue.ideal_seconds),
        fitting(outcome.seconds_to_100),
        row.budget.seconds,
        fitting(outcome.attempts_mean),
        entries.waits_given_up,
        fitting(entries.entries),
        fitting(entries.entries_later),
        fitting(entries.served_beside),
        entries.close_frames,
        entries.refused_for_good,
        entries.agents_mute,
        shown(outcome.of_server("agents_missing"), ""),
        shown(outcome.of_server("agents_wrong"), ""),
    )
}

fn complaints(rows: &[ClientRow]) -> Vec<String> {
    let of_row = |row: &ClientRow| {
        let name = format!("{}, {}", row.client, row.storm);
        let missed = row.missed.iter().map(|missed| format!("MISSED ({name}): {missed}"));
        let faults = row.outcome.faults.iter().map(|fault| format!("FAULT ({name}): {fault}"));
        missed.chain(faults).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::clients::ClientKind;
    use crate::fleet::manners::Census;
    use crate::fleet::measured::Measured;

    fn all(kind: ClientKind) -> ClientShares {
        ClientShares::all(kind, None).unwrap()
    }

    #[test]
    fn each_client_has_the_storms_and_the_budget_that_fit_it() {
        let none = Human(Duration::ZERO);
        let names = |kind, outage| -> Vec<_> {
            storms(&all(kind), outage, None).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(ClientKind::OpampGo, none), ["start", "cut"]);
        assert_eq!(names(ClientKind::Node, none), ["start"]);
        let outage = Human(Duration::from_secs(600));
        assert_eq!(names(ClientKind::JavaWs, outage), ["after-outage"]);
        let cut = storms(&all(ClientKind::OpampGo), none, Some(Beginning::Cut));
        assert_eq!(cut, [("cut", Beginning::Cut)]);
        let budget = ClientBudget::new(&all(ClientKind::JavaWs), 10_000, 500.0);
        assert_eq!((budget.seconds, budget.entries), (54.0, 10_200.0));
        assert_eq!((budget.dials_mean, budget.close_frames), (2.2, Some(0)));
        let python = ClientBudget::new(&all(ClientKind::Python), 100, 2.0);
        assert_eq!((python.seconds, python.waits_given_up_share), (90.0, 0.05));
        assert_eq!((python.dials_mean, python.close_frames), (3.0, None));
    }

    #[test]
    fn what_is_missed_is_named_and_what_is_unknown_is_missed() {
        let budget = ClientBudget::new(&all(ClientKind::OpampGo), 1, 1.0);
        let census = Census { agents: 1, returning: 1, obedient: 1, second_wave: 0 };
        let mut outcome = StormOutcome::new(census, Measured::default());
        let missed = budget.missed(&outcome, 0.1);
        assert_eq!(missed.len(), 5, "{missed:?}");
        assert!(missed[2].contains("waits given up: 0.1 instead of at most 0"), "{missed:?}");
        outcome.seconds_to_100 = Some(31.0);
        outcome.attempts_mean = Some(2.0);
        outcome.entries.entries = Some(1.0);
        outcome.entries.entries_later = Some(0.0);
        assert!(budget.missed(&outcome, 0.0).is_empty());
    }
}
