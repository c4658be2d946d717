//! What case reviews recommended, written ready to list beside the fact that changed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::RecordContext;
use super::dossier::Dossier;
use super::working_set::WorkingSet;
use crate::domain::care::Care;
use crate::domain::history::History;
use crate::domain::recommendation::{self, RecommendationDetail};
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;
use crate::id::PatientId;
use crate::store::recommendation::RecommendationRow;

/// Writes what differs from what is stored.
pub fn write(set: &mut WorkingSet, context: &RecordContext<'_>, dossier: &mut Dossier) {
    let now: BTreeMap<Uuid, RecommendationRow> = listed(&dossier.story, context.rules, context.today)
        .into_iter()
        .filter_map(|one| row(dossier.patient.id, &one))
        .map(|row| (row.id, row))
        .collect();
    for row in now.values().filter(|row| dossier.recommendations.get(&row.id) != Some(row)) {
        set.put_recommendation(row.clone());
    }
    for id in dossier.recommendations.keys().filter(|id| !now.contains_key(id)) {
        set.remove_recommendation(*id);
    }
    dossier.recommendations = Arc::new(now);
}

fn row(patient: PatientId, one: &RecommendationDetail) -> Option<RecommendationRow> {
    Some(RecommendationRow {
        id: one.followed.recommendation.id,
        patient_id: patient,
        episode_id: one.followed.episode?,
        state: one.followed.state.as_str().to_owned(),
        addressee: one.followed.recommendation.to.as_str().to_owned(),
        waits_until: one.due_by.unwrap_or(one.followed.recommended_on),
        body: Json(json!(one)),
    })
}

fn listed(story: &Story, rules: &RuleSet, today: NaiveDate) -> Vec<RecommendationDetail> {
    if !story.entries.iter().any(|e| matches!(e.care, Care::CaseReview { .. })) {
        return Vec::new();
    }
    recommendation::listed(&History::of(story), rules, today)
}
