//! `GET episodes/{id}/standing?as_of=`

use axum::Json;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::ReadErrors;
use crate::api::App;
use crate::api::request::{Ask, Asked, Id, READERS, query_date};
use crate::domain::plan::plan;
use crate::domain::standing::Standing;
use crate::problem::Problem;
use crate::store::{episode, patient, rule_set, story};

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_standing))
}

/// For which date.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StandingQuery {
    /// A local date; the clinic's today where it is left out.
    as_of: Option<NaiveDate>,
}

/// The planner's answer for a date, computed from everything known that is dated up to it.
#[utoipa::path(get, path = "/episodes/{id}/standing", tag = "episodes",
    params(("id" = String, Path, description = "The episode"), StandingQuery),
    responses((status = 200, description = "Explained", body = Standing), ReadErrors))]
async fn read_standing(ask: Ask, Id(id): Id, Asked(query): Asked<StandingQuery>) -> Result<Json<Standing>, Problem> {
    ask.caller.require(READERS)?;
    let as_of = query_date(query.as_of, "as_of")?.unwrap_or_else(|| ask.today());
    let absent = || Problem::not_found("episode");
    let mut tx = ask.app.db.read().await?;
    let stored = episode::find(&mut tx, ask.clinic(), id).await?.ok_or_else(absent)?;
    let patient = patient::find(&mut tx, ask.clinic(), stored.patient_id).await?.ok_or_else(absent)?;
    let story = story::of(&mut tx, ask.clinic(), &patient).await?;
    let rules = rule_set::active(&mut tx, ask.clinic()).await?;
    drop(tx);
    let plan = plan(&story, &rules, as_of);
    plan.standings.into_iter().find(|s| s.episode == id).map(Json).ok_or_else(absent)
}
