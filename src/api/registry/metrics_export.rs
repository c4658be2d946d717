//! `GET metrics/nys.csv`, `metrics/nys.xlsx`, and the same of the other metrics

use axum::body::to_bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::ReadErrors;
use super::metrics::{self, MetricsBody, MonthQuery, YearQuery};
use crate::api::App;
use crate::api::export::{Cell, Column, Format, Ready, column, export, whole};
use crate::api::request::{Ask, Asked};
use crate::domain::metrics::Metric;
use crate::problem::Problem;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(nys_csv))
        .routes(routes!(nys_xlsx))
        .routes(routes!(fidelity_csv))
        .routes(routes!(fidelity_xlsx))
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

/// What a handler answered in JSON, as a file.
async fn filed(format: Format, name: &str, answered: Response) -> Result<Response, Problem> {
    let unreadable = |_| Problem::internal("metrics cannot be written as a file");
    let body = to_bytes(answered.into_body(), usize::MAX).await.map_err(unreadable)?;
    let body: MetricsBody =
        serde_json::from_slice(&body).map_err(|_| Problem::internal("metrics cannot be written as a file"))?;
    let name = format!("metrics-{name}-{}", body.month);
    let (period, payer) = (body.month, body.payer.map_or("all", |payer| payer.as_str()));
    let rows = body.metrics.into_iter().map(|metric| line(&period, payer, metric)).collect();
    export(format, &name, COLUMNS, Ready::of(rows)).await
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

macro_rules! files {
    ($($name:ident = $path:literal $title:literal from $handler:ident($query:ident) as $format:ident of $kind:literal),+ $(,)?) => {$(
        #[doc = $title]
        #[utoipa::path(get, path = $path, tag = "metrics", params($query),
            responses((status = 200, description = "One line per metric", content_type = $kind, body = String), ReadErrors))]
        async fn $name(ask: Ask, query: Asked<$query>) -> Result<Response, Problem> {
            let answered = metrics::$handler(ask, HeaderMap::new(), query).await?;
            filed(Format::$format, stringify!($handler), answered).await
        }
    )+};
}

files! {
    nys_csv = "/metrics/nys.csv" "The New York State metrics for a spreadsheet." from nys(MonthQuery) as Csv of "text/csv",
    nys_xlsx = "/metrics/nys.xlsx" "The New York State metrics as a workbook." from nys(MonthQuery) as Xlsx
        of "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    fidelity_csv = "/metrics/fidelity.csv" "The programme's fidelity for a spreadsheet." from fidelity(MonthQuery) as Csv
        of "text/csv",
    fidelity_xlsx = "/metrics/fidelity.xlsx" "The programme's fidelity as a workbook." from fidelity(MonthQuery) as Xlsx
        of "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    hedis_csv = "/metrics/hedis-drr.csv" "HEDIS DRR-E for a spreadsheet." from hedis(YearQuery) as Csv of "text/csv",
    hedis_xlsx = "/metrics/hedis-drr.xlsx" "HEDIS DRR-E as a workbook." from hedis(YearQuery) as Xlsx
        of "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    cms159_csv = "/metrics/cms159.csv" "CMS159 for a spreadsheet." from cms159(YearQuery) as Csv of "text/csv",
    cms159_xlsx = "/metrics/cms159.xlsx" "CMS159 as a workbook." from cms159(YearQuery) as Xlsx
        of "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
