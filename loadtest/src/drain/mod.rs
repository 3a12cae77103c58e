//! `loadtest drain`: two gateways behind a balancer, all agents on the first, which is drained. How they
//! come to the second, and what the server believes then.

mod balancer;
mod figures;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use seawall::clock;

use crate::addresses::{free_port, local};
use crate::args::{AftermathArgs, ClientArgs, FILL_PATIENCE};
use crate::children::Output;
use crate::crew::Crew;
use crate::figures::round;
use crate::fleet::measured::Move;
use crate::fleet::to_unix_us;
use crate::gateway::value;
use crate::http;
use crate::human::Human;
use crate::stage::{Cast, Stage, StageGateway, StagedArgs, perform};
use crate::storm::server::ServerReport;
use crate::storm::{Progress, fill};
use balancer::{AGENTS_MAX, Balancer};
pub(crate) use figures::worst_second_seen;
use figures::{DrainFigures, Look, worst_second};

/// Options of `loadtest drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// How many agents
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(AGENTS_MAX)))]
    agents: u32,
    /// `drain.rate` of the first gateway
    #[arg(long, default_value_t = 1_000, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// `drain.notice` of the first gateway; the balancer takes up to a second to notice
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    notice: Human,
    /// Use a built-in relay instead of HAProxy; it is good for a few hundred agents
    #[arg(long)]
    relay: bool,
    #[command(flatten)]
    aftermath: AftermathArgs,
    #[command(flatten)]
    staged: StagedArgs,
    #[command(flatten)]
    clients: ClientArgs,
}

/// Beyond notice and rate, how long a drain may take: the last answers, and the links' end.
const SLACK: Duration = Duration::from_secs(10);
/// How often the drained node is asked how far it is.
const LOOK: Duration = Duration::from_millis(25);
/// `sessions.grace_period` of both gateways. It ends while the drain is watched, and the server
/// must believe every agent connected all the time.
const GRACE_PERIOD: &str = "2s";

/// What is on the stage.
struct Scene {
    stage: Stage,
    first: StageGateway,
    second: StageGateway,
    balancer: Balancer,
    server: ServerReport,
    crew: Crew,
}

/// Runs it and prints.
///
/// # Errors
/// When a process fails to start or ends early, agents fail to connect, or the figures cannot be
/// written.
pub(crate) fn run(args: &DrainArgs) -> io::Result<ExitCode> {
    perform(async {
        let mut scene = Scene::set(args).await?;
        let figures = scene.drain(args).await?;
        args.staged.figures.publish(&figures, &figures.faults, || figures.tell())
    })
}

impl Scene {
    /// Starts everything and has all agents connect.
    async fn set(args: &DrainArgs) -> io::Result<Self> {
        let stage = Stage::start(&args.staged.stage, Cast::ServerAlone).await?;
        let (rate, notice) = (args.rate.to_string(), format!("{}ms", args.notice.0.as_millis()));
        let variables = [
            ("SEAWALL_SESSIONS__GRACE_PERIOD", GRACE_PERIOD),
            ("SEAWALL_DRAIN__RATE", rate.as_str()),
            ("SEAWALL_DRAIN__NOTICE", notice.as_str()),
        ];
        let first = stage.start_gateway(&args.staged.stage, &variables).await?;
        let second = stage.start_gateway(&args.staged.stage, &variables).await?;
        let port = free_port()?;
        let nodes = [&first, &second];
        let balancer = if args.relay {
            Balancer::relay(port, nodes).await?
        } else {
            let output = if args.staged.stage.verbose { Output::Shown } else { Output::Dropped };
            Balancer::haproxy(port, nodes, output)?
        };
        let addresses = stage.storm_args(args.agents);
        let target = format!("ws://{}/v1/opamp", local(port)).parse().map_err(io::Error::other)?;
        let options = args.clients.apply(args.staged.fleet.options(&[target], args.agents))?;
        let mut crew = fill(&options, FILL_PATIENCE, &mut Progress::new()).await?;
        let server = ServerReport::new(&addresses.server_report);
        let before = server.settle(&mut crew, args.aftermath.settle()).await?.verdict;
        if !before.holds() {
            let faults = before.examples.join("; ");
            return Err(io::Error::other(format!(
                "the server was wrong before the drain: {faults}"
            )));
        }
        Ok(Self { stage, first, second, balancer, server, crew })
    }

    async fn drain(&mut self, args: &DrainArgs) -> io::Result<DrainFigures> {
        let allowed = args.notice.0
            + SLACK
            + Duration::from_secs_f64(f64::from(args.agents) / f64::from(args.rate) * 1.1);
        let mut figures = DrainFigures {
            balancer: self.balancer.name(),
            agents: args.agents.into(),
            agents_on_first: connected_in_the_end(&self.first, args.agents.into()).await?,
            rate: args.rate,
            seconds_allowed: round(allowed.as_secs_f64()),
            ..DrainFigures::default()
        };
        self.server.reset().await?;
        let before = self.crew.measured().await?;
        let begun = clock::now();
        let begun_us = to_unix_us(begun);
        http::fetch(&admin(&self.first, "drain"), Some("")).await?;
        let (looks, is_drained) = watch(&self.first, allowed * 2).await?;
        let drained = clock::now();
        figures.closes_worst_second = worst_second(&looks);
        figures.seconds_to_drained = is_drained.then(|| round((drained - begun).as_secs_f64()));
        let settled = self.server.settle(&mut self.crew, args.aftermath.settle()).await?;
        figures.seconds_to_settled = settled.at.map(|at| round((at - drained).as_secs_f64()));
        tokio::time::sleep(args.aftermath.hold.0).await;
        figures.exit_code = self.first.process.terminate(SLACK).await?.code();
        // The server must stay right after the end of the node as well: one more look.
        let last = self.server.settle(&mut self.crew, Duration::ZERO).await?;
        figures.agents_on_second = connected(&self.second).await?;
        let since = self.crew.measured().await?;
        let of_it = |one: &Move| one.closed_at_us >= begun_us;
        figures.with_moves(&since.moves.iter().copied().filter(of_it).collect::<Vec<_>>());
        let since = since.counted_since(&before);
        (figures.misrouted, figures.malformed) = (since.misrouted, since.malformed);
        figures.judge(self.server.counts().await?, last.verdict);
        for there in [self.stage.check(), self.second.process.check(), self.balancer.check()] {
            figures.faults.extend(there.err().map(|error| error.to_string()));
        }
        Ok(figures)
    }
}

fn admin(gateway: &StageGateway, path: &str) -> String {
    format!("http://{}/{path}", local(gateway.admin_port))
}

async fn metric(gateway: &StageGateway, name: &str) -> io::Result<u64> {
    let text = http::fetch(&admin(gateway, "metrics"), None).await?;
    let found = value(&String::from_utf8_lossy(&text), name);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    found.map(|value| value as u64).ok_or_else(|| io::Error::other(format!("no metric {name}")))
}

async fn connected(gateway: &StageGateway) -> io::Result<u64> {
    metric(gateway, "seawall_sessions{state=\"connected\"}").await
}

/// How many agents a gateway has, once it has these many or [`SLACK`] is over: agents of a small fleet
/// have their first reply before the gateway counts its sessions again.
async fn connected_in_the_end(gateway: &StageGateway, agents: u64) -> io::Result<u64> {
    let end = clock::now() + SLACK;
    loop {
        let count = connected(gateway).await?;
        if count >= agents || clock::now() >= end {
            return Ok(count);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks again and again at how many the node has let go, until it is drained or the time is over.
async fn watch(node: &StageGateway, patience: Duration) -> io::Result<(Vec<Look>, bool)> {
    let end = clock::now() + patience;
    let mut looks = Vec::new();
    loop {
        let asked = clock::now();
        let moved = metric(node, "seawall_ended_sessions_total{reason=\"moved\"}").await?;
        looks.push(Look { asked, came: clock::now(), moved });
        let state = http::fetch(&admin(node, "drain"), None).await?;
        let is_drained = String::from_utf8_lossy(&state).contains("\"drained\"");
        if is_drained || clock::now() >= end {
            return Ok((looks, is_drained));
        }
        tokio::time::sleep(LOOK).await;
    }
}
