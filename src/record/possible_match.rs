//! Records that are perhaps one person are noted when a Patient arrives.

use sqlx::types::Json;

use super::RecordContext;
use super::identify::id_of;
use crate::domain::patient_match::{MatchReason, MatchState};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::Tx;
use crate::store::patient::matches::{self, PatientMatch};

/// A name that more people carry is a placeholder, and no reason.
const MOST_CARRIERS: usize = 4;

/// Notes that records are perhaps the same person as `record`.
pub async fn note(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    record: PatientId,
    others: &[PatientId],
    reason: MatchReason,
) -> Result<(), Problem> {
    if others.len() > MOST_CARRIERS {
        return Ok(());
    }
    for other in others.iter().filter(|other| **other != record) {
        matches::note(tx, context.clinic, &of_two(context, record, *other, reason)).await?;
    }
    Ok(())
}

/// The match of two records, which follows from them.
pub fn of_two(context: &RecordContext<'_>, record: PatientId, other: PatientId, reason: MatchReason) -> PatientMatch {
    let (one_id, other_id) = (record.min(other), record.max(other));
    PatientMatch {
        id: id_of(context.clinic, &["match", &one_id.to_string(), &other_id.to_string()]),
        one_id,
        other_id,
        reasons: Json(vec![reason]),
        state: MatchState::Open.as_str().to_owned(),
        found_at: context.now,
        decided_at: None,
        decided_by: None,
        decision_reason: None,
    }
}
