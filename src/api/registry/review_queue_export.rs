//! `GET review-queue.csv` and `GET review-queue.xlsx`

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{ReadErrors, Workbook};
use super::review_queue::{QueueRow, computed, stored};
use crate::api::App;
use crate::api::export::{Cell, Column, CompleteRows, Format, PAGE, RowSource, column, export};
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery, query_date, words};
use crate::problem::Problem;
use crate::store::standing::{AttentionKey, StandingFilter};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(queue_csv)).routes(routes!(queue_xlsx))
}

/// For which date.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct QueueExportQuery {
    /// A local date; the clinic's today where it is left out.
    on: Option<NaiveDate>,
    /// Only of this care manager.
    #[param(value_type = Option<String>)]
    care_manager: Option<RequiredText>,
    /// Only of this consultant.
    #[param(value_type = Option<String>)]
    psychiatric_consultant: Option<RequiredText>,
}

const COLUMNS: &[Column] = &[
    column("Rank", 6),
    column("Place", 30),
    column("Waiting since", 12),
    column("Patient", 26),
    column("Chart reference", 18),
    column("Care manager", 18),
    column("Psychiatric consultant", 18),
    column("Latest score", 9),
    column("Reasons", 80),
    column("As of", 12),
    column("Episode id", 38),
    column("Patient id", 38),
];

/// The weekly review's queue for a spreadsheet, most pressing first, every row of it.
#[utoipa::path(get, path = "/review-queue.csv", tag = "caseload", params(QueueExportQuery),
    responses((status = 200, description = "One line per episode", content_type = "text/csv", body = String), ReadErrors))]
async fn queue_csv(
    call: RequestContext,
    StrictQuery(query): StrictQuery<QueueExportQuery>,
) -> Result<Response, Problem> {
    answer(call, query, Format::Csv).await
}

/// The weekly review's queue as a workbook.
#[utoipa::path(get, path = "/review-queue.xlsx", tag = "caseload", params(QueueExportQuery),
    responses((status = 200, description = "One sheet, one row per episode",
        content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook), ReadErrors))]
async fn queue_xlsx(
    call: RequestContext,
    StrictQuery(query): StrictQuery<QueueExportQuery>,
) -> Result<Response, Problem> {
    answer(call, query, Format::Xlsx).await
}

async fn answer(call: RequestContext, query: QueueExportQuery, format: Format) -> Result<Response, Problem> {
    call.caller.require(READERS)?;
    let on = query_date(query.on, "on")?.unwrap_or(call.today());
    let name = format!("review-queue-{on}");
    let filter = StandingFilter {
        care_manager: words(query.care_manager),
        psychiatric_consultant: words(query.psychiatric_consultant),
        ..StandingFilter::default()
    };
    if on == call.today() {
        return export(format, &name, COLUMNS, Queue { call, filter, after: None }).await;
    }
    let rows = computed(&call, &filter, on).await?.into_iter().map(line).collect();
    export(format, &name, COLUMNS, CompleteRows::of(rows)).await
}

/// Today's queue, from the rows that stand ready.
struct Queue {
    call: RequestContext,
    filter: StandingFilter,
    after: Option<AttentionKey>,
}

impl RowSource for Queue {
    async fn next(&mut self) -> Result<Vec<Vec<Cell>>, Problem> {
        let rows = stored(&self.call, &self.filter, self.after, PAGE).await?;
        self.after = rows.last().map(|row| row.key).or(self.after);
        Ok(rows.into_iter().map(line).collect())
    }
}

fn line(row: QueueRow) -> Vec<Cell> {
    let reasons: Vec<String> = row.waiting.reasons.into_iter().map(|reason| reason.reason).collect();
    vec![
        row.waiting.rank.into(),
        row.waiting.place.as_str().into(),
        row.waiting.waiting_since.into(),
        row.patient.display_name.into(),
        row.patient.reference.into(),
        row.care_manager.into(),
        row.psychiatric_consultant.into(),
        row.waiting.latest_score.into(),
        reasons.join(" ").into(),
        row.as_of.into(),
        row.episode.to_string().into(),
        row.patient.id.to_string().into(),
    ]
}
