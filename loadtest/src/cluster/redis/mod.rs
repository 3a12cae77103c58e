//! Redis as a cluster of nodes uses it, and what can happen to it: a single server, one with a replica
//! and three sentinels, a cluster of three masters, or Valkey.

mod server;
mod stats;
mod wire;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use seawall::clock;
use serde::Serialize;

use super::folder::RunFolder;
use super::process::GroupProcess;
use super::program::find_program;
use crate::addresses::{local, low_port};
use server::RedisServer;
pub(super) use server::StartWith;
pub(super) use stats::Commands;

/// Which Redis there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum RedisKind {
    /// None: nodes know nothing of each other
    None,
    /// One server
    Single,
    /// A master, a replica and three sentinels
    Sentinel,
    /// Three masters of a Redis Cluster
    Cluster,
    /// One server, of Valkey
    Valkey,
}

/// The name under which sentinels know the master.
const MASTER: &str = "seawall";
const SENTINELS: usize = 3;
/// How long a failover, or the making of a cluster, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// How long the replica hangs before its master is killed, so that it lacks what was written meanwhile.
const LAG: Duration = Duration::from_secs(3);

/// All its processes. They end when this goes.
pub(super) struct RedisStage {
    kind: RedisKind,
    /// Of a Sentinel: the master, then the replica.
    servers: Vec<RedisServer>,
    sentinels: Vec<(u16, GroupProcess)>,
}

impl RedisStage {
    /// Starts it; `None` for [`RedisKind::None`].
    ///
    /// # Errors
    /// When a program is missing, or a server fails to start.
    pub(super) async fn start(folder: &RunFolder, kind: RedisKind) -> io::Result<Option<Self>> {
        let mut stage = Self { kind, servers: Vec::new(), sentinels: Vec::new() };
        match kind {
            RedisKind::None => return Ok(None),
            RedisKind::Single => stage.add(folder, &["redis-server"], &[]).await?,
            RedisKind::Valkey => stage.add(folder, &["valkey-server"], &[]).await?,
            RedisKind::Sentinel => stage.add_replicated(folder).await?,
            RedisKind::Cluster => stage.add_cluster(folder).await?,
        }
        Ok(Some(stage))
    }

    async fn add(
        &mut self,
        folder: &RunFolder,
        programs: &[&str],
        extra: &[String],
    ) -> io::Result<()> {
        let program = find_program(programs)?;
        let name = format!("redis-{}", self.servers.len() + 1);
        self.servers.push(RedisServer::start(folder, &program, &name, extra).await?);
        Ok(())
    }

    async fn add_replicated(&mut self, folder: &RunFolder) -> io::Result<()> {
        self.add(folder, &["redis-server"], &[]).await?;
        let master = self.servers[0].port;
        let follow = ["--replicaof", "127.0.0.1", &master.to_string()].map(str::to_owned);
        self.add(folder, &["redis-server"], &follow).await?;
        let is_linked = |info: &str| info.contains("master_link_status:up");
        self.servers[1].wait_for("INFO replication", is_linked).await?;
        for number in 1..=SENTINELS {
            self.add_sentinel(folder, number, master)?;
        }
        // Each must have heard of the replica and of the two others before it can act.
        let wanted = format!("slaves=1,sentinels={SENTINELS}");
        for place in 0..SENTINELS {
            let port = self.sentinels[place].0;
            self.wait_for(port, "INFO sentinel", |info| info.contains(&wanted)).await?;
        }
        Ok(())
    }

    /// A sentinel writes its configuration anew as things change, so it has a file.
    fn add_sentinel(&mut self, folder: &RunFolder, number: usize, master: u16) -> io::Result<()> {
        let port = low_port()?;
        let name = format!("sentinel-{number}");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER} 2000\n\
             sentinel failover-timeout {MASTER} 10000\n",
            folder.subfolder(&name)?.display()
        );
        let config = folder.write(&format!("{name}.conf"), &text)?;
        let program = find_program(&["redis-sentinel"])?;
        let arguments = [config.display().to_string()];
        let process = GroupProcess::start(&name, &program, &arguments, &folder.log(&name))?;
        self.sentinels.push((port, process));
        Ok(())
    }

    async fn add_cluster(&mut self, folder: &RunFolder) -> io::Result<()> {
        const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];
        let mut meet = Vec::new();
        for _ in SLOTS {
            let bus = low_port()?.to_string();
            let extra = ["--cluster-enabled", "yes", "--cluster-port", &bus].map(str::to_owned);
            self.add(folder, &["redis-server"], &extra).await?;
            let port = self.servers[self.servers.len() - 1].port;
            meet.push(format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
        }
        for (server, (first, last)) in self.servers.iter().zip(SLOTS) {
            server.say(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await?;
        }
        for line in &meet[1..] {
            self.servers[0].say(line).await?;
        }
        let is_whole =
            |info: &str| info.contains("cluster_state:ok") && info.contains("cluster_size:3");
        for server in &mut self.servers {
            server.wait_for("CLUSTER INFO", is_whole).await?;
        }
        Ok(())
    }

    /// How nodes find it: `ownership.redis.mode`, and the addresses.
    pub(super) fn addresses(&self) -> (&'static str, Vec<String>) {
        let servers = || self.servers.iter().map(|server| local(server.port)).collect();
        match self.kind {
            RedisKind::Sentinel => {
                ("sentinel", self.sentinels.iter().map(|(port, _)| local(*port)).collect())
            }
            RedisKind::Cluster => ("cluster", servers()),
            RedisKind::None | RedisKind::Single | RedisKind::Valkey => ("single", servers()),
        }
    }

    /// The name under which Sentinels know the master.
    pub(super) fn master(&self) -> Option<&'static str> {
        (self.kind == RedisKind::Sentinel).then_some(MASTER)
    }

    /// Commands so far, of all servers that answer.
    pub(super) async fn commands(&self) -> Commands {
        let mut sum = Commands::default();
        for server in self.servers.iter().filter(|server| server.is_there()) {
            if let Ok(info) = server.say("INFO commandstats").await {
                sum.add(&Commands::read(&info));
            }
        }
        sum
    }

    /// Dumps what the first server holds now, to start with it later.
    ///
    /// # Errors
    /// When it fails to.
    pub(super) async fn dump(&self) -> io::Result<PathBuf> {
        self.servers[0].dump().await
    }

    /// Ends all servers in good order.
    ///
    /// # Errors
    /// When one has ended before, or does not stop.
    pub(super) async fn stop(&mut self) -> io::Result<()> {
        for server in &mut self.servers {
            server.stop().await?;
        }
        Ok(())
    }

    /// Starts all of them on their old ports.
    ///
    /// # Errors
    /// When one fails to start.
    pub(super) async fn start_again(&mut self, with: &StartWith) -> io::Result<()> {
        for server in &mut self.servers {
            server.start_again(with).await?;
        }
        Ok(())
    }

    /// Lets all servers hang, or go on: connections stay open, and no answer comes.
    ///
    /// # Errors
    /// When one has ended.
    pub(super) fn hang(&self, hangs: bool) -> io::Result<()> {
        self.servers.iter().try_for_each(|server| server.hang(hangs))
    }

    /// Kills the master while its replica lags by three seconds of writes, and waits until sentinels
    /// have made the replica the master. In a cluster, kills the third master: its slots are gone.
    ///
    /// # Errors
    /// When there is no other server to take over, or none does in time.
    pub(super) async fn fail_over(&mut self) -> io::Result<()> {
        match self.kind {
            RedisKind::Sentinel => {}
            RedisKind::Cluster => return self.servers[2].kill().await,
            _ => {
                let fault = "a failover takes --redis sentinel, or cluster";
                return Err(io::Error::other(fault));
            }
        }
        let replica = self.servers[1].port.to_string();
        self.servers[1].hang(true)?;
        // Its kernel would take what the master sends meanwhile, and it would read that in the end.
        self.servers[0].say("CLIENT KILL TYPE replica").await?;
        tokio::time::sleep(LAG).await;
        self.servers[0].kill().await?;
        self.servers[1].hang(false)?;
        let asked = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}");
        for place in 0..self.sentinels.len() {
            let port = self.sentinels[place].0;
            self.wait_for(port, &asked, |answer| answer.lines().nth(1) == Some(&replica)).await?;
        }
        let is_master = |info: &str| info.contains("role:master");
        self.servers[1].wait_for("INFO replication", is_master).await.map(drop)
    }

    async fn wait_for(
        &self,
        port: u16,
        line: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        let deadline = clock::now() + PATIENCE;
        loop {
            match wire::command(port, line).await {
                Ok(answer) if is_wanted(&answer) => return Ok(()),
                other if clock::now() >= deadline => {
                    let last = other.unwrap_or_else(|error| error.to_string());
                    let fault = format!("a sentinel did not get so far: {line}: {last}");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, fault));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
