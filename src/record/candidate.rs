//! Candidates for enrollment, kept in the patient's row so that the list is ready to read.

use serde_json::{Value, json};
use sqlx::types::Json;

use super::RecordContext;
use super::dossier::Dossier;
use crate::domain::candidate::{Candidate, candidate};
use crate::domain::care::Care;
use crate::domain::chart_plan::ChartPlan;
use crate::domain::day;
use crate::problem::Problem;

/// Puts the patient's candidacy and the next date on which anything changes by itself into the row. Answers whether
/// the row has to be written, and adds to `changes` what became of the candidacy.
pub(super) fn settle(
    context: &RecordContext<'_>,
    dossier: &mut Dossier,
    after: &ChartPlan,
    changes: &mut Value,
) -> bool {
    let now = candidate(&dossier.story, &after.standings, context.rules, context.today);
    let row = &mut dossier.patient;
    let (was, is) = (word(row.candidate.as_deref()), word(now.as_ref()));
    if was != is {
        changes["candidate"] = json!({"from": was, "to": is});
    }
    let grows_old = now.as_ref().map(|candidate| day::after(candidate.until, 1));
    let reevaluate_on = [after.reevaluate_on, grows_old].into_iter().flatten().min();
    let now = now.map(Json);
    let differs = row.reevaluate_on != reevaluate_on || row.candidate != now;
    row.reevaluate_on = reevaluate_on;
    row.candidate = now;
    differs
}

fn word(candidate: Option<&Candidate>) -> Option<&'static str> {
    candidate.map(|c| if c.dismissed.is_some() { "dismissed" } else { "listed" })
}

/// The dismissal of the candidate that the patient is now: it puts aside the scores that speak now, and no later one.
pub(super) fn dismissal(dossier: &Dossier, reason: &str) -> Result<Care, Problem> {
    match dossier.patient.candidate.as_deref().filter(|candidate| candidate.dismissed.is_none()) {
        Some(candidate) => {
            Ok(Care::CandidateDismissal { reason: reason.to_owned(), scores: candidate.scores_dismissed() })
        }
        None => Err(Problem::conflict("the patient is not listed as a candidate")),
    }
}
