//! Slows accepting down while memory is short. `core::pressure` decides when it is; the kernel's queue holds
//! the connections that wait.
//!
//! Under pressure a trickle of connections is still accepted: freed memory does not always go back to the
//! system, and a gateway that waited for that would stay down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::core::pressure::{MemoryBounds, MemoryUsed};
use crate::telemetry::events::admission::PressureChanged;
use crate::telemetry::resident_bytes;

/// Between two connections of one listening socket, under pressure.
const RESPITE: Duration = Duration::from_millis(100);

/// See the module's text.
pub(super) struct Pressure {
    on: AtomicBool,
    bounds: MemoryBounds,
}

impl Pressure {
    /// `memory_max`: the bound on resident memory; empty: that of the control group, if there is one.
    pub(super) fn new(memory_max: Option<usize>, buffered_max: usize) -> Self {
        let resident_max = memory_max.or_else(control_group_max).unwrap_or(usize::MAX);
        Self { on: AtomicBool::new(false), bounds: MemoryBounds { resident_max, buffered_max } }
    }

    /// Takes note of what is used; `buffered` are the bytes of incomplete messages.
    pub(super) fn observe(&self, buffered: usize) {
        let used = MemoryUsed { resident: resident_bytes().unwrap_or(0), buffered };
        let on = self.bounds.is_short(self.on.load(Ordering::Relaxed), used);
        if self.on.swap(on, Ordering::Relaxed) != on {
            PressureChanged {
                on,
                resident_bytes: used.resident,
                memory_max: self.bounds.resident_max,
                buffered_bytes: buffered,
                buffered_max: self.bounds.buffered_max,
            }
            .emit();
        }
    }

    /// Whether memory is short.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Returns at once, or under pressure after a respite.
    pub(super) async fn passed(&self) {
        if self.on.load(Ordering::Relaxed) {
            tokio::time::sleep(RESPITE).await;
        }
    }
}

/// What its control groups leave this process: the least of its own group's bound and the bounds above it.
/// Within a container the group's name is often that of another file system: a file that is missing there
/// leaves memory unbounded, as a bound does that no machine has (version 1 writes 2^63 less a page).
fn control_group_max() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let read = |file: &Path| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    groups
        .lines()
        .filter_map(bound_files)
        .flatten()
        .filter_map(|file| read(&file))
        .filter(|max| *max < 1 << 60)
        .min()
}

/// Of a line in /proc/self/cgroup, `hierarchy:controllers:group` (cgroups(7)), the files that bound memory. In
/// version 2 the controllers are empty, in version 1 one of them is that of memory. The root group of version
/// 2 lacks the file, and "max" in it means unbounded.
fn bound_files(line: &str) -> Option<Vec<PathBuf>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, group) = (parts.next()?, parts.next()?);
    let (root, file) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let own = Path::new(group.trim_start_matches('/'));
    Some(own.ancestors().map(|group| Path::new(root).join(group).join(file)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_groups_above_count() {
        let files = |line| bound_files(line).unwrap_or_default();
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            files("0::/system.slice/seawall.service"),
            paths(&[
                "/sys/fs/cgroup/system.slice/seawall.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ])
        );
        assert_eq!(files("0::/"), paths(&["/sys/fs/cgroup/memory.max"]));
        assert_eq!(
            files("4:cpu,memory:/a"),
            paths(&[
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ])
        );
        assert_eq!((files("9:name=systemd:/"), files("nonsense")), (vec![], vec![]));
    }

    #[tokio::test]
    async fn a_trickle_passes() {
        let pressure = Pressure::new(Some(1), 500);
        pressure.passed().await;
        pressure.observe(0);
        assert!(pressure.on.load(Ordering::Relaxed), "a process has more than a byte");
        pressure.passed().await;
    }
}
