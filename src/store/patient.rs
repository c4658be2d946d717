//! Persons and the names they are known by.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;

use super::access_trace::note;
use super::key::indexed;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
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

mod keys;
pub mod link;
pub mod matches;
pub mod merge;

pub use self::merge::merge;
pub use keys::{
    KeyRow, StoredKey, add_key, drop_key, keys, keys_of_each, put_key, some_identifiers, stored_key, with_keys,
    write_keys,
};

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

static READ: LazyLock<Texts> = LazyLock::new(|| {
    Texts::list(concat!("SELECT ", columns!(""), " FROM patient WHERE clinic_id = $1 AND id IN"), 2, "ORDER BY id")
});
static LOCK: LazyLock<Texts> = LazyLock::new(|| {
    let head = concat!("SELECT ", columns!(""), " FROM patient WHERE clinic_id = $1 AND id IN");
    Texts::list(head, 2, "ORDER BY id FOR UPDATE")
});

/// Locks patients until the end of the transaction, in the order of their ids, and reads their rows. Where only one writes
/// at a time there is nothing to lock.
pub async fn lock_each(tx: &mut WriteTx, clinic: &str, ids: &[PatientId]) -> Result<Vec<Patient>, Problem> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let texts = if tx.has_many_writers() { &LOCK } else { &READ };
    Ok(fetch_listed!(tx, Patient, texts, &ids, clinic))
}

/// Reads a patient; one who was merged into another is found as the other.
pub async fn find(tx: &mut ReadTx, clinic: &str, id: PatientId) -> Result<Option<Patient>, Problem> {
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

static OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head = concat!(
        "SELECT ",
        columns!("p."),
        " FROM patient q JOIN patient p ON p.clinic_id = q.clinic_id AND p.id = COALESCE(q.merged_into, q.id)
        WHERE q.clinic_id = $1 AND q.id IN"
    );
    Texts::list(head, 2, "")
});

/// Reads these patients, in no order; those who were merged into another are found as the other.
pub async fn find_each(tx: &mut ReadTx, clinic: &str, ids: &[PatientId]) -> Result<Vec<Patient>, Problem> {
    let rows = fetch_listed!(tx, Patient, OF_EACH, ids, clinic);
    note(rows.iter().map(|p| p.id));
    Ok(rows)
}

/// Patients with a key: usually one, none if unknown, several if ambiguous. A name that somebody had once leads to them
/// only while nobody carries it now.
pub async fn by_key(tx: &mut ReadTx, clinic: &str, key: &str) -> Result<Vec<Patient>, Problem> {
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
pub async fn page(
    tx: &mut ReadTx,
    clinic: &str,
    after: Option<PatientId>,
    limit: i64,
) -> Result<Vec<Patient>, Problem> {
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

static INSERT: LazyLock<Texts> = LazyLock::new(|| {
    let head =
        "INSERT INTO patient (clinic_id, id, reference, seen, display_name, family, birth_date, gender, language,
        inactive, deceased_on, merged_into, has_care, reevaluate_on, candidate_since, candidate_dismissed, candidate,
        updated_at, created_at, revision)";
    Texts::values(head, 19, "ON CONFLICT DO NOTHING")
});

static UPDATE: LazyLock<Texts> = LazyLock::new(|| {
    let columns = [
        "reference",
        "seen",
        "display_name",
        "family",
        "birth_date",
        "gender",
        "language",
        "inactive",
        "deceased_on",
        "merged_into",
        "has_care",
        "reevaluate_on",
        "candidate_since",
        "candidate_dismissed",
        "candidate",
        "updated_at",
    ];
    Texts::update("patient", &["id"], &columns)
});

impl Patient {
    fn candidate_since(&self) -> Option<NaiveDate> {
        self.candidate.as_ref().map(|candidate| candidate.since)
    }

    fn is_dismissed(&self) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.dismissed.is_some())
    }
}

/// Stores new persons. `false` if one of the ids is taken: then not all of them were stored.
pub async fn insert_all(
    tx: &mut WriteTx,
    clinic: &str,
    patients: &[&Patient],
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    let stored = execute_rows!(
        tx,
        INSERT,
        clinic,
        patients,
        |p| p.id,
        &p.reference,
        p.seen,
        &p.display_name,
        &p.family,
        &p.birth_date,
        &p.gender,
        &p.language,
        p.inactive,
        p.deceased_on,
        p.merged_into,
        p.has_care,
        p.reevaluate_on,
        p.candidate_since(),
        p.is_dismissed(),
        &p.candidate,
        now,
        now,
        1_i64
    );
    Ok(usize::try_from(stored).is_ok_and(|stored| stored == patients.len()))
}

/// Writes everything about locked persons that may change.
pub async fn update_all(
    tx: &mut WriteTx,
    clinic: &str,
    patients: &[&Patient],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute_rows!(
        tx,
        UPDATE,
        clinic,
        patients,
        |p| p.id,
        &p.reference,
        p.seen,
        &p.display_name,
        &p.family,
        &p.birth_date,
        &p.gender,
        &p.language,
        p.inactive,
        p.deceased_on,
        p.merged_into,
        p.has_care,
        p.reevaluate_on,
        p.candidate_since(),
        p.is_dismissed(),
        &p.candidate,
        now
    );
    Ok(())
}

/// Stores a new person. `false` if the id is taken already.
pub async fn insert(tx: &mut WriteTx, clinic: &str, patient: &Patient) -> Result<bool, Problem> {
    insert_all(tx, clinic, &[patient], patient.updated_at).await
}

/// Writes everything about a locked person that may change.
pub async fn update(tx: &mut WriteTx, clinic: &str, patient: &Patient, now: DateTime<Utc>) -> Result<(), Problem> {
    update_all(tx, clinic, &[patient], now).await
}

/// Lets the sweep look at everybody of a clinic: the rules have changed.
pub async fn all_due(tx: &mut WriteTx, clinic: &str, today: NaiveDate) -> Result<u64, Problem> {
    execute!(tx, "UPDATE patient SET reevaluate_on = $2 WHERE clinic_id = $1 AND merged_into IS NULL", clinic, today)
        .map_err(failed)
}

/// Patients whose plan changes by itself by `today`, oldest first: what the daily sweep touches.
pub async fn due(tx: &mut ReadTx, clinic: &str, today: NaiveDate, limit: i64) -> Result<Vec<PatientId>, Problem> {
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
pub async fn known_before(tx: &mut ReadTx, clinic: &str, at: DateTime<Utc>) -> Result<bool, Problem> {
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
    tx: &mut ReadTx,
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

/// Every clinic that owns a patient: from one to the next in the index. To ask for distinct ones walks every patient.
pub async fn clinics(tx: &mut ReadTx) -> Result<Vec<String>, Problem> {
    let text = "WITH RECURSIVE clinic (clinic_id) AS (
           SELECT MIN(clinic_id) FROM patient UNION ALL
           SELECT (SELECT MIN(p.clinic_id) FROM patient p WHERE p.clinic_id > clinic.clinic_id)
           FROM clinic WHERE clinic.clinic_id IS NOT NULL)
         SELECT clinic_id FROM clinic WHERE clinic_id IS NOT NULL ORDER BY clinic_id";
    fetch_all!(tx, (String,), text).map(|rows| rows.into_iter().map(|(clinic,)| clinic).collect()).map_err(failed)
}
