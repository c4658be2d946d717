//! Episodes as entered, with the planner's word on where they stand.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::rows::Texts;
use super::shown::note;
use super::{ReadTx, WriteTx, failed};
use crate::domain::episode;
use crate::domain::instrument::Instrument;
use crate::domain::standing::Standing;
use crate::problem::Problem;

/// A stored episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As entered.
    pub episode: episode::Episode,
    /// Whose.
    pub patient_id: Uuid,
    /// Where it stands, as the planner said last.
    pub phase: episode::Phase,
    /// Its end, once discharged.
    pub discharged_on: Option<NaiveDate>,
    /// Why it ended.
    pub discharge_reason: Option<String>,
    /// Counts changes: the ETag.
    pub revision: i64,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    patient_id: Uuid,
    enrolled_on: Option<NaiveDate>,
    consent_on: Option<NaiveDate>,
    #[sqlx(try_from = "String")]
    primary_instrument: Instrument,
    target_instruments: Json<Vec<Instrument>>,
    care_manager: Option<String>,
    primary_care_provider: Option<String>,
    psychiatric_consultant: Option<String>,
    #[sqlx(try_from = "String")]
    phase: episode::Phase,
    discharged_on: Option<NaiveDate>,
    discharge_reason: Option<String>,
    revision: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Stored {
    fn from(row: Row) -> Self {
        Self {
            episode: episode::Episode {
                id: row.id,
                enrolled_on: row.enrolled_on,
                consent_on: row.consent_on,
                primary_instrument: row.primary_instrument,
                target_instruments: row.target_instruments.0,
                care_manager: row.care_manager,
                primary_care_provider: row.primary_care_provider,
                psychiatric_consultant: row.psychiatric_consultant,
            },
            patient_id: row.patient_id,
            phase: row.phase,
            discharged_on: row.discharged_on,
            discharge_reason: row.discharge_reason,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Every episode of a patient.
pub async fn of_patient(tx: &mut ReadTx, clinic: &str, patient: Uuid) -> Result<Vec<Stored>, Problem> {
    fetch_all!(
        tx,
        Row,
        "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
           primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
         FROM episode WHERE clinic_id = $1 AND patient_id = $2 ORDER BY enrolled_on, id",
        clinic,
        patient
    )
    .inspect(|rows| note(rows.iter().map(|e| e.patient_id)))
    .map(|rows| rows.into_iter().map(Stored::from).collect())
    .map_err(failed)
}

static OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head = "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
        primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
        FROM episode WHERE clinic_id = $1 AND patient_id IN";
    Texts::list(head, 2, "")
});

/// Every episode of each of these patients, of one patient in order of enrolment.
pub async fn of_each(tx: &mut ReadTx, clinic: &str, patients: &[Uuid]) -> Result<Vec<Stored>, Problem> {
    let mut rows = fetch_listed!(tx, Row, OF_EACH, patients, clinic);
    note(rows.iter().map(|e| e.patient_id));
    // As the databases order what is not enrolled yet: PostgreSQL last, SQLite first. The story sorts again.
    rows.sort_by_key(|row| (row.enrolled_on, row.id));
    Ok(rows.into_iter().map(Stored::from).collect())
}

/// Every episode of the patients from one id to another, by patient and in order of enrolment.
pub async fn of_patients(
    tx: &mut ReadTx,
    clinic: &str,
    from: Uuid,
    to: Uuid,
) -> Result<Vec<(Uuid, episode::Episode)>, Problem> {
    fetch_all!(
        tx,
        Row,
        "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
           primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
         FROM episode WHERE clinic_id = $1 AND patient_id >= $2 AND patient_id <= $3 ORDER BY patient_id, enrolled_on, id",
        clinic,
        from,
        to
    )
    .map(|rows| rows.into_iter().map(|row| (row.patient_id, Stored::from(row).episode)).collect())
    .map_err(failed)
}

/// When each episode of the patients from one id to another was entered.
pub async fn entered(tx: &mut ReadTx, clinic: &str, from: Uuid, to: Uuid) -> Result<Vec<(Uuid, DateTime<Utc>)>, Problem> {
    fetch_all!(
        tx,
        (Uuid, DateTime<Utc>),
        "SELECT id, created_at FROM episode WHERE clinic_id = $1 AND patient_id >= $2 AND patient_id <= $3",
        clinic,
        from,
        to
    )
    .map_err(failed)
}

/// Reads one.
pub async fn find(tx: &mut ReadTx, clinic: &str, id: Uuid) -> Result<Option<Stored>, Problem> {
    fetch_optional!(
        tx,
        Row,
        "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
           primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
         FROM episode WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .inspect(|row| note(row.as_ref().map(|e| e.patient_id)))
    .map(|row| row.map(Stored::from))
    .map_err(failed)
}

/// Stores a new one.
pub async fn insert(
    tx: &mut WriteTx,
    clinic: &str,
    patient: Uuid,
    e: &episode::Episode,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO episode (clinic_id, id, patient_id, phase, enrolled_on, consent_on, primary_instrument,
           target_instruments, care_manager, primary_care_provider, psychiatric_consultant, revision, created_at, created_by, updated_at)
         VALUES ($1, $2, $3, 'referred', $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, $11)",
        clinic,
        e.id,
        patient,
        e.enrolled_on,
        e.consent_on,
        e.primary_instrument.id(),
        Json(&e.target_instruments),
        &e.care_manager,
        &e.primary_care_provider,
        &e.psychiatric_consultant,
        now,
        by
    )
    .map(|_| ())
    .map_err(failed)
}

/// Writes what was entered about an episode anew, as its next revision.
pub async fn update(tx: &mut WriteTx, clinic: &str, e: &episode::Episode, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE episode SET enrolled_on = $3, consent_on = $4, target_instruments = $5, care_manager = $6,
           primary_care_provider = $7, psychiatric_consultant = $8, revision = revision + 1, updated_at = $9
         WHERE clinic_id = $1 AND id = $2",
        clinic,
        e.id,
        e.enrolled_on,
        e.consent_on,
        Json(&e.target_instruments),
        &e.care_manager,
        &e.primary_care_provider,
        &e.psychiatric_consultant,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Counts a change that is not in the episode's own row.
pub async fn touch(tx: &mut WriteTx, clinic: &str, id: Uuid, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE episode SET revision = revision + 1, updated_at = $3 WHERE clinic_id = $1 AND id = $2",
        clinic,
        id,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Writes the planner's word on where an episode stands, for reading.
pub async fn settle(tx: &mut WriteTx, clinic: &str, standing: &Standing) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE episode SET phase = $3, discharged_on = $4, discharge_reason = $5 WHERE clinic_id = $1 AND id = $2",
        clinic,
        standing.episode,
        standing.status.as_str(),
        standing.discharged_on,
        standing.discharge_reason.map(crate::domain::care::DischargeReason::as_str)
    )
    .map(|_| ())
    .map_err(failed)
}
