//! Peak memory of this process after an M/M/1 run of ten million customers, statistics on \[MB\].

use std::fs;
use std::process::ExitCode;

use splitscale_sim::Simulation;
use splitscale_sim_peers::mm1_of;

const CUSTOMERS: u32 = 10_000_000;

fn main() -> ExitCode {
    let outcome = Simulation::of(&mm1_of(CUSTOMERS), 1, 0).run_to_end().expect("the run ends");
    assert_eq!(outcome.latency.answered, u64::from(CUSTOMERS));
    match peak_mb() {
        Some(peak_mb) => {
            println!("{peak_mb}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("this system does not tell a process's peak memory in /proc/self/status");
            ExitCode::FAILURE
        }
    }
}

fn peak_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1.024e-3)
}
