//! CPU time and memory of other processes, from `/proc`.

use std::collections::HashMap;

/// CPU seconds spent so far by these processes and everything below them, ended children included.
pub(crate) fn seconds(roots: &[u32]) -> Option<f64> {
    let processes: HashMap<u32, Stat> = std::fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| Stat::read(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut ticks = 0;
    let mut of_ours = roots.to_vec();
    while let Some(pid) = of_ours.pop() {
        let stat = processes.get(&pid)?;
        ticks += stat.own + stat.of_ended_children;
        of_ours.extend(processes.iter().filter(|(_, other)| other.parent == pid).map(|(child, _)| *child));
    }
    #[expect(clippy::cast_precision_loss, reason = "ticks of one run")]
    Some(ticks as f64 / TICKS_PER_SECOND)
}

/// CPU seconds spent so far by everybody on this machine, and what its host took from it.
pub(crate) fn of_everybody() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    // proc(5): user, nice, system, idle, iowait, irq, softirq, steal
    let fields: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|field| fields.get(*field)).sum();
    #[expect(clippy::cast_precision_loss, reason = "ticks since the start of the machine")]
    Some(busy as f64 / TICKS_PER_SECOND)
}

/// What a process holds in memory.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1_024)
}

struct Stat {
    parent: u32,
    own: u64,
    of_ended_children: u64,
}

impl Stat {
    /// proc(5): after the command in parentheses come state, ppid, …, utime (14), stime (15), cutime (16), cstime (17).
    fn read(pid: u32) -> Option<(u32, Self)> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let stat = Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(14)? + ticks(15)?,
            of_ended_children: ticks(16)? + ticks(17)?,
        };
        Some((pid, stat))
    }
}

/// USER_HZ, 100 on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
