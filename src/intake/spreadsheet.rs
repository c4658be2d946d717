//! A clinic's spreadsheet registry, a workbook or saved as CSV: one row per patient. Read with a mapping of its columns, checked row by
//! row, and handed to the hallway as facts.
//!
//! An error names the row (as a spreadsheet counts), the column and what is wrong, and never the
//! value, which is a patient's.

pub mod mapping;
mod columns;
mod date;
mod grid;
mod preview;
mod record_number;
mod row;
mod sheet;
mod title;
mod title_guess;
mod workbook;

use std::collections::HashMap;

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

pub use self::date::DecidedBy;
use self::date::Orders;
use self::grid::{Grid, Record, decoded};
pub use self::grid::{LARGEST, MOST_ROWS};
pub use self::mapping::ColumnMapping;
pub use self::preview::ColumnSample;
use self::sheet::Sheet;
use super::Intake;
use crate::id::{EpisodeId, PatientId};
use crate::problem::{Category, Problem};
use crate::record::{Command, CommandEffect, ImportCount, ImportPreview, ImportedCase, Submission, foresee};
use crate::store::rule_set;

/// Rows that share a transaction.
const TOGETHER: usize = 100;

/// An error in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RowError {
    /// The row, as a spreadsheet counts: the head is row 1.
    pub row: usize,
    /// The column's title; `null` where it is about the whole row.
    pub column: Option<String>,
    /// The error in a sentence. Never the value.
    pub detail: String,
}

/// Outcome of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// The patient's episode is new.
    Created,
    /// The episode was imported before; something is new.
    Updated,
    /// Everything was imported before.
    Unchanged,
    /// Left out: see its errors.
    Rejected,
}

/// Outcome of one row; in a dry run, the outcome it would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RowResult {
    /// The row, as a spreadsheet counts.
    pub row: usize,
    /// Outcome.
    pub outcome: RowOutcome,
    /// The patient; in a dry run, where the registry knows them already.
    pub patient: Option<PatientId>,
    /// The episode.
    pub episode: Option<EpisodeId>,
    /// Scores that are new.
    pub measurements: usize,
    /// Contacts, reviews and the like that are new.
    pub entries: usize,
    /// Why it was left out.
    pub errors: Vec<RowError>,
}

/// Result of an import; in a dry run, the result it would have.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ImportResult {
    /// Nothing was written.
    pub dry_run: bool,
    /// Rows of patients.
    pub rows: usize,
    /// Rows whose episode is new.
    pub created: usize,
    /// Rows that added something to what was imported before.
    pub updated: usize,
    /// Rows that said nothing new.
    pub unchanged: usize,
    /// Rows that were left out.
    pub rejected: usize,
    /// How the columns were read: to be corrected and sent again.
    pub mapping: ColumnMapping,
    /// Who decided in which order day and month are written.
    pub date_order_by: DecidedBy,
    /// Columns that were not read.
    pub unread_columns: Vec<String>,
    /// Each row, in order.
    pub results: Vec<RowResult>,
}

/// An import: the file and how to read it.
#[derive(Clone, Debug)]
pub struct SpreadsheetImport {
    /// Into which clinic.
    pub clinic: String,
    pub by: String,
    pub file: SpreadsheetFile,
    /// The namespace of the record numbers, as the chart sends it.
    pub identifier_system: String,
    /// How the columns are read; guessed where it is left out.
    pub mapping: Option<ColumnMapping>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// A file, as it was sent.
#[derive(Clone, Debug)]
pub enum SpreadsheetFile {
    /// Its text.
    Text(String),
    /// Its bytes: a workbook, or text in the encoding that it was saved in.
    Bytes(Vec<u8>),
}

impl SpreadsheetFile {
    /// The sheet with the patients: the one whose titles say the most.
    fn sheet(&self, mapping: Option<&ColumnMapping>) -> Result<Sheet, Problem> {
        let bytes = match self {
            Self::Text(text) => return Sheet::of(Grid::of_text(text)?, mapping),
            Self::Bytes(bytes) => bytes,
        };
        if workbook::is_old(bytes) {
            let detail = "a workbook of the old kind (.xls), or one with a password: save it as .xlsx or as CSV UTF-8";
            return Err(Problem::unprocessable(detail).at("csv_base64"));
        }
        if !workbook::is_one(bytes) {
            return Sheet::of(Grid::of_text(&decoded(bytes)?)?, mapping);
        }
        let known = |sheet: &Result<Sheet, Problem>| sheet.as_ref().map_or(0, |sheet| sheet.known() + 1);
        let mut best: Option<Result<Sheet, Problem>> = None;
        for grid in workbook::sheets(bytes)? {
            let sheet = Sheet::of(grid, mapping);
            if best.as_ref().is_none_or(|best| known(&sheet) > known(best)) {
                best = Some(sheet);
            }
        }
        best.unwrap_or_else(|| Err(Problem::unprocessable("the workbook has no sheet that is shown").at("csv_base64")))
    }
}

/// A row that was read, or why not.
struct SpreadsheetRow {
    row: usize,
    case: Result<ImportedCase, Vec<RowError>>,
}

impl Intake {
    /// Imports a spreadsheet, or says what that would do. Rows with errors are left out, the others go in; each of them
    /// all or nothing. The same file again changes nothing.
    ///
    /// # Errors
    /// What is wrong with the file or the mapping as a whole; `Unavailable` where the database cannot answer: what was
    /// committed before stays, and the same file again goes on from there.
    pub async fn import(&self, import: SpreadsheetImport) -> Result<ImportResult, Problem> {
        let (file, named) = (import.file.clone(), import.mapping.clone());
        // Unpacking and reading a workbook may take a while, and others wait for this thread.
        let read_file = tokio::task::spawn_blocking(move || file.sheet(named.as_ref()));
        let sheet = read_file.await.map_err(|_| Problem::internal("the file could not be read"))??;
        let mut mapping = import.mapping.clone().unwrap_or_else(|| title_guess::guess_mapping(&sheet));
        let columns = columns::Columns::of(&mapping, &sheet)?;
        let orders = Orders::of(&sheet, &columns.dates(), mapping.dates);
        mapping.dates = orders.of_file();
        let zone = self.zones.of(&import.clinic);
        let today = self.clock.now().with_timezone(&zone).date_naive();
        let context = row::RowContext {
            columns: &columns,
            mapping: &mapping,
            orders: &orders,
            sheet: &sheet,
            today,
            system: &import.identifier_system,
        };
        let mut reads: Vec<SpreadsheetRow> = sheet.records.iter().map(|record| read(&context, record)).collect();
        within_the_file(&mut reads, &columns, &sheet);
        let mut results = Vec::with_capacity(reads.len());
        let mut cases = Vec::new();
        for SpreadsheetRow { row, case } in reads {
            match case {
                Ok(case) => cases.push((row, case)),
                Err(errors) => results.push(rejected(row, errors)),
            }
        }
        // A patient's earlier course first.
        cases.sort_by_key(|(row, case)| (case.episode.enrolled_on, *row));
        for some in cases.chunks(TOGETHER) {
            results.extend(self.some(&import, some, (zone, today), &columns, &sheet).await?);
        }
        results.sort_by_key(|result| result.row);
        let count = |outcome| results.iter().filter(|result| result.outcome == outcome).count();
        Ok(ImportResult {
            dry_run: import.dry_run,
            rows: results.len(),
            created: count(RowOutcome::Created),
            updated: count(RowOutcome::Updated),
            unchanged: count(RowOutcome::Unchanged),
            rejected: count(RowOutcome::Rejected),
            unread_columns: columns.unread(&sheet),
            mapping,
            date_order_by: orders.decided_by,
            results,
        })
    }

    /// Some rows: adds what they add, or in a dry run says what that would be.
    async fn some(
        &self,
        import: &SpreadsheetImport,
        cases: &[(usize, ImportedCase)],
        when: (chrono_tz::Tz, NaiveDate),
        columns: &columns::Columns,
        sheet: &Sheet,
    ) -> Result<Vec<RowResult>, Problem> {
        let taken = if import.dry_run {
            self.foreseen(import, cases, when).await?
        } else {
            self.taken_over(import, cases).await?
        };
        let result = |(row, taken): (usize, Result<ImportedRow, Problem>)| match taken {
            Ok(taken) => Ok(taken.result(row)),
            Err(problem) => match problem.category {
                Category::Unavailable | Category::Internal => Err(problem),
                _ => Ok(rejected(row, vec![refusal(row, problem, columns, sheet)])),
            },
        };
        cases.iter().map(|(row, _)| *row).zip(taken).map(result).collect()
    }

    /// What these rows would add. Conflicts with an earlier row of the same file show only once that row is imported.
    async fn foreseen(
        &self,
        import: &SpreadsheetImport,
        cases: &[(usize, ImportedCase)],
        when: (chrono_tz::Tz, NaiveDate),
    ) -> Result<Vec<Result<ImportedRow, Problem>>, Problem> {
        let mut tx = self.db.read().await?;
        let rules = rule_set::active(&mut tx, &import.clinic).await?;
        let mut all = Vec::with_capacity(cases.len());
        for (_, case) in cases {
            let foreseen = foresee(&mut tx, &import.clinic, when, &rules, case).await;
            all.push(foreseen.map(|ImportPreview { patient, additions }| ImportedRow {
                effect: additions.effect(),
                patient,
                episode: Some(additions.id),
                added: additions.added(),
            }));
        }
        Ok(all)
    }

    /// Hands some rows over, in one transaction.
    async fn taken_over(
        &self,
        import: &SpreadsheetImport,
        cases: &[(usize, ImportedCase)],
    ) -> Result<Vec<Result<ImportedRow, Problem>>, Problem> {
        let commands = cases.iter().map(|(_, case)| Command::ImportCase(Box::new(case.clone()))).collect();
        let submission = Submission { clinic: import.clinic.clone(), by: import.by.clone(), commands, atomic: false };
        let answers = self.recorder.record(submission).await?.into_iter();
        Ok(answers
            .map(|answer| {
                answer.map(|recorded| ImportedRow {
                    effect: recorded.effect,
                    patient: recorded.patient,
                    episode: recorded.id.parse().ok(),
                    added: recorded.added.unwrap_or_default(),
                })
            })
            .collect())
    }
}

/// Outcome of a row that was not rejected, or the outcome it would have.
struct ImportedRow {
    effect: CommandEffect,
    patient: Option<PatientId>,
    episode: Option<EpisodeId>,
    added: ImportCount,
}

impl ImportedRow {
    fn result(self, row: usize) -> RowResult {
        let outcome = match self.effect {
            CommandEffect::Created => RowOutcome::Created,
            CommandEffect::Unchanged => RowOutcome::Unchanged,
            CommandEffect::Updated | CommandEffect::Deleted => RowOutcome::Updated,
        };
        let ImportCount { measurements, entries } = self.added;
        let (patient, episode) = (self.patient, self.episode);
        RowResult { row, outcome, patient, episode, measurements, entries, errors: Vec::new() }
    }
}

fn read(context: &row::RowContext<'_>, record: &Record) -> SpreadsheetRow {
    SpreadsheetRow { row: record.row, case: row::read(context, record) }
}

fn rejected(row: usize, errors: Vec<RowError>) -> RowResult {
    let (patient, episode) = (None, None);
    RowResult { row, outcome: RowOutcome::Rejected, patient, episode, measurements: 0, entries: 0, errors }
}

fn refusal(row: usize, problem: Problem, columns: &columns::Columns, sheet: &Sheet) -> RowError {
    let column = problem.expression.as_deref().and_then(|field| columns.title_of(field, sheet));
    RowError { row, column, detail: problem.detail }
}

/// Checks rows of one file about the same patient: no episode twice, and none before the previous one ended.
fn within_the_file(reads: &mut [SpreadsheetRow], columns: &columns::Columns, sheet: &Sheet) {
    let mut order: Vec<usize> = (0..reads.len()).filter(|i| reads[*i].case.is_ok()).collect();
    let start = |read: &SpreadsheetRow| read.case.as_ref().ok().and_then(|case| case.episode.enrolled_on);
    order.sort_by_key(|i| (start(&reads[*i]), reads[*i].row));
    let mut last: HashMap<String, usize> = HashMap::new();
    for i in order {
        let Ok(case) = &reads[i].case else { continue };
        let key = case.key.clone();
        if let Some(before) = last.get(&key) {
            let row = reads[*before].row;
            let end = reads[*before].case.as_ref().ok().and_then(|case| case.discharge).map(|(on, _)| on);
            if end.is_none() || end > case.episode.enrolled_on {
                let detail = format!("row {row} is about the same patient, and has no end before this one begins");
                let column = columns.title_of("identifier", sheet);
                reads[i].case = Err(vec![RowError { row: reads[i].row, column, detail }]);
                continue;
            }
        }
        last.insert(key, i);
    }
}
