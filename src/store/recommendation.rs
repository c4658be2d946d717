//! Recommendations of case reviews, ready to list.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::{Tx, failed};
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;

/// A recommendation of a review that stands.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct RecommendationRow {
    pub id: Uuid,
    pub patient_id: PatientId,
    pub episode_id: EpisodeId,
    pub state: String,
    pub addressee: String,
    pub waits_until: NaiveDate,
    pub body: Json<Value>,
}

pub async fn put(tx: &mut Tx, clinic: &str, row: &RecommendationRow, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO recommendation (clinic_id, id, patient_id, episode_id, state, addressee, waits_until, body, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (clinic_id, id) DO UPDATE SET patient_id = $3, episode_id = $4, state = $5, addressee = $6,
           waits_until = $7, body = $8, updated_at = $9",
        clinic,
        row.id,
        row.patient_id,
        row.episode_id,
        &row.state,
        &row.addressee,
        row.waits_until,
        &row.body,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Removes one: its review was taken back.
pub async fn remove(tx: &mut Tx, clinic: &str, id: Uuid) -> Result<(), Problem> {
    execute!(tx, "DELETE FROM recommendation WHERE clinic_id = $1 AND id = $2", clinic, id).map(|_| ()).map_err(failed)
}

/// Recommendations of a patient.
pub async fn of_patient(tx: &mut Tx, clinic: &str, patient: PatientId) -> Result<Vec<RecommendationRow>, Problem> {
    fetch_all!(
        tx,
        RecommendationRow,
        "SELECT id, patient_id, episode_id, state, addressee, waits_until, body FROM recommendation
         WHERE clinic_id = $1 AND patient_id = $2",
        clinic,
        patient
    )
    .map(|mut rows: Vec<RecommendationRow>| {
        rows.sort_by_key(|row| row.id);
        rows
    })
    .map_err(failed)
}

/// Filter for a list; all given conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct RecommendationFilter {
    pub state: Option<String>,
    /// Waiting for somebody, and due before this date.
    pub due_before: Option<NaiveDate>,
    /// Addressed to these.
    pub addressee: Option<String>,
}

/// A recommendation with whose it is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PatientRecommendation {
    pub id: Uuid,
    pub patient_id: PatientId,
    pub reference: String,
    pub display_name: Option<String>,
    pub waits_until: NaiveDate,
    pub state: String,
    pub body: Json<Value>,
}

/// A page of a clinic's recommendations, the longest due first.
pub async fn page(
    tx: &mut Tx,
    clinic: &str,
    filter: &RecommendationFilter,
    after: Option<(NaiveDate, Uuid)>,
    limit: i64,
) -> Result<Vec<PatientRecommendation>, Problem> {
    let (waits_until, id) = after.unzip();
    fetch_all!(
        tx,
        PatientRecommendation,
        "SELECT r.id, r.patient_id, p.reference, p.display_name, r.waits_until, r.state, r.body
         FROM recommendation r JOIN patient p ON p.clinic_id = r.clinic_id AND p.id = r.patient_id
         WHERE r.clinic_id = $1
           AND ($2 IS NULL OR r.state = $2)
           AND ($3 IS NULL OR (r.state IN ('undecided', 'open') AND r.waits_until < $3))
           AND ($4 IS NULL OR r.addressee = $4)
           AND ($5 IS NULL OR r.waits_until > $5 OR (r.waits_until = $5 AND r.id > $6))
         ORDER BY r.waits_until, r.id LIMIT $7",
        clinic,
        &filter.state,
        filter.due_before,
        &filter.addressee,
        waits_until,
        id,
        limit
    )
    .inspect(|rows| note(rows.iter().map(|r| r.patient_id)))
    .map_err(failed)
}
