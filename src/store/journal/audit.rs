//! Reading the journal back beside the facts it attests.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use uuid::Uuid;

use super::entry::digest_of;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::store::{ReadTx, failed};

/// A sealed line as it stands in the database, and the fact of its id as that stands there.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct ChainCheck {
    pub id: Uuid,
    pub seq: i64,
    pub at: DateTime<Utc>,
    pub is_change: i32,
    pub patient_id: Option<PatientId>,
    pub is_list: i32,
    pub entry: String,
    pub hash: Option<String>,
    fact_id: Option<Uuid>,
    episode_id: Option<EpisodeId>,
    kind: Option<String>,
    is_care: Option<i32>,
    happened_on: Option<NaiveDate>,
    happened_at: Option<DateTime<Utc>>,
    outcome: Option<String>,
    minutes: Option<i16>,
    body: Option<Json<Value>>,
    changes: Option<Json<Value>>,
    recorded_at: Option<DateTime<Utc>>,
    recorded_by: Option<String>,
}

impl ChainCheck {
    /// The digest of the fact; `None` if there is none.
    pub fn digest(&self) -> Option<String> {
        let id = self.fact_id?;
        Some(digest_of(&json!([
            id,
            self.episode_id,
            self.kind,
            self.is_care,
            self.happened_on,
            self.happened_at.map(|at| at.timestamp_micros()),
            self.outcome,
            self.minutes,
            self.body.as_ref().map(|body| &body.0),
            self.changes.as_ref().map(|changes| &changes.0),
            self.recorded_at.map(|at| at.timestamp_micros()),
            self.recorded_by,
        ])))
    }
}

/// Sealed lines after a number, each with its fact: of the same id, and of the same patient or of whom that one was
/// merged into.
pub async fn checked(tx: &mut ReadTx, clinic: &str, after: i64, limit: i64) -> Result<Vec<ChainCheck>, Problem> {
    fetch_all!(
        tx,
        ChainCheck,
        "SELECT j.id, j.seq, j.at, CAST(j.is_change AS INTEGER) AS is_change, j.patient_id,
           CAST(j.is_list AS INTEGER) AS is_list, j.entry, j.hash,
           f.id AS fact_id, f.episode_id, f.kind, CAST(f.is_care AS INTEGER) AS is_care, f.happened_on, f.happened_at,
           f.outcome, f.minutes, f.body, f.changes, f.recorded_at, f.recorded_by
         FROM journal j
         LEFT JOIN patient p ON p.clinic_id = j.clinic_id AND p.id = j.patient_id
         LEFT JOIN fact f ON f.clinic_id = j.clinic_id AND f.patient_id = COALESCE(p.merged_into, j.patient_id)
           AND f.id = j.id
         WHERE j.clinic_id = $1 AND j.seq > $2 ORDER BY j.seq LIMIT $3",
        clinic,
        after,
        limit
    )
    .map_err(failed)
}

/// Lines that have a place after a number, or none yet.
pub async fn after(tx: &mut ReadTx, clinic: &str, seq: i64) -> Result<Vec<String>, Problem> {
    fetch_all!(
        tx,
        (String,),
        "SELECT entry FROM journal WHERE clinic_id = $1 AND (seq > $2 OR seq IS NULL)",
        clinic,
        seq
    )
    .map(|rows| rows.into_iter().map(|(entry,)| entry).collect())
    .map_err(failed)
}

/// Every clinic that has a journal, the end of one, or a fact.
pub async fn clinics(tx: &mut ReadTx) -> Result<Vec<String>, Problem> {
    fetch_all!(
        tx,
        (String,),
        "SELECT clinic_id FROM journal_head UNION SELECT clinic_id FROM journal UNION SELECT clinic_id FROM fact ORDER BY 1"
    )
    .map(|rows| rows.into_iter().map(|(clinic,)| clinic).collect())
    .map_err(failed)
}

/// How many facts no line of the journal attests.
pub async fn facts_without_entry(tx: &mut ReadTx, clinic: &str) -> Result<i64, Problem> {
    fetch_optional!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM fact f WHERE f.clinic_id = $1
           AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.clinic_id = f.clinic_id AND j.id = f.id)",
        clinic
    )
    .map(|row| row.map_or(0, |(count,)| count))
    .map_err(failed)
}

/// How many sealed lines have a number outside of 1 to `last`.
pub async fn count_outside(tx: &mut ReadTx, clinic: &str, last: i64) -> Result<i64, Problem> {
    fetch_optional!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM journal WHERE clinic_id = $1 AND seq IS NOT NULL AND (seq < 1 OR seq > $2)",
        clinic,
        last
    )
    .map(|row| row.map_or(0, |(count,)| count))
    .map_err(failed)
}
