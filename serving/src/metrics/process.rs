//! What the process itself takes, under the names that every Prometheus client gives it.

use std::fs;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::time::{ClockId, clock_gettime};

use super::{Exposition, PROCESS_CPU};

/// Adds what the system tells; where there is no `/proc`, the CPU time alone.
pub(super) fn expose(text: &mut Exposition) {
    let clock = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default().as_secs_f64();
    text.metric(PROCESS_CPU, "counter", "CPU time of the process, user and system.")
        .sample(&[], clock(ClockId::ProcessCPUTime));
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // One of them is that of the reading.
        text.metric("process_open_fds", "gauge", "Open file descriptors.")
            .sample(&[], descriptors.count().saturating_sub(1) as f64);
    }
    if let Some(Stat { start_ticks, resident_pages, .. }) = Stat::of("self") {
        text.metric("process_resident_memory_bytes", "gauge", "Memory of the process that is in RAM.")
            .sample(&[], resident_pages as f64 * page_size() as f64);
        if let Some(uptime_s) = uptime_s() {
            let age_s = uptime_s - start_ticks as f64 / clock_ticks_per_second() as f64;
            text.metric("process_start_time_seconds", "gauge", "Unix time at which the process started.")
                .sample(&[], clock(ClockId::Realtime) - age_s);
        }
    }
}

/// CPU time of the children, those that ended and those of these numbers that live \[s\]; absent where there is no `/proc`.
pub(crate) fn children_cpu_s(pids: impl Iterator<Item = u32>) -> Option<f64> {
    // A child that ends between the two looks is counted twice until the next scrape, which Prometheus takes for a restart then.
    let live = pids.filter_map(|pid| Some(Stat::of(&pid.to_string())?.own_ticks)).sum::<u64>();
    let ticks = Stat::of("self")?.ended_children_ticks + live;
    Some(ticks as f64 / clock_ticks_per_second() as f64)
}

/// Time since the machine started.
fn uptime_s() -> Option<f64> {
    fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()
}

/// What is wanted of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// CPU time, user and system.
    own_ticks: u64,
    /// The same of children that ended and were waited for.
    ended_children_ticks: u64,
    /// Since the machine started.
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn of(process: &str) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// Fields 14 to 17, 22 and 24, counted from 1 (proc_pid_stat(5)); field 2, the name, may hold anything.
    fn parse(text: &str) -> Option<Stat> {
        let (_, after_name) = text.rsplit_once(')')?;
        let field = |number: usize| after_name.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            own_ticks: field(14)? + field(15)?,
            ended_children_ticks: field(16)? + field(17)?,
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_process_is_called() {
        let line =
            "7 (a) b (c) S 1 7 7 0 -1 4194304 5 6 7 8 9 10 11 12 20 0 3 0 2211 999 1234 18446744073709551615";
        let stat = Stat {
            own_ticks: 9 + 10,
            ended_children_ticks: 11 + 12,
            start_ticks: 2211,
            resident_pages: 1234,
        };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }
}
