//! CPU time and memory, as Linux tells them under `/proc`.

use std::time::Duration;

use anyhow::Context as _;

/// The unit of the times in `/proc`: a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time, user and system, of this process.
pub(crate) fn of_this_process() -> anyhow::Result<Duration> {
    time("/proc/self/stat")
}

/// The CPU time of another process.
pub(crate) fn of_process(pid: u32) -> anyhow::Result<Duration> {
    time(&format!("/proc/{pid}/stat"))
}

/// The CPU time of a thread of this process.
pub(crate) fn of_thread(thread: u32) -> anyhow::Result<Duration> {
    time(&format!("/proc/self/task/{thread}/stat"))
}

/// The number of the thread that calls.
pub(crate) fn this_thread() -> anyhow::Result<u32> {
    let link = std::fs::read_link("/proc/thread-self").context("this needs Linux")?;
    let number = link.file_name().and_then(|name| name.to_str());
    Ok(number
        .context("/proc/thread-self names no thread")?
        .parse()?)
}

/// The most memory that this process has had at a time, in MiB.
pub(crate) fn peak_memory_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib.context("/proc/self/status tells no VmHWM")?.parse()?;
    Ok(kib / 1024.0)
}

fn time(path: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(path).with_context(|| format!("could not read {path}"))?;
    // The second field is a name in parentheses, which may hold spaces.
    let (_, fields) = stat.rsplit_once(')').context("it has no name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || {
        fields
            .next()
            .context("it is too short")?
            .parse::<u32>()
            .map_err(anyhow::Error::from)
    };
    Ok(TICK * (ticks()? + ticks()?))
}
