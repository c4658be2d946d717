//! The entrance of the hallway.

use std::sync::Arc;

use tokio::sync::Notify;

use super::job::Job;
use super::queue::{PIECE, Queue};
use super::worker::Worker;
use super::{Command, IdempotencyKey, Recorded, Submission, SubmissionResult, Zones};
use crate::clock::Clock;
use crate::problem::{Category, Problem};
use crate::store::Db;

/// The entrance of the hallway. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    entrance: Arc<Entrance>,
    journaled: Arc<Notify>,
}

/// The queue, which closes with the last recorder.
struct Entrance(Arc<Queue>);

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Recorder {
    /// Starts the workers. `written` is told after each commit that left something to deliver.
    pub fn start(db: &Db, zones: Zones, clock: Clock, written: Arc<Notify>) -> Self {
        let journaled: Arc<Notify> = Arc::default();
        let worker = Worker { db: db.clone(), zones: Arc::new(zones), clock, written, journaled: journaled.clone() };
        let queue = Arc::new(Queue::new());
        for _ in 0..db.recorders() {
            tokio::spawn(worker.clone().run(queue.clone()));
        }
        Self { entrance: Arc::new(Entrance(queue)), journaled }
    }

    /// Notified after each commit that wrote journal entries.
    pub fn journaled(&self) -> Arc<Notify> {
        self.journaled.clone()
    }

    /// Records a submission; answers after the commit. One that is not atomic and large goes in pieces, so that others are
    /// served in between.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot commit now: nothing of the submission was stored, or of its last pieces.
    /// For an atomic submission, the problem of the fact that failed.
    pub async fn record(&self, submission: Submission) -> Result<SubmissionResult, Problem> {
        if submission.atomic || submission.commands.len() <= PIECE {
            return self.record_once(submission, None).await;
        }
        let mut answer = SubmissionResult::with_capacity(submission.commands.len());
        let mut commands = submission.commands.into_iter();
        loop {
            let piece: Vec<Command> = commands.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                return Ok(answer);
            }
            let (clinic, by) = (submission.clinic.clone(), submission.by.clone());
            answer.extend(self.record_once(Submission { clinic, by, commands: piece, atomic: false }, None).await?);
        }
    }

    /// Records a submission unless one was committed under the same key before: then answers as it did.
    ///
    /// # Errors
    /// As [`Recorder::record`]; `Unprocessable` when the key was used for another request.
    pub async fn record_once(
        &self,
        submission: Submission,
        once: Option<IdempotencyKey>,
    ) -> Result<SubmissionResult, Problem> {
        let (job, answer) = Job::new(submission, once);
        self.entrance.0.push(job).await?;
        answer.await.map_err(|_| Problem::new(Category::Unavailable, "the service is stopping"))?
    }

    /// Records one fact.
    ///
    /// # Errors
    /// As [`Recorder::record`], and the problem of the fact itself.
    pub async fn one(&self, clinic: &str, by: &str, command: Command) -> Result<Recorded, Problem> {
        let submission =
            Submission { clinic: clinic.to_owned(), by: by.to_owned(), commands: vec![command], atomic: true };
        let mut answer = self.record(submission).await?;
        answer.pop().unwrap_or_else(|| Err(Problem::internal("a fact was not answered")))
    }
}
