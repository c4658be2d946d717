//! `GET metrics/nys`, `metrics/hedis-drr`, `metrics/cms159`, `metrics/fidelity`, `PUT staffing/{month}`

use axum::Json;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{ReadErrors, WriteErrors};
use crate::api::App;
use crate::api::request::{Ask, Asked, READERS};
use crate::domain::care::Payer;
use crate::domain::metrics::{self, Metric, Month};
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;
use crate::fhir::measure_report::{self, Report};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::attest;
use crate::store::{patient, rule_set, staffing, story};

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(nys))
        .routes(routes!(hedis))
        .routes(routes!(cms159))
        .routes(routes!(fidelity))
        .routes(routes!(attest_staffing))
}

/// Which month, and whose.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MonthQuery {
    /// `YYYY-MM`, in the clinic's time zone; the present month without it.
    month: Option<String>,
    /// Narrows metrics 2–8 to episodes whose patient this payer covered in the month.
    payer: Option<Payer>,
}

/// Which year.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct YearQuery {
    /// The measurement year; the present one without it.
    year: Option<i32>,
}

/// Metrics of a period, each with the episodes (or patients, where its remark says so) behind it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct MetricsBody {
    /// `YYYY-MM` or `YYYY`.
    pub(super) month: String,
    /// What it was narrowed to.
    pub(super) payer: Option<Payer>,
    /// The metrics.
    pub(super) metrics: Vec<Metric>,
}

fn month_of(ask: &Ask, month: Option<&str>) -> Result<Month, Problem> {
    let text = month.map_or_else(|| ask.today().format("%Y-%m").to_string(), str::to_owned);
    text.parse().map_err(|e: String| Problem::malformed(e).at("month"))
}

/// Everybody's story, and the rules in force.
async fn everybody(ask: &Ask) -> Result<(Vec<Story>, RuleSet), Problem> {
    let mut tx = ask.app.db.read().await?;
    let rules = rule_set::active(&mut tx, ask.clinic()).await?;
    let mut stories = Vec::new();
    let mut after = None;
    loop {
        let page = patient::page(&mut tx, ask.clinic(), after, 500).await?;
        let Some(last) = page.last() else { return Ok((stories, rules)) };
        after = Some(last.id);
        stories.extend(story::of_page(&mut tx, ask.clinic(), &page).await?);
    }
}

fn answer(headers: &HeaderMap, name: &str, (from, to): (NaiveDate, NaiveDate), body: MetricsBody) -> Response {
    let fhir = headers.get(ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("fhir+json"));
    if !fhir {
        return Json(body).into_response();
    }
    let report = measure_report::summary(&Report { measure: name, from, to, metrics: &body.metrics });
    ([(CONTENT_TYPE, "application/fhir+json")], report.to_string()).into_response()
}

/// The eleven CoCM metrics of New York State OMH, 2025. `Accept: application/fhir+json` gives a MeasureReport.
#[utoipa::path(get, path = "/metrics/nys", tag = "metrics", params(MonthQuery),
    responses((status = 200, description = "The metrics", body = MetricsBody), ReadErrors))]
pub(super) async fn nys(ask: Ask, headers: HeaderMap, Asked(query): Asked<MonthQuery>) -> Result<Response, Problem> {
    ask.caller.require(READERS)?;
    let month = month_of(&ask, query.month.as_deref())?;
    let (stories, rules) = everybody(&ask).await?;
    let mut tx = ask.app.db.read().await?;
    let fte = staffing::find(&mut tx, ask.clinic(), month.first).await?;
    drop(tx);
    let metrics = metrics::nys(&metrics::for_export(&stories), &rules, month, query.payer, fte);
    let body = MetricsBody { month: month.to_string(), payer: query.payer, metrics };
    Ok(answer(&headers, "nys-omh-cocm-2025", (month.first, month.last), body))
}

/// Whether the programme is run as meant: contacts, measures, reviews, treatment changes, weekly meetings.
#[utoipa::path(get, path = "/metrics/fidelity", tag = "metrics", params(MonthQuery),
    responses((status = 200, description = "The metrics", body = MetricsBody), ReadErrors))]
pub(super) async fn fidelity(
    ask: Ask,
    headers: HeaderMap,
    Asked(query): Asked<MonthQuery>,
) -> Result<Response, Problem> {
    ask.caller.require(READERS)?;
    if query.payer.is_some() {
        return Err(Problem::malformed("only metrics/nys is narrowed to a payer").at("payer"));
    }
    let month = month_of(&ask, query.month.as_deref())?;
    let (stories, rules) = everybody(&ask).await?;
    let body =
        MetricsBody { month: month.to_string(), payer: None, metrics: metrics::fidelity(&stories, &rules, month) };
    Ok(answer(&headers, "cocm-fidelity", (month.first, month.last), body))
}

fn year_of(ask: &Ask, year: Option<i32>) -> Result<i32, Problem> {
    match year.unwrap_or_else(|| ask.today().year()) {
        year @ 2000..=2999 => Ok(year),
        _ => Err(Problem::malformed("a year between 2000 and 2999").at("year")),
    }
}

fn span(year: i32) -> (NaiveDate, NaiveDate) {
    let day = |month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    (day(1, 1), day(12, 31))
}

/// HEDIS DRR-E: follow-up, remission and response 120–240 days after an elevated PHQ-9.
#[utoipa::path(get, path = "/metrics/hedis-drr", tag = "metrics", params(YearQuery),
    responses((status = 200, description = "The metrics", body = MetricsBody), ReadErrors))]
pub(super) async fn hedis(ask: Ask, headers: HeaderMap, Asked(query): Asked<YearQuery>) -> Result<Response, Problem> {
    ask.caller.require(READERS)?;
    let year = year_of(&ask, query.year)?;
    let (stories, _) = everybody(&ask).await?;
    let metrics = metrics::hedis_drr(&metrics::for_export(&stories), year);
    Ok(answer(&headers, "hedis-drr-e", span(year), MetricsBody { month: year.to_string(), payer: None, metrics }))
}

/// CMS159: remission 12 months (give or take 60 days) after an elevated PHQ-9.
#[utoipa::path(get, path = "/metrics/cms159", tag = "metrics", params(YearQuery),
    responses((status = 200, description = "The metric", body = MetricsBody), ReadErrors))]
pub(super) async fn cms159(ask: Ask, headers: HeaderMap, Asked(query): Asked<YearQuery>) -> Result<Response, Problem> {
    ask.caller.require(READERS)?;
    let year = year_of(&ask, query.year)?;
    let (stories, _) = everybody(&ask).await?;
    let metrics = metrics::cms159(&metrics::for_export(&stories), year);
    Ok(answer(&headers, "cms159", span(year), MetricsBody { month: year.to_string(), payer: None, metrics }))
}

/// The care managers of a month.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Staffing {
    /// Full-time equivalents, 0–1000.
    care_manager_fte: f64,
}

/// Attests the care managers of a month (NYS metric 11; metric 1's target follows from it).
#[utoipa::path(put, path = "/staffing/{month}", tag = "metrics",
    params(("month" = String, Path, description = "`YYYY-MM`")), request_body = Staffing,
    responses((status = 200, description = "Attested", body = Staffing), WriteErrors))]
async fn attest_staffing(
    ask: Ask,
    Path(month): Path<String>,
    JsonBody(new): JsonBody<Staffing>,
) -> Result<Json<Staffing>, Problem> {
    ask.caller.require(&[Role::CareManager, Role::Admin])?;
    let month = month_of(&ask, Some(&month))?;
    if !(0.0..=1000.0).contains(&new.care_manager_fte) {
        return Err(Problem::unprocessable("must be between 0 and 1000").at("care_manager_fte"));
    }
    let (db, now) = (&ask.app.db, ask.app.clock.now());
    attest(db, ask.clinic(), &ask.caller.subject, month.first, new.care_manager_fte, now).await?;
    Ok(Json(new))
}
