//! `GET` and `PATCH episodes/{id}`

use axum::Json;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{ReadErrors, WriteErrors, etag};
use super::episodes::{EpisodeBody, targets};
use crate::api::App;
use crate::api::request::{Ask, Id, READERS, Text, words};
use crate::domain::instrument::Instrument;
use crate::domain::recommendation::{Followed, followed};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::{Amendment, Fact};
use crate::store::{episode, patient, story};

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_episode, amend_episode))
}

/// An episode with what was recommended in it.
#[derive(Debug, Serialize, ToSchema)]
struct WholeEpisode {
    #[serde(flatten)]
    episode: EpisodeBody,
    /// What was recommended in its case reviews, and what became of it; in order of time.
    recommendations: Vec<Followed>,
}

/// What changes; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EpisodePatch {
    /// Enrolment, while only referred.
    enrolled_on: Option<NaiveDate>,
    /// When the patient consented.
    consent_on: Option<NaiveDate>,
    /// Which measures are treated to target; the primary one stays.
    target_instruments: Option<Vec<Instrument>>,
    /// The care manager from now on.
    care_manager: Option<Text>,
    /// The patient's own doctor from now on.
    primary_care_provider: Option<Text>,
    /// The consultant from now on.
    psychiatric_consultant: Option<Text>,
}

/// Reads an episode, with its ETag.
#[utoipa::path(get, path = "/episodes/{id}", tag = "episodes", params(("id" = String, Path, description = "The episode")),
    responses((status = 200, description = "With `ETag`", body = WholeEpisode), ReadErrors))]
async fn read_episode(ask: Ask, Id(id): Id) -> Result<Response, Problem> {
    ask.caller.require(READERS)?;
    let whole = whole(&ask, id).await?;
    Ok((etag(whole.episode.revision), Json(whole)).into_response())
}

async fn whole(ask: &Ask, id: uuid::Uuid) -> Result<WholeEpisode, Problem> {
    let absent = || Problem::not_found("episode");
    let mut tx = ask.app.db.read().await?;
    let stored = episode::find(&mut tx, ask.clinic(), id).await?.ok_or_else(absent)?;
    let patient = patient::find(&mut tx, ask.clinic(), stored.patient_id).await?.ok_or_else(absent)?;
    let story = story::of(&mut tx, ask.clinic(), &patient).await?;
    let recommendations = followed(&story).into_iter().filter(|f| f.episode == Some(id)).collect();
    Ok(WholeEpisode { episode: EpisodeBody::of(stored, &patient), recommendations })
}

/// Changes the particulars of an episode. With `If-Match`, only if it is still at that revision.
#[utoipa::path(patch, path = "/episodes/{id}", tag = "episodes",
    params(("id" = String, Path, description = "The episode"), ("If-Match" = Option<String>, Header, description = "The ETag that was read")),
    request_body = EpisodePatch, responses((status = 200, description = "With the new `ETag`", body = WholeEpisode), WriteErrors))]
async fn amend_episode(ask: Ask, Id(id): Id, JsonBody(patch): JsonBody<EpisodePatch>) -> Result<Response, Problem> {
    ask.caller.require(&[Role::CareManager])?;
    let before = whole(&ask, id).await?;
    let target_instruments =
        patch.target_instruments.map(|t| targets(before.episode.primary_instrument, Some(t))).transpose()?;
    let amendment = Amendment {
        enrolled_on: patch.enrolled_on,
        consent_on: patch.consent_on,
        target_instruments,
        care_manager: words(patch.care_manager),
        primary_care_provider: words(patch.primary_care_provider),
        psychiatric_consultant: words(patch.psychiatric_consultant),
    };
    ask.record_one(Fact::Amended { episode: id, amendment, if_match: ask.if_match }).await?;
    let after = whole(&ask, id).await?;
    Ok((etag(after.episode.revision), Json(after)).into_response())
}
