//! Records that are perhaps one person are noted when a Patient arrives.

use sqlx::types::Json;

use super::RecordContext;
use super::derived_id::id_of;
use super::working_set::WorkingSet;
use crate::domain::patient_match::{MatchReason, MatchState};
use crate::id::PatientId;
use crate::store::patient::matches::PatientMatch;

/// A name that more people carry is a placeholder, and no reason.
const MOST_CARRIERS: usize = 4;

/// Notes that records are perhaps the same person as `record`.
pub fn note(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    record: PatientId,
    others: &[PatientId],
    reason: MatchReason,
) {
    if others.len() > MOST_CARRIERS {
        return;
    }
    for other in others.iter().filter(|other| **other != record) {
        set.note_match(of_two(context, record, *other, reason));
    }
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
