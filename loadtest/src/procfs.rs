//! Processor time and memory of a process on this machine, for processes that report neither
//! themselves.

use std::fs;

/// Seconds of processor time that a process has used, user and system; `None` when it has ended.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; the fields that count follow it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_uses_some() {
        assert!(super::cpu_seconds(std::process::id()).is_some_and(|seconds| seconds < 1e6));
        assert_eq!(super::cpu_seconds(u32::MAX), None);
    }
}
