//! Processes that this one started: waiting for them with an end, and stopping them.

use std::io;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often a running process is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a process that was told to stop may take for it, before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// Waits for a process, and stops it when its time is up.
///
/// # Errors
/// When the system cannot tell how the process is.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<i32>> {
    if let Some(code) = wait_for(child, patience)? {
        return Ok(code);
    }
    stop(child)?;
    Ok(None)
}

/// Tells a process to stop, and kills it if it goes on.
///
/// # Errors
/// When the system cannot tell how the process is.
pub(crate) fn stop(child: &mut Child) -> io::Result<()> {
    // It may have ended by itself meanwhile.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    if wait_for(child, STOP)?.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// How a process ended; `None` if it is still running when the time is up. A process that a signal
/// ended has `Some(None)`.
fn wait_for(child: &mut Child, patience: Duration) -> io::Result<Option<Option<i32>>> {
    let looks = patience.as_millis().div_ceil(LOOK.as_millis());
    for _ in 0..=looks {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.code()));
        }
        sleep(LOOK);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_whose_time_is_up_is_stopped() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::from_millis(100)).unwrap(), None);
        assert!(child.try_wait().unwrap().is_some());
        let mut child = Command::new("true").spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::from_secs(60)).unwrap(), Some(0));
    }
}
