//! `GET time`

use axum::Json;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::ReadErrors;
use crate::api::App;
use crate::api::request::{Ask, Asked, READERS};
use crate::domain::metrics::Month;
use crate::domain::minutes::{self, EpisodeMinutes};
use crate::problem::Problem;
use crate::store::{patient, story};

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_time))
}

/// Which month.
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
async fn read_time(ask: Ask, Asked(query): Asked<TimeQuery>) -> Result<Json<TimeBody>, Problem> {
    ask.caller.require(READERS)?;
    let text = query.month.unwrap_or_else(|| ask.today().format("%Y-%m").to_string());
    let month: Month = text.parse().map_err(|e: String| Problem::malformed(e).at("month"))?;
    let mut tx = ask.app.db.read().await?;
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = patient::page(&mut tx, ask.clinic(), after, 500).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for story in story::of_page(&mut tx, ask.clinic(), &page).await? {
            let courses = story.courses(month.last);
            let care: Vec<NaiveDate> = courses
                .iter()
                .flat_map(|c| c.entries.iter().filter(|e| e.care.is_clinical_contact()).map(|e| e.on))
                .collect();
            let earlier: Vec<NaiveDate> = care.iter().copied().filter(|on| *on < month.first).collect();
            let in_month = courses.iter().filter(|c| {
                c.entries.iter().any(|e| e.care.minutes().is_some() && e.on >= month.first && e.on <= month.last)
            });
            items.extend(in_month.map(|course| minutes::of(course, month, &earlier)));
        }
    }
    Ok(Json(TimeBody { month: month.to_string(), items, next: None }))
}
