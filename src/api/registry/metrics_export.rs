//! `GET metrics/nys.csv`, `metrics/nys.xlsx`, and the same of the other metrics

use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::metrics::monthly::{self, MonthQuery};
use super::metrics::yearly::{self, YearQuery, Yearly};
use super::metrics::{MeasureSet, MetricsReport};
use super::responses::{ReadErrors, Workbook};
use crate::api::App;
use crate::api::export::{Cell, Column, CompleteRows, Format, column, export, whole};
use crate::api::request::{RequestContext, StrictQuery};
use crate::domain::metrics::Metric;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(nys_csv))
        .routes(routes!(nys_xlsx))
        .routes(routes!(fidelity_csv))
        .routes(routes!(fidelity_xlsx))
        .routes(routes!(aims_csv))
        .routes(routes!(aims_xlsx))
        .routes(routes!(hedis_csv))
        .routes(routes!(hedis_xlsx))
        .routes(routes!(cms159_csv))
        .routes(routes!(cms159_xlsx))
}

/// The ids behind a metric are in the JSON only: a cell holds fewer of them than a clinic has.
const COLUMNS: &[Column] = &[
    column("Period", 10),
    column("Payer", 12),
    column("Number", 8),
    column("Metric", 28),
    column("Numerator", 10),
    column("Denominator", 11),
    column("Value", 10),
    column("Target", 10),
    column("Remark", 60),
];

async fn filed(format: Format, name: &str, MetricsReport { body, .. }: MetricsReport) -> Result<Response, Problem> {
    let name = format!("metrics-{name}-{}", body.month);
    let (period, payer) = (body.month, body.payer.map_or("all", |payer| payer.as_str()));
    let rows = body.metrics.into_iter().map(|metric| line(&period, payer, metric)).collect();
    export(format, &name, COLUMNS, CompleteRows::of(rows)).await
}

fn line(period: &str, payer: &str, metric: Metric) -> Vec<Cell> {
    vec![
        period.into(),
        payer.into(),
        metric.number.into(),
        metric.name.into(),
        metric.numerator.map_or(Cell::Empty, whole),
        metric.denominator.map_or(Cell::Empty, whole),
        metric.value.into(),
        metric.target.into(),
        metric.remark.into(),
    ]
}

async fn of_month(
    call: RequestContext,
    format: Format,
    measure: MeasureSet,
    query: MonthQuery,
) -> Result<Response, Problem> {
    filed(format, measure.name(), monthly::counted(&call, measure, query).await?).await
}

async fn of_year(call: RequestContext, format: Format, measure: Yearly, query: YearQuery) -> Result<Response, Problem> {
    filed(format, measure.name(), yearly::counted(&call, measure, &query).await?).await
}

macro_rules! files {
    ($($csv:ident $xlsx:ident = $path:literal $what:literal $of:ident($query:ident) $measure:expr;)+) => {$(
        #[utoipa::path(get, path = concat!("/metrics/", $path, ".csv"), tag = "metrics", params($query),
            summary = concat!($what, ", for a spreadsheet."),
            responses((status = 200, description = "One line per metric", content_type = "text/csv", body = String),
                ReadErrors))]
        async fn $csv(call: RequestContext, StrictQuery(query): StrictQuery<$query>) -> Result<Response, Problem> {
            $of(call, Format::Csv, $measure, query).await
        }

        #[utoipa::path(get, path = concat!("/metrics/", $path, ".xlsx"), tag = "metrics", params($query),
            summary = concat!($what, ", as a workbook."),
            responses((status = 200, description = "One row per metric",
                content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook),
                ReadErrors))]
        async fn $xlsx(call: RequestContext, StrictQuery(query): StrictQuery<$query>) -> Result<Response, Problem> {
            $of(call, Format::Xlsx, $measure, query).await
        }
    )+};
}

files! {
    nys_csv nys_xlsx = "nys" "The New York State metrics" of_month(MonthQuery) MeasureSet::Nys;
    fidelity_csv fidelity_xlsx = "fidelity" "The program's fidelity" of_month(MonthQuery) MeasureSet::Fidelity;
    aims_csv aims_xlsx = "aims" "The process measures" of_month(MonthQuery) MeasureSet::Aims;
    hedis_csv hedis_xlsx = "hedis-drr" "HEDIS DRR-E" of_year(YearQuery) Yearly::HedisDrr;
    cms159_csv cms159_xlsx = "cms159" "CMS159" of_year(YearQuery) Yearly::Cms159;
}
