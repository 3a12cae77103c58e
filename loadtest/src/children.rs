//! Processes that a command starts and that end with it at the latest.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What becomes of what a process writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// [`ChildProcess::line`] reads a line of it.
    Line,
    /// The reader of this process's own output sees it.
    Shown,
    /// It is dropped.
    Dropped,
}

/// A process that is killed when this goes.
pub(crate) struct ChildProcess {
    child: Child,
    name: &'static str,
}

impl ChildProcess {
    /// Starts it with an empty standard input, which ends when this process does, and adds these
    /// variables to the environment.
    ///
    /// # Errors
    /// When the program fails to start; the message names it.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        output: Output,
    ) -> io::Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(match output {
                Output::Line => Stdio::piped(),
                Output::Shown => Stdio::inherit(),
                Output::Dropped => Stdio::null(),
            })
            .stderr(if output == Output::Dropped { Stdio::null() } else { Stdio::inherit() })
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot start {}: {error}", program.display()))
            })?;
        Ok(Self { child, name })
    }

    /// The first line that it writes; to be asked once, with [`Output::Line`].
    ///
    /// # Errors
    /// When it ends instead.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if let Some(output) = &mut self.child.stdout {
            BufReader::new(output).read_line(&mut line).await?;
        }
        if line.is_empty() {
            return Err(io::Error::other(format!("the {} ended without a word", self.name)));
        }
        Ok(line.trim().to_owned())
    }

    /// Checks that it is still running.
    ///
    /// # Errors
    /// When it has ended; the error says how.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!("the {} has ended: {status}", self.name))),
        }
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When the kernel refuses to kill it.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When it has ended before, or is still running after `patience`.
    pub(crate) async fn terminate(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.check()?;
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other(format!("the {} has no id", self.name)))?;
        kill_process(pid, Signal::TERM)?;
        tokio::time::timeout(patience, self.child.wait())
            .await
            .unwrap_or_else(|_| Err(io::Error::other(format!("the {} does not stop", self.name))))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}
