//! `POST episodes/{id}/treatment-changes`

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{self, EntryReceipt};
use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{IdInPath, RequestContext, RequiredText, parse_id, words};
use crate::domain::care::{Care, ChangeKind, MedicationAct, MedicationChange};
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(change_treatment))
}

/// A change of treatment: restarts the plan clock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTreatmentChange {
    /// Date in the clinic's time zone.
    changed_on: NaiveDate,
    /// Kinds of change; at least one. Neither `continue` nor `direct_evaluation`, which change nothing. A referral to
    /// specialty care is a `referral`.
    kinds: Vec<ChangeKind>,
    /// Summary of the change.
    summary: RequiredText,
    /// The recommendation it follows.
    recommendation: Option<String>,
    /// Medication changes; then `kinds` must contain `medication`.
    #[serde(default)]
    medication: Vec<NewMedicationChange>,
}

/// One medication that changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMedicationChange {
    /// Name of the medication; of a switch, the new one.
    name: RequiredText,
    /// Kind of change.
    change: MedicationAct,
    /// The dose from now on, in words.
    dose: Option<RequiredText>,
    /// Previous medication of a switch.
    instead_of: Option<RequiredText>,
    /// Note.
    note: Option<RequiredText>,
}

impl From<NewMedicationChange> for MedicationChange {
    fn from(new: NewMedicationChange) -> Self {
        Self {
            name: new.name.0,
            change: new.change,
            dose: words(new.dose),
            instead_of: words(new.instead_of),
            note: words(new.note),
        }
    }
}

/// Documents a change of treatment.
#[utoipa::path(post, path = "/episodes/{id}/treatment-changes", tag = "care",
    params(("id" = String, Path, description = "The episode")), request_body = NewTreatmentChange,
    responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn change_treatment(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewTreatmentChange>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager, Role::PrimaryCare])?;
    if new.kinds.is_empty() || new.kinds.iter().any(|kind| kind.as_change() != Some(*kind)) {
        return Err(Problem::unprocessable("at least one thing that changed").at("kinds"));
    }
    if !new.medication.is_empty() && !new.kinds.contains(&ChangeKind::Medication) {
        return Err(Problem::unprocessable("a medication changed: medication must be among them").at("kinds"));
    }
    let is_switch = |m: &NewMedicationChange| m.change == MedicationAct::Switched;
    if let Some(n) = new.medication.iter().position(|m| m.instead_of.is_some() && !is_switch(m)) {
        return Err(Problem::unprocessable("only of a switch").at(format!("medication[{n}].instead_of")));
    }
    let recommendation = new.recommendation.as_deref().map(parse_id).transpose();
    let recommendation =
        recommendation.map_err(|_| Problem::unprocessable("no such recommendation").at("recommendation"))?;
    let medication = new.medication.into_iter().map(MedicationChange::from).collect();
    let care = Care::TreatmentChange { changes: new.kinds, summary: new.summary.0, recommendation, medication };
    care::enter(&call, episode, (new.changed_on, None), care).await
}
