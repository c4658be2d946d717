//! Who is served next. A person's click goes before a form, a form before a backfill; within a kind, whoever came first.
//!
//! Where several may write, several workers serve one queue. What is about the same as a batch that is being written waits for
//! its commit, so commands about one patient keep their order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::Command;
use super::job::Job;
use super::row_keys::RowKeys;
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
    fn of(commands: &[Command]) -> Self {
        let is_entry = |command: &Command| {
            matches!(
                command,
                Command::Enroll { .. }
                    | Command::AmendEpisode { .. }
                    | Command::RecordCare { .. }
                    | Command::RecordPatientCare { .. }
                    | Command::RecordMeasurement { .. }
            )
        };
        if commands.len() >= PIECE
            || commands.iter().any(|command| matches!(command, Command::Replan { .. } | Command::ImportCase(_)))
        {
            Self::Backfill
        } else if commands.iter().all(is_entry) {
            Self::Person
        } else {
            Self::Form
        }
    }
}

/// Submissions that wait for the workers.
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
    /// What is being written: the number of the batch, its clinic, and what it names.
    running: Vec<(u64, String, RowKeys)>,
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

    /// The submissions of one clinic that share the next transaction, and the number to call [`Queue::done`] with; `None`
    /// after the end.
    pub(super) async fn next(&self) -> Option<(u64, Vec<Job>)> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(batch) = waiting.take() {
                    if !waiting.is_empty() {
                        self.news.notify_one();
                    }
                    return Some(batch);
                }
                if waiting.closed && waiting.is_empty() {
                    // The other workers end too.
                    self.news.notify_one();
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// A batch was written, or not: what waited for it may go on.
    pub(super) fn done(&self, number: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.running.retain(|(running, ..)| *running != number);
        self.news.notify_one();
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
        self.turns[Turn::of(&job.submission.commands) as usize].push_back((self.arrived, job));
    }

    fn is_empty(&self) -> bool {
        self.turns.iter().all(VecDeque::is_empty)
    }

    /// The clinic that has waited longest is served, all that fits in order of turn. So no clinic waits for another one's
    /// backfill, and no backfill waits for ever. A clinic of which everything waits for a batch that is being written is
    /// passed over.
    fn take(&mut self) -> Option<(u64, Vec<Job>)> {
        let all = self.turns.iter().flatten();
        let mut clinics: Vec<(u64, String)> = Vec::new();
        for (arrived, job) in all {
            let clinic = &job.submission.clinic;
            match clinics.iter_mut().find(|(_, known)| known == clinic) {
                Some((first, _)) => *first = (*first).min(*arrived),
                None => clinics.push((*arrived, clinic.clone())),
            }
        }
        clinics.sort_unstable();
        clinics.into_iter().find_map(|(_, clinic)| {
            let batch = self.take_of(&clinic);
            if batch.is_empty() {
                return None;
            }
            let mut named = RowKeys::default();
            for job in &batch {
                named.extend(&job.named);
            }
            // A number that nothing else has: the first that waits may have been passed over.
            self.arrived += 1;
            self.running.push((self.arrived, clinic, named));
            Some((self.arrived, batch))
        })
    }

    /// What of a clinic can be written now.
    fn take_of(&mut self, clinic: &str) -> Vec<Job> {
        let (mut batch, mut size) = (Vec::new(), 0);
        let mut busy = RowKeys::default();
        for (.., named) in self.running.iter().filter(|(_, of, _)| of == clinic) {
            busy.extend(named);
        }
        for turn in &mut self.turns {
            let limit = if batch.is_empty() { BATCH } else { BATCH.min(size + PIECE) };
            let mut is_full = false;
            let mut left = VecDeque::with_capacity(turn.len());
            for (arrived, job) in turn.drain(..) {
                let commands = job.submission.commands.len();
                let is_ours = job.submission.clinic == clinic;
                let waits = is_ours && job.named.touch(&busy);
                if is_ours && !waits && !is_full && (batch.is_empty() || size + commands <= limit) {
                    size += commands;
                    batch.push(job);
                    continue;
                }
                if waits {
                    busy.extend(&job.named);
                } else {
                    is_full |= is_ours;
                }
                left.push_back((arrived, job));
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

    fn job(clinic: &str, commands: Vec<Command>) -> Job {
        let submission = Submission { clinic: clinic.to_owned(), by: "test".to_owned(), commands, atomic: false };
        Job::new(submission, None).0
    }

    fn click() -> Command {
        let care = crate::domain::care::Care::DiscussionFlag { raised: true, note: None };
        Command::RecordCare {
            episode: EpisodeId::default(),
            on: chrono::NaiveDate::default(),
            at: None,
            care,
            if_match: None,
        }
    }

    /// The clinic and the size of each submission of the next batch, which is written at once.
    fn sizes(waiting: &mut WaitingJobs) -> Vec<(String, usize)> {
        let Some((number, batch)) = waiting.take() else { return Vec::new() };
        waiting.running.retain(|(running, ..)| *running != number);
        batch.into_iter().map(|job| (job.submission.clinic, job.submission.commands.len())).collect()
    }

    fn of(clinic: &str, size: usize) -> (String, usize) {
        (clinic.to_owned(), size)
    }

    #[test]
    fn a_click_goes_before_a_backfill_that_came_before() {
        let mut waiting = WaitingJobs::default();
        for _ in 0..3 {
            waiting.push(job("a", vec![Command::Replan { patient: PatientId::default() }; PIECE]));
        }
        waiting.push(job("a", vec![click()]));
        assert_eq!(sizes(&mut waiting), [of("a", 1), of("a", PIECE)]);
        assert_eq!(sizes(&mut waiting), [of("a", PIECE), of("a", PIECE)]);
        assert!(waiting.take().is_none());
    }

    #[test]
    fn a_batch_is_of_the_clinic_that_has_waited_longest() {
        let mut waiting = WaitingJobs::default();
        waiting.push(job("a", vec![Command::Replan { patient: PatientId::default() }]));
        waiting.push(job("b", vec![click()]));
        waiting.push(job("a", vec![click()]));
        assert_eq!(sizes(&mut waiting), [of("a", 1), of("a", 1)]);
        assert_eq!(sizes(&mut waiting), [of("b", 1)]);
    }

    fn about(patient: u128) -> Vec<Command> {
        vec![Command::Replan { patient: PatientId(uuid::Uuid::from_u128(patient)) }]
    }

    #[test]
    fn what_is_about_a_patient_that_is_being_written_waits_and_keeps_its_order() {
        let mut waiting = WaitingJobs::default();
        waiting.push(job("a", about(1)));
        let (number, batch) = waiting.take().unwrap();
        assert_eq!(batch.len(), 1);
        // The third is about the patient of the second, which has to wait.
        waiting.push(job("a", [about(1), about(2)].concat()));
        waiting.push(job("a", about(2)));
        waiting.push(job("a", about(3)));
        waiting.push(job("b", about(1)));
        let (other, batch) = waiting.take().unwrap();
        assert_eq!(batch[0].named, RowKeys::of("a", &about(3), None));
        assert_ne!(other, number, "each batch ends by itself");
        waiting.running.retain(|(running, ..)| *running != other);
        assert_eq!(sizes(&mut waiting), [of("b", 1)], "another clinic has its own patients");
        assert!(waiting.take().is_none());
        waiting.running.retain(|(running, ..)| *running != number);
        assert_eq!(sizes(&mut waiting), [of("a", 2), of("a", 1)]);
    }
}
