//! `GET metrics/hedis-drr`, `metrics/cms159`

use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{Datelike, NaiveDate};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::gather::Subjects;
use super::{MetricsBody, MetricsReport, ReportKind, answer, wanted};
use crate::api::App;
use crate::api::registry::responses::ReadErrors;
use crate::api::request::{READERS, RequestContext, StrictQuery};
use crate::domain::metrics::{Tallies, cms159_tallies, for_export, hedis_drr_tallies};
use crate::domain::story::Story;
use crate::problem::Problem;
use crate::store::story;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(hedis)).routes(routes!(cms159))
}

/// Year and filter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api::registry) struct YearQuery {
    /// The measurement year; the present one without it.
    year: Option<i32>,
    /// Gives a MeasureReport.
    report: Option<ReportKind>,
}

/// A measure of a calendar year.
#[derive(Clone, Copy)]
pub(in crate::api::registry) enum Yearly {
    HedisDrr,
    Cms159,
}

impl Yearly {
    fn count(self, stories: &[Story], year: i32) -> Tallies {
        match self {
            Self::HedisDrr => hedis_drr_tallies(stories, year),
            Self::Cms159 => cms159_tallies(stories, year),
        }
    }

    pub(in crate::api::registry) fn name(self) -> &'static str {
        match self {
            Self::HedisDrr => "hedis-drr-e",
            Self::Cms159 => "cms159",
        }
    }
}

async fn yearly(
    call: &RequestContext,
    headers: &HeaderMap,
    measure: Yearly,
    query: YearQuery,
) -> Result<Response, Problem> {
    let kind = wanted(headers, query.report);
    Ok(answer(kind, measure.name(), counted(call, measure, &query).await?))
}

/// The metrics of a year.
pub(in crate::api::registry) async fn counted(
    call: &RequestContext,
    measure: Yearly,
    query: &YearQuery,
) -> Result<MetricsReport, Problem> {
    call.caller.require(READERS)?;
    let year = query.year.unwrap_or_else(|| call.today().year());
    if !(2000..=2999).contains(&year) {
        return Err(Problem::malformed("a year between 2000 and 2999").at("year"));
    }
    let mut tallies = measure.count(&[], year);
    let mut subjects = Subjects::default();
    let mut tx = call.app.db.read().await?;
    let mut everybody = story::everybody(call.clinic());
    while let Some((patients, stories)) = everybody.next(&mut tx).await? {
        tallies.absorb(measure.count(&for_export(&stories), year));
        subjects.add(&patients, &stories);
    }
    drop(tx);
    let day = |month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let body = MetricsBody {
        month: year.to_string(),
        payer: None,
        care_manager: None,
        rule_set: None,
        metrics: tallies.metrics(),
        groups: None,
        closed: None,
        restatement: None,
    };
    Ok(MetricsReport { body, period: (day(1, 1), day(12, 31)), subjects })
}

/// HEDIS DRR-E: follow-up, remission and response 120–240 days after an elevated PHQ-9.
#[utoipa::path(get, path = "/metrics/hedis-drr", tag = "metrics", params(YearQuery),
    responses((status = 200, description = "The metrics", body = MetricsBody), ReadErrors))]
async fn hedis(
    call: RequestContext,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<YearQuery>,
) -> Result<Response, Problem> {
    yearly(&call, &headers, Yearly::HedisDrr, query).await
}

/// CMS159: remission 12 months (give or take 60 days) after an elevated PHQ-9.
#[utoipa::path(get, path = "/metrics/cms159", tag = "metrics", params(YearQuery),
    responses((status = 200, description = "The metric", body = MetricsBody), ReadErrors))]
async fn cms159(
    call: RequestContext,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<YearQuery>,
) -> Result<Response, Problem> {
    yearly(&call, &headers, Yearly::Cms159, query).await
}
