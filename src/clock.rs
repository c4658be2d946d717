//! The source of time and of new ids. Nothing else in the program asks the machine for either.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

/// The service's clock. A clone shows the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<ClockKind>);

#[derive(Debug)]
enum ClockKind {
    /// The machine's time, moved by an offset in microseconds (0 in production).
    Running { offset_us: AtomicI64 },
    /// Stands still until somebody moves it: tests and the demo.
    Standing { now_us: AtomicI64 },
}

impl Clock {
    /// The machine's time.
    pub fn system() -> Self {
        Self(Arc::new(ClockKind::Running { offset_us: AtomicI64::new(0) }))
    }

    /// Starts at `at` and runs on from there (development only).
    pub fn starting_at(at: DateTime<Utc>) -> Self {
        let offset = (at - machine_time()).num_microseconds().unwrap_or(0);
        Self(Arc::new(ClockKind::Running { offset_us: AtomicI64::new(offset) }))
    }

    /// Stands still at `at` until [`Clock::set`].
    pub fn standing_at(at: DateTime<Utc>) -> Self {
        Self(Arc::new(ClockKind::Standing { now_us: AtomicI64::new(at.timestamp_micros()) }))
    }

    /// Moves the clock to `at`.
    pub fn set(&self, at: DateTime<Utc>) {
        match &*self.0 {
            ClockKind::Running { offset_us } => {
                let offset = (at - machine_time()).num_microseconds().unwrap_or(0);
                offset_us.store(offset, Ordering::SeqCst);
            }
            ClockKind::Standing { now_us } => now_us.store(at.timestamp_micros(), Ordering::SeqCst),
        }
    }

    /// The current instant, in microseconds: the precision of both databases.
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &*self.0 {
            ClockKind::Running { offset_us } => {
                (machine_time() + TimeDelta::microseconds(offset_us.load(Ordering::Relaxed))).timestamp_micros()
            }
            ClockKind::Standing { now_us } => now_us.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// Today's date in a clinic's time zone.
    pub fn today(&self, zone: Tz) -> NaiveDate {
        self.now().with_timezone(&zone).date_naive()
    }

    /// A new id, ordered by time.
    pub fn id(&self) -> Uuid {
        new_id()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
fn machine_time() -> DateTime<Utc> {
    Utc::now()
}

/// A new id, ordered by time, where no clock is at hand.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for randomness")]
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}
