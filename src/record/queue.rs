//! Who is served next. A person's click goes before a form, a form before a backfill; within a kind, whoever came first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::Command;
use super::job::Job;
use crate::problem::{Category, Problem};

/// How many commands share a transaction at the most; an atomic submission may have more.
const BATCH: usize = 256;
/// How many commands of a backfill share a transaction with others, and how large its pieces are.
pub(super) const PIECE: usize = 64;
/// How many submissions wait in a queue before whoever brings the next one has to wait outside.
const ROOM: usize = 1024;

/// What a submission is, by who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Somebody looks at the screen.
    Person,
    /// A system sends a few resources.
    Form,
    /// Nobody waits: a load, a sweep, an import.
    Backfill,
}

impl Turn {
    fn of(facts: &[Command]) -> Self {
        let is_entry = |fact: &Command| {
            matches!(
                fact,
                Command::Enrolled { .. }
                    | Command::Amended { .. }
                    | Command::Cared { .. }
                    | Command::OfPatient { .. }
                    | Command::Measured { .. }
            )
        };
        if facts.len() >= PIECE
            || facts.iter().any(|fact| matches!(fact, Command::LookedAt { .. } | Command::Imported(_)))
        {
            Self::Backfill
        } else if facts.iter().all(is_entry) {
            Self::Person
        } else {
            Self::Form
        }
    }
}

/// Submissions that wait for one worker.
pub(super) struct Queue {
    waiting: Mutex<WaitingJobs>,
    news: Notify,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct WaitingJobs {
    /// By [`Turn`], each with its number in order of arrival.
    turns: [VecDeque<(u64, Job)>; 3],
    arrived: u64,
    closed: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), news: Notify::new(), room: Arc::new(Semaphore::new(ROOM)) }
    }

    /// Lets a submission wait for its turn.
    pub(super) async fn push(&self, mut job: Job) -> Result<(), Problem> {
        let stopping = || Problem::new(Category::Unavailable, "the service is stopping");
        job.place = Some(self.room.clone().acquire_owned().await.map_err(|_| stopping())?);
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.closed {
                return Err(stopping());
            }
            waiting.push(job);
        }
        self.news.notify_one();
        Ok(())
    }

    /// The submissions of one clinic that share the next transaction; `None` after the end.
    pub(super) async fn next(&self) -> Option<Vec<Job>> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let batch = waiting.take();
                if !batch.is_empty() {
                    return Some(batch);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// Takes no more; what waits is served.
    pub(super) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.news.notify_one();
    }
}

impl WaitingJobs {
    fn push(&mut self, job: Job) {
        self.arrived += 1;
        self.turns[Turn::of(&job.submission.facts) as usize].push_back((self.arrived, job));
    }

    /// The clinic that has waited longest is served, all that fits in order of turn. So no clinic waits for another one's
    /// backfill, and no backfill waits for ever.
    fn take(&mut self) -> Vec<Job> {
        let first = self.turns.iter().filter_map(VecDeque::front).min_by_key(|(arrived, _)| *arrived);
        let Some(clinic) = first.map(|(_, job)| job.submission.clinic.clone()) else { return Vec::new() };
        let (mut batch, mut size) = (Vec::new(), 0);
        for turn in &mut self.turns {
            let limit = if batch.is_empty() { BATCH } else { BATCH.min(size + PIECE) };
            let mut is_full = false;
            let mut left = VecDeque::with_capacity(turn.len());
            for (arrived, job) in turn.drain(..) {
                let facts = job.submission.facts.len();
                let is_ours = job.submission.clinic == clinic;
                if is_ours && !is_full && (batch.is_empty() || size + facts <= limit) {
                    size += facts;
                    batch.push(job);
                } else {
                    is_full |= is_ours;
                    left.push_back((arrived, job));
                }
            }
            *turn = left;
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use crate::id::{EpisodeId, PatientId};

    use super::super::Submission;
    use super::*;

    fn job(clinic: &str, facts: Vec<Command>) -> Job {
        let submission = Submission { clinic: clinic.to_owned(), by: "test".to_owned(), facts, atomic: false };
        Job::new(submission, None).0
    }

    fn click() -> Command {
        let care = crate::domain::care::Care::DiscussionFlag { raised: true, note: None };
        Command::Cared {
            episode: EpisodeId::default(),
            on: chrono::NaiveDate::default(),
            at: None,
            care,
            if_match: None,
        }
    }

    fn sizes(batch: &[Job]) -> Vec<(&str, usize)> {
        batch.iter().map(|job| (job.submission.clinic.as_str(), job.submission.facts.len())).collect()
    }

    #[test]
    fn a_click_goes_before_a_backfill_that_came_before() {
        let mut waiting = WaitingJobs::default();
        for _ in 0..3 {
            waiting.push(job("a", vec![Command::LookedAt { patient: PatientId::default() }; PIECE]));
        }
        waiting.push(job("a", vec![click()]));
        assert_eq!(sizes(&waiting.take()), [("a", 1), ("a", PIECE)]);
        assert_eq!(sizes(&waiting.take()), [("a", PIECE), ("a", PIECE)]);
        assert!(waiting.take().is_empty());
    }

    #[test]
    fn a_batch_is_of_the_clinic_that_has_waited_longest() {
        let mut waiting = WaitingJobs::default();
        waiting.push(job("a", vec![Command::LookedAt { patient: PatientId::default() }]));
        waiting.push(job("b", vec![click()]));
        waiting.push(job("a", vec![click()]));
        assert_eq!(sizes(&waiting.take()), [("a", 1), ("a", 1)]);
        assert_eq!(sizes(&waiting.take()), [("b", 1)]);
    }
}
