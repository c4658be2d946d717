//! The program's metrics: by month, by year, over months, and what was reported when a month was closed.

mod closing;
mod gather;
pub(super) mod monthly;
mod staffing;
mod trend;
pub(super) mod yearly;

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::api::App;
use crate::api::request::RequestContext;
use crate::domain::care::Payer;
use crate::domain::metrics::{CareManagerFigures, Metric, Month};
use crate::fhir::measure_report::{self, MeasureReportData};
use crate::problem::Problem;
use closing::{ClosedBody, Restatement};
pub(super) use gather::MeasureSet;
use gather::Subjects;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(monthly::routes())
        .merge(yearly::routes())
        .merge(trend::routes())
        .merge(closing::routes())
        .merge(staffing::routes())
}

/// Metrics of a period, each with the episodes (or patients, where its remark says so) behind it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MetricsBody {
    /// `YYYY-MM` or `YYYY`.
    pub(super) month: String,
    /// Filter that was applied.
    pub(super) payer: Option<Payer>,
    /// Filter that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    care_manager: Option<String>,
    /// The thresholds used.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_set: Option<String>,
    /// The metrics: as reported, where the month is closed.
    pub(super) metrics: Vec<Metric>,
    /// The same for each care manager, where it was asked for: as reported, where the month is closed and its report
    /// has them, else computed now.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<CareManagerMetrics>>,
    /// The report that the metrics were taken from; absent where they were computed now.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedBody>,
    /// Figures that would differ if counted now; absent if none would.
    #[serde(skip_serializing_if = "Option::is_none")]
    restatement: Option<Restatement>,
}

/// The metrics of one care manager.
#[derive(Debug, Serialize, ToSchema)]
struct CareManagerMetrics {
    /// Care manager; `null` for episodes without one.
    care_manager: Option<String>,
    /// The metrics.
    metrics: Vec<Metric>,
}

impl CareManagerMetrics {
    fn reported(kept: &CareManagerFigures, measure: MeasureSet, payer: Option<Payer>) -> Self {
        Self { care_manager: kept.care_manager.clone(), metrics: measure.of(kept.figures.clone(), payer) }
    }
}

/// Metrics with what a report of them needs.
pub(super) struct MetricsReport {
    pub(super) body: MetricsBody,
    /// The first and the last day.
    period: (NaiveDate, NaiveDate),
    /// Patients behind the ids.
    subjects: Subjects,
}

/// Kind of MeasureReport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum ReportKind {
    /// Counts without patient data. Also the default for `Accept: application/fhir+json`.
    Summary,
    /// A Bundle with one report for each episode or patient behind the metrics.
    Individual,
}

fn month_of(call: &RequestContext, month: Option<&str>, at: &str) -> Result<Month, Problem> {
    match month {
        None => Ok(Month::of(call.today())),
        Some(text) => text.parse().map_err(|e: String| Problem::malformed(e).at(at)),
    }
}

/// How an answer is wanted: JSON of ours, or a MeasureReport.
fn wanted(headers: &HeaderMap, report: Option<ReportKind>) -> Option<ReportKind> {
    let fhir = headers.get(ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("fhir+json"));
    report.or(fhir.then_some(ReportKind::Summary))
}

fn answer(
    kind: Option<ReportKind>,
    name: &str,
    MetricsReport { body, period: (from, to), subjects }: MetricsReport,
) -> Response {
    let report = MeasureReportData { measure: name, from, to, metrics: &body.metrics };
    let said = match kind {
        None => return Json(body).into_response(),
        Some(ReportKind::Summary) => measure_report::summary(&report),
        Some(ReportKind::Individual) => measure_report::individual(&report, &subjects.references()),
    };
    ([(CONTENT_TYPE, "application/fhir+json")], said.to_string()).into_response()
}
