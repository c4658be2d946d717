//! `GET metrics/nys`, `metrics/fidelity`, `metrics/aims`

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::closing::{ClosedBody, figures_of, restatement};
use super::gather::{MeasureResult, MeasureSet, MonthSelection, gather};
use super::{CareManagerMetrics, MetricsBody, MetricsReport, ReportKind, answer, month_of, wanted};
use crate::api::App;
use crate::api::registry::responses::ReadErrors;
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery};
use crate::domain::care::Payer;
use crate::domain::metrics::{CareManager, Metric, MetricsFilter, MonthFigures};
use crate::problem::Problem;
use crate::store::{closed_month, rule_set, staffing};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(nys)).routes(routes!(fidelity)).routes(routes!(aims))
}

/// Month and filter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api::registry) struct MonthQuery {
    /// `YYYY-MM`, in the clinic's time zone; the present month without it.
    month: Option<String>,
    /// Narrows NYS metrics 2–8 to episodes whose patient this payer covered in the month.
    payer: Option<Payer>,
    /// Narrows to the episodes of this care manager, at the end of the month.
    #[param(value_type = Option<String>)]
    care_manager: Option<RequiredText>,
    /// Gives the metrics of each care manager beside those of the clinic.
    by: Option<MetricsGrouping>,
    /// Gives a MeasureReport.
    report: Option<ReportKind>,
}

/// Grouping of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum MetricsGrouping {
    /// The care manager at the end of the month.
    CareManager,
}

/// The reported figures of one care manager, or of the clinic. `None` if they were not stored: by care manager in older
/// reports, or for a care manager without patients in that month.
pub(super) fn reported(report: MonthFigures, measure: MeasureSet, of: &MetricsFilter) -> Option<Vec<Metric>> {
    let figures = match of.care_manager.clone() {
        None => report.clinic,
        Some(who) => {
            let name: Option<String> = who.into();
            report.by_care_manager?.into_iter().find(|kept| kept.care_manager == name)?.figures
        }
    };
    Some(measure.of(figures, of.payer))
}

async fn monthly(
    call: &RequestContext,
    headers: &HeaderMap,
    measure: MeasureSet,
    query: MonthQuery,
) -> Result<Response, Problem> {
    let kind = wanted(headers, query.report);
    Ok(answer(kind, measure.name(), counted(call, measure, query).await?))
}

/// The metrics of a month: as reported, where it is closed.
pub(in crate::api::registry) async fn counted(
    call: &RequestContext,
    measure: MeasureSet,
    query: MonthQuery,
) -> Result<MetricsReport, Problem> {
    call.caller.require(READERS)?;
    if query.payer.is_some() && measure != MeasureSet::Nys {
        return Err(Problem::malformed("only metrics/nys is narrowed to a payer").at("payer"));
    }
    let month = month_of(call, query.month.as_deref(), "month")?;
    let care_manager = query.care_manager.map(|name| name.0);
    let narrowing = MetricsFilter { payer: query.payer, care_manager: care_manager.clone().map(CareManager::Named) };
    let mut tx = call.app.db.read().await?;
    let closed = closed_month::latest(&mut tx, call.clinic(), month.first).await?;
    let rules = match &closed {
        Some(closed) => rule_set::rules(&mut tx, call.clinic(), closed.rule_set).await?,
        None => None,
    };
    let rules = match rules {
        Some(rules) => rules,
        None => rule_set::active(&mut tx, call.clinic()).await?,
    };
    let fte = staffing::find(&mut tx, call.clinic(), month.first).await?;
    drop(tx);
    let slice = MonthSelection { month, narrowing: &narrowing, fte };
    let MeasureResult { metrics, groups, subjects } = gather(call, measure, &rules, slice, query.by.is_some()).await?;
    let mut body = MetricsBody {
        month: month.to_string(),
        payer: query.payer,
        care_manager,
        rule_set: Some(rules.label()),
        metrics,
        groups: query.by.map(|_| groups),
        closed: None,
        restatement: None,
    };
    if let Some(closed) = closed {
        let report = figures_of(&closed)?;
        if let (Some(_), Some(kept)) = (query.by, &report.by_care_manager) {
            body.groups =
                Some(kept.iter().map(|one| CareManagerMetrics::reported(one, measure, query.payer)).collect());
        }
        if let Some(reported) = reported(report, measure, &narrowing) {
            body.restatement = restatement(call, &closed, month, &reported, &body.metrics, &subjects).await?;
            body.metrics = reported;
            body.closed = Some(ClosedBody::of(&closed, month));
        }
    }
    Ok(MetricsReport { body, period: (month.first, month.last), subjects })
}

/// The eleven CoCM metrics of New York State OMH, 2025. `Accept: application/fhir+json` gives a MeasureReport.
///
/// A closed month answers what was reported, by care manager too; `restatement` says what would come out differently now, and which facts
/// that were recorded later make it so.
#[utoipa::path(get, path = "/metrics/nys", tag = "metrics", params(MonthQuery),
    responses((status = 200, description = "The metrics", body = MetricsBody), ReadErrors))]
async fn nys(
    call: RequestContext,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<MonthQuery>,
) -> Result<Response, Problem> {
    monthly(&call, &headers, MeasureSet::Nys, query).await
}

/// Whether the program is run as meant: contacts, measures, reviews, treatment changes, weekly meetings.
#[utoipa::path(get, path = "/metrics/fidelity", tag = "metrics", params(MonthQuery),
    responses((status = 200, description = "The metrics", body = MetricsBody), ReadErrors))]
async fn fidelity(
    call: RequestContext,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<MonthQuery>,
) -> Result<Response, Problem> {
    monthly(&call, &headers, MeasureSet::Fidelity, query).await
}

/// Process measures after the AIMS Center: caseload, contacts, reviews, treatment changes among the not improved.
#[utoipa::path(get, path = "/metrics/aims", tag = "metrics", params(MonthQuery),
    responses((status = 200, description = "The metrics", body = MetricsBody), ReadErrors))]
async fn aims(
    call: RequestContext,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<MonthQuery>,
) -> Result<Response, Problem> {
    monthly(&call, &headers, MeasureSet::Aims, query).await
}
