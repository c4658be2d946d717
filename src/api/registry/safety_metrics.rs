//! `GET metrics/safety`

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::ReadErrors;
use super::safety_concerns::only_a_day;
use crate::api::App;
use crate::api::request::{READERS, RequestContext, StrictQuery};
use crate::domain::metrics::Month;
use crate::domain::safety::concerns;
use crate::domain::timeliness::{Timeliness, of_month};
use crate::problem::Problem;
use crate::store::{patient, rule_set, story};

/// How many patients are loaded at once.
const SOME: i64 = 500;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_safety))
}

/// Month.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SafetyQuery {
    /// `YYYY-MM`, in the clinic's time zone; the present month without it.
    month: Option<String>,
}

/// How quickly safety answers were assessed.
#[derive(Debug, Serialize, ToSchema)]
struct SafetyTimeliness {
    /// `YYYY-MM`: the month of the answers.
    month: String,
    #[serde(flatten)]
    timeliness: Timeliness,
}

/// The answers to item 9 of a month, enrolled or not, and the time until they were assessed.
///
/// Minutes run from the instant of the answer to the instant of the documented assessment. Where one of them is known
/// only as a date it counts in days, and not in the median.
#[utoipa::path(get, path = "/metrics/safety", tag = "metrics", params(SafetyQuery),
    responses((status = 200, description = "As it stands today", body = SafetyTimeliness), ReadErrors))]
async fn read_safety(
    call: RequestContext,
    StrictQuery(query): StrictQuery<SafetyQuery>,
) -> Result<Json<SafetyTimeliness>, Problem> {
    call.caller.require(READERS)?;
    let text = query.month.unwrap_or_else(|| call.today().format("%Y-%m").to_string());
    let month: Month = text.parse().map_err(|e: String| Problem::malformed(e).at("month"))?;
    let today = call.today();
    let mut tx = call.app.db.read().await?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let patients = patient::page(&mut tx, call.clinic(), after, SOME).await?;
        let Some(last) = patients.last() else { break };
        after = Some(last.id);
        for story in story::of_page(&mut tx, call.clinic(), &patients).await? {
            all.extend(concerns(&story, &rules, today));
        }
        tokio::task::yield_now().await;
    }
    drop(tx);
    let timeliness = of_month(all.iter(), month, today, &only_a_day(call.zone()));
    Ok(Json(SafetyTimeliness { month: month.to_string(), timeliness }))
}
