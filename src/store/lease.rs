//! Leases on a patient's lane, a connection or a webhook. A process that dies never releases its lease, so leases are
//! short, and long work extends its lease meanwhile.

use std::time::Duration;

use chrono::TimeDelta;

/// How long something is ours without prolonging it; so long everybody waits for what a crash left behind.
pub const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often it is prolonged: two answers of the database may fail before it is lost.
const EVERY: Duration = Duration::from_secs(10);

/// Does the work, prolonging its lease as long as it takes. Whether the lease is still ours is asked where something is
/// written under it.
pub async fn holding<T, F: Future<Output = ()>>(work: impl Future<Output = T>, prolong: impl Fn() -> F) -> T {
    with_each(EVERY, work, prolong).await
}

async fn with_each<T, F: Future<Output = ()>>(
    pause: Duration,
    work: impl Future<Output = T>,
    prolong: impl Fn() -> F,
) -> T {
    let prolonging = async {
        loop {
            tokio::time::sleep(pause).await;
            prolong().await;
        }
    };
    tokio::select! {
        done = work => done,
        () = prolonging => unreachable!("it goes on for ever"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn long_work_keeps_its_lease_and_short_work_never_prolongs_it() {
        for (milliseconds, expected) in [(0, 0..1), (300, 2..30)] {
            let prolonged = Cell::new(0);
            let prolong = || async { prolonged.set(prolonged.get() + 1) };
            let work = tokio::time::sleep(Duration::from_millis(milliseconds));
            with_each(Duration::from_millis(10), work, prolong).await;
            assert!(expected.contains(&prolonged.get()), "{} times in {milliseconds} ms", prolonged.get());
        }
    }
}
