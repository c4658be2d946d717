//! Reading back: what became, in the chart, of the Tasks and Flags that we wrote there. They are swept and hinted at like
//! everything else; and each that stands open is looked at by itself from time to time, because no search tells what
//! was deleted, or put back by a restore.

use chrono::{DateTime, TimeDelta, Utc};

use super::Intake;
use super::connection::Connection;
use super::sweep::{Sweep, SweepCount, SweepSearch, SweepStop, UNREAD};
use crate::domain::task::ChartResource;
use crate::ehr::Failure;
use crate::ehr::retry::{RetryDecision, decide};
use crate::fhir::chart_item::ChartItem;
use crate::fhir::searchset::{Searchset, SearchsetResource};
use crate::fhir::topic::Topic;
use crate::limits::JsonBudget;
use crate::problem::{Category, Problem};
use crate::record::{Command, CommandEffect, Sighting};
use crate::store::connection::hint;
use crate::store::outbox::{self, Delivery};

/// How many are looked at by themselves after a sweep, and between two looks at the lease.
const LOOKS: i64 = 200;
const SOME: usize = 20;
/// For so long what we closed is looked at, too: a restored chart may have it open again.
const CLOSED: TimeDelta = TimeDelta::days(7);

/// Result of reading back one resource.
pub(super) enum LookResult {
    /// Recorded, or not ours.
    Done,
    /// The answer cannot be read.
    Unread(String),
    /// The server did not give it.
    Failed(Failure),
}

impl Intake {
    /// Looks at one resource of the chart, if it is ours.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn look_at(
        &self,
        connection: &Connection,
        resource: ChartResource,
        id: &str,
    ) -> Result<LookResult, Problem> {
        if !connection.settings.poll.read_back {
            return Ok(LookResult::Done);
        }
        let mut tx = self.db.read().await?;
        let ours = outbox::by_chart_id(&mut tx, &connection.clinic, resource, id).await?;
        drop(tx);
        let Some(ours) = ours else { return Ok(LookResult::Done) };
        let seen = match connection.ehr.read_text(resource.as_str(), id).await {
            Ok(page) => match read(&page.text, resource).and_then(|seen| is_it(seen, id)) {
                Ok(seen) => Some(seen),
                Err(problem) => return Ok(LookResult::Unread(problem.detail)),
            },
            Err(failure) if failure.is_absent() => None,
            Err(failure) => return Ok(LookResult::Failed(failure)),
        };
        self.saw(connection, vec![sighting(connection, &ours, seen)]).await.map(|_| LookResult::Done)
    }

    /// Records what a search found; what is not ours is passed over. What cannot be read is remembered.
    pub(super) async fn see_found(
        &self,
        connection: &Connection,
        resource: ChartResource,
        found: &[&SearchsetResource<'_>],
    ) -> Result<SweepCount, Problem> {
        let (mut commands, mut unread, mut known) = (Vec::new(), Vec::new(), Vec::new());
        let mut tx = self.db.read().await?;
        for one in found {
            let Some(id) = &one.id else { continue };
            let Some(ours) = outbox::by_chart_id(&mut tx, &connection.clinic, resource, id).await? else { continue };
            if one.version.is_some() && one.version == ours.chart_version {
                continue;
            }
            known.push(*one);
            match read(one.raw, resource) {
                Ok(seen) => commands.push(sighting(connection, &ours, Some(seen))),
                Err(problem) => unread.push((*one, problem)),
            }
        }
        drop(tx);
        let taken = self.saw(connection, commands).await?;
        let tally = SweepCount { taken, unread: unread.len() };
        self.remember_unread(connection, &known, &unread).await?;
        Ok(tally)
    }

    /// Hands looks to the hallway; answers how many said something new.
    async fn saw(&self, connection: &Connection, commands: Vec<Command>) -> Result<usize, Problem> {
        if commands.is_empty() {
            return Ok(0);
        }
        let mut news = 0;
        for answer in self.take_all(&connection.clinic, &connection.author(), commands, false).await? {
            match answer {
                Ok(recorded) => news += usize::from(recorded.effect != CommandEffect::Unchanged),
                // The item was merged or planned anew meanwhile: the next read finds it.
                Err(problem) if problem.category == Category::NotFound => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(news)
    }
}

impl Sweep<'_> {
    /// How our own Tasks and Flags are looked for; nothing of a type of which nothing of ours is in the chart.
    pub(super) async fn ours(&self) -> Result<Vec<SweepSearch>, Problem> {
        let mut searches = Vec::new();
        for resource in self.connection.reads_back() {
            let mut tx = self.intake.db.read().await?;
            let example = outbox::example(&mut tx, &self.connection.clinic, *resource).await?;
            drop(tx);
            let Some(example) = example else { continue };
            let added = match self.connection.search(resource.as_str()) {
                Some(configured) => Some(configured),
                None => self.by_identifier(*resource, &example.chart_id).await,
            };
            let since = Some(example.since - TimeDelta::hours(1));
            searches.push(SweepSearch { topic: Topic::Ours(*resource), added, since });
        }
        Ok(searches)
    }

    /// The search for our identifiers, where the server shows that it can do it: by finding one that is surely there. A
    /// server that takes `system|` for something else would find nothing, for ever.
    async fn by_identifier(&self, resource: ChartResource, known: &str) -> Option<String> {
        let system = &self.connection.ehr.config().identifier_system;
        let ours = self.connection.ehr.query(&[("identifier", &format!("{system}|"))]);
        let page = self.connection.ehr.search_text(resource.as_str(), &format!("{ours}&_id={known}")).await.ok()?;
        let set = Searchset::read(&page.text).ok()?;
        set.found.iter().any(|one| one.id.as_deref() == Some(known)).then_some(ours)
    }

    /// Looks at what stands open and was not looked at for long, some after each sweep. What cannot be had is asked for again
    /// like every other hint, so that it takes nobody's turn. A server that is in trouble is left alone until the next
    /// sweep.
    pub(super) async fn look_again(&self) -> Result<(), SweepStop> {
        let poll = &self.connection.settings.poll;
        if !poll.read_back || poll.reread.is_zero() {
            return Ok(());
        }
        let now = self.intake.clock.now();
        let since = now - TimeDelta::from_std(poll.reread).unwrap_or(TimeDelta::days(1));
        let due = self.unseen(since, now).await?;
        for some in due.chunks(SOME) {
            for one in some {
                let (Some(id), resource) = (&one.chart_id, one.intent.desired.resource) else { continue };
                match self.intake.look_at(self.connection, resource, id).await? {
                    LookResult::Done => {}
                    LookResult::Unread(why) => self.later(resource, id, &why, now + UNREAD).await?,
                    LookResult::Failed(failure) => {
                        let (next, is_passing) = match decide(&failure, 1, 0.5, now) {
                            RetryDecision::RetryAt { at, .. } => (at, true),
                            RetryDecision::Park(_) => (now + UNREAD, false),
                        };
                        self.later(resource, id, &failure.in_full(), next).await?;
                        if is_passing {
                            return Ok(());
                        }
                    }
                }
            }
            self.prolong().await?;
        }
        Ok(())
    }

    async fn later(&self, resource: ChartResource, id: &str, why: &str, next: DateTime<Utc>) -> Result<(), Problem> {
        tracing::info!(connection = self.connection.name(), kind = %resource, "one of ours cannot be read back now");
        let (of, now) = (self.connection.of(), self.intake.clock.now());
        let mut tx = self.intake.db.begin("readback_postpone").await?;
        hint::keep_unread(&mut tx, of, resource.as_str(), id, why, (now, next)).await?;
        tx.commit().await
    }

    async fn unseen(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<Vec<Delivery>, Problem> {
        let mut tx = self.intake.db.read().await?;
        outbox::unseen(&mut tx, self.connection.of(), since, now - CLOSED, LOOKS).await
    }
}

fn read(raw: &str, resource: ChartResource) -> Result<ChartItem, Problem> {
    JsonBudget::RESOURCE.check(raw.as_bytes())?;
    ChartItem::read(raw, resource)
}

fn is_it(seen: ChartItem, id: &str) -> Result<ChartItem, Problem> {
    if seen.id == id { Ok(seen) } else { Err(Problem::malformed("what came is not that resource")) }
}

fn sighting(connection: &Connection, ours: &Delivery, seen: Option<ChartItem>) -> Command {
    Command::ReadBack(Box::new(Sighting {
        patient: ours.patient_id,
        delivery: ours.id,
        system: connection.ehr.config().identifier_system.clone(),
        seen,
    }))
}
