//! `GET caseload.csv` and `GET caseload.xlsx`

use std::collections::{BTreeSet, HashMap};

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caseload::Sort;
use super::responses::{ReadErrors, Workbook};
use crate::api::App;
use crate::api::export::{Cell, Column, CompleteRows, Format, PAGE, RowSource, column, export, whole};
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery, words};
use crate::domain::attention::{QueuePlace, reasons};
use crate::domain::episode::Phase;
use crate::domain::finding::Rule;
use crate::domain::instrument::Instrument;
use crate::domain::standing::Standing;
use crate::domain::target::MeasureSummary;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::store::standing::{self, AttentionKey, StandingFilter, StandingRow};
use crate::store::{Db, ReadTx, patient};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(caseload_csv)).routes(routes!(caseload_xlsx))
}

/// Filter and order, as for the list itself, without pages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CaseloadExportQuery {
    /// Only episodes of this care manager.
    #[param(value_type = Option<String>)]
    care_manager: Option<RequiredText>,
    /// Only episodes of this consultant.
    #[param(value_type = Option<String>)]
    psychiatric_consultant: Option<RequiredText>,
    /// In this phase; everything that is not discharged without it.
    status: Option<Phase>,
    /// With this finding.
    finding: Option<Rule>,
    /// Only patients whose name has each of these words anywhere, without accents and in any order, or whose record
    /// number or chart id contains the text.
    #[param(value_type = Option<String>)]
    q: Option<RequiredText>,
    /// Sort order.
    #[serde(default)]
    sort: Sort,
}

const COLUMNS: &[Column] = &[
    column("Patient", 26),
    column("Identifiers", 22),
    column("Birth date", 12),
    column("Chart reference", 18),
    column("Care manager", 18),
    column("Status", 16),
    column("Enrolled on", 12),
    column("Day", 6),
    column("Week", 6),
    column("Plan began on", 12),
    column("Plan day", 8),
    column("PHQ-9 baseline", 9),
    column("PHQ-9 baseline on", 12),
    column("PHQ-9 latest", 9),
    column("PHQ-9 latest on", 12),
    column("PHQ-9 change", 9),
    column("PHQ-9 status", 18),
    column("GAD-7 baseline", 9),
    column("GAD-7 baseline on", 12),
    column("GAD-7 latest", 9),
    column("GAD-7 latest on", 12),
    column("GAD-7 change", 9),
    column("GAD-7 status", 18),
    column("Other measures", 22),
    column("At target", 9),
    column("Open safety", 9),
    column("Flagged for discussion", 9),
    column("Place in the queue", 22),
    column("Waiting since", 12),
    column("Reasons", 60),
    column("Findings", 30),
    column("Tasks and Flags", 40),
    column("Next due on", 12),
    column("Last contact on", 12),
    column("Next contact on", 12),
    column("Last review on", 12),
    column("Looks different on", 12),
    column("Rules", 12),
    column("As of", 12),
    column("Episode id", 38),
    column("Patient id", 38),
];

/// The caseload for a spreadsheet, every row of it.
///
/// UTF-8 with a byte order mark, dates as ISO. Text that a spreadsheet might take for a formula begins with `'`.
#[utoipa::path(get, path = "/caseload.csv", tag = "caseload", params(CaseloadExportQuery),
    responses((status = 200, description = "One line per episode", content_type = "text/csv", body = String), ReadErrors))]
async fn caseload_csv(
    call: RequestContext,
    StrictQuery(query): StrictQuery<CaseloadExportQuery>,
) -> Result<Response, Problem> {
    answer(&call, query, Format::Csv).await
}

/// The caseload as a workbook: at most 50,000 rows.
#[utoipa::path(get, path = "/caseload.xlsx", tag = "caseload", params(CaseloadExportQuery),
    responses((status = 200, description = "One sheet, one row per episode",
        content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook), ReadErrors))]
async fn caseload_xlsx(
    call: RequestContext,
    StrictQuery(query): StrictQuery<CaseloadExportQuery>,
) -> Result<Response, Problem> {
    answer(&call, query, Format::Xlsx).await
}

async fn answer(call: &RequestContext, query: CaseloadExportQuery, format: Format) -> Result<Response, Problem> {
    call.caller.require(READERS)?;
    let filter = StandingFilter {
        care_manager: words(query.care_manager),
        psychiatric_consultant: words(query.psychiatric_consultant),
        status: query.status.map(|status| status.to_string()),
        finding: query.finding.map(|finding| finding.to_string()),
        name: words(query.q),
    };
    let today = call.today();
    let rows = Caseload {
        db: call.app.db.clone(),
        clinic: call.clinic().to_owned(),
        filter,
        after: match query.sort {
            Sort::Attention => ExportPosition::Attention(None),
            Sort::Name => ExportPosition::Name(None),
        },
        today,
    };
    export(format, &format!("caseload-{today}"), COLUMNS, rows).await
}

/// Where the next page begins.
enum ExportPosition {
    Attention(Option<AttentionKey>),
    Name(Option<(String, EpisodeId)>),
}

struct Caseload {
    db: Db,
    clinic: String,
    filter: StandingFilter,
    after: ExportPosition,
    today: NaiveDate,
}

impl RowSource for Caseload {
    async fn next(&mut self) -> Result<Vec<Vec<Cell>>, Problem> {
        let mut tx = self.db.read().await?;
        let rows = match &mut self.after {
            ExportPosition::Attention(after) => {
                let rows = standing::by_attention(&mut tx, &self.clinic, &self.filter, None, *after, PAGE).await?;
                *after = rows.last().map(StandingRow::attention_key).or(*after);
                rows
            }
            ExportPosition::Name(after) => {
                let rows = standing::by_name(&mut tx, &self.clinic, &self.filter, after.clone(), PAGE).await?;
                *after = rows.last().map(|row| (row.display_name.clone(), row.episode_id)).or(after.take());
                rows
            }
        };
        lines(&mut tx, &self.clinic, rows, self.today).await
    }
}

/// Exactly these episodes, in their order: the rows of a page whose filter the API does not know.
pub async fn export_episodes(
    app: &App,
    clinic: &str,
    episodes: &[EpisodeId],
    format: Format,
) -> Result<Response, Problem> {
    let today = app.clock.today(app.zones.of(clinic));
    let mut tx = app.db.read().await?;
    let rows = standing::of_episodes(&mut tx, clinic, episodes).await?;
    let lines = lines(&mut tx, clinic, rows, today).await?;
    drop(tx);
    export(format, &format!("caseload-{today}"), COLUMNS, CompleteRows::of(lines)).await
}

async fn lines(
    tx: &mut ReadTx,
    clinic: &str,
    rows: Vec<StandingRow>,
    today: NaiveDate,
) -> Result<Vec<Vec<Cell>>, Problem> {
    let ids: BTreeSet<PatientId> = rows.iter().map(|row| row.patient_id).collect();
    let ids: Vec<PatientId> = ids.into_iter().collect();
    let mut persons: HashMap<PatientId, Person> = HashMap::with_capacity(ids.len());
    for patient in patient::find_each(tx, clinic, &ids).await? {
        persons.entry(patient.id).or_default().birth_date = patient.birth_date;
    }
    for (id, key) in patient::keys_of_each(tx, clinic, &ids).await? {
        persons.entry(id).or_default().identifiers.extend(key.contains('|').then_some(key));
    }
    let nobody = Person::default();
    rows.into_iter().map(|row| line(persons.get(&row.patient_id).unwrap_or(&nobody), row, today)).collect()
}

/// What a line says about the patient, beside the standing.
#[derive(Default)]
struct Person {
    birth_date: Option<String>,
    identifiers: Vec<String>,
}

fn line(person: &Person, row: StandingRow, today: NaiveDate) -> Result<Vec<Cell>, Problem> {
    let standing: Standing = serde_json::from_str(row.body.0.get())
        .map_err(|_| Problem::internal("a stored standing cannot be read; replan the clinic"))?;
    let until = standing.discharged_on.unwrap_or(today);
    let days = |from: Option<NaiveDate>| from.map(|from| (until - from).num_days());
    let day = days(row.enrolled_on);
    let mut cells = vec![
        Cell::from(row.display_name),
        person.identifiers.join("; ").into(),
        person.birth_date.clone().into(),
        row.reference.into(),
        row.care_manager.into(),
        row.status.into(),
        row.enrolled_on.into(),
        day.map_or(Cell::Empty, whole),
        day.map_or(Cell::Empty, |day| whole(day.div_euclid(7))),
        standing.plan_started_on.into(),
        days(standing.plan_started_on).map_or(Cell::Empty, whole),
    ];
    for instrument in [Instrument::PHQ9, Instrument::GAD7] {
        cells.extend(measure(standing.measures.iter().find(|measure| measure.instrument == instrument)));
    }
    let others = standing.measures.iter().filter(|m| !matches!(m.instrument, Instrument::PHQ9 | Instrument::GAD7));
    let findings: Vec<&str> = standing.findings.iter().map(|finding| finding.rule.as_str()).collect();
    let reasons: Vec<String> = reasons(&standing).into_iter().map(|reason| reason.reason).collect();
    let desired = standing.desired.iter();
    cells.extend([
        others.map(in_words).collect::<Vec<_>>().join("; ").into(),
        row.at_target.into(),
        row.open_safety.into(),
        standing.discussion_flag.into(),
        QueuePlace::of_rank(row.attention).map(QueuePlace::as_str).into(),
        row.waiting_since.into(),
        reasons.join(" ").into(),
        findings.join(", ").into(),
        desired.clone().map(|one| one.code.as_str()).collect::<Vec<_>>().join(", ").into(),
        desired.filter_map(|one| one.due_on).min().into(),
        standing.last_contact_on.into(),
        standing.next_contact.as_ref().map(|next| next.on).into(),
        standing.reviewed_on.into(),
        row.reevaluate_on.into(),
        row.rule_set.into(),
        row.as_of.into(),
        row.episode_id.to_string().into(),
        row.patient_id.to_string().into(),
    ]);
    Ok(cells)
}

fn measure(measure: Option<&MeasureSummary>) -> [Cell; 6] {
    let Some(measure) = measure else { return std::array::from_fn(|_| Cell::Empty) };
    [
        measure.baseline.as_ref().map(|baseline| baseline.score).into(),
        measure.baseline.as_ref().map(|baseline| baseline.taken_on).into(),
        measure.latest.as_ref().map(|latest| latest.score).into(),
        measure.latest.as_ref().map(|latest| latest.taken_on).into(),
        measure.change.into(),
        measure.status.as_str().into(),
    ]
}

fn in_words(measure: &MeasureSummary) -> String {
    let score = |score: Option<u16>| score.map_or_else(|| "none".to_owned(), |score| score.to_string());
    let baseline = score(measure.baseline.as_ref().map(|baseline| baseline.score));
    let latest = score(measure.latest.as_ref().map(|latest| latest.score));
    format!("{}: {baseline} to {latest}, {}", measure.instrument, measure.status)
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, measure};

    #[test]
    fn a_measure_fills_its_columns() {
        let of = |name: &str| COLUMNS.iter().filter(|column| column.title.starts_with(name)).count();
        assert_eq!((of("PHQ-9"), of("GAD-7")), (measure(None).len(), measure(None).len()));
    }
}
