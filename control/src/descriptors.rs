//! How many files and sockets the process may hold.

/// Descriptors of a call: two sockets, its recording, and what is open for a moment.
const PER_CALL: u64 = 4;
/// Descriptors beside calls: listeners, the database, requests.
const BASE: u64 = 256;

/// Raises the limit of open descriptors to what the system allows, and warns when even that is too
/// little for `calls_max` calls. Shells start programs with 1,024, which is fewer than 500 calls.
#[allow(unsafe_code)]
pub(crate) fn raise_limit(calls_max: usize) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the answer, and outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: `raised` is a valid limit, and outlives the call.
    let allowed = if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        raised.rlim_cur
    } else {
        limit.rlim_cur
    };
    let needed = needed(calls_max);
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            calls_max,
            "too few file descriptors for server.calls_max; raise the hard limit (ulimit -Hn)"
        );
    }
}

fn needed(calls_max: usize) -> u64 {
    (calls_max as u64).saturating_mul(PER_CALL) + BASE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_may_hold_as_much_as_the_system_allows() {
        raise_limit(1);
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let numbers: Vec<&str> = line.unwrap().split_whitespace().skip(3).take(2).collect();
        assert_eq!(numbers[0], numbers[1]);
        assert_eq!(needed(500), 2_256);
    }
}
