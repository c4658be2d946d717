//! One lane per patient with something to deliver: only the holder of its lease writes.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::rows::Texts;
use crate::store::{ReadTx, WriteTx, failed};

static WAKE: LazyLock<Texts> = LazyLock::new(|| {
    let tail = "ON CONFLICT (clinic_id, patient_id) DO UPDATE SET wanted = lane.wanted + 1,
        due_at = CASE WHEN lane.due_at < excluded.due_at THEN lane.due_at ELSE excluded.due_at END";
    Texts::values("INSERT INTO lane (clinic_id, patient_id, due_at, wanted)", 3, tail)
});

/// Puts the lanes of patients on the list of those with something to do; each patient once.
pub async fn wake_each(
    tx: &mut WriteTx,
    clinic: &str,
    patients: &[PatientId],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute_rows!(tx, WAKE, clinic, patients, |patient| *patient, now, 1_i64);
    Ok(())
}

/// Puts a patient's lane on the list of those with something to do.
pub async fn wake(tx: &mut WriteTx, clinic: &str, patient: PatientId, now: DateTime<Utc>) -> Result<(), Problem> {
    wake_each(tx, clinic, &[patient], now).await
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Lane {
    pub clinic_id: String,
    pub patient_id: PatientId,
    /// Counts what was asked of the lane.
    pub wanted: i64,
    pub lease_token: Option<Uuid>,
}

/// Clinics with free lanes that are due, longest due first.
pub async fn clinics_due(tx: &mut ReadTx, now: DateTime<Utc>) -> Result<Vec<String>, Problem> {
    fetch_all!(
        tx,
        (String,),
        "SELECT clinic_id FROM lane WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
         GROUP BY clinic_id ORDER BY MIN(due_at)",
        now
    )
    .map(|rows| rows.into_iter().map(|(clinic,)| clinic).collect())
    .map_err(failed)
}

/// Claims free lanes that are due, longest due first.
pub async fn claim(
    tx: &mut WriteTx,
    clinic: &str,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Lane>, Problem> {
    // The one statement that the engines word differently: where several write, a lane that a recorder has just locked
    // is left for the next time, or the two would lock each other out.
    let sql = if tx.has_many_writers() {
        "WITH due AS (
               SELECT clinic_id, patient_id FROM lane
               WHERE clinic_id = $1 AND due_at <= $3 AND (lease_until IS NULL OR lease_until <= $3)
               ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED)
             UPDATE lane SET lease_token = $2, lease_until = $4 FROM due
             WHERE lane.clinic_id = due.clinic_id AND lane.patient_id = due.patient_id
             RETURNING lane.clinic_id, lane.patient_id, lane.wanted, lane.lease_token"
    } else {
        "UPDATE lane SET lease_token = $2, lease_until = $4
             WHERE clinic_id = $1 AND patient_id IN (
               SELECT patient_id FROM lane
               WHERE clinic_id = $1 AND due_at <= $3 AND (lease_until IS NULL OR lease_until <= $3)
               ORDER BY due_at LIMIT $5)
             RETURNING clinic_id, patient_id, wanted, lease_token"
    };
    returning_all!(tx, Lane, sql, clinic, token, now, until, limit).map_err(failed)
}

/// Prolongs a lease. `false` when it was lost.
pub async fn prolong(tx: &mut WriteTx, lane: &Lane, until: DateTime<Utc>) -> Result<bool, Problem> {
    execute!(
        tx,
        "UPDATE lane SET lease_until = $4 WHERE clinic_id = $1 AND patient_id = $2 AND lease_token = $3",
        &lane.clinic_id,
        lane.patient_id,
        lane.lease_token,
        until
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Gives a lane back, due again when its next delivery is. `false` when something was asked of it meanwhile (or the
/// lease was lost): then look again.
pub async fn give_back(tx: &mut WriteTx, lane: &Lane) -> Result<bool, Problem> {
    let next: Option<(Option<DateTime<Utc>>,)> = fetch_optional!(
        tx,
        (Option<DateTime<Utc>>,),
        "SELECT MIN(next_attempt_at) FROM delivery WHERE clinic_id = $1 AND patient_id = $2 AND state = 'pending'",
        &lane.clinic_id,
        lane.patient_id
    )
    .map_err(failed)?;
    let done = if let Some(at) = next.and_then(|(at,)| at) {
        execute!(
            tx,
            "UPDATE lane SET due_at = $5, lease_token = NULL, lease_until = NULL
             WHERE clinic_id = $1 AND patient_id = $2 AND lease_token = $3 AND wanted = $4",
            &lane.clinic_id,
            lane.patient_id,
            lane.lease_token,
            lane.wanted,
            at
        )
    } else {
        execute!(
            tx,
            "DELETE FROM lane WHERE clinic_id = $1 AND patient_id = $2 AND lease_token = $3 AND wanted = $4",
            &lane.clinic_id,
            lane.patient_id,
            lane.lease_token,
            lane.wanted
        )
    };
    done.map(|n| n == 1).map_err(failed)
}

/// The lane as it is now, if we still hold it.
pub async fn held(tx: &mut ReadTx, lane: &Lane) -> Result<Option<Lane>, Problem> {
    fetch_optional!(
        tx,
        Lane,
        "SELECT clinic_id, patient_id, wanted, lease_token FROM lane
         WHERE clinic_id = $1 AND patient_id = $2 AND lease_token = $3",
        &lane.clinic_id,
        lane.patient_id,
        lane.lease_token
    )
    .map_err(failed)
}

/// When the next free lane is due; `None` if nothing waits.
pub async fn next_due(tx: &mut ReadTx) -> Result<Option<DateTime<Utc>>, Problem> {
    fetch_optional!(tx, (Option<DateTime<Utc>>,), "SELECT MIN(due_at) FROM lane WHERE lease_token IS NULL")
        .map(|row| row.and_then(|(at,)| at))
        .map_err(failed)
}
