//! `POST episodes/{id}/treatment-changes`

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::WriteErrors;
use super::care::{self, Entered};
use crate::api::App;
use crate::api::request::{Ask, Id, Text, parse_id};
use crate::domain::care::{Care, ChangeKind};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(change_treatment))
}

/// A change of treatment: restarts the plan clock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTreatmentChange {
    /// The local date.
    changed_on: NaiveDate,
    /// What changed; at least one, and neither `continue` nor `direct_evaluation`, which change nothing. A referral to
    /// specialty care is a `referral`.
    kinds: Vec<ChangeKind>,
    /// In words.
    summary: Text,
    /// The recommendation it follows.
    recommendation: Option<String>,
}

/// Documents a change of treatment.
#[utoipa::path(post, path = "/episodes/{id}/treatment-changes", tag = "care",
    params(("id" = String, Path, description = "The episode")), request_body = NewTreatmentChange,
    responses((status = 201, description = "Recorded", body = Entered), WriteErrors))]
async fn change_treatment(
    ask: Ask,
    Id(episode): Id,
    JsonBody(new): JsonBody<NewTreatmentChange>,
) -> Result<Response, Problem> {
    ask.caller.require(&[Role::CareManager, Role::PrimaryCare])?;
    if new.kinds.is_empty() || new.kinds.iter().any(|kind| kind.as_change() != Some(*kind)) {
        return Err(Problem::unprocessable("at least one thing that changed").at("kinds"));
    }
    let recommendation = new.recommendation.as_deref().map(parse_id).transpose();
    let recommendation =
        recommendation.map_err(|_| Problem::unprocessable("no such recommendation").at("recommendation"))?;
    let care = Care::TreatmentChange { changes: new.kinds, summary: new.summary.0, recommendation };
    care::enter(&ask, episode, (new.changed_on, None), care).await
}
