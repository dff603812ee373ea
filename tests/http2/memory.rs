//! The most that the process has held: a look afterwards would not see what was given back in time.

use evenkeel_testkit::Proxy;
use std::fs;

/// What a process holds from now on.
pub(super) struct Memory {
    process: u32,
    before: u64,
}

impl Memory {
    pub(super) fn of(proxy: &Proxy) -> Self {
        let process = proxy.id();
        // proc_pid_clear_refs(5): the peak is forgotten.
        fs::write(format!("/proc/{process}/clear_refs"), "5").expect("a process of our own");
        Self { process, before: peak(process) }
    }

    /// KiB that it has held at most beyond what it held at first.
    pub(super) fn grown(&self) -> u64 {
        peak(self.process).saturating_sub(self.before)
    }
}

/// The largest resident size since the peak was forgotten, in KiB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
