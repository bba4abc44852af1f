//! The table.

use std::fmt::Write as _;

use benches::process::{self, Memory};

use crate::server::{Counters, LegCounters};

/// The server without calls, after it has had some.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// Of one core.
    pub(crate) cpu_percent: f64,
    pub(crate) memory: Memory,
}

/// What one number of calls came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Calls asked for.
    pub(crate) calls: u32,
    /// Calls on the line over the window, on average.
    pub(crate) active: f64,
    /// Of one core, over the window.
    pub(crate) cpu_percent: f64,
    /// The load generator's, of one core.
    pub(crate) callers_cpu_percent: f64,
    /// Highest of the window.
    pub(crate) memory: Memory,
    /// Over the window.
    pub(crate) window: Counters,
    /// From before the first to after the last call.
    pub(crate) whole: Counters,
    /// sipp processes that saw a call fail.
    pub(crate) sipp_failures: usize,
    /// Over all calls, if known.
    pub(crate) legs: Option<LegCounters>,
}

/// A Markdown table with what it needs to be understood.
pub(crate) fn table(conditions: &str, idle: Idle, steps: &[Step]) -> String {
    let mut out = format!(
        "{conditions}; {}; idle after the first calls: {:.1} % CPU, {:.1} MiB resident, \
         {:.1} MiB Pss\n\n",
        process::machine(),
        idle.cpu_percent,
        mib(idle.memory.resident),
        mib(idle.memory.proportional),
    );
    out.push_str(
        "| calls | on the line | CPU % of a core | CPU % per call | RSS MiB | KiB per call \
         | Pss MiB | late slots | ticks skipped | send failures | frames dropped | underruns \
         | lost packets | refused | failed | callers' CPU % |\n",
    );
    out.push_str(&"|---:".repeat(16));
    out.push_str("|\n");
    for step in steps {
        let on_line = step.active.max(1.0);
        let grown = step.memory.resident.saturating_sub(idle.memory.resident) as f64;
        let leg = |of: fn(&LegCounters) -> u64| {
            step.legs
                .as_ref()
                .map_or("-".to_owned(), |legs| of(legs).to_string())
        };
        let failed = match step.sipp_failures {
            0 => step.whole.failed.to_string(),
            // A server that ends a call early looks well to itself and not to the caller.
            more => format!("{} ({more} sipp)", step.whole.failed),
        };
        let _ = writeln!(
            out,
            "| {} | {:.1} | {:.1} | {:.3} | {:.1} | {:.0} | {:.1} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} |",
            step.calls,
            step.active,
            step.cpu_percent,
            step.cpu_percent / on_line,
            mib(step.memory.resident),
            grown / on_line,
            mib(step.memory.proportional),
            step.window.late_slots,
            step.window.ticks_skipped,
            step.window.send_failures,
            leg(|legs| legs.frames_dropped),
            leg(|legs| legs.underruns),
            leg(|legs| legs.packets_lost),
            step.whole.refused,
            failed,
            step.callers_cpu_percent,
        );
    }
    let peak = steps.iter().map(|step| step.memory.peak).max();
    if let Some(peak) = peak {
        let _ = writeln!(
            out,
            "\nHighest resident size of the run: {:.1} MiB.",
            mib(peak)
        );
    }
    out
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_per_call_leave_the_idle_server_out() {
        let memory = |resident| Memory {
            resident,
            peak: resident,
            proportional: 0,
        };
        let step = Step {
            calls: 100,
            active: 100.0,
            cpu_percent: 25.0,
            callers_cpu_percent: 10.0,
            memory: memory(30_480),
            window: Counters::default(),
            whole: Counters::default(),
            sipp_failures: 0,
            legs: None,
        };
        let idle = Idle {
            cpu_percent: 1.0,
            memory: memory(10_480),
        };
        let table = table("x", idle, &[step]);
        let rows: Vec<&str> = table.lines().filter(|l| l.starts_with('|')).collect();
        let columns = |row: &str| row.matches('|').count();
        assert!(
            rows.iter().all(|row| columns(row) == columns(rows[0])),
            "{table}"
        );
        assert!(rows[2].contains("| 0.250 |"), "{table}");
        assert!(rows[2].contains("| 200 |"), "{table}");
    }
}
