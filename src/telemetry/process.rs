//! The process's own figures, under the names that Prometheus' client libraries use, so that
//! ready-made dashboards find them. Read from /proc when scraped; figures that the system withholds are left out.

use std::fmt::Write as _;
use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Appends the figures to `output`.
#[allow(clippy::cast_precision_loss)] // Exact up to 8 PiB.
pub(super) fn render(output: &mut String) {
    let resident = resident_bytes().map(|bytes| bytes as f64);
    let figures = [
        ("process_resident_memory_bytes", "gauge", "Resident memory.", resident),
        ("process_cpu_seconds_total", "counter", "CPU time, user and system.", Some(cpu_seconds())),
        ("process_open_fds", "gauge", "Open file descriptors.", open_descriptors()),
        ("process_max_fds", "gauge", "The limit on open file descriptors.", descriptors_max()),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process began, in seconds since 1970.",
            start_seconds(),
        ),
    ];
    for (name, kind, help, value) in figures {
        if let Some(value) = value {
            let _ =
                writeln!(output, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    }
    let (version, name) = (env!("CARGO_PKG_VERSION"), "seawall_build_info");
    let _ =
        writeln!(output, "# HELP {name} 1, with the version of this build.\n# TYPE {name} gauge");
    let _ = writeln!(output, "{name}{{version=\"{version}\"}} 1\n");
}

/// The process's resident memory, in bytes, where the system tells it.
pub(crate) fn resident_bytes() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size())
}

/// CPU time of all threads, user and system, in seconds.
#[allow(clippy::cast_precision_loss)] // Nanoseconds of a second are few.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn open_descriptors() -> Option<f64> {
    // The directory itself is open while it is counted.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

#[allow(clippy::cast_precision_loss)] // A limit, not a sum.
fn descriptors_max() -> Option<f64> {
    getrlimit(Resource::Nofile).current.map(|limit| limit as f64)
}

/// Seconds since 1970 at which the process began.
#[allow(clippy::cast_precision_loss)] // Clock ticks since boot: far below 2^53.
fn start_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses that may hold anything; `starttime` is the 22nd.
    let ticks: u64 = text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: u64 = boot.trim().parse().ok()?;
    Some(boot as f64 + ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_this_process_are_plausible() {
        assert!(resident_bytes().unwrap() > 100_000);
        assert!(cpu_seconds() > 0.0);
        assert!(open_descriptors().unwrap() >= 3.0);
        assert!(descriptors_max().unwrap() >= open_descriptors().unwrap());
        assert!(start_seconds().unwrap() > 1.6e9);
    }

    #[test]
    fn every_figure_is_explained() {
        let mut text = String::new();
        render(&mut text);
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for name in names.filter_map(|line| line.split(' ').next()) {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}: {text}");
        }
    }
}
