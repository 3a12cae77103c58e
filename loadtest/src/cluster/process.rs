//! A process of a cluster: in a group of its own, with its log in the run's folder, and gone with this
//! program whatever happens.
//!
//! Dropping it kills the whole group, so that what it has forked ends as well (Redis forks to write its
//! dump). If this program itself is killed, the kernel kills the process for it, where `setpriv` is there
//! to ask for that (Debian always has it).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Where Debian has it.
const SETPRIV: &str = "/usr/bin/setpriv";
/// Once the kernel knows that the process must end with its parent, the parent may have ended already:
/// then the program is left alone. `$0` is the parent's id.
const WITH_ITS_PARENT: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;
/// How much of a log an error shows.
const TAIL_LINES: usize = 5;

/// The process.
pub(crate) struct GroupProcess {
    child: Child,
    group: Pid,
    name: String,
    log: PathBuf,
}

impl GroupProcess {
    /// Starts it; what it writes is appended to `log`.
    ///
    /// # Errors
    /// When the program fails to start; the message names it.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        log: &Path,
    ) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let fault = format!("cannot start {}: {error}", program.display());
                io::Error::new(error.kind(), fault)
            })?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = id.ok_or_else(|| io::Error::other(format!("the {name} has no id")))?;
        Ok(Self { child, group, name: name.to_owned(), log: log.to_owned() })
    }

    /// Checks that it is still running.
    ///
    /// # Errors
    /// When it has ended; the error says how, with the end of its log.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!(
                "the {} has ended ({status}):\n{}",
                self.name,
                self.tail()
            ))),
        }
    }

    /// Kills the group (SIGKILL) and waits until the process is gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.child.wait().await
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When it is still running after `patience`.
    pub(crate) async fn terminate(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let late =
            || io::Error::other(format!("the {} does not stop:\n{}", self.name, tail(&self.log)));
        tokio::time::timeout(patience, self.child.wait()).await.unwrap_or_else(|_| Err(late()))
    }

    /// Stops its processors' time (SIGSTOP): it hangs with all its connections open.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// The last lines that it wrote.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // Until it has been waited for, its id is its own.
        if self.child.id().is_none() {
            return Err(io::Error::other(format!("the {} has ended", self.name)));
        }
        Ok(kill_process_group(self.group, signal)?)
    }
}

impl Drop for GroupProcess {
    fn drop(&mut self) {
        // A process that has ended has nothing left to be killed.
        let _: io::Result<()> = self.signal(Signal::KILL);
    }
}

/// The program, so that it ends with this process.
fn command(program: &Path) -> Command {
    if !Path::new(SETPRIV).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL", "/bin/sh", "-c", WITH_ITS_PARENT]);
    command.arg(std::process::id().to_string()).arg(program);
    command
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process;

    fn runs(pid: &str) -> bool {
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).unwrap();
        test_kill_process(pid).is_ok()
    }

    #[tokio::test]
    async fn what_it_forked_ends_with_it() {
        let folder = crate::cluster::folder::RunFolder::make().unwrap();
        let log = folder.log("shell");
        let script = ["-c", "echo begun; sleep 600 & echo $!; wait"].map(str::to_owned);
        let mut shell = GroupProcess::start("shell", Path::new("/bin/sh"), &script, &log).unwrap();
        let child = loop {
            shell.check().unwrap();
            let said = std::fs::read_to_string(&log).unwrap();
            if let Some(child) = said.strip_prefix("begun\n").filter(|line| line.ends_with('\n')) {
                break child.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(runs(&child));
        drop(shell);
        // A killed process is a zombie until its new parent has waited for it.
        let stat = format!("/proc/{}/stat", child.trim());
        let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z"));
        for _ in 0..1_000 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the shell's child is still running");
    }

    #[tokio::test]
    async fn an_early_end_is_told_with_its_last_words() {
        let folder = crate::cluster::folder::RunFolder::make().unwrap();
        let script = ["-c", "echo the reason; exit 3"].map(str::to_owned);
        let log = folder.log("shell");
        let mut shell = GroupProcess::start("shell", Path::new("/bin/sh"), &script, &log).unwrap();
        let fault = loop {
            match shell.check() {
                Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(fault) => break fault.to_string(),
            }
        };
        assert!(fault.contains("the reason") && fault.contains('3'), "{fault}");
        assert!(shell.pause().is_err());
    }
}
