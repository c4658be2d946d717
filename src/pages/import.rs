//! Import of a spreadsheet registry: upload, a check with the mapping beside the sheet, errors by row, then the import.

mod column_role;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::caseload::choice::SelectOption;
use super::response::{ProblemPage, html};
use super::session::{FormPost, Visitor};
use super::shell::{NavSection, Shell};
use super::upload::UploadPost;
use crate::id::PatientId;
use crate::identity::{Role, acting_as};
use crate::intake::spreadsheet::mapping::DateOrder;
use crate::intake::spreadsheet::{
    ColumnMapping, DecidedBy, ImportResult, LARGEST, RowOutcome, SpreadsheetFile, SpreadsheetImport,
};
use crate::problem::{Category, Problem};
use crate::store::patient;
use column_role::{ColumnRole, mapping_of, roles_in};

/// Roles that may import, as in the API.
const IMPORTERS: &[Role] = &[Role::CareManager, Role::Admin];
/// Identifiers whose namespaces are offered.
const KNOWN: i64 = 200;

/// A column of the file, and what it is read as.
struct ColumnChoice {
    title: String,
    values: Vec<String>,
    options: Vec<SelectOption>,
}

/// A row that was left out, and why.
struct RejectedRow {
    row: usize,
    errors: Vec<String>,
}

/// Outcome of a check or of an import.
struct ImportOutcome {
    counts: Vec<(&'static str, usize)>,
    to_import: usize,
    rejected: Vec<RejectedRow>,
    patients: Vec<(usize, PatientId)>,
    dates: Vec<SelectOption>,
    dates_by: &'static str,
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    shell: Shell,
    system: String,
    /// Namespaces that the chart sends.
    systems: Vec<String>,
    problem: Option<String>,
    /// The file, to be sent again with the next step.
    kept: String,
    columns: Vec<ColumnChoice>,
    outcome: Option<ImportOutcome>,
    /// The rows are in the registry.
    imported: bool,
    largest: usize,
}

pub async fn show(visitor: Visitor) -> Result<Response, ProblemPage> {
    visitor.caller.require(IMPORTERS)?;
    let systems = systems(&visitor).await?;
    let system = systems.first().cloned().unwrap_or_default();
    Ok(html(&ImportPage::blank(&visitor, system, systems).await?))
}

impl ImportPage {
    async fn blank(visitor: &Visitor, system: String, systems: Vec<String>) -> Result<Self, Problem> {
        Ok(Self {
            shell: Shell::around(visitor, "Import", NavSection::Operations).await?,
            system,
            systems,
            problem: None,
            kept: String::new(),
            columns: Vec::new(),
            outcome: None,
            imported: false,
            largest: LARGEST >> 20,
        })
    }

    /// Checks a file, or imports it, and shows what came of it.
    async fn read(&mut self, visitor: &Visitor, bytes: Vec<u8>, form: &FormPost, imports: bool) -> Result<(), Problem> {
        let file = SpreadsheetFile::Bytes(bytes);
        let mapping = mapping_of(form)?;
        let import = SpreadsheetImport {
            clinic: visitor.clinic().to_owned(),
            by: visitor.caller.subject.clone(),
            file: file.clone(),
            identifier_system: self.system.clone(),
            mapping: mapping.clone(),
            dry_run: !imports,
        };
        let result = acting_as(visitor.caller.role, visitor.pages.app.intake.import(import)).await?;
        self.columns = columns(&file, mapping.as_ref(), &result.mapping)?;
        self.outcome = Some(outcome(result));
        self.imported = imports;
        Ok(())
    }
}

/// Namespaces of some record numbers, the most common one first. Nobody is shown.
async fn systems(visitor: &Visitor) -> Result<Vec<String>, Problem> {
    let mut tx = visitor.pages.app.db.read().await?;
    let keys = patient::some_identifiers(&mut tx, visitor.clinic(), KNOWN).await?;
    let mut counts: Vec<(usize, String)> = Vec::new();
    for key in keys {
        let Some((system, _)) = key.rsplit_once('|') else { continue };
        match counts.iter_mut().find(|(_, known)| known == system) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, system.to_owned())),
        }
    }
    counts.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(counts.into_iter().map(|(_, system)| system).filter(|system| !system.is_empty()).collect())
}

/// Checks the file that was sent or, asked to, imports it.
pub async fn take(upload: UploadPost) -> Result<Response, ProblemPage> {
    let UploadPost { form, file } = upload;
    let visitor = &form.visitor;
    visitor.caller.require(IMPORTERS)?;
    let text = |name: &str| form.get(name).map(str::trim).unwrap_or_default();
    let mut page = ImportPage::blank(visitor, text("identifier_system").to_owned(), systems(visitor).await?).await?;
    let kept = URL_SAFE_NO_PAD.decode(text("kept")).unwrap_or_default();
    let bytes = file.map_or(kept, |file| file.to_vec());
    page.kept = URL_SAFE_NO_PAD.encode(&bytes);
    let done = if bytes.is_empty() {
        Err(Problem::unprocessable("choose a file: .xlsx, or .csv"))
    } else if bytes.len() > LARGEST {
        Err(Problem::unprocessable(format!("the file may have {} MiB", LARGEST >> 20)))
    } else if page.system.is_empty() {
        Err(Problem::unprocessable("say in which namespace the chart sends the record numbers"))
    } else {
        page.read(visitor, bytes, &form, text("action") == "import").await
    };
    let status = match done {
        Ok(()) => StatusCode::OK,
        Err(problem) if matches!(problem.category, Category::Internal | Category::Unavailable) => {
            return Err(problem.into());
        }
        Err(problem) => {
            page.problem = Some(problem.detail);
            StatusCode::UNPROCESSABLE_ENTITY
        }
    };
    Ok((status, html(&page)).into_response())
}

fn columns(
    file: &SpreadsheetFile,
    asked: Option<&ColumnMapping>,
    read: &ColumnMapping,
) -> Result<Vec<ColumnChoice>, Problem> {
    let roles = roles_in(read);
    let choice = |column: crate::intake::spreadsheet::ColumnSample| {
        let chosen = roles.iter().find(|(title, _)| title.eq_ignore_ascii_case(&column.title)).map(|(_, role)| *role);
        ColumnChoice { options: ColumnRole::options(&roles, chosen), title: column.title, values: column.values }
    };
    Ok(file.columns(asked)?.into_iter().map(choice).collect())
}

fn outcome(result: ImportResult) -> ImportOutcome {
    let asked = |order: Option<DateOrder>| result.mapping.dates == order;
    let dates = [
        ("", "as the file shows", None),
        ("month_first", "month first: 1/5 is January 5", Some(DateOrder::MonthFirst)),
        ("day_first", "day first: 1/5 is May 1", Some(DateOrder::DayFirst)),
    ];
    ImportOutcome {
        counts: vec![
            ("rows", result.rows),
            ("new", result.created),
            ("added to", result.updated),
            ("nothing new", result.unchanged),
            ("left out", result.rejected),
        ],
        to_import: result.created + result.updated,
        dates: dates
            .into_iter()
            .map(|(value, words, order)| SelectOption {
                value: value.to_owned(),
                words: words.to_owned(),
                chosen: asked(order),
            })
            .collect(),
        dates_by: match result.date_order_by {
            DecidedBy::Rows => "the file’s own dates show the order",
            DecidedBy::Mapping => "as chosen here",
            DecidedBy::Default => "no date shows the order: the month comes first",
        },
        patients: result
            .results
            .iter()
            .filter(|row| matches!(row.outcome, RowOutcome::Created | RowOutcome::Updated))
            .filter_map(|row| Some((row.row, row.patient?)))
            .collect(),
        rejected: result
            .results
            .into_iter()
            .filter(|row| row.outcome == RowOutcome::Rejected)
            .map(|row| RejectedRow {
                row: row.row,
                errors: row
                    .errors
                    .into_iter()
                    .map(|error| match error.column {
                        Some(column) => format!("{column}: {}", error.detail),
                        None => error.detail,
                    })
                    .collect(),
            })
            .collect(),
    }
}
