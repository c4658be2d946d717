//! What case reviews recommended, written ready to list beside the fact that changed it.

use std::collections::HashMap;

use chrono::NaiveDate;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Context;
use super::dossier::Dossier;
use crate::domain::care::Care;
use crate::domain::history::History;
use crate::domain::recommendation::{self, Listed};
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;
use crate::problem::Problem;
use crate::store::WriteTx;
use crate::store::recommendation as table;

/// The rows of a patient by recommendation: episode, date, what the API shows.
pub type Rows = HashMap<Uuid, (Uuid, NaiveDate, Value)>;

/// What is stored about a patient's recommendations.
pub async fn load(tx: &mut WriteTx, context: &Context<'_>, patient: Uuid, story: &Story) -> Result<Rows, Problem> {
    let recommends =
        |care: &Care| matches!(care, Care::CaseReview { recommendations, .. } if !recommendations.is_empty());
    if !story.entries.iter().any(|e| recommends(&e.care)) {
        return Ok(Rows::new());
    }
    let rows = table::of_patient(tx, context.clinic, patient).await?;
    Ok(rows.into_iter().map(|row| (row.id, (row.episode_id, row.waits_until, row.body.0))).collect())
}

/// Writes what differs from what is stored.
pub async fn write(tx: &mut WriteTx, context: &Context<'_>, dossier: &mut Dossier) -> Result<(), Problem> {
    let now = listed(&dossier.story, context.rules, context.today);
    let patient = dossier.patient.id;
    for (id, one) in &now {
        let Some(episode) = one.followed.episode else { continue };
        let waits_until = one.due_by.unwrap_or(one.followed.recommended_on);
        let row = (episode, waits_until, json!(one));
        if dossier.recommendations.get(id) != Some(&row) {
            let row = table::Row {
                id: *id,
                patient_id: patient,
                episode_id: episode,
                state: one.followed.state.as_str().to_owned(),
                addressee: one.followed.recommendation.to.as_str().to_owned(),
                waits_until,
                body: sqlx::types::Json(row.2.clone()),
            };
            table::put(tx, context.clinic, &row, context.now).await?;
        }
        dossier.recommendations.insert(*id, row);
    }
    let gone: Vec<Uuid> = dossier.recommendations.keys().filter(|id| !now.contains_key(id)).copied().collect();
    for id in gone {
        table::remove(tx, context.clinic, id).await?;
        dossier.recommendations.remove(&id);
    }
    Ok(())
}

fn listed(story: &Story, rules: &RuleSet, today: NaiveDate) -> HashMap<Uuid, Listed> {
    if !story.entries.iter().any(|e| matches!(e.care, Care::CaseReview { .. })) {
        return HashMap::new();
    }
    let all = recommendation::listed(&History::of(story), rules, today);
    all.into_iter().map(|one| (one.followed.recommendation.id, one)).collect()
}
