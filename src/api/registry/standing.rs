//! `GET episodes/{id}/standing?as_of=`

use axum::Json;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::ReadErrors;
use crate::api::App;
use crate::api::request::{IdInPath, READERS, RequestContext, StrictQuery, query_date};
use crate::domain::chart_plan::plan;
use crate::domain::standing::Standing;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::{episode, patient, rule_set, story, story_as_known};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_standing))
}

/// For which date.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StandingQuery {
    /// A local date; the clinic's today where it is left out, or the date of `known_at`.
    as_of: Option<NaiveDate>,
    /// An instant: only what had been recorded by then is known, and the thresholds are those in force then.
    known_at: Option<DateTime<Utc>>,
}

/// Where an episode stands, as far as was known.
#[derive(Debug, Serialize, ToSchema)]
struct StandingBody {
    /// The planner's answer.
    #[serde(flatten)]
    standing: Standing,
    /// Use only what had been recorded by this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_at: Option<DateTime<Utc>>,
    /// Known gaps of the log about that instant; absent without `known_at`.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    cannot_be_known: &'static [&'static str],
}

/// The planner's answer for a date, computed from everything known that is dated up to it.
///
/// With `known_at`, from what had been recorded up to that instant: a score entered or corrected later is read as it was
/// known then, under the thresholds that were in force. An episode entered later is 404.
#[utoipa::path(get, path = "/episodes/{id}/standing", tag = "episodes",
    params(("id" = String, Path, description = "The episode"), StandingQuery),
    responses((status = 200, description = "Explained", body = StandingBody), ReadErrors))]
async fn read_standing(
    call: RequestContext,
    IdInPath(id): IdInPath<EpisodeId>,
    StrictQuery(query): StrictQuery<StandingQuery>,
) -> Result<Json<StandingBody>, Problem> {
    call.caller.require(READERS)?;
    let known_at = query.known_at;
    let today = || known_at.map_or_else(|| call.today(), |at| at.with_timezone(&call.zone()).date_naive());
    let as_of = query_date(query.as_of, "as_of")?.unwrap_or_else(today);
    let absent = || Problem::not_found("episode");
    let mut tx = call.app.db.read().await?;
    let stored = episode::find(&mut tx, call.clinic(), id).await?.ok_or_else(absent)?;
    let patient = patient::find(&mut tx, call.clinic(), stored.patient_id).await?.ok_or_else(absent)?;
    let (story, rules) = match known_at {
        None => (story::of(&mut tx, call.clinic(), &patient).await?, rule_set::active(&mut tx, call.clinic()).await?),
        Some(at) => (
            story_as_known::story_at(&mut tx, call.clinic(), &patient, at).await?,
            rule_set::active_at(&mut tx, call.clinic(), at).await?,
        ),
    };
    drop(tx);
    let plan = plan(&story, &rules, as_of);
    let standing = plan.standings.into_iter().find(|s| s.episode == id).ok_or_else(absent)?;
    let cannot_be_known = if known_at.is_some() { story_as_known::GAPS } else { &[] };
    Ok(Json(StandingBody { standing, known_at, cannot_be_known }))
}
