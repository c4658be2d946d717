//! `POST episodes/{id}/relapse-prevention`

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{self, EntryReceipt};
use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{IdInPath, RequestContext, RequiredText};
use crate::domain::care::Care;
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(prevent_relapse))
}

/// The beginning of relapse prevention.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRelapsePrevention {
    /// Date in the clinic's time zone.
    on: NaiveDate,
    /// The relapse-prevention plan in words.
    plan: RequiredText,
}

/// Begins relapse prevention, with its plan.
#[utoipa::path(post, path = "/episodes/{id}/relapse-prevention", tag = "care",
    params(("id" = String, Path, description = "The episode")), request_body = NewRelapsePrevention,
    responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn prevent_relapse(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewRelapsePrevention>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    care::enter(&call, episode, (new.on, None), Care::RelapsePrevention { plan: new.plan.0 }).await
}
