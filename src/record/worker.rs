//! A worker takes what is waiting, runs it in one transaction, and answers everybody after the commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use super::job::Job;
use super::merge::{Applied, finish};
use super::queue::Queue;
use super::row_keys::RowKeys;
use super::working_set::WorkingSet;
use super::{
    Command, RecordContext, Recorded, Submission, SubmissionResult, Zones, apply, idempotency, journal_lines, row_moves,
};
use crate::clock::Clock;
use crate::problem::{Category, Problem};
use crate::store::{Db, WriteTx, rule_set};

/// Attempts at a batch that the database rolled back.
const MAX_ATTEMPTS: u32 = 6;

/// State of a recorder's workers.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) db: Db,
    pub(super) zones: Arc<Zones>,
    pub(super) clock: Clock,
    pub(super) written: Arc<Notify>,
    pub(super) journaled: Arc<Notify>,
}

/// Why a batch has no answers.
enum BatchFailure {
    /// Nothing of it was stored.
    RolledBack(Problem),
    /// The outcome of the commit is unknown. A retry could store the care team's entries twice.
    CommitUnknown(Problem),
}
use BatchFailure::{CommitUnknown, RolledBack};

impl From<Problem> for BatchFailure {
    fn from(problem: Problem) -> Self {
        RolledBack(problem)
    }
}

/// The answer of each submission.
type BatchAnswers = Vec<Result<SubmissionResult, Problem>>;

impl Worker {
    pub(super) async fn run(self, queue: Arc<Queue>) {
        while let Some((number, batch)) = queue.next().await {
            let size: usize = batch.iter().map(|job| job.submission.commands.len()).sum();
            metrics::histogram!("cocm_record_batch_facts").record(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
            let answers = self.commit_batch(&batch).await;
            queue.done(number);
            for (job, answer) in batch.into_iter().zip(answers) {
                // Sending fails only where the client has hung up.
                let _ = job.reply.send(answer);
            }
        }
    }

    /// Commits a batch. Where that fails because of something in it, each submission is committed by itself, so that what
    /// the database refuses fails alone.
    async fn commit_batch(&self, batch: &[Job]) -> BatchAnswers {
        let jobs: Vec<&Job> = batch.iter().collect();
        match self.persist(&jobs).await {
            Ok(answers) => answers,
            Err(RolledBack(problem)) if problem.category != Category::Unavailable => {
                let mut answers = Vec::with_capacity(batch.len());
                for job in batch {
                    answers.push(self.commit_separately(job, &problem, batch.len() == 1).await);
                }
                answers
            }
            Err(RolledBack(problem) | CommitUnknown(problem)) => batch.iter().map(|_| Err(problem.clone())).collect(),
        }
    }

    /// Commits one submission, command by command unless it is atomic. `refused` is why the batch failed; `is_whole_batch`
    /// says that this was all of the batch.
    async fn commit_separately(
        &self,
        job: &Job,
        refused: &Problem,
        is_whole_batch: bool,
    ) -> Result<SubmissionResult, Problem> {
        let submission = &job.submission;
        if submission.atomic || submission.commands.len() == 1 || job.idempotency_key.is_some() {
            let answer = if is_whole_batch { Err(RolledBack(refused.clone())) } else { self.persist(&[job]).await };
            return match answer {
                Ok(mut answers) => answers.pop().unwrap_or_else(|| Err(Problem::internal("not answered"))),
                Err(RolledBack(problem)) if !submission.atomic && problem.category != Category::Unavailable => {
                    Ok(vec![Err(problem)])
                }
                Err(RolledBack(problem) | CommitUnknown(problem)) => Err(problem),
            };
        }
        let mut answer = SubmissionResult::with_capacity(submission.commands.len());
        for command in &submission.commands {
            let one = Submission { commands: vec![command.clone()], atomic: true, ..submission.clone() };
            let (mut one, _) = Job::new(one, None);
            one.role = job.role;
            answer.push(match self.persist(&[&one]).await {
                Ok(mut answers) => answers
                    .pop()
                    .and_then(|answer| answer.map(|mut commands| commands.pop()).transpose())
                    .unwrap_or_else(|| Err(Problem::internal("not answered")))
                    .and_then(|recorded| recorded),
                Err(CommitUnknown(problem)) => return Err(problem),
                Err(RolledBack(problem)) if problem.category == Category::Unavailable => return Err(problem),
                Err(RolledBack(problem)) => Err(problem),
            });
        }
        Ok(answer)
    }

    /// Commits submissions in one transaction, and tries again what the database undid: a deadlock, a connection lost before
    /// the commit, somebody who stored the same at the same time.
    async fn persist(&self, jobs: &[&Job]) -> Result<BatchAnswers, BatchFailure> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.attempt(jobs).await {
                Err(RolledBack(problem)) if problem.category == Category::Unavailable && tries < MAX_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(13) * tries).await;
                }
                done => return done,
            }
        }
    }

    async fn attempt(&self, jobs: &[&Job]) -> Result<BatchAnswers, BatchFailure> {
        let Some(clinic) = jobs.first().map(|job| job.submission.clinic.as_str()) else { return Ok(Vec::new()) };
        let mut tx = self.db.begin("record").await?;
        let now = self.clock.now();
        let rules = rule_set::active(&mut tx, clinic).await?;
        let zone = self.zones.of(clinic);
        let today = now.with_timezone(&zone).date_naive();
        let new_id = Uuid::nil();
        let context =
            RecordContext { clinic, by: "", role: None, zone, now, today, rules: &rules, clock: &self.clock, new_id };
        let mut batch = Batch { tx: &mut tx, set: WorkingSet::new(clinic, now, rules.clone()) };
        let answers = match batch.run(&context, jobs).await {
            Ok(answers) => answers,
            Err(problem) => {
                // Where this fails too, the connection is closed with the transaction.
                let _ = tx.rollback().await;
                return Err(RolledBack(problem));
            }
        };
        let (outbox_changed, has_entries) = (batch.set.outbox_changed, !batch.set.journal_entries.is_empty());
        tx.commit().await.map_err(CommitUnknown)?;
        if outbox_changed {
            self.written.notify_one();
        }
        if has_entries {
            self.journaled.notify_one();
        }
        Ok(answers)
    }
}

/// Gather rounds for one command.
const MAX_GATHER_ROUNDS: usize = 32;

/// Submissions in one transaction.
struct Batch<'a> {
    tx: &'a mut WriteTx,
    set: WorkingSet,
}

impl Batch<'_> {
    /// Gathers, applies, writes.
    async fn run(&mut self, context: &RecordContext<'_>, jobs: &[&Job]) -> Result<BatchAnswers, Problem> {
        let mut named = RowKeys::default();
        for job in jobs {
            named.extend(&job.named);
        }
        self.set.gather(self.tx, context, &named).await?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            let context = RecordContext { by: &job.submission.by, role: job.role, ..*context };
            answers.push(self.apply_submission(&context, job).await?);
        }
        self.set.write(self.tx).await?;
        Ok(answers)
    }

    /// Applies one submission. A command that fails takes back its own changes, or those of its submission where that is
    /// atomic.
    async fn apply_submission(
        &mut self,
        context: &RecordContext<'_>,
        job: &Job,
    ) -> Result<Result<SubmissionResult, Problem>, Problem> {
        let Submission { commands, atomic, .. } = &job.submission;
        if let Some(key) = &job.idempotency_key {
            // On a retry, another replica may have answered meanwhile.
            if let Some(before) = self.apply_when_gathered(context, |set| idempotency::answered(set, key)).await?? {
                return Ok(before);
            }
        }
        let begun = self.set.mark();
        let mut answer = SubmissionResult::with_capacity(commands.len());
        for (number, command) in commands.iter().enumerate() {
            let mark = self.set.mark();
            match self.apply_command(context, command).await? {
                Ok(recorded) => answer.push(Ok(recorded)),
                Err(problem) => {
                    let problem = Problem { command: Some(number), ..problem };
                    let is_again = problem.category == Category::Unavailable;
                    if is_again || !self.set.take_back(if *atomic { &begun } else { &mark }) {
                        return Err(problem);
                    }
                    if *atomic {
                        return Ok(Err(problem));
                    }
                    answer.push(Err(problem));
                }
            }
        }
        if let Some(key) = &job.idempotency_key {
            idempotency::remember(&mut self.set, key, &answer)?;
        }
        Ok(Ok(answer))
    }

    /// Applies one command; the inner problem is its own, the outer one the database's.
    async fn apply_command(
        &mut self,
        context: &RecordContext<'_>,
        command: &Command,
    ) -> Result<Result<Recorded, Problem>, Problem> {
        let context = RecordContext { new_id: context.clock.id(), ..*context };
        let before = self.set.journal_entries.len();
        let applied = match self.apply_when_gathered(&context, |set| apply(set, &context, command)).await? {
            Ok(applied) => applied,
            Err(problem) => return Ok(Err(problem)),
        };
        let recorded = match applied {
            Applied::Done(recorded) => recorded,
            Applied::Moves(moves, left) => {
                self.set.write_and_forget(self.tx).await?;
                let parted = row_moves::run(self.tx, &context, &moves).await?;
                match self.apply_when_gathered(&context, |set| finish(set, &context, &parted, &left)).await? {
                    Ok(recorded) => recorded,
                    Err(problem) => return Ok(Err(problem)),
                }
            }
        };
        journal_lines::of_fact(&context, &mut self.set.journal_entries, before, command, &recorded);
        Ok(Ok(recorded))
    }

    /// Applies something, and again while it needs rows that were not gathered.
    async fn apply_when_gathered<T>(
        &mut self,
        context: &RecordContext<'_>,
        apply: impl Fn(&mut WorkingSet) -> Result<T, Problem>,
    ) -> Result<Result<T, Problem>, Problem> {
        for _ in 0..MAX_GATHER_ROUNDS {
            let mark = self.set.mark();
            let answer = apply(&mut self.set);
            let missing = self.set.take_missing();
            if missing.is_empty() {
                return Ok(answer);
            }
            self.set.take_back(&mark);
            self.set.gather(self.tx, context, &missing).await?;
        }
        Err(Problem::internal("a command never has what it needs"))
    }
}
