//! Moves items that were on a rung without writes up the ladder when the chart allows it.

use chrono::{DateTime, Utc};

use super::wake;
use crate::domain::chart_plan::Rung;
use crate::domain::task::{ChartResource, Code};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::{ReadTx, WriteTx, failed};

/// Whether a clinic has anything that should stand in the chart and does not: left to our own list, or refused.
pub async fn is_anything_below(tx: &mut ReadTx, clinic: &str) -> Result<bool, Problem> {
    fetch_optional!(
        tx,
        (i32,),
        "SELECT 1 FROM delivery WHERE clinic_id = $1 AND posture = 'open' AND state IN ('settled', 'parked')
           AND chart_id IS NULL AND outcome_unknown = FALSE LIMIT 1",
        clinic
    )
    .map(|row| row.is_some())
    .map_err(failed)
}

/// The patients with something of a kind that was left, or refused, on another rung than the one that is right now.
pub async fn below(
    tx: &mut ReadTx,
    clinic: &str,
    (resource, except): (ChartResource, Option<Code>),
    rung: Rung,
) -> Result<Vec<PatientId>, Problem> {
    // Before there was a ladder, there was one rung.
    fetch_all!(
        tx,
        (PatientId,),
        "SELECT patient_id FROM delivery
         WHERE clinic_id = $1 AND resource = $2 AND posture = 'open' AND state IN ('settled', 'parked')
           AND chart_id IS NULL AND outcome_unknown = FALSE AND COALESCE(rung, 'task-and-flag') <> $3
           AND code <> $4",
        clinic,
        resource.as_str(),
        rung.as_str(),
        except.map_or("", Code::as_str)
    )
    .map(|rows: Vec<(PatientId,)>| {
        let patients: std::collections::BTreeSet<PatientId> = rows.into_iter().map(|(patient,)| patient).collect();
        patients.into_iter().collect()
    })
    .map_err(failed)
}

/// Sends what a patient has of that again.
pub async fn climb(
    tx: &mut WriteTx,
    clinic: &str,
    patient: PatientId,
    (resource, except): (ChartResource, Option<Code>),
    rung: Rung,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let climbs = execute!(
        tx,
        "UPDATE delivery SET state = 'pending', attempts = 0, next_attempt_at = $5, updated_at = $5
         WHERE clinic_id = $1 AND patient_id = $2 AND resource = $3 AND posture = 'open'
           AND state IN ('settled', 'parked') AND chart_id IS NULL AND outcome_unknown = FALSE
           AND COALESCE(rung, 'task-and-flag') <> $4 AND code <> $6",
        clinic,
        patient,
        resource.as_str(),
        rung.as_str(),
        now,
        except.map_or("", Code::as_str)
    )
    .map_err(failed)?;
    if climbs > 0 { wake(tx, clinic, patient, now).await } else { Ok(()) }
}
