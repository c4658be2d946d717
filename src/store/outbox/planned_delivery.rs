//! What should stand in the chart from now on.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::chart_plan::WriteIntent;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::WriteTx;
use crate::store::rows::Texts;

static PLAN: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO delivery (clinic_id, patient_id, key, id, resource, code, priority, posture, intent, digest,
        revision, settled_revision, state, attempts, outcome_unknown, next_attempt_at, created_at, updated_at, identifier)";
    let tail = "ON CONFLICT (clinic_id, patient_id, key) DO UPDATE SET priority = excluded.priority,
        posture = excluded.posture, intent = excluded.intent, digest = excluded.digest,
        revision = delivery.revision + 1, attempts = 0, heals = 0, next_attempt_at = excluded.next_attempt_at,
        updated_at = excluded.updated_at,
        state = CASE WHEN delivery.state = 'closed_in_chart' THEN delivery.state ELSE 'pending' END";
    Texts::values(head, 18, tail)
});

/// What should stand in the chart from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedDelivery {
    pub patient: PatientId,
    pub id: Uuid,
    pub intent: WriteIntent,
    /// What makes it another one.
    pub digest: String,
}

/// Writes what should stand in the chart from now on; each key once. A row that a person closed in the chart stays closed:
/// what is planned for it is kept for reading and not sent.
pub async fn plan_all(
    tx: &mut WriteTx,
    clinic: &str,
    planned: &[&PlannedDelivery],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute_rows!(
        tx,
        PLAN,
        clinic,
        planned,
        |p| p.patient,
        &p.intent.desired.key,
        p.id,
        p.intent.desired.resource.as_str(),
        p.intent.desired.code.as_str(),
        p.intent.desired.priority.as_str(),
        p.intent.desired.posture.as_str(),
        Json(&p.intent),
        &p.digest,
        1_i64,
        0_i64,
        "pending",
        0_i32,
        false,
        now,
        now,
        now,
        &p.intent.identifier
    );
    Ok(())
}

/// Writes what should stand in the chart from now on, of one delivery.
pub async fn plan(
    tx: &mut WriteTx,
    clinic: &str,
    patient: PatientId,
    id: Uuid,
    intent: &WriteIntent,
    digest: &str,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let planned = PlannedDelivery { patient, id, intent: intent.clone(), digest: digest.to_owned() };
    plan_all(tx, clinic, &[&planned], now).await
}
