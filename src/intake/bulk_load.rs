//! Everything at once: a Bulk Data export of an EHR, or files.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Intake;
use super::bundle::EntryOutcome;
use super::connection::Connection;
use super::sweep::SweepStop;
use crate::config::SearchStrategy;
use crate::ehr::Failure;
use crate::ehr::bulk::{ExportFile, ExportProgress, Manifest};
use crate::ehr::failure::words;
use crate::fhir::arrival::ResourceType;
use crate::fhir::bundle::{Bundle, BundleEntry, BundlePurpose, name_of};
use crate::fhir::content::Content;
use crate::fhir::date::FhirDate;
use crate::problem::{Category, Problem};
use crate::record::{Command, CommandEffect, Condition};
use crate::store::connection::export::{self, Export, ExportFileRecord};
use crate::store::connection::{self, Watermark};

/// How many lines share a transaction.
const SOME: usize = 200;

/// How many of a server's errors are shown.
const OUTCOMES_SHOWN: usize = 5;
/// As which type a file of errors is written down.
const OUTCOME: &str = "OperationOutcome";

/// What has been loaded so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadProgress {
    /// Resources, those of other types left aside.
    pub seen: usize,
    /// How many of them changed something.
    pub taken: usize,
    /// How many were deleted.
    pub deleted: usize,
    /// Lines and entries that cannot be read.
    pub unread: usize,
    /// Why the first of these cannot be read: a place and a sentence.
    pub first_fault: Option<String>,
}

/// Receives a sentence about every step.
pub type LoadReporter<'a> = &'a (dyn Fn(&str, &LoadProgress) + Send + Sync);

impl Intake {
    /// Loads everything that an EHR has of the types that are swept, by Bulk Data export; goes on where an earlier one
    /// was interrupted.
    ///
    /// # Errors
    /// When the server or the database fails; what was done is done, and the next call goes on from there.
    pub async fn bootstrap(&self, connection: &Connection, tell: LoadReporter<'_>) -> Result<LoadProgress, SweepStop> {
        let (of, mut loaded) = (connection.of(), LoadProgress::default());
        let mut tx = self.db.read().await?;
        let unfinished = export::unfinished(&mut tx, of).await?;
        drop(tx);
        let mut export = match unfinished {
            Some(export) => export,
            None => self.request(connection).await?,
        };
        if export.state == "running" {
            tell("the server is making the export", &loaded);
            let manifest = match self.wait(connection, &export, tell).await {
                Ok(manifest) => manifest,
                Err(failure) => {
                    // The server has forgotten it: the next call asks for another one.
                    if matches!(failure, Failure::Refused { .. } | Failure::NotAllowed { .. }) {
                        (export.state, export.last_error) = ("failed".to_owned(), Some(failure.in_full()));
                        self.put(connection, &export, &[]).await?;
                    }
                    return Err(failure.into());
                }
            };
            let time = manifest.transaction_time.as_deref().and_then(FhirDate::parse);
            export.transaction_time = time.and_then(|when| when.taken(chrono_tz::UTC)).map(|taken| taken.at);
            "loading".clone_into(&mut export.state);
            self.put(connection, &export, &files(&manifest)).await?;
        }
        let mut tx = self.db.read().await?;
        let files = export::files(&mut tx, &connection.clinic, export.id).await?;
        drop(tx);
        let (outcomes, files): (Vec<ExportFileRecord>, Vec<ExportFileRecord>) = files.into_iter().partition(is_outcome);
        for mut file in files.into_iter().filter(|file| !file.done) {
            let done = self.load_file(connection, &export, &mut file, &mut loaded, tell).await;
            if let Err(SweepStop::Failed(Failure::Refused { status: 404 | 410, .. })) = &done {
                (export.state, export.last_error) = ("failed".to_owned(), Some("its files are gone".to_owned()));
                self.put(connection, &export, &[]).await?;
            }
            done?;
        }
        export.last_error = self.missing(connection, &outcomes, tell).await?;
        export.finished_at = Some(self.clock.now());
        if export.last_error.is_some() { "failed" } else { "done" }.clone_into(&mut export.state);
        self.put(connection, &export, &[]).await?;
        if let Some(why) = export.last_error {
            return Err(SweepStop::Incomplete(why));
        }
        if connection.settings.bulk.group.is_none()
            && let Some(time) = export.transaction_time
        {
            self.move_watermarks(connection, time).await?;
        }
        // Only politeness.
        let _ = connection.ehr.forget_export(&export.status_url).await;
        Ok(loaded)
    }

    /// What the server could not export, in its own words, from the files of the manifest's `error`. Its warnings are only
    /// told.
    async fn missing(
        &self,
        connection: &Connection,
        outcomes: &[ExportFileRecord],
        tell: LoadReporter<'_>,
    ) -> Result<Option<String>, SweepStop> {
        let mut missing = Vec::new();
        for file in outcomes {
            let mut lines = connection.ehr.open_file(&file.url, &connection.settings.bulk.file_origins).await?;
            while let Some(line) = lines.next().await? {
                let outcome: Value = serde_json::from_str(&line).unwrap_or_default();
                let said = words(&outcome);
                let severity = |issue: &Value| matches!(issue["severity"].as_str(), Some("information" | "warning"));
                let issues = outcome["issue"].as_array();
                if issues.is_some_and(|all| !all.is_empty() && all.iter().all(severity)) {
                    tell(&said, &LoadProgress::default());
                } else {
                    missing.push(if said.is_empty() { "an error without a word".to_owned() } else { said });
                }
            }
        }
        let (count, first) = (missing.len(), missing.iter().take(OUTCOMES_SHOWN).cloned().collect::<Vec<_>>());
        Ok((count > 0).then(|| format!("the server reports {count} errors: {}", first.join("; "))))
    }

    async fn request(&self, connection: &Connection) -> Result<Export, SweepStop> {
        let types = connection.settings.poll.types.join(",");
        let status_url = connection.ehr.export(connection.settings.bulk.group.as_deref(), &types).await?;
        let export = Export {
            id: self.clock.id(),
            state: "running".to_owned(),
            status_url,
            requested_at: self.clock.now(),
            transaction_time: None,
            finished_at: None,
            last_error: None,
        };
        self.put(connection, &export, &[]).await?;
        Ok(export)
    }

    async fn put(&self, connection: &Connection, export: &Export, files: &[ExportFileRecord]) -> Result<(), Problem> {
        let mut tx = self.db.begin("bulk_export").await?;
        export::put(&mut tx, connection.of(), export).await?;
        for file in files {
            export::put_file(&mut tx, &connection.clinic, export.id, file).await?;
        }
        tx.commit().await
    }

    async fn wait(
        &self,
        connection: &Connection,
        export: &Export,
        tell: LoadReporter<'_>,
    ) -> Result<Manifest, Failure> {
        let mut failures = 0;
        loop {
            match connection.ehr.export_progress(&export.status_url).await {
                Ok(ExportProgress::Ready(manifest)) => return Ok(manifest),
                Ok(ExportProgress::Working { note, wait }) => {
                    failures = 0;
                    tell(note.as_deref().unwrap_or("the server is making the export"), &LoadProgress::default());
                    tokio::time::sleep(wait).await;
                }
                Err(failure @ (Failure::Refused { .. } | Failure::NotAllowed { .. }))
                    if failure.status() != Some(429) =>
                {
                    return Err(failure);
                }
                Err(failure) if failures == 10 => return Err(failure),
                Err(_) => {
                    failures += 1;
                    tokio::time::sleep(std::time::Duration::from_secs(failures)).await;
                }
            }
        }
    }

    async fn load_file(
        &self,
        connection: &Connection,
        export: &Export,
        file: &mut ExportFileRecord,
        loaded: &mut LoadProgress,
        tell: LoadReporter<'_>,
    ) -> Result<(), SweepStop> {
        let mut lines = connection.ehr.open_file(&file.url, &connection.settings.bulk.file_origins).await?;
        for _ in 0..file.lines {
            lines.next().await?;
        }
        loop {
            let mut some = Vec::with_capacity(SOME);
            while some.len() < SOME
                && let Some(line) = lines.next().await?
            {
                some.push(line);
            }
            let before = loaded.unread;
            let by = connection.author();
            if file.deletes {
                self.delete_lines(&connection.clinic, &by, &some, loaded).await?;
            } else {
                self.load_lines(&connection.clinic, &by, &some, loaded).await?;
            }
            file.lines += i64::try_from(some.len()).unwrap_or(0);
            file.unusable += i64::try_from(loaded.unread - before).unwrap_or(0);
            file.done = some.len() < SOME;
            self.put(connection, export, std::slice::from_ref(file)).await?;
            tell(&file.kind, loaded);
            if file.done {
                return Ok(());
            }
        }
    }

    /// Loads resources, one in each line. A line that cannot be read is counted and stops nothing.
    async fn load_lines(
        &self,
        clinic: &str,
        by: &str,
        lines: &[String],
        loaded: &mut LoadProgress,
    ) -> Result<(), Problem> {
        let mut commands = Vec::with_capacity(lines.len());
        for line in lines {
            if name_of(line).is_some_and(|(name, _)| ResourceType::of(&name).is_none()) {
                continue;
            }
            loaded.seen += 1;
            match self.read(clinic, line) {
                // A hospital's blood pressures are none of our business.
                Ok(arrival) if is_foreign(&arrival.content) && arrival.kind == ResourceType::Observation => {}
                Ok(arrival) => {
                    commands.push(Command::StoreResource { arrival: Box::new(arrival), condition: Condition::None });
                }
                Err(problem) => loaded.fault(&problem),
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        for answer in self.take_all(clinic, by, commands, false).await? {
            match answer {
                Ok(recorded) => loaded.taken += usize::from(recorded.effect != CommandEffect::Unchanged),
                Err(problem) if problem.category == Category::Unavailable => return Err(problem),
                Err(problem) => loaded.fault(&problem),
            }
        }
        Ok(())
    }

    /// Takes in what was deleted: a Bundle of requests in each line.
    async fn delete_lines(
        &self,
        clinic: &str,
        by: &str,
        lines: &[String],
        loaded: &mut LoadProgress,
    ) -> Result<(), Problem> {
        for line in lines {
            let bundle = Bundle::read(line).map(|bundle| Bundle { purpose: BundlePurpose::History, ..bundle });
            let bundle = match bundle {
                Ok(bundle) => bundle,
                Err(problem) => {
                    loaded.fault(&problem);
                    continue;
                }
            };
            for outcome in self.take_bundle(clinic, by, &bundle, &|_, _| Ok(())).await? {
                match outcome {
                    EntryOutcome::Recorded { recorded, .. } => {
                        loaded.deleted += usize::from(recorded.effect == CommandEffect::Deleted);
                    }
                    EntryOutcome::Failed(problem) => loaded.fault(&problem),
                    EntryOutcome::Ignored(_) | EntryOutcome::Wanted { .. } => {}
                }
            }
        }
        Ok(())
    }

    async fn move_watermarks(&self, connection: &Connection, time: DateTime<Utc>) -> Result<(), Problem> {
        let mut tx = self.db.begin("bulk_watermark").await?;
        let known = connection::watermarks(&mut tx, connection.of()).await?;
        for kind in &connection.settings.poll.types {
            let fresh = || Watermark::new(kind.as_str(), None, SearchStrategy::default().as_str(), self.clock.now());
            let mut mark = known.iter().find(|mark| mark.kind == *kind).cloned().unwrap_or_else(fresh);
            mark.watermark = mark.watermark.max(Some(time));
            connection::put_watermark(&mut tx, connection.of(), &mark).await?;
        }
        tx.commit().await
    }

    /// Loads the text of a file: a Bundle, a resource, or one of these in each line.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done, and doing it again is harmless.
    pub async fn load_text(
        &self,
        clinic: &str,
        by: &str,
        text: &str,
        loaded: &mut LoadProgress,
    ) -> Result<(), Problem> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let is_one = serde_json::from_str::<&RawValue>(text).is_ok();
        let documents: Vec<&str> = if is_one { vec![text] } else { text.lines().collect() };
        let mut lines = Vec::new();
        for document in documents.into_iter().map(str::trim).filter(|document| !document.is_empty()) {
            if name_of(document).is_some_and(|(name, _)| name == "Bundle") {
                self.load_bundle(clinic, by, document, loaded).await?;
            } else {
                lines.push(document.to_owned());
            }
            if lines.len() == SOME {
                self.load_lines(clinic, by, &std::mem::take(&mut lines), loaded).await?;
            }
        }
        self.load_lines(clinic, by, &lines, loaded).await
    }

    async fn load_bundle(&self, clinic: &str, by: &str, raw: &str, loaded: &mut LoadProgress) -> Result<(), Problem> {
        #[derive(Deserialize)]
        struct Entries<'a> {
            #[serde(borrow, default)]
            entry: Vec<&'a RawValue>,
        }
        let Ok(Entries { entry: entries }) = serde_json::from_str(raw) else {
            loaded.fault(&Problem::malformed("not a Bundle").at("Bundle"));
            return Ok(());
        };
        // The purpose of the Bundle does not matter. Most of a patient's record is of other types and is skipped.
        let is_ours = |entry: &&RawValue| {
            let resource = BundleEntry::read(entry).ok().and_then(|entry| entry.resource);
            resource
                .and_then(|resource| name_of(resource.get()))
                .is_some_and(|(name, _)| ResourceType::of(&name).is_some())
        };
        let bundle =
            Bundle { purpose: BundlePurpose::Collection, entries: entries.into_iter().filter(is_ours).collect() };
        loaded.seen += bundle.entries.len();
        for outcome in self.take_bundle(clinic, by, &bundle, &|_, _| Ok(())).await? {
            match outcome {
                EntryOutcome::Recorded { recorded, .. } => {
                    loaded.taken += usize::from(recorded.effect != CommandEffect::Unchanged);
                }
                EntryOutcome::Failed(problem) => loaded.fault(&problem),
                EntryOutcome::Ignored(_) | EntryOutcome::Wanted { .. } => {}
            }
        }
        Ok(())
    }
}

impl LoadProgress {
    fn fault(&mut self, problem: &Problem) {
        self.unread += 1;
        let place = problem.expression.as_deref().unwrap_or("Resource");
        self.first_fault.get_or_insert_with(|| format!("{place}: {}", problem.detail));
    }
}

fn is_foreign(content: &Content) -> bool {
    matches!(content, Content::Evidence(evidence) if evidence.readings.is_empty() && evidence.doubt.is_none())
}

fn is_outcome(file: &ExportFileRecord) -> bool {
    file.kind == OUTCOME
}

fn files(manifest: &Manifest) -> Vec<ExportFileRecord> {
    let of = |listed: &ExportFile, deletes| (listed.kind.clone(), listed.url.clone(), deletes);
    // Deletions come last: otherwise the resources would come back.
    let all = manifest.output.iter().map(|one| of(one, false)).chain(manifest.deleted.iter().map(|one| of(one, true)));
    let kept = all.filter(|(kind, _, deletes)| *deletes || ResourceType::of(kind).is_some());
    let outcomes = manifest.error.iter().map(|one| (OUTCOME.to_owned(), one.url.clone(), false));
    (0..)
        .zip(kept.chain(outcomes))
        .map(|(number, (kind, url, deletes))| ExportFileRecord {
            number,
            kind,
            deletes,
            url,
            is_open: !manifest.requires_access_token,
            lines: 0,
            done: false,
            unusable: 0,
        })
        .collect()
}
