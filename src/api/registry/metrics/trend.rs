//! `GET metrics/nys/trend`, `metrics/fidelity/trend`, `metrics/aims/trend`

use axum::Json;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::closing::figures_of;
use super::gather::{MeasureSet, MonthSelection, StorySelection};
use super::month_of;
use super::monthly::reported;
use crate::api::App;
use crate::api::registry::responses::ReadErrors;
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery};
use crate::domain::care::Payer;
use crate::domain::metrics::{CareManager, Metric, MetricValue, MetricsFilter, Month, Tallies};
use crate::problem::Problem;
use crate::store::{closed_month, rule_set, staffing, story};

/// How many months at the most.
const LONGEST: usize = 36;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(nys_trend)).routes(routes!(fidelity_trend)).routes(routes!(aims_trend))
}

/// Months and filter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TrendQuery {
    /// The first month, `YYYY-MM`; eleven months before the last one without it.
    from: Option<String>,
    /// The last month, `YYYY-MM`; the present one without it. At most 36 months.
    to: Option<String>,
    /// Narrows NYS metrics 2–8 to episodes whose patient this payer covered in the month.
    payer: Option<Payer>,
    /// Narrows to the episodes of this care manager, at the end of each month.
    #[param(value_type = Option<String>)]
    care_manager: Option<RequiredText>,
}

/// Metrics over months.
#[derive(Debug, Serialize, ToSchema)]
struct MetricsTrend {
    /// The first month.
    from: String,
    /// The last month.
    to: String,
    /// Filter that was applied.
    payer: Option<Payer>,
    /// Filter that was applied.
    care_manager: Option<String>,
    /// Each metric.
    metrics: Vec<MetricTrend>,
}

/// One metric over months.
#[derive(Debug, Serialize, ToSchema)]
struct MetricTrend {
    /// Its number in the specification.
    number: u8,
    /// Stable name.
    name: String,
    /// Values, month by month.
    months: Vec<MonthValue>,
}

/// Value of a metric in a month.
#[derive(Debug, Serialize, ToSchema)]
struct MonthValue {
    /// `YYYY-MM`.
    month: String,
    /// The figures.
    #[serde(flatten)]
    counted: MetricValue,
    /// The program's target, in the unit of the value.
    target: Option<f64>,
    /// Remark that is needed to read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    /// How many episodes (or patients, where the metric counts those) stand behind it; 0 where it counts something else.
    behind: usize,
    /// When it was reported; `null` where it was computed now.
    closed_at: Option<DateTime<Utc>>,
}

/// One month: reported, or still being counted.
enum MonthColumn {
    Reported(Vec<Metric>, DateTime<Utc>),
    Counting(Tallies, Option<f64>),
}

async fn trend(call: &RequestContext, measure: MeasureSet, query: TrendQuery) -> Result<Json<MetricsTrend>, Problem> {
    call.caller.require(READERS)?;
    if query.payer.is_some() && measure != MeasureSet::Nys {
        return Err(Problem::malformed("only metrics/nys is narrowed to a payer").at("payer"));
    }
    let to = month_of(call, query.to.as_deref(), "to")?;
    let from = match &query.from {
        Some(text) => month_of(call, Some(text), "from")?,
        None => (0..11).fold(to, |month, _| month.before()),
    };
    let months: Vec<Month> = from.through(to).take(LONGEST + 1).collect();
    if months.is_empty() || months.len() > LONGEST {
        return Err(Problem::malformed(format!("from must not be after to, and at most {LONGEST} months")).at("from"));
    }
    let care_manager = query.care_manager.map(|name| name.0);
    let narrowing = MetricsFilter { payer: query.payer, care_manager: care_manager.clone().map(CareManager::Named) };
    let mut tx = call.app.db.read().await?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    let mut columns = Vec::new();
    for month in &months {
        let closed = closed_month::latest(&mut tx, call.clinic(), month.first).await?;
        let kept = match &closed {
            Some(closed) => reported(figures_of(closed)?, measure, &narrowing).map(|kept| (kept, closed.closed_at)),
            None => None,
        };
        columns.push(if let Some((kept, closed_at)) = kept {
            MonthColumn::Reported(kept, closed_at)
        } else {
            let fte = staffing::find(&mut tx, call.clinic(), month.first).await?;
            let slice = MonthSelection { month: *month, narrowing: &narrowing, fte };
            MonthColumn::Counting(StorySelection::of(measure, &[]).tallies(measure, &rules, &slice), fte)
        });
    }
    let mut everybody = story::everybody(call.clinic());
    while let Some((_, stories)) = everybody.next(&mut tx).await? {
        let some = StorySelection::of(measure, &stories);
        for (month, column) in months.iter().zip(&mut columns) {
            if let MonthColumn::Counting(tallies, fte) = column {
                let slice = MonthSelection { month: *month, narrowing: &narrowing, fte: *fte };
                tallies.absorb(some.tallies(measure, &rules, &slice));
            }
        }
    }
    let mut metrics: Vec<MetricTrend> = Vec::new();
    for (month, column) in months.iter().zip(columns) {
        let (reported, closed_at) = match column {
            MonthColumn::Reported(metrics, at) => (metrics, Some(at)),
            MonthColumn::Counting(tallies, _) => (tallies.metrics(), None),
        };
        for metric in reported {
            let in_month = MonthValue {
                month: month.to_string(),
                counted: (&metric).into(),
                target: metric.target,
                behind: metric.numerator_episodes.len().max(metric.denominator_episodes.len()),
                remark: metric.remark,
                closed_at,
            };
            match metrics.iter_mut().find(|m| m.number == metric.number) {
                Some(there) => there.months.push(in_month),
                None => {
                    metrics.push(MetricTrend { number: metric.number, name: metric.name, months: vec![in_month] });
                }
            }
        }
    }
    Ok(Json(MetricsTrend { from: from.to_string(), to: to.to_string(), payer: query.payer, care_manager, metrics }))
}

/// The NYS metrics month by month; closed months as they were reported.
#[utoipa::path(get, path = "/metrics/nys/trend", tag = "metrics", params(TrendQuery),
    responses((status = 200, description = "Each metric, month by month", body = MetricsTrend), ReadErrors))]
async fn nys_trend(
    call: RequestContext,
    StrictQuery(query): StrictQuery<TrendQuery>,
) -> Result<Json<MetricsTrend>, Problem> {
    trend(&call, MeasureSet::Nys, query).await
}

/// The fidelity of the program month by month; closed months as they were reported.
#[utoipa::path(get, path = "/metrics/fidelity/trend", tag = "metrics", params(TrendQuery),
    responses((status = 200, description = "Each metric, month by month", body = MetricsTrend), ReadErrors))]
async fn fidelity_trend(
    call: RequestContext,
    StrictQuery(query): StrictQuery<TrendQuery>,
) -> Result<Json<MetricsTrend>, Problem> {
    trend(&call, MeasureSet::Fidelity, query).await
}

/// The process measures month by month; closed months as they were reported.
#[utoipa::path(get, path = "/metrics/aims/trend", tag = "metrics", params(TrendQuery),
    responses((status = 200, description = "Each metric, month by month", body = MetricsTrend), ReadErrors))]
async fn aims_trend(
    call: RequestContext,
    StrictQuery(query): StrictQuery<TrendQuery>,
) -> Result<Json<MetricsTrend>, Problem> {
    trend(&call, MeasureSet::Aims, query).await
}
