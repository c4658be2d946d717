//! `POST episodes/{id}/hold` and `POST episodes/{id}/resume`

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
    OpenApiRouter::new().routes(routes!(hold)).routes(routes!(resume))
}

/// A pause of treatment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewHold {
    /// The first local date of it.
    from: NaiveDate,
    /// Reason.
    reason: RequiredText,
}

/// The end of a pause, or of relapse prevention.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewResumption {
    /// Date in the clinic's time zone.
    on: NaiveDate,
}

/// Pauses treatment: no alerts but safety.
#[utoipa::path(post, path = "/episodes/{id}/hold", tag = "care", params(("id" = String, Path, description = "The episode")),
    request_body = NewHold, responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn hold(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewHold>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    care::enter(&call, episode, (new.from, None), Care::Hold { reason: new.reason.0 }).await
}

/// Resumes active treatment: after a pause, or out of relapse prevention.
#[utoipa::path(post, path = "/episodes/{id}/resume", tag = "care", params(("id" = String, Path, description = "The episode")),
    request_body = NewResumption, responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn resume(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewResumption>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    care::enter(&call, episode, (new.on, None), Care::Resume).await
}
