//! Whether there is memory for more: the first defence, in front of everything else. Under pressure,
//! accepting slows to a trickle, and the kernel's queue waits.
//!
//! A trickle and not a halt: freed memory is not always given back to the system, and a gateway that
//! waited for that for ever would be down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::telemetry::events::admission::PressureChanged;
use crate::telemetry::resident_bytes;

/// Between two connections of one listening socket, under pressure.
const RESPITE: Duration = Duration::from_millis(100);
/// Pressure begins at nine tenths, and ends at eight.
const TENTHS_ON: usize = 9;
const TENTHS_OFF: usize = 8;

/// See the module.
pub(super) struct Pressure {
    on: AtomicBool,
    /// Resident memory; `usize::MAX` without a bound.
    memory_max: usize,
    buffered_bytes_max: usize,
}

impl Pressure {
    pub(super) fn new(memory_max: Option<usize>, buffered_bytes_max: usize) -> Self {
        let memory_max = memory_max.or_else(control_group_max).unwrap_or(usize::MAX);
        Self { on: AtomicBool::new(false), memory_max, buffered_bytes_max }
    }

    /// Looks at what is used; `buffered_bytes` are those of messages that have not wholly arrived.
    pub(super) fn observe(&self, buffered_bytes: usize) {
        let resident = resident_bytes().unwrap_or(0);
        let on = self.judge(resident, buffered_bytes);
        if self.on.swap(on, Ordering::Relaxed) != on {
            let memory_max = self.memory_max;
            PressureChanged { on, resident_bytes: resident, memory_max, buffered_bytes }.emit();
        }
    }

    fn judge(&self, resident: usize, buffered: usize) -> bool {
        let was = self.on.load(Ordering::Relaxed);
        let tenths = if was { TENTHS_OFF } else { TENTHS_ON };
        resident > self.memory_max / 10 * tenths || buffered > self.buffered_bytes_max / 10 * tenths
    }

    /// Returns at once, or under pressure after a respite.
    pub(super) async fn passed(&self) {
        if self.on.load(Ordering::Relaxed) {
            tokio::time::sleep(RESPITE).await;
        }
    }
}

/// What its control groups leave this process: the least of its own group's bound and those above it. Within
/// a container the group's name is often that of another file system: what is missing there bounds nothing.
fn control_group_max() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let read = |file: &Path| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    groups.lines().filter_map(bound_files).flatten().filter_map(|file| read(&file)).min()
}

/// Of a line in /proc/self/cgroup, `hierarchy:controllers:group` (cgroups(7)), the files that bound memory:
/// of version 2 with no controllers, of version 1 with that of memory. The root group of version 2 has no such
/// file, and "max" in it is no number.
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

    #[test]
    fn begins_near_the_bound_and_ends_well_below() {
        let pressure = Pressure::new(Some(1_000), 500);
        let judged = |resident, buffered| {
            let on = pressure.judge(resident, buffered);
            pressure.on.store(on, Ordering::Relaxed);
            on
        };
        assert!(!judged(900, 450));
        assert!(judged(901, 0));
        assert!(judged(850, 0));
        assert!(!judged(800, 400));
        assert!(judged(0, 451));
        assert!(!judged(0, 399));
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
