//! The hallway. Every change to a patient's story is a [`Fact`] handed to [`Recorder::record`]; nothing else writes the
//! registry.
//!
//! It locks the patient, loads the story, lets the fact change it, asks the planner, and writes the resource, the
//! measurement, the new standing, the log and the outbox: all or nothing. A 2xx always means committed.
//!
//! A commit with fsync costs milliseconds, so it is shared: a worker takes what is waiting, runs it in one transaction,
//! commits once, and then answers everybody. If a fact fails, the transaction is run again with a savepoint for each
//! submission, so that it fails alone.

mod arrive;
mod decide;
mod dossier;
mod enter;
mod amend;
mod candidate;
mod documents;
mod evidence;
mod fact;
mod follow;
mod identify;
mod import;
mod items;
mod lines;
mod person;
mod seen;
mod settle;
mod once;
mod rules;
mod sessions;
mod closing;

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
use crate::fhir::arrival::{Arrival, Content, Kind, Subject};
use crate::identity::{Role, acting};
use crate::problem::{Category, Problem};
use crate::store::{Db, WriteTx, journal};
pub use closing::{Restated, close, figures, restate};
use dossier::Dossiers;
pub use fact::{Added, Amendment, Answer, Change, Condition, Effect, Fact, Recorded, Sighting, Submission, Whom};
pub use import::{Additions, Foreseen, ImportedCase, foresee};
pub use once::Once;
pub use rules::{activate, attest, propose};
pub use sessions::{Deferred, close_session, open_session};

/// How many facts share a transaction at the most.
const BATCH: usize = 256;

/// How often a batch is tried that the database undid.
const TRIES: u64 = 6;

/// The time zone of each clinic.
#[derive(Clone, Debug)]
pub struct Zones {
    /// For a clinic that is not named.
    pub default: Tz,
    /// By clinic.
    pub by_clinic: HashMap<String, Tz>,
}

impl Zones {
    /// The zone of a clinic.
    pub fn of(&self, clinic: &str) -> Tz {
        self.by_clinic.get(clinic).copied().unwrap_or(self.default)
    }
}

struct Job {
    submission: Submission,
    once: Option<Once>,
    role: Option<Role>,
    reply: oneshot::Sender<Result<Answer, Problem>>,
}

/// The entrance of the hallway. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    lanes: Arc<Vec<mpsc::Sender<Job>>>,
    journaled: Arc<tokio::sync::Notify>,
}

/// A submission, under which key it may happen only once, and in which role it was made.
type Asked<'a> = (&'a Submission, Option<&'a Once>, Option<Role>);

/// What a worker needs.
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
struct Context<'a> {
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

    /// Told after each commit that left lines in the journal.
    pub fn journaled(&self) -> Arc<tokio::sync::Notify> {
        self.journaled.clone()
    }

    /// Records a submission; answers after the commit.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot commit now: nothing of the submission was stored. For an atomic
    /// submission, the problem of the fact that failed.
    pub async fn record(&self, submission: Submission) -> Result<Answer, Problem> {
        self.record_once(submission, None).await
    }

    /// Records a submission unless one was committed under the same key before: then answers as it did.
    ///
    /// # Errors
    /// As [`Recorder::record`]; `Unprocessable` when the key was used for another request.
    pub async fn record_once(&self, submission: Submission, once: Option<Once>) -> Result<Answer, Problem> {
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
    pub async fn one(&self, clinic: &str, by: &str, fact: Fact) -> Result<Recorded, Problem> {
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
fn lock_key(fact: &Fact) -> String {
    match fact {
        Fact::Arrived { arrival, .. } => match &arrival.content {
            Content::Patient(_) => format!("Patient/{}", arrival.id.as_deref().unwrap_or_default()),
            Content::Evidence(evidence) => evidence.subject.as_ref().map(identify::key).unwrap_or_default(),
        },
        Fact::Deleted { kind, id, .. } => format!("{}/{id}", kind.name()),
        Fact::Enrolled { whom: Whom::Key(key), .. } => key.clone(),
        Fact::Enrolled { whom: Whom::Id(id), .. }
        | Fact::OfPatient { patient: id, .. }
        | Fact::Measured { patient: id, .. }
        | Fact::LookedAt { patient: id } => id.to_string(),
        Fact::Cared { episode, .. } | Fact::Amended { episode, .. } => episode.to_string(),
        Fact::Seen(sighting) => sighting.patient.to_string(),
        Fact::Imported(case) => case.key.clone(),
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
        let submissions: Vec<Asked<'_>> =
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

    async fn attempt(&self, submissions: &[Asked<'_>]) -> Result<Done, Lost> {
        match self.transact(submissions, false).await? {
            Some(done) => Ok(done),
            None => self
                .transact(submissions, true)
                .await?
                .ok_or_else(|| Undone(Problem::internal("a batch with savepoints cannot fail as a whole"))),
        }
    }

    /// One transaction over all submissions. Without savepoints, `None` when a fact failed: then all of it was undone.
    async fn transact(&self, submissions: &[Asked<'_>], savepoints: bool) -> Result<Option<Done>, Lost> {
        let mut tx = self.db.begin("record").await?;
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
            let context = Context {
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
                && let Some(before) = once::answered(&mut tx, clinic, once).await?
            {
                answers.push(before);
                continue;
            }
            match run(&mut tx, &context, &mut dossiers, (submission, *once, *role), savepoints).await? {
                Ran::Through(answer) => answers.push(answer),
                Ran::Into(problem) => {
                    tx.rollback().await?;
                    // One alone, all or nothing: that was it.
                    let alone = submissions.len() == 1 && (submission.atomic || submission.facts.len() == 1);
                    return Ok(alone.then(|| {
                        (vec![if submission.atomic { Err(problem) } else { Ok(vec![Err(problem)]) }], Left::default())
                    }));
                }
            }
        }
        journal::add(&mut tx, &dossiers.lines).await?;
        let left = Left { deliveries: dossiers.delivers, lines: !dossiers.lines.is_empty() };
        tx.commit().await.map_err(InDoubt)?;
        Ok(Some((answers, left)))
    }
}

/// Locks the patients of several facts in one order, so that two transactions do not wait for each other.
async fn lock(tx: &mut WriteTx, submissions: &[Asked<'_>]) -> Result<(), Problem> {
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
fn sought<'a>(clinic: &'a str, fact: &'a Fact) -> Option<(&'a str, &'a str, &'a str)> {
    let Fact::Arrived { arrival, condition } = fact else { return None };
    let condition = if let Condition::Under { condition, .. } = condition { condition } else { condition };
    match condition {
        Condition::NoneWith(token) | Condition::TheOneWith(token) => Some((clinic, arrival.kind.name(), token)),
        _ => None,
    }
}

/// What a batch came to, and what it left for others to do.
type Done = (Vec<Result<Answer, Problem>>, Left);

/// What a commit left for others to do.
#[derive(Default)]
struct Left {
    deliveries: bool,
    lines: bool,
}

/// Why a batch has no answers.
enum Lost {
    /// Nothing of it was stored.
    Undone(Problem),
    /// The commit was not answered: it may be stored. To try again would be to enter the care team's facts twice.
    InDoubt(Problem),
}
use Lost::{InDoubt, Undone};

impl From<Problem> for Lost {
    fn from(problem: Problem) -> Self {
        Undone(problem)
    }
}

/// How far a submission came.
enum Ran {
    /// To its end.
    Through(Result<Answer, Problem>),
    /// Into a fact that failed, and there is no savepoint to return to.
    Into(Problem),
}

/// Runs one submission.
async fn run(
    tx: &mut WriteTx,
    context: &Context<'_>,
    dossiers: &mut Dossiers,
    (submission, once, _): Asked<'_>,
    savepoints: bool,
) -> Result<Ran, Problem> {
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
                return Ok(Ran::Into(Problem { fact: Some(i), ..problem.clone() }));
            }
            tx.undo().await?;
            dossiers.forget();
            dossiers.lines.truncate(if submission.atomic { begun } else { written });
            if submission.atomic {
                return Ok(Ran::Through(Err(Problem { fact: Some(i), ..problem.clone() })));
            }
        } else if per_fact {
            tx.release().await?;
        }
        if let Ok(recorded) = &result {
            lines::of_fact(context, &mut dossiers.lines, written, &submission.facts[i], recorded);
        }
        answer[i] = Some(result);
    }
    let answer: Answer = answer.into_iter().flatten().collect();
    if let Some(once) = once {
        once::remember(tx, context, once, &answer).await?;
    }
    if savepoints && submission.atomic {
        tx.release().await?;
    }
    Ok(Ran::Through(Ok(answer)))
}

/// Lets one fact change the story of its patient.
async fn apply(tx: &mut WriteTx, context: &Context<'_>, dossiers: &mut Dossiers, fact: &Fact) -> Result<Recorded, Problem> {
    match fact {
        Fact::Arrived { arrival, condition } => arrive::arrived(tx, context, dossiers, arrival, condition).await,
        Fact::Deleted { kind, id, if_match } => arrive::deleted(tx, context, dossiers, *kind, id, *if_match).await,
        Fact::Enrolled { whom, episode, fit } => {
            enter::enrolled(tx, context, dossiers, whom, episode, fit.as_deref()).await
        }
        Fact::Amended { episode, amendment, if_match } => {
            amend::amended(tx, context, dossiers, *episode, amendment, *if_match).await
        }
        Fact::Cared { episode, on, at, care, if_match } => {
            enter::cared(tx, context, dossiers, *episode, (*on, *at), care, *if_match).await
        }
        Fact::OfPatient { patient, at, care } => enter::of_patient(tx, context, dossiers, *patient, *at, care).await,
        Fact::Measured { patient, instrument, taken, answers, taken_by, language } => {
            let said = (taken_by.as_deref(), language.as_deref());
            enter::measured(tx, context, dossiers, *patient, (*instrument, *taken, answers), said).await
        }
        Fact::Seen(sighting) => seen::seen(tx, context, dossiers, sighting).await,
        Fact::Imported(case) => import::imported(tx, context, dossiers, case).await,
        Fact::LookedAt { patient } => enter::looked_at(tx, context, dossiers, *patient).await,
    }
}

/// The id under which a resource without one of its own is stored: it follows from the content, so that sending the
/// same twice stores it once. `None` for a Patient without identifiers, which nothing tells from another one but what
/// the Bundle around it calls it (`full_url`).
pub fn derived_id(clinic: &str, arrival: &Arrival, full_url: Option<&str>) -> Option<String> {
    let anonymous = arrival.kind == Kind::Patient && arrival.identifiers.is_empty();
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

/// A subject as the registry stores it; used by readers outside.
pub fn subject_key(subject: &Subject) -> String {
    identify::key(subject)
}
