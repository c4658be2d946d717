//! `GET time.csv` and `GET time.xlsx`

use std::collections::HashMap;

use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{ReadErrors, Workbook};
use super::time::{PatientMinutes, TimeQuery, asked};
use crate::api::App;
use crate::api::export::{Cell, Column, CompleteRows, Format, column, export, whole};
use crate::api::request::{RequestContext, StrictQuery};
use crate::domain::metrics::Month;
use crate::domain::minutes::BillingSuggestion;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(time_csv)).routes(routes!(time_xlsx))
}

const COLUMNS: &[Column] = &[
    column("Month", 9),
    column("Patient", 26),
    column("Identifiers", 22),
    column("Birth date", 12),
    column("Chart reference", 18),
    column("Care manager", 18),
    column("Minutes", 8),
    column("First month", 9),
    column("Suggested code", 10),
    column("Units", 6),
    column("Instead of", 10),
    column("Missing", 24),
    column("Minutes that do not count", 10),
    column("How it was counted", 80),
    column("Episode id", 38),
    column("Patient id", 38),
];

/// The minutes of a month for billing: one line per suggested code, and one for an episode that reaches none.
#[utoipa::path(get, path = "/time.csv", tag = "metrics", params(TimeQuery),
    responses((status = 200, description = "One line per suggested code", content_type = "text/csv", body = String), ReadErrors))]
async fn time_csv(call: RequestContext, StrictQuery(query): StrictQuery<TimeQuery>) -> Result<Response, Problem> {
    answer(&call, query, Format::Csv).await
}

/// The minutes of a month as a workbook.
#[utoipa::path(get, path = "/time.xlsx", tag = "metrics", params(TimeQuery),
    responses((status = 200, description = "One sheet, one row per suggested code",
        content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook), ReadErrors))]
async fn time_xlsx(call: RequestContext, StrictQuery(query): StrictQuery<TimeQuery>) -> Result<Response, Problem> {
    answer(&call, query, Format::Xlsx).await
}

async fn answer(call: &RequestContext, query: TimeQuery, format: Format) -> Result<Response, Problem> {
    let (month, items) = asked(call, query).await?;
    let mut ids: Vec<PatientId> = items.iter().map(|item| item.patient.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut tx = call.app.db.read().await?;
    let mut identifiers: HashMap<PatientId, Vec<String>> = HashMap::new();
    for (id, key) in patient::keys_of_each(&mut tx, call.clinic(), &ids).await? {
        identifiers.entry(id).or_default().extend(key.contains('|').then_some(key));
    }
    drop(tx);
    let known = |item: &PatientMinutes| identifiers.get(&item.patient.id).map(|all| all.join("; "));
    let rows = items.iter().flat_map(|item| lines(month, item, &known(item).unwrap_or_default())).collect();
    export(format, &format!("minutes-{month}"), COLUMNS, CompleteRows::of(rows)).await
}

/// One line per suggested code.
fn lines(month: Month, item: &PatientMinutes, identifiers: &str) -> Vec<Vec<Cell>> {
    let codes = &item.minutes.suggested_codes;
    if codes.is_empty() {
        return vec![line(month, item, identifiers, None)];
    }
    codes.iter().map(|code| line(month, item, identifiers, Some(code))).collect()
}

fn line(month: Month, item: &PatientMinutes, identifiers: &str, code: Option<&BillingSuggestion>) -> Vec<Cell> {
    let missing: Vec<&str> = item.missing.iter().map(|missing| missing.as_str()).collect();
    let left_out: i64 = item.minutes.left_out.iter().map(|left_out| left_out.minutes).sum();
    vec![
        month.to_string().into(),
        item.patient.display_name.as_str().into(),
        identifiers.into(),
        item.birth_date.clone().into(),
        item.patient.reference.as_str().into(),
        item.care_manager.clone().into(),
        whole(item.minutes.minutes),
        item.minutes.first_month.into(),
        code.map(|code| code.code.clone()).into(),
        code.map_or(Cell::Empty, |code| whole(code.units)),
        code.and_then(|code| code.instead_of.clone()).into(),
        missing.join(", ").into(),
        whole(left_out),
        item.minutes.reasoning.as_str().into(),
        item.minutes.episode.to_string().into(),
        item.patient.id.to_string().into(),
    ]
}
