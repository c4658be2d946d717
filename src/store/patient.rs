//! Persons and the names they are known by.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;

use super::access_trace::note;
use super::key::indexed;
use super::rows::Lists;
use super::{Tx, failed};
use crate::domain::candidate::Candidate;
use crate::domain::story;
use crate::id::PatientId;
use crate::problem::Problem;

/// The columns of a [`Patient`], each with what says of which table.
macro_rules! columns {
    ($of:literal) => {
        columns!($of; "reference", "seen", "display_name", "family", "birth_date", "gender", "language", "inactive",
            "deceased_on", "merged_into", "has_care", "reevaluate_on", "candidate", "revision", "updated_at")
    };
    ($of:literal; $($name:literal),+) => {
        concat!($of, "id" $(, ", ", $of, $name)+)
    };
}

/// The first row of a statement that begins with its FROM.
macro_rules! fetch_patient {
    ($tx:expr, $from:literal $(, $bind:expr)* $(,)?) => {
        fetch_optional!($tx, Patient, concat!("SELECT ", columns!(""), " ", $from) $(, $bind)*)
    };
}

pub mod link;
pub mod matches;
pub mod merge;

pub use self::merge::merge;

/// A person in care.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Patient {
    pub id: PatientId,
    pub reference: String,
    pub seen: bool,
    pub display_name: Option<String>,
    pub family: Option<String>,
    pub birth_date: Option<String>,
    pub gender: Option<String>,
    pub language: Option<String>,
    pub inactive: bool,
    pub deceased_on: Option<NaiveDate>,
    pub merged_into: Option<PatientId>,
    pub has_care: bool,
    pub reevaluate_on: Option<NaiveDate>,
    pub candidate: Option<Json<Candidate>>,
    pub revision: i64,
    pub updated_at: DateTime<Utc>,
}

impl Patient {
    /// A person of whom only a reference has arrived.
    pub fn unseen(id: PatientId, reference: String, now: DateTime<Utc>) -> Self {
        Self {
            id,
            reference,
            seen: false,
            display_name: None,
            family: None,
            birth_date: None,
            gender: None,
            language: None,
            inactive: false,
            deceased_on: None,
            merged_into: None,
            has_care: false,
            reevaluate_on: None,
            candidate: None,
            revision: 1,
            updated_at: now,
        }
    }

    /// The patient's status for the planner.
    pub fn for_story(&self) -> story::PatientStatus {
        story::PatientStatus { id: self.id, inactive: self.inactive, deceased_on: self.deceased_on }
    }

    /// A name for lists: never empty.
    pub fn label(&self) -> String {
        self.display_name.clone().unwrap_or_else(|| self.reference.clone())
    }
}

/// Locks the patient a key belongs to until the end of the transaction, and reads the row.
pub async fn lock_by_key(tx: &mut Tx, clinic: &str, key: &str) -> Result<Option<Patient>, Problem> {
    fetch_optional!(
        tx,
        Patient,
        concat!("UPDATE patient SET revision = revision + 1
         WHERE clinic_id = $1 AND id = (SELECT patient_id FROM patient_key WHERE clinic_id = $1 AND key = $2 ORDER BY former, patient_id LIMIT 1)
         RETURNING ", columns!("")),
        clinic,
        indexed(key)
    )
    .map_err(failed)
}

/// Locks a patient until the end of the transaction, and reads the row.
pub async fn lock(tx: &mut Tx, clinic: &str, id: PatientId) -> Result<Option<Patient>, Problem> {
    fetch_optional!(
        tx,
        Patient,
        concat!(
            "UPDATE patient SET revision = revision + 1 WHERE clinic_id = $1 AND id = $2
         RETURNING ",
            columns!("")
        ),
        clinic,
        id
    )
    .map_err(failed)
}

/// Locks the patients that several names lead to (keys, ids, ids of episodes) until the end of the transaction, in one
/// order. Where only one writes at a time there is nothing to lock.
pub async fn lock_all(tx: &mut Tx, clinic: &str, names: &[String]) -> Result<(), Problem> {
    let Tx::Postgres(handle) = tx else { return Ok(()) };
    let ids: Vec<PatientId> = names.iter().filter_map(|name| name.parse().ok()).collect();
    sqlx::query(
        "SELECT 1 FROM patient WHERE clinic_id = $1 AND id IN (
           SELECT patient_id FROM patient_key WHERE clinic_id = $1 AND key = ANY($2)
           UNION SELECT patient_id FROM episode WHERE clinic_id = $1 AND id = ANY($3)
           UNION SELECT unnest($3))
         ORDER BY id FOR UPDATE",
    )
    .bind(clinic)
    .bind(names.iter().map(|name| indexed(name)).collect::<Vec<_>>())
    .bind(&ids)
    .execute(handle.connection())
    .await
    .map(|_| ())
    .map_err(failed)
}

/// Reads a patient; one who was merged into another is found as the other.
pub async fn find(tx: &mut Tx, clinic: &str, id: PatientId) -> Result<Option<Patient>, Problem> {
    fetch_optional!(
        tx,
        Patient,
        concat!(
            "SELECT ",
            columns!("p."),
            " FROM patient q JOIN patient p ON p.clinic_id = q.clinic_id AND p.id = COALESCE(q.merged_into, q.id)
         WHERE q.clinic_id = $1 AND q.id = $2"
        ),
        clinic,
        id
    )
    .inspect(|row| note(row.as_ref().map(|p| p.id)))
    .map_err(failed)
}

static EACH: LazyLock<Lists> = LazyLock::new(|| {
    let head = concat!(
        "SELECT ",
        columns!("p."),
        " FROM patient q JOIN patient p ON p.clinic_id = q.clinic_id AND p.id = COALESCE(q.merged_into, q.id)
        WHERE q.clinic_id = $1 AND q.id IN"
    );
    Lists::new(head, "")
});

/// Reads these patients, in no order; those who were merged into another are found as the other.
pub async fn find_each(tx: &mut Tx, clinic: &str, ids: &[PatientId]) -> Result<Vec<Patient>, Problem> {
    let rows = fetch_listed!(tx, Patient, EACH, clinic, ids);
    note(rows.iter().map(|p| p.id));
    Ok(rows)
}

static KEYS_OF_EACH: LazyLock<Lists> =
    LazyLock::new(|| Lists::new("SELECT patient_id, key FROM patient_key WHERE clinic_id = $1 AND patient_id IN", ""));

/// The keys that each of these patients is known by, in order: (patient, key).
pub async fn keys_of_each(tx: &mut Tx, clinic: &str, ids: &[PatientId]) -> Result<Vec<(PatientId, String)>, Problem> {
    let mut rows = fetch_listed!(tx, (PatientId, String), KEYS_OF_EACH, clinic, ids);
    rows.sort_unstable();
    Ok(rows)
}

/// Patients with a key: usually one, none if unknown, several if ambiguous. A name that somebody had once leads to them
/// only while nobody carries it now.
pub async fn by_key(tx: &mut Tx, clinic: &str, key: &str) -> Result<Vec<Patient>, Problem> {
    fetch_all!(
        tx,
        Patient,
        concat!(
            "SELECT ",
            columns!("p."),
            " FROM patient_key k JOIN patient p ON p.clinic_id = k.clinic_id AND p.id = k.patient_id
         WHERE k.clinic_id = $1 AND k.key = $2 AND (NOT k.former OR NOT EXISTS (
           SELECT 1 FROM patient_key o WHERE o.clinic_id = $1 AND o.key = $2 AND NOT o.former))
         ORDER BY k.patient_id LIMIT 100"
        ),
        clinic,
        indexed(key)
    )
    .inspect(|rows| note(rows.iter().map(|p| p.id)))
    .map_err(failed)
}

/// A page of patients after an id, in order of id.
pub async fn page(tx: &mut Tx, clinic: &str, after: Option<PatientId>, limit: i64) -> Result<Vec<Patient>, Problem> {
    fetch_all!(
        tx,
        Patient,
        concat!(
            "SELECT ",
            columns!(""),
            " FROM patient WHERE clinic_id = $1 AND merged_into IS NULL AND id > $2 ORDER BY id LIMIT $3"
        ),
        clinic,
        after.unwrap_or_default(),
        limit
    )
    .inspect(|rows| note(rows.iter().map(|p| p.id)))
    .map_err(failed)
}

/// Stores a new person under a key. `false` if the id is taken already.
pub async fn insert(tx: &mut Tx, clinic: &str, patient: &Patient) -> Result<bool, Problem> {
    execute!(
        tx,
        "INSERT INTO patient (clinic_id, id, reference, seen, display_name, family, birth_date, gender, language, inactive,
           deceased_on, merged_into, has_care, reevaluate_on, revision, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL, $12, $13, 1, $14, $14) ON CONFLICT DO NOTHING",
        clinic,
        patient.id,
        &patient.reference,
        patient.seen,
        &patient.display_name,
        &patient.family,
        &patient.birth_date,
        &patient.gender,
        &patient.language,
        patient.inactive,
        patient.deceased_on,
        patient.has_care,
        patient.reevaluate_on,
        patient.updated_at
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Writes everything about a locked person that may change.
pub async fn update(tx: &mut Tx, clinic: &str, patient: &Patient, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE patient SET reference = $3, seen = $4, display_name = $5, family = $6, birth_date = $7, gender = $8,
           language = $9, inactive = $10, deceased_on = $11, merged_into = $12, has_care = $13, reevaluate_on = $14,
           updated_at = $15, candidate_since = $16, candidate_dismissed = $17, candidate = $18
         WHERE clinic_id = $1 AND id = $2",
        clinic,
        patient.id,
        &patient.reference,
        patient.seen,
        &patient.display_name,
        &patient.family,
        &patient.birth_date,
        &patient.gender,
        &patient.language,
        patient.inactive,
        patient.deceased_on,
        patient.merged_into,
        patient.has_care,
        patient.reevaluate_on,
        now,
        patient.candidate.as_ref().map(|candidate| candidate.since),
        patient.candidate.as_ref().is_some_and(|candidate| candidate.dismissed.is_some()),
        &patient.candidate
    )
    .map(|_| ())
    .map_err(failed)
}

/// A name that a person is known by.
#[derive(Clone, Copy, Debug)]
pub struct KeyRow<'a> {
    /// `Patient/123`, `urn:uuid:…`, `system|value`.
    pub key: &'a str,
    /// Who is found by it.
    pub patient: PatientId,
    /// The record that carries it, where that was merged into the person.
    pub origin: Option<PatientId>,
    /// The person had it once.
    pub former: bool,
}

/// Lets a person be known by one more key.
pub async fn add_key(tx: &mut Tx, clinic: &str, key: &str, patient: PatientId) -> Result<(), Problem> {
    put_key(tx, clinic, KeyRow { key, patient, origin: None, former: false }).await
}

/// Lets a person be known by one more key; one that is carried now is no former one any more.
pub async fn put_key(tx: &mut Tx, clinic: &str, row: KeyRow<'_>) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO patient_key (clinic_id, key, patient_id, origin_id, former) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (clinic_id, key, patient_id) DO UPDATE SET former = patient_key.former AND excluded.former",
        clinic,
        indexed(row.key),
        row.patient,
        row.origin.filter(|origin| *origin != row.patient),
        row.former
    )
    .map(|_| ())
    .map_err(failed)
}

/// The keys a person is known by.
pub async fn keys(tx: &mut Tx, clinic: &str, patient: PatientId) -> Result<Vec<String>, Problem> {
    fetch_all!(
        tx,
        (String,),
        "SELECT key FROM patient_key WHERE clinic_id = $1 AND patient_id = $2 ORDER BY key",
        clinic,
        patient
    )
    .map(|rows| rows.into_iter().map(|(key,)| key).collect())
    .map_err(failed)
}

/// Forgets a key of a person: no resource of theirs carries it any more.
pub async fn drop_key(tx: &mut Tx, clinic: &str, key: &str, patient: PatientId) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM patient_key WHERE clinic_id = $1 AND key = $2 AND patient_id = $3",
        clinic,
        indexed(key),
        patient
    )
    .map(|_| ())
    .map_err(failed)
}

/// Lets the sweep look at everybody of a clinic: the rules have changed.
pub async fn all_due(tx: &mut Tx, clinic: &str, today: NaiveDate) -> Result<u64, Problem> {
    execute!(tx, "UPDATE patient SET reevaluate_on = $2 WHERE clinic_id = $1 AND merged_into IS NULL", clinic, today)
        .map_err(failed)
}

/// Patients whose plan changes by itself by `today`, oldest first: what the daily sweep touches.
pub async fn due(tx: &mut Tx, clinic: &str, today: NaiveDate, limit: i64) -> Result<Vec<PatientId>, Problem> {
    fetch_all!(
        tx,
        (PatientId,),
        "SELECT id FROM patient WHERE clinic_id = $1 AND reevaluate_on IS NOT NULL AND reevaluate_on <= $2
         ORDER BY reevaluate_on, id LIMIT $3",
        clinic,
        today,
        limit
    )
    .map(|rows| rows.into_iter().map(|(id,)| id).collect())
    .map_err(failed)
}

/// Whether a clinic had a patient by an instant.
pub async fn known_before(tx: &mut Tx, clinic: &str, at: DateTime<Utc>) -> Result<bool, Problem> {
    fetch_optional!(
        tx,
        (PatientId,),
        "SELECT id FROM patient WHERE clinic_id = $1 AND created_at < $2 LIMIT 1",
        clinic,
        at
    )
    .map(|row| row.is_some())
    .map_err(failed)
}

/// A page of the patients who are candidates for enrollment, longest since first: (since, id). Those whose scores were
/// put aside are a list of their own.
pub async fn candidates(
    tx: &mut Tx,
    clinic: &str,
    dismissed: bool,
    after: Option<(NaiveDate, PatientId)>,
    limit: i64,
) -> Result<Vec<Patient>, Problem> {
    let (since, id) = after.unzip();
    fetch_all!(
        tx,
        Patient,
        concat!(
            "SELECT ",
            columns!(""),
            " FROM patient WHERE clinic_id = $1 AND candidate_dismissed = $2 AND candidate_since IS NOT NULL
           AND ($3 IS NULL OR candidate_since > $3 OR (candidate_since = $3 AND id > $4))
         ORDER BY candidate_since, id LIMIT $5"
        ),
        clinic,
        dismissed,
        since,
        id,
        limit
    )
    .inspect(|rows| note(rows.iter().map(|p| p.id)))
    .map_err(failed)
}

/// Every clinic that owns a patient.
pub async fn clinics(tx: &mut Tx) -> Result<Vec<String>, Problem> {
    fetch_all!(tx, (String,), "SELECT DISTINCT clinic_id FROM patient ORDER BY clinic_id")
        .map(|rows| rows.into_iter().map(|(clinic,)| clinic).collect())
        .map_err(failed)
}
