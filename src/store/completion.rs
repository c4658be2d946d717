//! What a person said of a resource that does not say itself whose it is or when it was taken.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};

use super::access_trace::note;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::id::PatientId;
use crate::problem::Problem;

/// The patient and the date that a person gave for a resource.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Completion {
    pub patient_id: Option<PatientId>,
    pub taken_at: Option<DateTime<Utc>>,
    /// The date in the clinic's time zone.
    pub taken_on: Option<NaiveDate>,
    pub completed_at: DateTime<Utc>,
    pub completed_by: String,
}

impl Completion {
    /// This, and what was said before about what this leaves out.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        let is_dated = self.taken_at.is_some();
        Self {
            patient_id: self.patient_id.or(before.patient_id),
            taken_at: if is_dated { self.taken_at } else { before.taken_at },
            taken_on: if is_dated { self.taken_on } else { before.taken_on },
            ..self
        }
    }
}

/// A completion, by the type and id of its resource.
#[derive(Clone, Copy, Debug)]
pub struct CompletedResource<'a> {
    pub kind: &'a str,
    pub id: &'a str,
    pub completion: &'a Completion,
}

static PUT: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO completion
        (clinic_id, type, resource_id, patient_id, taken_at, taken_on, completed_at, completed_by)";
    let tail = "ON CONFLICT (clinic_id, type, resource_id) DO UPDATE SET patient_id = excluded.patient_id,
        taken_at = excluded.taken_at, taken_on = excluded.taken_on,
        completed_at = excluded.completed_at, completed_by = excluded.completed_by";
    Texts::values(head, 7, tail)
});

/// Stores completions in place of earlier ones.
pub async fn put_all(tx: &mut WriteTx, clinic: &str, rows: &[CompletedResource<'_>]) -> Result<(), Problem> {
    execute_rows!(
        tx,
        PUT,
        clinic,
        rows,
        |row| row.kind,
        row.id,
        row.completion.patient_id,
        row.completion.taken_at,
        row.completion.taken_on,
        row.completion.completed_at,
        &row.completion.completed_by
    );
    Ok(())
}

pub async fn find(tx: &mut ReadTx, clinic: &str, kind: &str, id: &str) -> Result<Option<Completion>, Problem> {
    fetch_optional!(
        tx,
        Completion,
        "SELECT patient_id, taken_at, taken_on, completed_at, completed_by FROM completion
         WHERE clinic_id = $1 AND type = $2 AND resource_id = $3",
        clinic,
        kind,
        id
    )
    .inspect(|row| note(row.as_ref().and_then(|completion| completion.patient_id)))
    .map_err(failed)
}
