//! What the kernel says about a process (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Clock ticks per second in `/proc/PID/stat`; the same on every architecture Linux runs on here.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of all threads of a process, in user and kernel mode, since it began.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    parse_cpu_time(&stat).with_context(|| format!("{path} is not understood"))
}

fn parse_cpu_time(stat: &str) -> Option<Duration> {
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs_f64(
        (user + system) as f64 / TICKS_PER_SECOND,
    ))
}

/// Memory of a process in KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Resident set (`VmRSS`).
    pub resident: u64,
    /// Highest resident set so far (`VmHWM`).
    pub peak: u64,
    /// Resident set with shared pages divided among their users (`Pss`); zero where the kernel
    /// does not tell.
    pub proportional: u64,
}

impl Memory {
    /// As it is now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn read(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Ok(Self {
            resident: kib(&status, "VmRSS:").with_context(|| format!("VmRSS in {path}"))?,
            peak: kib(&status, "VmHWM:").with_context(|| format!("VmHWM in {path}"))?,
            proportional: kib(&rollup, "Pss:").unwrap_or(0),
        })
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            peak: self.peak.max(other.peak),
            proportional: self.proportional.max(other.proportional),
        }
    }
}

fn kib(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Model and number of the machine's processors.
#[must_use]
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} x {model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse_cpu_time("7 (a) S 1"), None);
    }

    #[test]
    fn sizes_are_read_in_kib() {
        let status = "Name:\tx\nVmHWM:\t   20 kB\nVmRSS:\t   10 kB\n";
        assert_eq!(kib(status, "VmRSS:"), Some(10));
        assert_eq!(kib(status, "Pss:"), None);
    }
}
