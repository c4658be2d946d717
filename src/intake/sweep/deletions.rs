//! Deletions in an EHR. No search finds them; the history of the type does, if the server has one. A deleted resource
//! is fetched like any other hint, because it may have been restored since.

use chrono::{SecondsFormat, TimeDelta};

use super::{Sweep, SweepStop, is_refused_search};
use crate::ehr::Failure;
use crate::ehr::page::PageText;
use crate::fhir::arrival::ResourceType;
use crate::fhir::history::HistoryPage;
use crate::fhir::logical_id::is_logical_id;
use crate::store::connection::{self, Watermark, hint};
use crate::store::resource;

use super::walk::{SweepWalk, WalkStep};

/// How far back the first look reaches. A history holds the versions of all patients, so more would be expensive.
const FIRST: TimeDelta = TimeDelta::days(1);
/// Name of the history search in the watermark table.
const WAY: &str = "history";

impl Sweep<'_> {
    /// Looks through the histories that are due. One that fails does not keep the others from being looked at.
    ///
    /// # Errors
    /// When the database does not answer, or the lease was lost.
    pub async fn deletions(&self) -> Result<(), SweepStop> {
        let poll = &self.connection.settings.poll;
        if poll.deletions.is_zero() {
            return Ok(());
        }
        // Nothing is heard: the next sweep asks again.
        let Ok(offers) = self.connection.ehr.offers().await else { return Ok(()) };
        let mut tx = self.intake.db.read().await?;
        let marks = connection::watermarks(&mut tx, self.connection.of()).await?;
        drop(tx);
        let (now, often) = (self.intake.clock.now(), TimeDelta::from_std(poll.deletions).unwrap_or(TimeDelta::days(1)));
        for kind in poll.types.iter().filter(|kind| offers.has_history(kind)).filter_map(|kind| ResourceType::of(kind))
        {
            let name = format!("{}/_history", kind.name());
            let before = marks.iter().find(|mark| mark.kind == name).cloned();
            let mut mark = before.unwrap_or_else(|| Watermark::new(name, Some(now - FIRST), WAY, now));
            let tried = mark.swept_at.max(mark.failed_at);
            if tried.is_some_and(|tried| now - tried < often) {
                continue;
            }
            let outcome = self.history(kind, &mut mark).await;
            let now = self.intake.clock.now();
            match outcome {
                Ok(()) => (mark.swept_at, mark.failed_at, mark.last_error) = (Some(now), None, None),
                Err(SweepStop::Failed(failure)) => {
                    tracing::warn!(connection = self.connection.name(), kind = mark.kind, %failure, "no deletions were found");
                    (mark.failed_at, mark.last_error) = (Some(now), Some(failure.in_full()));
                }
                Err(other) => return Err(other),
            }
            self.put(&mark).await?;
        }
        Ok(())
    }

    /// Looks through the history of a type since the last look, less the overlap.
    async fn history(&self, kind: ResourceType, mark: &mut Watermark) -> Result<(), SweepStop> {
        let poll = &self.connection.settings.poll;
        let overlap = TimeDelta::from_std(poll.overlap).unwrap_or_default();
        let since = mark.watermark.map(|watermark| watermark - overlap);
        let since = since.map(|since| format!("_since={}&", since.to_rfc3339_opts(SecondsFormat::Millis, true)));
        let since = since.unwrap_or_default();
        let sized = format!("{since}_count={}", poll.page_size);
        let ehr = &self.connection.ehr;
        let mut page = match ehr.history_text(kind.name(), &sized).await {
            // The page size may be above the server's maximum.
            Err(failure) if is_refused_search(&failure) => {
                ehr.history_text(kind.name(), since.trim_end_matches('&')).await?
            }
            page => page?,
        };
        // The server's clock, or failing that ours.
        let began = page.date.unwrap_or_else(|| self.intake.clock.now());
        let (mut walk, mut latest, mut versions) = (SweepWalk::new(None, false), None, 0);
        let (mut seen, mut taken) = (0, 0);
        loop {
            let history = read(&page)?;
            (versions, latest) = (versions + history.versions, latest.max(history.latest));
            seen += history.deleted.len();
            taken += self.hint_at(kind, &history.deleted).await?;
            self.prolong().await?;
            match walk.after(&[], history.next).map_err(super::pass::unusable)? {
                WalkStep::Follow(link) => page = self.connection.ehr.follow_text(&link).await?,
                _ => break,
            }
        }
        if versions > 0 {
            // By the server's clock, like everything that it tells us of changes.
            mark.watermark = mark.watermark.max(Some(latest.unwrap_or(began).min(began)));
        }
        (mark.seen, mark.taken) = (i64::try_from(seen).unwrap_or(i64::MAX), i64::try_from(taken).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Has those fetched that are here and are not known to be deleted; answers how many.
    async fn hint_at(&self, kind: ResourceType, deleted: &[String]) -> Result<usize, SweepStop> {
        let (of, now) = (self.connection.of(), self.intake.clock.now());
        let mut tx = self.intake.db.begin("sweep_deletions").await?;
        let mut changed = Vec::new();
        for id in deleted.iter().filter(|id| is_logical_id(id)) {
            let known = resource::find(&mut tx, of.clinic, kind.name(), id).await?;
            if known.is_some_and(|known| !known.deleted) {
                changed.push((kind.name(), id.as_str()));
            }
        }
        hint::hear(&mut tx, of, &changed, now).await?;
        tx.commit().await?;
        Ok(changed.len())
    }
}

fn read(page: &PageText) -> Result<HistoryPage, Failure> {
    HistoryPage::read(&page.text)
        .ok_or_else(|| super::pass::unusable("the answer to a look at the history is no Bundle"))
}
