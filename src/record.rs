//! The hallway. Every change to a patient's story is a [`Command`] for [`Recorder::record`]; nothing else writes it.
//!
//! It locks the patient, loads the story, lets the fact change it, asks the planner, and writes the resource, the
//! measurement, the new standing, the log and the outbox: all or nothing. A 2xx always means committed.
//!
//! A commit with fsync costs milliseconds, so it is shared: a worker takes what is waiting, runs it in one transaction,
//! commits once, and then answers everybody. If a fact fails, the transaction is run again with a savepoint for each
//! submission, so that it fails alone.

mod resource_arrival;
mod decide;
mod dossier;
mod care_entry;
mod amend;
mod candidate;
mod documents;
mod evidence;
mod command;
mod recommendation_rows;
mod identify;
mod merge;
mod patient_match;
mod possible_match;
mod import;
mod single_items;
mod journal_lines;
mod person;
mod read_back;
mod settle;
mod idempotency;
mod rules;
mod sessions;
mod closing;
mod zones;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
pub use crate::domain::day::local_midnight;
use crate::domain::rules::RuleSet;
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::content::{Content, Subject};
use crate::identity::{Role, acting};
use crate::problem::{Category, Problem};
use crate::store::{Db, Tx, journal};
pub use closing::{RestatementResult, close, figures, restate};
pub use command::{
    Amendment, Change, Command, CommandEffect, Condition, ImportCount, PatientKey, Recorded, Sighting, Submission,
    SubmissionResult,
};
use dossier::Dossiers;
pub use idempotency::IdempotencyKey;
pub use import::{Additions, ImportPreview, ImportedCase, ImportedScore, foresee};
pub use rules::{activate, attest, propose};
pub use sessions::{DeferredItem, close_session, fold_item, open_session};
pub use zones::Zones;

/// How many facts share a transaction at the most.
const BATCH: usize = 256;

/// How often a batch is tried that the database undid.
const TRIES: u64 = 6;

struct Job {
    submission: Submission,
    once: Option<IdempotencyKey>,
    role: Option<Role>,
    reply: oneshot::Sender<Result<SubmissionResult, Problem>>,
}

/// The entrance of the hallway. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    lanes: Arc<Vec<mpsc::Sender<Job>>>,
    journaled: Arc<tokio::sync::Notify>,
}

/// A submission, under which key it may happen only once, and in which role it was made.
type KeyedSubmission<'a> = (&'a Submission, Option<&'a IdempotencyKey>, Option<Role>);

/// State of a recorder's worker.
#[derive(Clone)]
struct Worker {
    number: u64,
    db: Db,
    zones: Arc<Zones>,
    clock: Clock,
    written: Arc<tokio::sync::Notify>,
    journaled: Arc<tokio::sync::Notify>,
}

/// What a fact is recorded with.
struct RecordContext<'a> {
    clinic: &'a str,
    by: &'a str,
    role: Option<Role>,
    zone: Tz,
    now: DateTime<Utc>,
    today: NaiveDate,
    rules: &'a RuleSet,
    clock: &'a Clock,
}

impl Recorder {
    /// Starts the workers: one where the database has one writer, several otherwise. `written` is told after each
    /// commit that left something to deliver.
    pub fn start(db: &Db, zones: Zones, clock: Clock, written: Arc<tokio::sync::Notify>) -> Self {
        let journaled: Arc<tokio::sync::Notify> = Arc::default();
        let (db, zones) = (db.clone(), Arc::new(zones));
        let worker = Worker { number: 0, db: db.clone(), zones, clock, written, journaled: journaled.clone() };
        let lanes = (0..db.writers())
            .map(|number| {
                let (sender, receiver) = mpsc::channel(1024);
                let worker = Worker { number: u64::try_from(number).unwrap_or(0), ..worker.clone() };
                tokio::spawn(worker.run(receiver));
                sender
            })
            .collect();
        Self { lanes: Arc::new(lanes), journaled }
    }

    /// Notified after each commit that wrote journal entries.
    pub fn journaled(&self) -> Arc<tokio::sync::Notify> {
        self.journaled.clone()
    }

    /// Records a submission; answers after the commit.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot commit now: nothing of the submission was stored. For an atomic
    /// submission, the problem of the fact that failed.
    pub async fn record(&self, submission: Submission) -> Result<SubmissionResult, Problem> {
        self.record_once(submission, None).await
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
        let lane = &self.lanes[lane_of(&submission, self.lanes.len())];
        let (reply, answer) = oneshot::channel();
        let stopped = || Problem::new(Category::Unavailable, "the service is stopping");
        lane.send(Job { submission, once, role: acting(), reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Records one fact.
    ///
    /// # Errors
    /// As [`Recorder::record`], and the problem of the fact itself.
    pub async fn one(&self, clinic: &str, by: &str, fact: Command) -> Result<Recorded, Problem> {
        let submission = Submission { clinic: clinic.to_owned(), by: by.to_owned(), facts: vec![fact], atomic: true };
        let mut answer = self.record(submission).await?;
        answer.pop().unwrap_or_else(|| Err(Problem::internal("a fact was not answered")))
    }
}

/// Facts about the same patient go through the same worker, so that they keep their order.
fn lane_of(submission: &Submission, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    submission.clinic.hash(&mut hasher);
    submission.facts.first().map(lock_key).hash(&mut hasher);
    usize::try_from(hasher.finish() % u64::try_from(lanes.max(1)).unwrap_or(1)).unwrap_or(0)
}

/// A name of the patient that a fact will lock: transactions lock in this order, so that they do not lock each other out.
fn lock_key(fact: &Command) -> String {
    match fact {
        Command::Arrived { arrival, .. } => match &arrival.content {
            Content::Patient(_) => format!("Patient/{}", arrival.id.as_deref().unwrap_or_default()),
            Content::Evidence(evidence) => evidence.subject.iter().flat_map(Subject::keys).next().unwrap_or_default(),
        },
        Command::Deleted { kind, id, .. } => format!("{}/{id}", kind.name()),
        Command::Enrolled { whom: PatientKey::Key(key), .. } => key.clone(),
        Command::Enrolled { whom: PatientKey::Id(id), .. }
        | Command::OfPatient { patient: id, .. }
        | Command::Measured { patient: id, .. }
        | Command::LookedAt { patient: id } => id.to_string(),
        Command::Cared { episode, .. } | Command::Amended { episode, .. } => episode.to_string(),
        Command::Seen(sighting) => sighting.patient.to_string(),
        Command::Imported(case) => case.key.clone(),
        Command::MatchNamed { records: [one, _] } => one.to_string(),
        Command::MatchDecided { id, .. } => id.to_string(),
    }
}

impl Worker {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut next: Option<Job> = None;
        loop {
            let first = match next.take() {
                Some(job) => job,
                None => match jobs.recv().await {
                    Some(job) => job,
                    None => return,
                },
            };
            let mut size = first.submission.facts.len();
            let mut batch = vec![first];
            while size < BATCH {
                match jobs.try_recv() {
                    Ok(job) if size + job.submission.facts.len() <= BATCH => {
                        size += job.submission.facts.len();
                        batch.push(job);
                    }
                    Ok(job) => {
                        next = Some(job);
                        break;
                    }
                    Err(_) => break,
                }
            }
            metrics::histogram!("cocm_record_batch_facts").record(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
            self.commit(batch).await;
        }
    }

    /// Runs a batch in one transaction and answers everybody.
    async fn commit(&self, mut batch: Vec<Job>) {
        batch.sort_by_cached_key(|job| job.submission.facts.first().map(lock_key));
        let submissions: Vec<KeyedSubmission<'_>> =
            batch.iter().map(|job| (&job.submission, job.once.as_ref(), job.role)).collect();
        let mut answers = Err(Undone(Problem::internal("not tried")));
        for tries in 1..=TRIES {
            answers = self.attempt(&submissions).await;
            // A deadlock, or a connection lost before the commit: nothing was stored, so the same once more is safe.
            if !matches!(&answers, Err(Undone(p)) if p.category == Category::Unavailable) {
                break;
            }
            // Workers that met in a deadlock should not meet again.
            tokio::time::sleep(std::time::Duration::from_millis(tries * (10 + 7 * self.number))).await;
        }
        match answers {
            Ok((answers, left)) => {
                if left.deliveries {
                    self.written.notify_one();
                }
                if left.lines {
                    self.journaled.notify_one();
                }
                for (job, answer) in batch.into_iter().zip(answers) {
                    // Nobody waits any more: the client is gone, what it sent is stored.
                    let _ = job.reply.send(answer);
                }
            }
            Err(Undone(problem) | InDoubt(problem)) => {
                for job in batch {
                    let _ = job.reply.send(Err(problem.clone()));
                }
            }
        }
    }

    async fn attempt(&self, submissions: &[KeyedSubmission<'_>]) -> Result<BatchResult, BatchFailure> {
        match self.transact(submissions, false).await? {
            Some(done) => Ok(done),
            None => self
                .transact(submissions, true)
                .await?
                .ok_or_else(|| Undone(Problem::internal("a batch with savepoints cannot fail as a whole"))),
        }
    }

    /// One transaction over all submissions. Without savepoints, `None` when a fact failed: then all of it was undone.
    async fn transact(
        &self,
        submissions: &[KeyedSubmission<'_>],
        savepoints: bool,
    ) -> Result<Option<BatchResult>, BatchFailure> {
        let mut tx = self.db.begin().await?;
        lock(&mut tx, submissions).await?;
        let mut rules: HashMap<&str, RuleSet> = HashMap::new();
        let mut dossiers = Dossiers::default();
        let mut answers = Vec::with_capacity(submissions.len());
        for (submission, once, role) in submissions {
            let clinic = submission.clinic.as_str();
            if !rules.contains_key(clinic) {
                rules.insert(clinic, crate::store::rule_set::active(&mut tx, clinic).await?);
            }
            let zone = self.zones.of(clinic);
            let now = self.clock.now();
            let context = RecordContext {
                clinic,
                by: &submission.by,
                role: *role,
                zone,
                now,
                today: now.with_timezone(&zone).date_naive(),
                rules: &rules[clinic],
                clock: &self.clock,
            };
            if let Some(once) = once
                && let Some(before) = idempotency::answered(&mut tx, clinic, once).await?
            {
                answers.push(before);
                continue;
            }
            match run(&mut tx, &context, &mut dossiers, (submission, *once, *role), savepoints).await? {
                SubmissionRun::Through(answer) => answers.push(answer),
                SubmissionRun::Into(problem) => {
                    tx.rollback().await?;
                    // One alone, all or nothing: that was it.
                    let alone = submissions.len() == 1 && (submission.atomic || submission.facts.len() == 1);
                    return Ok(alone.then(|| {
                        (
                            vec![if submission.atomic { Err(problem) } else { Ok(vec![Err(problem)]) }],
                            FollowUpWork::default(),
                        )
                    }));
                }
            }
        }
        journal::add(&mut tx, &dossiers.lines).await?;
        let left = FollowUpWork { deliveries: dossiers.delivers, lines: !dossiers.lines.is_empty() };
        tx.commit().await.map_err(InDoubt)?;
        Ok(Some((answers, left)))
    }
}

/// Locks the patients of several facts in one order, so that two transactions do not wait for each other.
async fn lock(tx: &mut Tx, submissions: &[KeyedSubmission<'_>]) -> Result<(), Problem> {
    let conditional = submissions.iter().flat_map(|(s, ..)| s.facts.iter().filter_map(|fact| sought(&s.clinic, fact)));
    for (clinic, kind, token) in conditional.collect::<BTreeSet<_>>() {
        crate::store::resource::hold_identifier(tx, clinic, kind, token).await?;
    }
    if submissions.iter().map(|(s, ..)| s.facts.len()).sum::<usize>() < 2 {
        return Ok(());
    }
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (submission, ..) in submissions {
        names.entry(&submission.clinic).or_default().extend(submission.facts.iter().map(lock_key));
    }
    for (clinic, names) in names {
        crate::store::patient::lock_all(tx, clinic, &names).await?;
    }
    Ok(())
}

/// The identifier that a fact's condition looks for: clinic, type, `system|value`.
fn sought<'a>(clinic: &'a str, fact: &'a Command) -> Option<(&'a str, &'a str, &'a str)> {
    let Command::Arrived { arrival, condition } = fact else { return None };
    let condition = if let Condition::Under { condition, .. } = condition { condition } else { condition };
    match condition {
        Condition::NoneWith(token) | Condition::TheOneWith(token) => Some((clinic, arrival.kind.name(), token)),
        _ => None,
    }
}

/// Results of a batch, and the follow-up work it left.
type BatchResult = (Vec<Result<SubmissionResult, Problem>>, FollowUpWork);

/// Follow-up work after a commit.
#[derive(Default)]
struct FollowUpWork {
    deliveries: bool,
    lines: bool,
}

/// Why a batch has no answers.
enum BatchFailure {
    /// Nothing of it was stored.
    Undone(Problem),
    /// The commit was not answered: it may be stored. To try again would be to enter the care team's facts twice.
    InDoubt(Problem),
}
use BatchFailure::{InDoubt, Undone};

impl From<Problem> for BatchFailure {
    fn from(problem: Problem) -> Self {
        Undone(problem)
    }
}

/// Progress of a submission in its batch.
enum SubmissionRun {
    Through(Result<SubmissionResult, Problem>),
    /// Into a fact that failed, and there is no savepoint to return to.
    Into(Problem),
}

/// Runs one submission.
async fn run(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    (submission, once, _): KeyedSubmission<'_>,
    savepoints: bool,
) -> Result<SubmissionRun, Problem> {
    let mut order: Vec<usize> = (0..submission.facts.len()).collect();
    order.sort_by_cached_key(|i| lock_key(&submission.facts[*i]));
    let mut answer: Vec<Option<Result<Recorded, Problem>>> = vec![None; submission.facts.len()];
    let per_fact = savepoints && !submission.atomic;
    if savepoints && submission.atomic {
        tx.savepoint().await?;
    }
    let begun = dossiers.lines.len();
    for i in order {
        let written = dossiers.lines.len();
        if per_fact {
            tx.savepoint().await?;
        }
        let result = apply(tx, context, dossiers, &submission.facts[i]).await;
        if let Err(problem) = &result {
            if problem.category == Category::Unavailable {
                return Err(problem.clone());
            }
            if !savepoints {
                return Ok(SubmissionRun::Into(Problem { fact: Some(i), ..problem.clone() }));
            }
            tx.undo().await?;
            dossiers.forget();
            dossiers.lines.truncate(if submission.atomic { begun } else { written });
            if submission.atomic {
                return Ok(SubmissionRun::Through(Err(Problem { fact: Some(i), ..problem.clone() })));
            }
        } else if per_fact {
            tx.release().await?;
        }
        if let Ok(recorded) = &result {
            journal_lines::of_fact(context, &mut dossiers.lines, written, &submission.facts[i], recorded);
        }
        answer[i] = Some(result);
    }
    let answer: SubmissionResult = answer.into_iter().flatten().collect();
    if let Some(once) = once {
        idempotency::remember(tx, context, once, &answer).await?;
    }
    if savepoints && submission.atomic {
        tx.release().await?;
    }
    Ok(SubmissionRun::Through(Ok(answer)))
}

/// Lets one fact change the story of its patient.
async fn apply(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    fact: &Command,
) -> Result<Recorded, Problem> {
    match fact {
        Command::Arrived { arrival, condition } => {
            resource_arrival::arrived(tx, context, dossiers, arrival, condition).await
        }
        Command::Deleted { kind, id, if_match } => {
            resource_arrival::deleted(tx, context, dossiers, *kind, id, *if_match).await
        }
        Command::Enrolled { whom, episode, fit } => {
            care_entry::enrolled(tx, context, dossiers, whom, episode, fit.as_deref()).await
        }
        Command::Amended { episode, amendment, if_match } => {
            amend::amended(tx, context, dossiers, *episode, amendment, *if_match).await
        }
        Command::Cared { episode, on, at, care, if_match } => {
            care_entry::cared(tx, context, dossiers, *episode, (*on, *at), care, *if_match).await
        }
        Command::OfPatient { patient, at, care } => {
            care_entry::of_patient(tx, context, dossiers, *patient, *at, care).await
        }
        Command::Measured { patient, instrument, taken, answers, taken_by, language } => {
            let said = (taken_by.as_deref(), language.as_deref());
            care_entry::measured(tx, context, dossiers, *patient, (*instrument, *taken, answers), said).await
        }
        Command::Seen(sighting) => read_back::seen(tx, context, dossiers, sighting).await,
        Command::Imported(case) => import::imported(tx, context, dossiers, case).await,
        Command::MatchNamed { records } => patient_match::named(tx, context, *records).await,
        Command::MatchDecided { id, decision, reason } => {
            patient_match::decided(tx, context, dossiers, (*id, *decision), reason).await
        }
        Command::LookedAt { patient } => care_entry::looked_at(tx, context, dossiers, *patient).await,
    }
}

/// The id under which a resource without one of its own is stored: it follows from the content, so that sending the
/// same twice stores it once. `None` for a Patient without identifiers, which nothing tells from another one but what
/// the Bundle around it calls it (`full_url`).
pub fn derived_id(clinic: &str, arrival: &Arrival, full_url: Option<&str>) -> Option<String> {
    let anonymous = arrival.kind == ResourceType::Patient && arrival.identifiers.is_empty();
    if anonymous && full_url.is_none() {
        return None;
    }
    let digest = Sha256::digest(arrival.raw.as_bytes());
    let digest = u128::from_be_bytes(std::array::from_fn(|i| digest[i]));
    let digest = format!("{digest:032x}");
    let mut parts = vec![arrival.kind.name(), digest.as_str()];
    parts.extend(full_url.filter(|_| anonymous));
    Some(identify::id_of(clinic, &parts).to_string())
}
