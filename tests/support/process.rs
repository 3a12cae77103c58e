//! A child process with its log. It dies with its guard, and on a failed test its log is printed.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::PATIENCE;
use super::log::{Event, Log, Mark};

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    log: Arc<Log>,
    commands: u64,
}

impl Process {
    /// Starts a program; `name` heads its log.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap_or_else(|error| {
            panic!("cannot start {name} ({:?}): {error}", command.as_std().get_program())
        });
        let log = Arc::new(Log::new(name));
        collect(child.stdout.take().expect("piped"), &log);
        collect(child.stderr.take().expect("piped"), &log);
        let stdin = child.stdin.take();
        Self { child, stdin, log, commands: 0 }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// See [`Log::mark`].
    pub(crate) fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// Its process id; `None` once it has been waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The first event of this name since the mark that is as wanted. Fails the test after
    /// [`PATIENCE`].
    pub(crate) async fn event(
        &self,
        since: Mark,
        name: &str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Event {
        let event = self.log.wait(since, name, PATIENCE, wanted).await;
        event.unwrap_or_else(|| panic!("no such event {name:?} within {PATIENCE:?}"))
    }

    /// Has a peer carry out a command, and returns its answer. Fails the test if it reports an
    /// error.
    pub(crate) async fn command(&mut self, mut command: serde_json::Value) -> Event {
        self.commands += 1;
        let id = self.commands;
        command["id"] = id.into();
        let since = self.mark();
        let stdin = self.stdin.as_mut().expect("not closed before its end");
        stdin.write_all(format!("{command}\n").as_bytes()).await.expect("the peer is alive");
        let done = self.event(since, "done", |event| event.number("id") == Some(id)).await;
        assert_eq!(done.text("error"), "", "the peer could not carry out {command}");
        done
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("still running"), signal).expect("a child can be signalled");
    }

    /// Waits for its end.
    pub(crate) async fn exited(&mut self, timeout: Duration) -> ExitStatus {
        let exited = tokio::time::timeout(timeout, self.child.wait()).await;
        exited.unwrap_or_else(|_| panic!("still running after {timeout:?}")).expect("a child")
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            self.log.print();
        }
    }
}

/// Takes over the lines of a pipe until it ends.
fn collect(pipe: impl AsyncRead + Send + Unpin + 'static, log: &Arc<Log>) {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            log.push(line);
        }
    });
}
