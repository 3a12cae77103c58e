//! A fleet larger than one process may have descriptors for: worker processes of this same program,
//! which are asked over their standard input and answer on their standard output, a line of JSON
//! each. A small fleet lives in this process, and is asked the same way.

use std::io::{self, BufRead, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::fleet::load::LoadOrder;
use crate::fleet::manners::Wave;
use crate::fleet::measured::Measured;
use crate::fleet::moves::MoveOrder;
use crate::fleet::target::DialTarget;
use crate::fleet::{AgentFleet, FleetRequest, FleetResponse, Options, Stats, to_unix_us};
use crate::oracle::judge::AgentLine;

/// Descriptors reserved for other things than agents.
const RESERVE: u64 = 1_000;
/// The most agents in one process, however many descriptors there are: more would queue for the
/// few threads.
const AGENTS_MAX: u32 = 18_000;

/// The processes of a fleet.
pub(crate) struct Crew {
    members: Vec<Member>,
    /// How many agents there are in these processes.
    pub(crate) agents: u32,
    /// How many of them tell all that they have by themselves: these a server can know in full.
    tell_all: u32,
    /// Where they dial.
    pub(crate) targets: Vec<DialTarget>,
    /// Agents that stay connected and get orders of their own. The server knows them, so the truth
    /// about them is part of the truth.
    pub(crate) bystanders: Option<Box<Crew>>,
}

enum Member {
    Here(Arc<AgentFleet>),
    Worker(Box<Worker>),
}

/// A worker process. It ends when its standard input does, so it ends with this process at the
/// latest.
struct Worker {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crew {
    /// Starts as many processes as the agents need, and the agents with them.
    ///
    /// # Errors
    /// When a process or its threads fail to start.
    pub(crate) async fn hire(options: &Options) -> io::Result<Self> {
        let each = agents_per_process();
        let processes = options.agents.div_ceil(each).max(1);
        if processes == 1 {
            let members = vec![Member::Here(AgentFleet::start(options.clone())?)];
            return Ok(Self::of(members, options));
        }
        let mut members = Vec::new();
        for number in 0..processes {
            let first = share(options.agents, processes, number);
            let part = Options {
                first: options.first + first,
                agents: share(options.agents, processes, number + 1) - first,
                dial_rate: options.dial_rate / f64::from(processes),
                connections: share_of_connections(options.connections, processes),
                ..options.clone()
            };
            members.push(Member::Worker(Box::new(Worker::start(&part).await?)));
        }
        Ok(Self::of(members, options))
    }

    fn of(members: Vec<Member>, options: &Options) -> Self {
        let targets = options.targets.clone();
        let (agents, tell_all) = (options.agents, options.tell_all());
        Self { members, agents, tell_all, targets, bystanders: None }
    }

    /// Starts the agents in one process apart from this one, however few they are. What this
    /// process does then leaves their measurements alone.
    ///
    /// # Errors
    /// As those of [`Crew::hire`].
    pub(crate) async fn hire_apart(options: &Options) -> io::Result<Self> {
        let members = vec![Member::Worker(Box::new(Worker::start(options).await?))];
        Ok(Self::of(members, options))
    }

    /// How many agents the server comes to know in full.
    pub(crate) fn known_agents(&self) -> u32 {
        self.tell_all + self.bystanders.as_ref().map_or(0, |crew| crew.tell_all)
    }

    /// Cuts a wave off at this instant.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn cut(&mut self, at: Instant, wave: Wave) -> io::Result<()> {
        self.ask(&FleetRequest::Cut { at_unix_us: to_unix_us(at), wave }).await.map(drop)
    }

    /// Lets all send from this instant on.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn load(&mut self, at: Instant, order: LoadOrder) -> io::Result<()> {
        self.ask(&FleetRequest::Load { at_unix_us: to_unix_us(at), order }).await.map(drop)
    }

    /// Lets agents move to other targets from this instant on.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn relocate(&mut self, at: Instant, order: MoveOrder) -> io::Result<()> {
        self.ask(&FleetRequest::Move { at_unix_us: to_unix_us(at), order }).await.map(drop)
    }

    /// Asks every process.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn ask(&mut self, request: &FleetRequest) -> io::Result<Vec<FleetResponse>> {
        for member in &mut self.members {
            if let Member::Worker(worker) = member {
                worker.tell(request).await?;
            }
        }
        let mut answers = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            answers.push(match member {
                Member::Here(fleet) => fleet.ask(request),
                Member::Worker(worker) => worker.answer().await?,
            });
        }
        Ok(answers)
    }

    /// The gauges of all.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn stats(&mut self) -> io::Result<Stats> {
        let mut sum = Stats::default();
        for answer in self.ask(&FleetRequest::Stats).await? {
            if let FleetResponse::Stats(stats) = answer {
                sum.connected += stats.connected;
                sum.answered += stats.answered;
                sum.back += stats.back;
                sum.outstanding += stats.outstanding;
                sum.refusals += stats.refusals;
            }
        }
        Ok(sum)
    }

    /// The measurements of all, as one.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn measured(&mut self) -> io::Result<Measured> {
        let mut whole = Measured::default();
        for answer in self.ask(&FleetRequest::Measured).await? {
            if let FleetResponse::Measured(part) = answer {
                whole.merge(&part);
            }
        }
        Ok(whole)
    }

    /// The processor time of all processes with agents in them.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn cpu_seconds(&mut self) -> io::Result<f64> {
        let parts = self.ask(&FleetRequest::CpuSeconds).await?;
        Ok(parts
            .iter()
            .map(|part| if let FleetResponse::CpuSeconds(s) = part { *s } else { 0.0 })
            .sum())
    }

    /// How many agents there are of which nothing can be true at a server: they have told nothing.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn mute(&mut self) -> io::Result<u64> {
        let all = self.agents + self.bystanders.as_ref().map_or(0, |crew| crew.agents);
        let known = self.truth().await?.len() as u64;
        Ok(u64::from(all).saturating_sub(known))
    }

    /// What is true of every agent, bystanders included.
    ///
    /// # Errors
    /// When a worker has died.
    pub(crate) async fn truth(&mut self) -> io::Result<Vec<AgentLine>> {
        let mut all = match &mut self.bystanders {
            Some(bystanders) => Box::pin(bystanders.truth()).await?,
            None => Vec::new(),
        };
        for answer in self.ask(&FleetRequest::Truth).await? {
            if let FleetResponse::Truth(mut part) = answer {
                all.append(&mut part);
            }
        }
        Ok(all)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &self.members {
            // Workers are killed when their handles go.
            if let Member::Here(fleet) = member {
                fleet.stop();
            }
        }
    }
}

impl Worker {
    async fn start(options: &Options) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::other("a worker has no pipes"))?;
        let mut worker = Self { _child: child, input, output: BufReader::new(output) };
        worker.tell(options).await?;
        worker.answer().await?;
        Ok(worker)
    }

    async fn tell(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.input.write_all(&line).await
    }

    async fn answer(&mut self) -> io::Result<FleetResponse> {
        let mut line = String::new();
        if self.output.read_line(&mut line).await? == 0 {
            return Err(io::Error::other("a worker process has died"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// `loadtest worker`: the other end. Ends with its standard input.
///
/// # Errors
/// When its standard input is malformed, or its threads fail to start.
pub(crate) fn work() -> io::Result<()> {
    agents_per_process();
    let mut lines = io::stdin().lock().lines();
    let mut output = io::stdout().lock();
    let Some(first) = lines.next() else { return Ok(()) };
    let fleet = AgentFleet::start(serde_json::from_str(&first?)?)?;
    let mut answer = FleetResponse::Done;
    loop {
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
        let Some(line) = lines.next() else { return Ok(()) };
        answer = fleet.ask(&serde_json::from_str(&line?)?);
    }
}

/// How many agents this process has descriptors for, after asking for as many as it may have.
fn agents_per_process() -> u32 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            limit = wanted;
        }
    }
    let room = limit.current.unwrap_or(u64::MAX).saturating_sub(RESERVE).max(1);
    u32::try_from(room).unwrap_or(u32::MAX).min(AGENTS_MAX)
}

/// Of connections that all agents share, what one of these processes opens.
fn share_of_connections(all: u16, processes: u32) -> u16 {
    let processes = u16::try_from(processes).unwrap_or(u16::MAX).max(1);
    (all / processes).max(all.min(1))
}

/// Where part `number` of `parts` begins.
fn share(total: u32, parts: u32, number: u32) -> u32 {
    let start = u64::from(total) * u64::from(number) / u64::from(parts.max(1));
    u32::try_from(start).unwrap_or(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_whole() {
        assert_eq!(
            (0..=3).map(|number| share(100, 3, number)).collect::<Vec<_>>(),
            [0, 33, 66, 100]
        );
        assert!(agents_per_process() >= 1);
    }
}
