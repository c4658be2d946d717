//! One pass over one type, in one of the ways.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat, Utc};

use super::walk::{SweepWalk, WalkStep};
use super::{Sweep, SweepResult, SweepSearch, SweepStop};
use crate::config::SearchStrategy;
use crate::ehr::Failure;
use crate::ehr::page::PageText;
use crate::fhir::arrival::{ResourceType, is_logical_id};
use crate::fhir::searchset::{Searchset, SearchsetResource, outside};
use crate::fhir::topic::Topic;
use crate::problem::Category;
use crate::store::connection::{self, Watermark};

/// How many patients are asked about between two looks at the lease.
const PATIENTS: i64 = 20;

impl Sweep<'_> {
    pub(super) async fn pass(
        &self,
        search: &SweepSearch,
        way: SearchStrategy,
        mark: &mut Watermark,
        swept: &mut SweepResult,
    ) -> Result<(), SweepStop> {
        let kind = search.topic;
        match (kind, way) {
            (Topic::Kept(kind), SearchStrategy::ByPatient) => return self.by_patient(kind, swept).await,
            // Each of ours is looked at by itself, in its time; everybody's Tasks are too many to look through.
            (Topic::Ours(_), SearchStrategy::ByPatient) => return Ok(()),
            (Topic::Ours(_), SearchStrategy::Everything) if search.added.is_none() => return Ok(()),
            _ => {}
        }
        let overlap = chrono::TimeDelta::from_std(self.connection.settings.poll.overlap).unwrap_or_default();
        let from = mark.watermark.map(|watermark| watermark - overlap).filter(|_| way != SearchStrategy::Everything);
        let mut walk = SweepWalk::new(from, way == SearchStrategy::LastUpdated);
        let mut page = self.search(kind, &self.query(search, way, from)).await?;
        // The server's clock, or failing that ours: a resource that claims to be from the future moves nothing there.
        let began = page.date.unwrap_or_else(|| self.intake.clock.now());
        let (mut highest, mut before) = (None::<DateTime<Utc>>, HashSet::new());
        loop {
            let set = read(&page)?;
            let ours: Vec<&SearchsetResource<'_>> = set.found.iter().filter(|one| one.kind == kind.name()).collect();
            let news: Vec<&SearchsetResource<'_>> =
                ours.iter().copied().filter(|one| !before.contains(&name(one))).collect();
            self.record(kind, &news, swept).await?;
            before = ours.iter().map(|one| name(one)).collect();
            swept.unread += set.odd;
            let changes: Vec<_> = ours.iter().map(|one| one.updated).collect();
            highest = changes.iter().copied().flatten().max().max(highest);
            let next = walk.after(&changes, set.next).map_err(unusable)?;
            if let Some(seen) = walk.seen_before() {
                mark.watermark = mark.watermark.max(Some(seen.min(began)));
                self.put(mark).await?;
            }
            self.prolong().await?;
            page = match next {
                WalkStep::Nothing => break,
                WalkStep::From(instant) => self.search(kind, &self.query(search, way, Some(instant))).await?,
                WalkStep::Follow(link) => self.connection.ehr.follow_text(&link).await?,
            };
        }
        // Everything came without being asked for by time, so the time of the next look may as well be known.
        mark.watermark = mark.watermark.max(highest.map(|highest| highest.min(began)));
        Ok(())
    }

    /// The parameters of a search.
    fn query(&self, search: &SweepSearch, way: SearchStrategy, from: Option<DateTime<Utc>>) -> String {
        let mut query: Vec<String> = search.added.iter().cloned().collect();
        if way != SearchStrategy::Everything
            && let Some(from) = from
        {
            query.push(format!("_lastUpdated=ge{}", from.to_rfc3339_opts(SecondsFormat::Millis, true)));
        }
        if way == SearchStrategy::LastUpdated {
            query.push("_sort=_lastUpdated".to_owned());
        }
        query.push(format!("_count={}", self.connection.settings.poll.page_size));
        query.join("&")
    }

    async fn search(&self, kind: Topic, query: &str) -> Result<PageText, Failure> {
        self.connection.ehr.search_text(kind.name(), query).await
    }

    /// Asks about everybody in our care, one by one.
    async fn by_patient(&self, kind: ResourceType, swept: &mut SweepResult) -> Result<(), SweepStop> {
        let mut after = None;
        loop {
            let mut tx = self.intake.db.read().await?;
            let some = connection::followed(&mut tx, &self.connection.clinic, after, PATIENTS).await?;
            drop(tx);
            let Some((last, _)) = some.last() else { return Ok(()) };
            after = Some(*last);
            for (_, reference) in some {
                let id = reference.trim_start_matches("Patient/");
                // A name that was made up elsewhere: this server cannot know it.
                if !is_logical_id(id) {
                    continue;
                }
                if kind == ResourceType::Patient {
                    self.patient(id, swept).await?;
                } else {
                    self.of_patient(kind, id, swept).await?;
                }
            }
            self.prolong().await?;
        }
    }

    async fn patient(&self, id: &str, swept: &mut SweepResult) -> Result<(), SweepStop> {
        let page = match self.connection.ehr.read_text("Patient", id).await {
            Ok(page) => page,
            Err(Failure::Refused { status: 404, .. }) => return Ok(()),
            Err(Failure::Refused { status: 410, .. }) => {
                let (clinic, by) = (&self.connection.clinic, self.connection.author());
                return match self.intake.delete(clinic, &by, ResourceType::Patient, id.to_owned(), None).await {
                    Err(problem) if problem.category == Category::Unavailable => Err(problem.into()),
                    // Known or not: it is not there any more.
                    _ => Ok(()),
                };
            }
            Err(failure) => return Err(failure.into()),
        };
        match outside(&page.text).filter(|found| found.kind == "Patient") {
            Some(found) => self.record(Topic::Kept(ResourceType::Patient), &[&found], swept).await?,
            None => swept.unread += 1,
        }
        Ok(())
    }

    async fn of_patient(&self, kind: ResourceType, id: &str, swept: &mut SweepResult) -> Result<(), SweepStop> {
        let mut query: Vec<String> = self.connection.search(kind.name()).into_iter().collect();
        query.push(format!("patient={id}"));
        query.push(format!("_count={}", self.connection.settings.poll.page_size));
        let mut walk = SweepWalk::new(None, false);
        let topic = Topic::Kept(kind);
        let mut page = match self.search(topic, &query.join("&")).await {
            // Some servers say so of a patient whom they do not know.
            Err(Failure::Refused { status: 404 | 410, .. }) => return Ok(()),
            page => page?,
        };
        loop {
            let set = read(&page)?;
            let ours: Vec<&SearchsetResource<'_>> = set.found.iter().filter(|one| one.kind == kind.name()).collect();
            self.record(topic, &ours, swept).await?;
            swept.unread += set.odd;
            match walk.after(&[], set.next).map_err(unusable)? {
                WalkStep::Follow(link) => page = self.connection.ehr.follow_text(&link).await?,
                _ => return Ok(()),
            }
        }
    }
}

fn read(page: &PageText) -> Result<Searchset<'_>, Failure> {
    Searchset::read(&page.text).map_err(|_| unusable("the answer to a search is no Bundle"))
}

pub(super) fn unusable(cause: &'static str) -> Failure {
    Failure::Unanswered { cause, status: Some(200), retry_after: None }
}

/// Identifies a version; without an id, by the text itself.
fn name(found: &SearchsetResource<'_>) -> (String, String) {
    match &found.id {
        Some(id) => (id.to_string(), found.version.clone().unwrap_or_else(|| format!("{:?}", found.updated))),
        None => (String::new(), found.raw.to_owned()),
    }
}
