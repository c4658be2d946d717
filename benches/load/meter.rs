//! What a process has cost, as Linux counts it under `/proc`.

use std::fs;
use std::time::Duration;

/// Linux counts processor time in hundredths of a second towards programs, whatever its own tick.
const TICK: Duration = Duration::from_millis(10);

/// The processes that are watched.
#[derive(Clone, Copy, Default)]
pub struct Watched {
    /// The service.
    pub service: Option<u32>,
    /// The first process of PostgreSQL; its children count with it.
    pub postmaster: Option<u32>,
}

/// Processor time so far.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub service: Duration,
    pub postgres: Duration,
    /// Of this program.
    pub client: Duration,
}

impl Watched {
    pub fn cpu(&self) -> Cpu {
        let of = |pid: u32| stat(&pid.to_string()).map_or(Duration::ZERO, |s| s.own);
        Cpu {
            service: self.service.map_or(Duration::ZERO, of),
            postgres: self.postmaster.map_or(Duration::ZERO, family),
            client: of(std::process::id()),
        }
    }

    /// Lets the peak be measured from now on. Where the kernel refuses, the peak is that of the process's life.
    pub fn forget_peak(&self) {
        if let Some(pid) = self.service {
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    /// The largest resident size of the service since [`Watched::forget_peak`], in MB.
    pub fn peak_mb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.service?)).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kb| kb / 1024)
    }
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            service: self.service.saturating_sub(before.service),
            postgres: self.postgres.saturating_sub(before.postgres),
            client: self.client.saturating_sub(before.client),
        }
    }
}

struct Stat {
    parent: u32,
    own: Duration,
    /// Of children that have ended.
    ended: Duration,
}

fn stat(pid: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let time = |i: usize| -> Option<Duration> { Some(TICK * fields.get(i)?.parse::<u32>().ok()?) };
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own: time(11)? + time(12)?, ended: time(13)? + time(14)? })
}

/// A process with its children, those that have ended included.
fn family(pid: u32) -> Duration {
    let Some(first) = stat(&pid.to_string()) else { return Duration::ZERO };
    let Ok(all) = fs::read_dir("/proc") else { return first.own };
    let children: Duration = all
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|name| stat(&name))
        .filter(|s| s.parent == pid)
        .map(|s| s.own)
        .sum();
    first.own + first.ended + children
}
