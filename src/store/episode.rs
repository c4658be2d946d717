//! Episodes as entered, with the planner's word on where they stand.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;

use super::access_trace::note;
use super::{Tx, failed};
use crate::domain::episode;
use crate::domain::instrument::Instrument;
use crate::domain::standing::Standing;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;

/// A stored episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpisodeRecord {
    pub episode: episode::Episode,
    pub patient_id: PatientId,
    /// Phase, as last planned.
    pub phase: episode::Phase,
    /// Its end, once discharged.
    pub discharged_on: Option<NaiveDate>,
    pub discharge_reason: Option<String>,
    /// Counts changes: the ETag.
    pub revision: i64,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct EpisodeRow {
    id: EpisodeId,
    patient_id: PatientId,
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

impl From<EpisodeRow> for EpisodeRecord {
    fn from(row: EpisodeRow) -> Self {
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
pub async fn of_patient(tx: &mut Tx, clinic: &str, patient: PatientId) -> Result<Vec<EpisodeRecord>, Problem> {
    fetch_all!(
        tx,
        EpisodeRow,
        "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
           primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
         FROM episode WHERE clinic_id = $1 AND patient_id = $2 ORDER BY enrolled_on, id",
        clinic,
        patient
    )
    .inspect(|rows| note(rows.iter().map(|e| e.patient_id)))
    .map(|rows| rows.into_iter().map(EpisodeRecord::from).collect())
    .map_err(failed)
}

/// Every episode of the patients from one id to another, by patient and in order of enrollment.
pub async fn of_patients(
    tx: &mut Tx,
    clinic: &str,
    from: PatientId,
    to: PatientId,
) -> Result<Vec<(PatientId, episode::Episode)>, Problem> {
    fetch_all!(
        tx,
        EpisodeRow,
        "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
           primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
         FROM episode WHERE clinic_id = $1 AND patient_id >= $2 AND patient_id <= $3 ORDER BY patient_id, enrolled_on, id",
        clinic,
        from,
        to
    )
    .map(|rows| rows.into_iter().map(|row| (row.patient_id, EpisodeRecord::from(row).episode)).collect())
    .map_err(failed)
}

/// When each episode of the patients from one id to another was entered.
pub async fn entered(
    tx: &mut Tx,
    clinic: &str,
    from: PatientId,
    to: PatientId,
) -> Result<Vec<(EpisodeId, DateTime<Utc>)>, Problem> {
    fetch_all!(
        tx,
        (EpisodeId, DateTime<Utc>),
        "SELECT id, created_at FROM episode WHERE clinic_id = $1 AND patient_id >= $2 AND patient_id <= $3",
        clinic,
        from,
        to
    )
    .map_err(failed)
}

pub async fn find(tx: &mut Tx, clinic: &str, id: EpisodeId) -> Result<Option<EpisodeRecord>, Problem> {
    fetch_optional!(
        tx,
        EpisodeRow,
        "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
           primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
         FROM episode WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .inspect(|row| note(row.as_ref().map(|e| e.patient_id)))
    .map(|row| row.map(EpisodeRecord::from))
    .map_err(failed)
}

/// Stores a new one.
pub async fn insert(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
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

/// Updates an episode as its next revision.
pub async fn update(tx: &mut Tx, clinic: &str, e: &episode::Episode, now: DateTime<Utc>) -> Result<(), Problem> {
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
pub async fn touch(tx: &mut Tx, clinic: &str, id: EpisodeId, now: DateTime<Utc>) -> Result<(), Problem> {
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
pub async fn settle(tx: &mut Tx, clinic: &str, standing: &Standing) -> Result<(), Problem> {
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
