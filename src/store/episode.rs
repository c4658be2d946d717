//! Episodes as entered, with the planner's word on where they stand.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;

use super::access_trace::note;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
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
pub async fn of_patient(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<EpisodeRecord>, Problem> {
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

static OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head = "SELECT id, patient_id, enrolled_on, consent_on, primary_instrument, target_instruments, care_manager,
        primary_care_provider, psychiatric_consultant, phase, discharged_on, discharge_reason, revision, created_at, updated_at
        FROM episode WHERE clinic_id = $1 AND patient_id IN";
    Texts::list(head, 2, "")
});

/// Every episode of each of these patients, of one patient in order of enrollment.
pub async fn of_each(tx: &mut ReadTx, clinic: &str, patients: &[PatientId]) -> Result<Vec<EpisodeRecord>, Problem> {
    let mut rows = fetch_listed!(tx, EpisodeRow, OF_EACH, patients, clinic);
    note(rows.iter().map(|e| e.patient_id));
    // As the databases order what is not enrolled yet: PostgreSQL last, SQLite first. The story sorts again.
    rows.sort_by_key(|row| (row.enrolled_on, row.id));
    Ok(rows.into_iter().map(EpisodeRecord::from).collect())
}

/// Every episode of the patients from one id to another, by patient and in order of enrollment.
pub async fn of_patients(
    tx: &mut ReadTx,
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
    tx: &mut ReadTx,
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

pub async fn find(tx: &mut ReadTx, clinic: &str, id: EpisodeId) -> Result<Option<EpisodeRecord>, Problem> {
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

static INSERT: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO episode (clinic_id, id, phase, enrolled_on, consent_on, target_instruments, care_manager,
        primary_care_provider, psychiatric_consultant, discharged_on, discharge_reason, revision, updated_at, patient_id,
        primary_instrument, created_at, created_by)";
    Texts::values(head, 16, "")
});

static UPDATE: LazyLock<Texts> = LazyLock::new(|| {
    let columns = [
        "phase",
        "enrolled_on",
        "consent_on",
        "target_instruments",
        "care_manager",
        "primary_care_provider",
        "psychiatric_consultant",
        "discharged_on",
        "discharge_reason",
        "revision",
        "updated_at",
    ];
    Texts::update("episode", &["id"], &columns)
});

/// Stores new ones, each with who entered it.
pub async fn insert_all(tx: &mut WriteTx, clinic: &str, episodes: &[(&EpisodeRecord, &str)]) -> Result<(), Problem> {
    execute_rows!(
        tx,
        INSERT,
        clinic,
        episodes,
        |e| e.0.episode.id,
        e.0.phase.as_str(),
        e.0.episode.enrolled_on,
        e.0.episode.consent_on,
        Json(&e.0.episode.target_instruments),
        &e.0.episode.care_manager,
        &e.0.episode.primary_care_provider,
        &e.0.episode.psychiatric_consultant,
        e.0.discharged_on,
        &e.0.discharge_reason,
        e.0.revision,
        e.0.updated_at,
        e.0.patient_id,
        e.0.episode.primary_instrument.id(),
        e.0.created_at,
        e.1
    );
    Ok(())
}

/// Writes everything about episodes that may change.
pub async fn update_all(tx: &mut WriteTx, clinic: &str, episodes: &[&EpisodeRecord]) -> Result<(), Problem> {
    execute_rows!(
        tx,
        UPDATE,
        clinic,
        episodes,
        |e| e.episode.id,
        e.phase.as_str(),
        e.episode.enrolled_on,
        e.episode.consent_on,
        Json(&e.episode.target_instruments),
        &e.episode.care_manager,
        &e.episode.primary_care_provider,
        &e.episode.psychiatric_consultant,
        e.discharged_on,
        &e.discharge_reason,
        e.revision,
        e.updated_at
    );
    Ok(())
}

static OWNERS: LazyLock<Texts> =
    LazyLock::new(|| Texts::list("SELECT patient_id FROM episode WHERE clinic_id = $1 AND id IN", 2, ""));

/// Whose these episodes are.
pub async fn owners(tx: &mut ReadTx, clinic: &str, ids: &[EpisodeId]) -> Result<Vec<PatientId>, Problem> {
    let rows = fetch_listed!(tx, (PatientId,), OWNERS, ids, clinic);
    Ok(rows.into_iter().map(|(patient,)| patient).collect())
}

impl EpisodeRecord {
    /// As it is entered.
    pub fn entered(patient_id: PatientId, episode: episode::Episode, now: DateTime<Utc>) -> Self {
        Self {
            episode,
            patient_id,
            phase: episode::Phase::Referred,
            discharged_on: None,
            discharge_reason: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Takes over the planner's word on where it stands, for reading.
    pub fn settle(&mut self, standing: &Standing) {
        self.phase = standing.status;
        self.discharged_on = standing.discharged_on;
        self.discharge_reason = standing.discharge_reason.map(|reason| reason.as_str().to_owned());
    }
}

/// Stores a new one.
pub async fn insert(
    tx: &mut WriteTx,
    clinic: &str,
    patient: PatientId,
    e: &episode::Episode,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    insert_all(tx, clinic, &[(&EpisodeRecord::entered(patient, e.clone(), now), by)]).await
}
