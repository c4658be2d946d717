//! The sweep: what an EHR has changed since the last look, whether or not it told us. Notifications are hints; this is
//! what nothing gets past.
//!
//! `_lastUpdated` from the watermark less an overlap, in order, page by page. The watermark is the server's own time
//! and moves only over what is recorded, so that a crash repeats and loses nothing. Repeating is harmless: the hallway
//! knows what it has.

mod deletions;
mod pass;
mod walk;

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Intake;
use super::connection::Connection;
use crate::config::SearchStrategy;
use crate::ehr::Failure;
use crate::fhir::searchset::SearchsetResource;
use crate::fhir::topic::Topic;
use crate::problem::{Category, Problem};
use crate::record::{Command, CommandEffect, Condition};
use crate::store::connection::{self, Watermark, hint};
use crate::store::lease::LEASE;

/// When a resource that cannot be read is fetched again: a mapping, or the program, may have changed.
pub(super) const UNREAD: TimeDelta = TimeDelta::days(1);
/// How many resources share a transaction.
const SOME: usize = 200;

/// Result of sweeping one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepResult {
    pub kind: String,
    /// How many resources came, without repetitions of the page before.
    pub seen: usize,
    /// How many of them changed something.
    pub taken: usize,
    /// How many could not be read.
    pub unread: usize,
    /// Why it could not be finished; everything until then is recorded.
    pub failed: Option<Failure>,
    /// What the server answered to the best search, where a poorer one had to do.
    pub refusal: Option<Failure>,
}

/// Why a pass ended early.
#[derive(Debug)]
pub enum SweepStop {
    Failed(Failure),
    Problem(Problem),
    /// Another replica sweeps now.
    Lost,
    /// The server could not export everything: what is missing, with its own words.
    Incomplete(String),
}

impl fmt::Display for SweepStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "the EHR: {}", failure.in_full()),
            Self::Problem(problem) => write!(f, "here: {problem}"),
            Self::Lost => f.write_str("another process is fetching from this EHR now"),
            Self::Incomplete(why) => write!(f, "the export is not complete: {why}"),
        }
    }
}

impl std::error::Error for SweepStop {}

impl From<Problem> for SweepStop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Failure> for SweepStop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One connection, while it is ours.
pub struct Sweep<'a> {
    /// Reads and records.
    pub intake: &'a Intake,
    pub connection: &'a Connection,
    pub token: Uuid,
}

impl Sweep<'_> {
    /// Looks at every type that is configured. A type that fails does not keep the others from being looked at.
    ///
    /// # Errors
    /// When the database does not answer, or the lease was lost.
    pub async fn all(&self) -> Result<Vec<SweepResult>, SweepStop> {
        let mut tx = self.intake.db.read().await?;
        let marks = connection::watermarks(&mut tx, self.connection.of()).await?;
        drop(tx);
        let mut swept = Vec::new();
        for kind in &self.connection.settings.poll.types {
            let Some(topic) = Topic::of(kind) else { continue };
            let since = self.connection.settings.poll.since;
            let since = since.map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
            let search = SweepSearch { topic, added: self.connection.search(kind), since };
            swept.push(self.one(&search, &marks).await?);
        }
        for search in self.ours().await? {
            swept.push(self.one(&search, &marks).await?);
        }
        self.intake.ask_for_questionnaires(self.connection).await?;
        Ok(swept)
    }

    /// Looks at one type, in the best way that the server knows. Each sweep begins with the best one: a refusal may have
    /// been a mistake, or a proxy's, and one that was remembered would leave us blind.
    async fn one(&self, search: &SweepSearch, marks: &[Watermark]) -> Result<SweepResult, SweepStop> {
        let (now, kind) = (self.intake.clock.now(), search.topic);
        let before = marks.iter().find(|mark| mark.kind == kind.name()).cloned();
        let fresh = || Watermark::new(kind.name(), search.since, SearchStrategy::default().as_str(), now);
        let mut mark = before.clone().unwrap_or_else(fresh);
        let mut swept = SweepResult { kind: kind.name().to_owned(), ..SweepResult::default() };
        let outcome = self.by_any_approach(search, &mut mark, &mut swept).await?;
        if before.is_none_or(|before| before.way != mark.way) {
            mark.way_since = now;
        }
        let now = self.intake.clock.now();
        mark.refusal = swept.refusal.as_ref().map(Failure::in_full);
        match outcome {
            Ok(asked) => {
                mark.swept_at = if asked == PassOutcome::NothingToAsk && swept.refusal.is_some() {
                    mark.swept_at
                } else {
                    Some(now)
                };
                mark.seen = i64::try_from(swept.seen).unwrap_or(i64::MAX);
                mark.taken = i64::try_from(swept.taken).unwrap_or(i64::MAX);
                let unread = || format!("{} could not be read; see the list of what waits", swept.unread);
                mark.last_error = (swept.unread > 0).then(unread);
                mark.failed_at = mark.last_error.is_some().then_some(now);
            }
            Err(failure) => {
                tracing::warn!(connection = self.connection.name(), kind = kind.name(), %failure, "the sweep failed");
                mark.failed_at = Some(now);
                mark.last_error = Some(failure.in_full());
                swept.failed = Some(failure);
            }
        }
        self.count(&swept);
        self.put(&mark).await?;
        Ok(swept)
    }

    /// Asks from the best approach to the poorest until one is not refused.
    async fn by_any_approach(
        &self,
        search: &SweepSearch,
        mark: &mut Watermark,
        swept: &mut SweepResult,
    ) -> Result<Result<PassOutcome, Failure>, SweepStop> {
        let kind = search.topic;
        let fixed = self.connection.settings.poll.way.get(kind.name()).copied();
        let ways = fixed.map_or_else(|| SearchStrategy::ALL.to_vec(), |fixed| vec![fixed]);
        let approaches = ways.into_iter().flat_map(|way| [true, false].map(|sized| Approach { way, sized }));
        for approach in approaches {
            approach.way.as_str().clone_into(&mut mark.way);
            match self.pass(search, approach, mark, swept).await {
                // Nobody was asked about, because everything that could have been asked was refused.
                Ok(PassOutcome::NothingToAsk) if matches!(kind, Topic::Kept(_)) && swept.refusal.is_some() => break,
                Ok(asked) => return Ok(Ok(asked)),
                Err(SweepStop::Failed(failure)) if swept.seen == 0 && is_refused_search(&failure) => {
                    tracing::info!(
                        connection = self.connection.name(),
                        kind = kind.name(),
                        way = approach.way.as_str(),
                        %failure,
                        "this server refuses the search; a poorer one is tried"
                    );
                    swept.refusal.get_or_insert(failure);
                }
                Err(SweepStop::Failed(failure)) => return Ok(Err(failure)),
                Err(other) => return Err(other),
            }
        }
        let nothing = || Failure::NotAllowed { cause: "there is no way left to ask" };
        Ok(Err(swept.refusal.take().unwrap_or_else(nothing)))
    }

    fn count(&self, swept: &SweepResult) {
        let (is_failed, is_limited) = (swept.failed.is_some(), swept.refusal.is_some());
        let outcome = match (is_failed, is_limited) {
            (true, _) => "failed",
            (false, true) => "limited",
            (false, false) => "done",
        };
        metrics::counter!("cocm_sweeps", "outcome" => outcome).increment(1);
        let (connection, kind) = (self.connection.name().to_owned(), swept.kind.clone());
        for (state, holds) in [("failed", is_failed), ("limited", is_limited)] {
            let labels = [("connection", connection.clone()), ("type", kind.clone()), ("state", state.to_owned())];
            metrics::gauge!("cocm_sweep_trouble", &labels).set(if holds { 1.0 } else { 0.0 });
        }
    }

    async fn put(&self, mark: &Watermark) -> Result<(), Problem> {
        let mut tx = self.intake.db.begin("sweep_watermark").await?;
        connection::put_watermark(&mut tx, self.connection.of(), mark).await?;
        tx.commit().await
    }

    /// The lease for a while longer.
    pub(super) async fn prolong(&self) -> Result<(), SweepStop> {
        let mut tx = self.intake.db.begin("sweep_prolong").await?;
        let until = self.intake.clock.now() + LEASE;
        let held = connection::prolong(&mut tx, self.connection.of(), self.token, until).await?;
        tx.commit().await?;
        if held { Ok(()) } else { Err(SweepStop::Lost) }
    }

    /// Records a page. What cannot be read is remembered and stops nothing.
    async fn record(
        &self,
        topic: Topic,
        found: &[&SearchsetResource<'_>],
        swept: &mut SweepResult,
    ) -> Result<(), Problem> {
        let tally = match topic {
            Topic::Kept(_) => self.intake.take_found(self.connection, found).await?,
            Topic::Ours(resource) => self.intake.see_found(self.connection, resource, found).await?,
        };
        swept.seen += found.len();
        swept.taken += tally.taken;
        swept.unread += tally.unread;
        Ok(())
    }
}

/// The search.
pub(super) struct SweepSearch {
    pub(super) topic: Topic,
    /// Extra search parameters.
    pub(super) added: Option<String>,
    /// Nothing that was last changed before is looked for.
    pub(super) since: Option<DateTime<Utc>>,
}

/// How a type is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Approach {
    pub(super) way: SearchStrategy,
    /// With our page size; without it, the server's own: some refuse a `_count` above their maximum.
    pub(super) sized: bool,
}

/// Whether a pass has asked the server anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassOutcome {
    /// It has, and was answered.
    Answered,
    /// There was nothing that could be asked in this way.
    NothingToAsk,
}

/// Counts of fetched resources.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SweepCount {
    pub(super) taken: usize,
    pub(super) unread: usize,
}

impl Intake {
    /// Records resources that were fetched. What cannot be read is remembered, fails alone, and is no error.
    pub(super) async fn take_found(
        &self,
        connection: &Connection,
        found: &[&SearchsetResource<'_>],
    ) -> Result<SweepCount, Problem> {
        let mut tally = SweepCount::default();
        let mut unread: Vec<(&SearchsetResource<'_>, Problem)> = Vec::new();
        for some in found.chunks(SOME) {
            let (mut commands, mut places) = (Vec::with_capacity(some.len()), Vec::with_capacity(some.len()));
            for one in some {
                match self.read(&connection.clinic, one.raw) {
                    Ok(arrival) => {
                        commands
                            .push(Command::StoreResource { arrival: Box::new(arrival), condition: Condition::None });
                        places.push(*one);
                    }
                    Err(problem) => unread.push((one, problem)),
                }
            }
            if commands.is_empty() {
                continue;
            }
            let answers = self.take_all(&connection.clinic, &connection.author(), commands, false).await?;
            for (one, answer) in places.into_iter().zip(answers) {
                match answer {
                    Ok(recorded) => tally.taken += usize::from(recorded.effect != CommandEffect::Unchanged),
                    Err(problem) if problem.category == Category::Unavailable => return Err(problem),
                    Err(problem) => unread.push((one, problem)),
                }
            }
        }
        tally.unread = unread.len();
        self.remember_unread(connection, found, &unread).await?;
        Ok(tally)
    }

    pub(super) async fn remember_unread(
        &self,
        connection: &Connection,
        found: &[&SearchsetResource<'_>],
        unread: &[(&SearchsetResource<'_>, Problem)],
    ) -> Result<(), Problem> {
        let of = connection.of();
        let mut tx = self.db.read().await?;
        let remembered = hint::failures(&mut tx, of, 1000).await?;
        drop(tx);
        let is_unread =
            |kind: &str, id: &str| unread.iter().any(|(one, _)| one.kind == kind && one.id.as_deref() == Some(id));
        let read: Vec<_> = remembered
            .iter()
            .filter(|hint| !is_unread(&hint.kind, &hint.resource_id))
            .filter(|hint| {
                found.iter().any(|one| one.kind == hint.kind && one.id.as_deref() == Some(&hint.resource_id))
            })
            .collect();
        if unread.is_empty() && read.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut tx = self.db.begin("sweep_unread").await?;
        for hint in read {
            hint::was_read(&mut tx, of, &hint.kind, &hint.resource_id).await?;
        }
        for (one, problem) in unread {
            let place = problem.expression.as_deref().unwrap_or("Resource");
            tracing::warn!(connection = connection.name(), kind = %one.kind, place, "a resource could not be read");
            let Some(id) = &one.id else { continue };
            let why = format!("{place}: {}", problem.detail);
            hint::keep_unread(&mut tx, of, &one.kind, id, &why, (now, now + UNREAD)).await?;
        }
        tx.commit().await
    }
}

/// Refusals after which a poorer search is tried.
fn is_refused_search(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused { status: 400 | 404 | 405 | 406 | 413 | 414 | 422 | 501, .. })
}
