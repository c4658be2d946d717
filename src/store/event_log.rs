//! The log of everything that changed a story. Rows are added, never changed.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::domain::care::{Care, CareEntry};
use crate::domain::story::Handover;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct EventRow {
    pub patient_id: PatientId,
    pub id: Uuid,
    pub episode_id: Option<EpisodeId>,
    pub kind: String,
    pub is_care: bool,
    pub happened_on: NaiveDate,
    pub happened_at: DateTime<Utc>,
    pub outcome: Option<String>,
    pub minutes: Option<i16>,
    pub body: Json<Value>,
    pub changes: Json<Value>,
    pub recorded_at: DateTime<Utc>,
    pub recorded_by: String,
}

static APPEND: LazyLock<Texts> = LazyLock::new(|| {
    let head =
        "INSERT INTO fact (clinic_id, patient_id, id, episode_id, kind, is_care, happened_on, happened_at, outcome,
        minutes, body, changes, recorded_at, recorded_by)";
    Texts::values(head, 13, "")
});

pub async fn append(tx: &mut WriteTx, clinic: &str, facts: &[EventRow]) -> Result<(), Problem> {
    execute_rows!(
        tx,
        APPEND,
        clinic,
        facts,
        |f| f.patient_id,
        f.id,
        f.episode_id,
        &f.kind,
        f.is_care,
        f.happened_on,
        f.happened_at,
        &f.outcome,
        f.minutes,
        &f.body,
        &f.changes,
        f.recorded_at,
        &f.recorded_by
    );
    Ok(())
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: Uuid,
    episode_id: Option<EpisodeId>,
    happened_on: NaiveDate,
    happened_at: DateTime<Utc>,
    body: Json<Care>,
}

impl From<EntryRow> for CareEntry {
    fn from(r: EntryRow) -> Self {
        Self { id: r.id, episode: r.episode_id, on: r.happened_on, at: r.happened_at, care: r.body.0 }
    }
}

/// Entries of the care team about a patient: part of the story.
pub async fn entries(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<CareEntry>, Problem> {
    fetch_all!(
        tx,
        EntryRow,
        "SELECT id, episode_id, happened_on, happened_at, body FROM fact
         WHERE clinic_id = $1 AND patient_id = $2 AND is_care ORDER BY happened_on, id",
        clinic,
        patient
    )
    .map(|rows| rows.into_iter().map(CareEntry::from).collect())
    .map_err(failed)
}

/// A line of the log that is part of a story.
#[expect(clippy::large_enum_variant, reason = "nearly every line is an entry")]
pub enum StoryEvent {
    /// The care team entered it.
    Entry(CareEntry),
    /// An episode went to another care manager.
    Handover(Handover),
}

/// The handover that a line of kind `transfer` tells of. `None` where the care manager stayed the same.
pub fn handover(episode: Option<EpisodeId>, on: NaiveDate, body: &Value) -> Option<Handover> {
    let from = body.get("changed")?.get("care_manager")?.get("from")?;
    Some(Handover { episode: episode?, on, from: from.as_str().map(str::to_owned) })
}

#[derive(sqlx::FromRow)]
struct StoryEventRow {
    patient_id: PatientId,
    id: Uuid,
    episode_id: Option<EpisodeId>,
    is_care: bool,
    happened_on: NaiveDate,
    happened_at: DateTime<Utc>,
    body: String,
}

impl StoryEventRow {
    fn read(self) -> serde_json::Result<Option<(PatientId, StoryEvent)>> {
        let (episode, on, at) = (self.episode_id, self.happened_on, self.happened_at);
        let told = if self.is_care {
            let care = serde_json::from_str(&self.body)?;
            Some(StoryEvent::Entry(CareEntry { id: self.id, episode, on, at, care }))
        } else {
            handover(episode, on, &serde_json::from_str(&self.body)?).map(StoryEvent::Handover)
        };
        Ok(told.map(|told| (self.patient_id, told)))
    }
}

/// Story events of the patients in a range of ids, by patient.
pub async fn story_events(
    tx: &mut ReadTx,
    clinic: &str,
    from: PatientId,
    to: PatientId,
) -> Result<Vec<(PatientId, StoryEvent)>, Problem> {
    let rows = fetch_all!(
        tx,
        StoryEventRow,
        "SELECT patient_id, id, episode_id, is_care, happened_on, happened_at, CAST(body AS TEXT) AS body FROM fact
         WHERE clinic_id = $1 AND patient_id >= $2 AND patient_id <= $3 AND (is_care OR kind = 'transfer')
         ORDER BY patient_id, happened_on, id",
        clinic,
        from,
        to
    )
    .map_err(failed)?;
    let read = rows.into_iter().map(StoryEventRow::read).filter_map(Result::transpose);
    read.collect::<serde_json::Result<_>>().map_err(|_| Problem::internal("a line of the log cannot be read"))
}

static TOLD_OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head = "SELECT patient_id, id, episode_id, is_care, happened_on, happened_at, CAST(body AS TEXT) AS body
        FROM fact WHERE clinic_id = $1 AND (is_care OR kind = 'transfer') AND patient_id IN";
    Texts::list(head, 2, "")
});

/// What the log adds to the stories of each of these patients, of one patient in order of date.
pub async fn events_of_each(
    tx: &mut ReadTx,
    clinic: &str,
    patients: &[PatientId],
) -> Result<Vec<(PatientId, StoryEvent)>, Problem> {
    let mut rows = fetch_listed!(tx, StoryEventRow, TOLD_OF_EACH, patients, clinic);
    rows.sort_by_key(|row| (row.happened_on, row.id));
    let read = rows.into_iter().map(StoryEventRow::read).filter_map(Result::transpose);
    read.collect::<serde_json::Result<_>>().map_err(|_| Problem::internal("a line of the log cannot be read"))
}

/// The entries about a patient that were taken back.
pub async fn taken_back(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<Uuid>, Problem> {
    let rows = fetch_all!(
        tx,
        (Json<Care>,),
        "SELECT body FROM fact WHERE clinic_id = $1 AND patient_id = $2 AND kind = 'taken_back'",
        clinic,
        patient
    )
    .map_err(failed)?;
    let entry = |(body,): (Json<Care>,)| if let Care::TakenBack { entry, .. } = body.0 { Some(entry) } else { None };
    Ok(rows.into_iter().filter_map(entry).collect())
}

/// The part of a patient's log that belongs to an episode.
#[derive(Clone, Debug)]
pub struct EpisodeLog {
    pub patient: PatientId,
    /// The episode: everything entered in it belongs to it.
    pub episode: EpisodeId,
    /// Events that concern the patient belong to it from this date on …
    pub from: NaiveDate,
    /// … up to this one.
    pub to: NaiveDate,
    /// Only what had been recorded by then.
    pub known_at: Option<DateTime<Utc>>,
}

/// A page of what happened in an episode, in order of (when it happened, when it was recorded, id).
pub async fn chapter(
    tx: &mut ReadTx,
    clinic: &str,
    chapter: &EpisodeLog,
    after: Option<(DateTime<Utc>, DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<EventRow>, Problem> {
    let (happened, recorded, id) = match after {
        Some((happened, recorded, id)) => (Some(happened), Some(recorded), Some(id)),
        None => (None, None, None),
    };
    fetch_all!(
        tx,
        EventRow,
        "SELECT patient_id, id, episode_id, kind, is_care, happened_on, happened_at, outcome, minutes, body, changes,
           recorded_at, recorded_by
         FROM fact WHERE clinic_id = $1 AND patient_id = $2
           AND (episode_id = $3 OR (episode_id IS NULL AND happened_on >= $4 AND happened_on <= $5))
           AND ($6 IS NULL OR happened_at > $6
             OR (happened_at = $6 AND (recorded_at > $7 OR (recorded_at = $7 AND id > $8))))
           AND ($10 IS NULL OR recorded_at <= $10)
         ORDER BY happened_at, recorded_at, id LIMIT $9",
        clinic,
        chapter.patient,
        chapter.episode,
        chapter.from,
        chapter.to,
        happened,
        recorded,
        id,
        limit,
        chapter.known_at
    )
    .map_err(failed)
}

/// Everything of one kind in an episode, in order of entry.
pub async fn of_episode(
    tx: &mut ReadTx,
    clinic: &str,
    episode: EpisodeId,
    kind: &str,
) -> Result<Vec<EventRow>, Problem> {
    fetch_all!(
        tx,
        EventRow,
        "SELECT patient_id, id, episode_id, kind, is_care, happened_on, happened_at, outcome, minutes, body, changes,
           recorded_at, recorded_by
         FROM fact WHERE clinic_id = $1 AND episode_id = $2 AND kind = $3 ORDER BY id",
        clinic,
        episode,
        kind
    )
    .inspect(|rows| note(rows.iter().map(|f| f.patient_id)))
    .map_err(failed)
}

/// Every event of a patient, ordered by (time of the event, time of recording).
pub async fn of_patient(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<EventRow>, Problem> {
    fetch_all!(
        tx,
        EventRow,
        "SELECT patient_id, id, episode_id, kind, is_care, happened_on, happened_at, outcome, minutes, body, changes,
           recorded_at, recorded_by
         FROM fact WHERE clinic_id = $1 AND patient_id = $2 ORDER BY happened_at, recorded_at, id",
        clinic,
        patient
    )
    .inspect(|rows| note(rows.iter().map(|f| f.patient_id)))
    .map_err(failed)
}

/// Events of a patient recorded after an instant, in order of recording.
pub async fn recorded_after(
    tx: &mut ReadTx,
    clinic: &str,
    patient: PatientId,
    after: DateTime<Utc>,
) -> Result<Vec<EventRow>, Problem> {
    fetch_all!(
        tx,
        EventRow,
        "SELECT patient_id, id, episode_id, kind, is_care, happened_on, happened_at, outcome, minutes, body, changes,
           recorded_at, recorded_by
         FROM fact WHERE clinic_id = $1 AND patient_id = $2 AND recorded_at > $3 ORDER BY recorded_at, id",
        clinic,
        patient,
        after
    )
    .map_err(failed)
}

/// The patient and episode of an entry that recommended something: searched among a clinic's case reviews.
pub async fn reviews_with(
    tx: &mut ReadTx,
    clinic: &str,
    recommendation: Uuid,
) -> Result<Option<(PatientId, Option<EpisodeId>)>, Problem> {
    // The id is a UUID of ours: its text occurs in the review that carries it and in no other.
    let pattern = format!("%{recommendation}%");
    fetch_all!(
        tx,
        (PatientId, Option<EpisodeId>),
        "SELECT patient_id, episode_id FROM fact
         WHERE clinic_id = $1 AND kind = 'case_review' AND CAST(body AS TEXT) LIKE $2 LIMIT 1",
        clinic,
        &pattern
    )
    .map(|rows| rows.into_iter().next())
    .map_err(failed)
}
