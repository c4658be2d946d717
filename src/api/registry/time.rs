//! `GET time`

use axum::Json;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::ReadErrors;
use crate::api::App;
use crate::api::request::{READERS, RequestContext, StrictQuery};
use crate::domain::metrics::Month;
use crate::domain::minutes::{self, EpisodeMinutes};
use crate::problem::Problem;
use crate::record::local_midnight;
use crate::store::story;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_time))
}

/// Month.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TimeQuery {
    /// `YYYY-MM`, in the clinic's time zone; the present month without it.
    month: Option<String>,
}

/// The minutes of a month.
#[derive(Debug, Serialize, ToSchema)]
struct TimeBody {
    /// `YYYY-MM`.
    month: String,
    /// Each episode with a contact in the month. Codes are suggested, never decided.
    items: Vec<EpisodeMinutes>,
    /// All on one page.
    next: Option<String>,
}

/// Care-manager minutes and the billing codes they suggest, per episode.
#[utoipa::path(get, path = "/time", tag = "metrics", params(TimeQuery),
    responses((status = 200, description = "The minutes", body = TimeBody), ReadErrors))]
async fn read_time(ask: RequestContext, StrictQuery(query): StrictQuery<TimeQuery>) -> Result<Json<TimeBody>, Problem> {
    ask.caller.require(READERS)?;
    let text = query.month.unwrap_or_else(|| ask.today().format("%Y-%m").to_string());
    let month: Month = text.parse().map_err(|e: String| Problem::malformed(e).at("month"))?;
    let midnight = |on: NaiveDate| local_midnight(ask.zone(), on);
    let span = (midnight(month.first), midnight(month.last.succ_opt().unwrap_or(month.last)));
    let mut tx = ask.app.db.read().await?;
    let mut items = Vec::new();
    let mut everybody = story::everybody(ask.clinic());
    while let Some((_, stories)) = everybody.next(&mut tx).await? {
        for story in stories {
            let courses = story.courses(month.last);
            let care: Vec<NaiveDate> = courses
                .iter()
                .flat_map(|c| c.entries.iter().filter(|e| e.care.is_clinical_contact()).map(|e| e.on))
                .collect();
            let earlier: Vec<NaiveDate> = care.iter().copied().filter(|on| *on < month.first).collect();
            let timed = courses.iter().filter(|c| c.entries.iter().any(|e| e.care.minutes().is_some()));
            for course in timed {
                let minutes = minutes::of(course, month, span, &earlier);
                let in_month = course.entries.iter().any(|e| e.care.minutes().is_some() && month.contains(e.on));
                // A contact that began the evening before may last into the month.
                if in_month || minutes.minutes > 0 || !minutes.left_out.is_empty() {
                    items.push(minutes);
                }
            }
        }
    }
    Ok(Json(TimeBody { month: month.to_string(), items, next: None }))
}
