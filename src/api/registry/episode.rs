//! `GET` and `PATCH episodes/{id}`

use axum::Json;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::episodes::{EpisodeBody, targets};
use super::responses::{ReadErrors, WriteErrors, etag};
use crate::api::App;
use crate::api::request::{IdInPath, READERS, RequestContext, RequiredText, words};
use crate::domain::care::FitCheck;
use crate::domain::contacts::{NextContact, TreatmentCourse, brief_treatments, next_contact};
use crate::domain::instrument::Instrument;
use crate::domain::recommendation::{TrackedRecommendation, followed};
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::{Amendment, Change, Command};
use crate::store::{episode, patient, rule_set, story};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_episode, amend_episode))
}

/// An episode with what was recommended in it.
#[derive(Debug, Serialize, ToSchema)]
struct WholeEpisode {
    #[serde(flatten)]
    episode: EpisodeBody,
    /// Recommendations of its case reviews and what became of them, in order of time.
    recommendations: Vec<TrackedRecommendation>,
    /// The last fit check; `null` where none is documented.
    fit_check: Option<FitCheck>,
    /// The care plan that holds; `null` where there is none.
    care_plan: Option<PlanName>,
    /// The next appointment. A past one without documentation is listed as missed.
    next_contact: Option<NextContact>,
    /// Courses of brief treatment, in order of their first session, as they stand today.
    brief_treatments: Vec<TreatmentCourse>,
}

/// The care plan that holds.
#[derive(Debug, Serialize, ToSchema)]
struct PlanName {
    /// Version, for `If-Match`.
    version: i64,
    /// The local date it is of.
    on: NaiveDate,
    /// URL of the episode.
    address: String,
}

/// Changes. Omitted fields stay; `null` clears an optional field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EpisodePatch {
    /// Enrollment, while only referred. It cannot be emptied.
    #[serde(default)]
    #[schema(value_type = Option<NaiveDate>)]
    enrolled_on: Change<NaiveDate>,
    /// When the patient consented.
    #[serde(default)]
    #[schema(value_type = Option<NaiveDate>)]
    consent_on: Change<NaiveDate>,
    /// Instruments that are treated to target. The primary one always stays; the list cannot be empty.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Instrument>>)]
    target_instruments: Change<Vec<Instrument>>,
    /// The care manager from now on.
    #[serde(default)]
    #[schema(value_type = Option<RequiredText>)]
    care_manager: Change<RequiredText>,
    /// The patient's own doctor from now on.
    #[serde(default)]
    #[schema(value_type = Option<RequiredText>)]
    primary_care_provider: Change<RequiredText>,
    /// The consultant from now on.
    #[serde(default)]
    #[schema(value_type = Option<RequiredText>)]
    psychiatric_consultant: Change<RequiredText>,
    /// Why: it is part of the timeline.
    reason: Option<RequiredText>,
}

/// The value of a field that is never empty.
fn lasting<T>(change: Change<T>, field: &str) -> Result<Option<T>, Problem> {
    match change {
        Change::Keep => Ok(None),
        Change::To(value) => Ok(Some(value)),
        Change::Empty => Err(Problem::unprocessable("cannot be emptied").at(field)),
    }
}

/// Reads an episode, with its ETag.
#[utoipa::path(get, path = "/episodes/{id}", tag = "episodes", params(("id" = String, Path, description = "The episode")),
    responses((status = 200, description = "With `ETag`", body = WholeEpisode), ReadErrors))]
async fn read_episode(call: RequestContext, IdInPath(id): IdInPath<EpisodeId>) -> Result<Response, Problem> {
    call.caller.require(READERS)?;
    let whole = whole(&call, id).await?;
    Ok((etag(whole.episode.revision), Json(whole)).into_response())
}

async fn whole(call: &RequestContext, id: EpisodeId) -> Result<WholeEpisode, Problem> {
    let absent = || Problem::not_found("episode");
    let mut tx = call.app.db.read().await?;
    let stored = episode::find(&mut tx, call.clinic(), id).await?.ok_or_else(absent)?;
    let patient = patient::find(&mut tx, call.clinic(), stored.patient_id).await?.ok_or_else(absent)?;
    let story = story::of(&mut tx, call.clinic(), &patient).await?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    drop(tx);
    let recommendations = followed(&story).into_iter().filter(|f| f.episode == Some(id)).collect();
    let courses = story.courses(call.today());
    let course = courses.iter().find(|course| course.episode.id == id);
    let care_plan = story.care_plan(id).map(|version| PlanName {
        version: version.number,
        on: version.entry.on,
        address: format!("/api/v1/episodes/{id}/care-plan"),
    });
    Ok(WholeEpisode {
        episode: EpisodeBody::of(stored, &patient),
        recommendations,
        fit_check: story.fit_check(id).cloned(),
        care_plan,
        next_contact: course.and_then(next_contact),
        brief_treatments: course.map(|c| brief_treatments(c, &rules.brief_treatment)).unwrap_or_default(),
    })
}

/// Changes the particulars of an episode. With `If-Match`, only if it is still at that revision.
#[utoipa::path(patch, path = "/episodes/{id}", tag = "episodes",
    params(("id" = String, Path, description = "The episode"), ("If-Match" = Option<String>, Header, description = "The ETag that was read")),
    request_body = EpisodePatch, responses((status = 200, description = "With the new `ETag`", body = WholeEpisode), WriteErrors))]
async fn amend_episode(
    call: RequestContext,
    IdInPath(id): IdInPath<EpisodeId>,
    JsonBody(patch): JsonBody<EpisodePatch>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let before = whole(&call, id).await?;
    let target_instruments = lasting(patch.target_instruments, "target_instruments")?;
    let target_instruments =
        target_instruments.map(|t| targets(before.episode.primary_instrument, Some(t))).transpose()?;
    let amendment = Amendment {
        enrolled_on: lasting(patch.enrolled_on, "enrolled_on")?,
        consent_on: patch.consent_on,
        target_instruments,
        care_manager: patch.care_manager.map(|text| text.0),
        primary_care_provider: patch.primary_care_provider.map(|text| text.0),
        psychiatric_consultant: patch.psychiatric_consultant.map(|text| text.0),
        reason: words(patch.reason),
        transferred_on: None,
    };
    call.record_one(Command::AmendEpisode { episode: id, amendment, if_match: call.if_match }).await?;
    let after = whole(&call, id).await?;
    Ok((etag(after.episode.revision), Json(after)).into_response())
}
