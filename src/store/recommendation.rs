//! Recommendations of case reviews, ready to list.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::domain::recommendation::RecommendationDetail;
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

/// The stored body of a recommendation.
fn detail(body: Json<Value>) -> Result<RecommendationDetail, Problem> {
    serde_json::from_value(body.0)
        .map_err(|_| Problem::internal("a stored recommendation cannot be read; replan the clinic"))
}

impl RecommendationRow {
    pub fn detail(self) -> Result<RecommendationDetail, Problem> {
        detail(self.body)
    }
}

static PUT: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO recommendation (clinic_id, id, patient_id, episode_id, state, addressee, waits_until, body, updated_at)";
    let tail = "ON CONFLICT (clinic_id, id) DO UPDATE SET patient_id = excluded.patient_id, episode_id = excluded.episode_id,
        state = excluded.state, addressee = excluded.addressee, waits_until = excluded.waits_until, body = excluded.body,
        updated_at = excluded.updated_at";
    Texts::values(head, 8, tail)
});

pub async fn put_all(
    tx: &mut WriteTx,
    clinic: &str,
    rows: &[&RecommendationRow],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute_rows!(
        tx,
        PUT,
        clinic,
        rows,
        |r| r.id,
        r.patient_id,
        r.episode_id,
        &r.state,
        &r.addressee,
        r.waits_until,
        &r.body,
        now
    );
    Ok(())
}

static REMOVE: LazyLock<Texts> =
    LazyLock::new(|| Texts::list("DELETE FROM recommendation WHERE clinic_id = $1 AND id IN", 2, ""));

/// Removes those whose reviews were taken back.
pub async fn remove_all(tx: &mut WriteTx, clinic: &str, ids: &[Uuid]) -> Result<(), Problem> {
    execute_listed!(tx, REMOVE, clinic, ids);
    Ok(())
}

static OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head = "SELECT id, patient_id, episode_id, state, addressee, waits_until, body FROM recommendation
        WHERE clinic_id = $1 AND patient_id IN";
    Texts::list(head, 2, "")
});

/// Those of each of these patients.
pub async fn of_each(tx: &mut ReadTx, clinic: &str, patients: &[PatientId]) -> Result<Vec<RecommendationRow>, Problem> {
    Ok(fetch_listed!(tx, RecommendationRow, OF_EACH, patients, clinic))
}

/// Those of a patient, in order of id.
pub async fn of_patient(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<RecommendationRow>, Problem> {
    let mut rows = of_each(tx, clinic, &[patient]).await?;
    rows.sort_by_key(|row| row.id);
    Ok(rows)
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

impl PatientRecommendation {
    pub fn detail(self) -> Result<RecommendationDetail, Problem> {
        detail(self.body)
    }
}

/// A page of a clinic's recommendations, the longest due first.
pub async fn page(
    tx: &mut ReadTx,
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
