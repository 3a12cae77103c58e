//! One redis-server or valkey-server: its port, its data, its life and death.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall::clock;

use super::wire::command;
use crate::addresses::{local, low_port};
use crate::cluster::folder::RunFolder;
use crate::cluster::process::GroupProcess;

/// How long it may take to start, to stop, or to write its dump.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked meanwhile.
const ASK: Duration = Duration::from_millis(50);
/// Its memory: far more than the leases and the map take.
const MEMORY_MAX: &str = "256mb";

/// With which data a server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) enum StartWith {
    /// What it wrote as it ran: append-only file.
    ItsData,
    /// None.
    Nothing,
    /// This dump alone.
    Dump(PathBuf),
}

/// The server.
pub(super) struct RedisServer {
    name: String,
    program: PathBuf,
    pub(super) port: u16,
    data: PathBuf,
    log: PathBuf,
    extra: Vec<String>,
    /// `None` while it is stopped.
    process: Option<GroupProcess>,
}

impl RedisServer {
    /// Starts an empty one, with these arguments besides its own.
    ///
    /// # Errors
    /// When it fails to start.
    pub(super) async fn start(
        folder: &RunFolder,
        program: &Path,
        name: &str,
        extra: &[String],
    ) -> io::Result<Self> {
        let mut server = Self {
            name: name.to_owned(),
            program: program.to_owned(),
            port: low_port()?,
            data: folder.subfolder(name)?,
            log: folder.log(name),
            extra: extra.to_vec(),
            process: None,
        };
        server.start_again(&StartWith::ItsData).await?;
        Ok(server)
    }

    /// Starts it on its old port.
    ///
    /// # Errors
    /// When it fails to start.
    pub(super) async fn start_again(&mut self, with: &StartWith) -> io::Result<()> {
        let append_only = match with {
            StartWith::ItsData => "yes",
            StartWith::Nothing => {
                std::fs::remove_dir_all(&self.data)?;
                std::fs::create_dir(&self.data)?;
                "yes"
            }
            // With an append-only file it would look at that file alone.
            StartWith::Dump(dump) => {
                std::fs::copy(dump, self.data.join("dump.rdb"))?;
                "no"
            }
        };
        let (port, data) = (self.port.to_string(), self.data.display().to_string());
        let own = [
            ["--port", &port],
            ["--bind", "127.0.0.1"],
            ["--dir", &data],
            ["--save", ""],
            ["--appendonly", append_only],
            ["--maxmemory", MEMORY_MAX],
            ["--maxmemory-policy", "noeviction"],
        ];
        let own = own.into_iter().flatten().map(str::to_owned);
        let arguments: Vec<String> = own.chain(self.extra.iter().cloned()).collect();
        let process = GroupProcess::start(&self.name, &self.program, &arguments, &self.log)?;
        self.process = Some(process);
        self.wait_for("PING", |answer| answer == "PONG").await.map(drop)
    }

    /// Says one command.
    ///
    /// # Errors
    /// When it is out of reach, silent, or answers with an error.
    pub(super) async fn say(&self, line: &str) -> io::Result<String> {
        command(self.port, line).await
    }

    /// Says one command again and again until the answer is as wanted.
    ///
    /// # Errors
    /// When the server has ended, or gives no such answer in time; the last answer is in the error.
    pub(super) async fn wait_for(
        &mut self,
        line: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> io::Result<String> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(process) = &mut self.process {
                process.check()?;
            }
            let answer = self.say(line).await;
            match answer {
                Ok(answer) if is_wanted(&answer) => return Ok(answer),
                other if clock::now() >= deadline => {
                    let last = other.unwrap_or_else(|error| error.to_string());
                    let fault = format!("{} did not get so far: {line}: {last}", self.name);
                    return Err(io::Error::new(io::ErrorKind::TimedOut, fault));
                }
                _ => tokio::time::sleep(ASK).await,
            }
        }
    }

    /// Writes a dump now and copies it to a file beside its data.
    ///
    /// # Errors
    /// When it fails to write one.
    pub(super) async fn dump(&self) -> io::Result<PathBuf> {
        self.say("SAVE").await?;
        let copy = self.data.with_extension("rdb");
        std::fs::copy(self.data.join("dump.rdb"), &copy)?;
        Ok(copy)
    }

    /// Ends it in good order, its data written.
    ///
    /// # Errors
    /// When it has ended before, or does not stop.
    pub(super) async fn stop(&mut self) -> io::Result<()> {
        let mut process = self.take()?;
        process.terminate(PATIENCE).await.map(drop)
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it has ended before.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        let mut process = self.take()?;
        process.kill().await.map(drop)
    }

    /// Lets it hang, or go on.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn hang(&self, hangs: bool) -> io::Result<()> {
        let process = self.process.as_ref().ok_or_else(|| self.absent())?;
        if hangs { process.pause() } else { process.resume() }
    }

    /// Whether its process is there.
    pub(super) fn is_there(&self) -> bool {
        self.process.is_some()
    }

    fn take(&mut self) -> io::Result<GroupProcess> {
        let process = self.process.take();
        process.ok_or_else(|| self.absent())
    }

    fn absent(&self) -> io::Error {
        io::Error::other(format!("{} at {} is stopped already", self.name, local(self.port)))
    }
}
