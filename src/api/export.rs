//! Lists as files for a spreadsheet: typed cells, written as CSV or as a workbook.
//!
//! - A cell of text is never a formula. In CSV one that begins like a formula gets a `'` in front (OWASP, "CSV
//!   injection"); in a workbook text is stored as text. Numbers stay numbers.
//! - Dates are ISO in CSV, and dates in a workbook.
//! - CSV begins with a byte order mark: without it Excel reads UTF-8 as the code page of its country.
//! - CSV is streamed page by page; a workbook is made in memory, of at most [`LARGEST_WORKBOOK`] rows.
//! - No name of a file says anything about a patient.

mod workbook;

use std::borrow::Cow;
use std::future::Future;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use chrono::NaiveDate;
use futures_util::stream;

use crate::problem::Problem;

/// The most rows of a workbook; CSV has no limit.
pub const LARGEST_WORKBOOK: usize = 50_000;

/// Rows that are read at once.
pub const PAGE: i64 = 500;

/// File format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// An Office Open XML workbook.
    Xlsx,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known.
    Empty,
    Text(String),
    /// A count, a score, a number of days.
    Number(f64),
    Date(NaiveDate),
    Flag(bool),
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<NaiveDate> for Cell {
    fn from(date: NaiveDate) -> Self {
        Self::Date(date)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text.to_owned()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text) }
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl From<$type> for Cell {
            fn from(number: $type) -> Self {
                Self::Number(f64::from(number))
            }
        }
    )+};
}
numbers!(u8, i16, u16, i32, u32, f64);

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// A count of days or episodes.
pub fn whole<N: TryInto<i32>>(number: N) -> Cell {
    number.try_into().map_or(Cell::Empty, Cell::from)
}

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    /// Its width in a workbook, in characters.
    pub width: u8,
}

/// A column of a width.
pub const fn column(title: &'static str, width: u8) -> Column {
    Column { title, width }
}

/// Where the rows come from, page by page.
pub trait RowSource: Send + 'static {
    /// The next rows; none at the end.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Vec<Cell>>, Problem>> + Send;
}

/// Rows that are all there.
pub struct CompleteRows(Vec<Vec<Cell>>);

impl CompleteRows {
    pub fn of(rows: Vec<Vec<Cell>>) -> Self {
        Self(rows)
    }
}

impl RowSource for CompleteRows {
    async fn next(&mut self) -> Result<Vec<Vec<Cell>>, Problem> {
        Ok(std::mem::take(&mut self.0))
    }
}

/// Writes a list. `name` is the name of the file without its ending: nothing of a patient.
///
/// # Errors
/// What the first page says; `Unprocessable` for a workbook of too many rows. A page of CSV that cannot be read later
/// ends the connection, so that half a list is not taken for a whole one.
pub async fn export(
    format: Format,
    name: &str,
    columns: &'static [Column],
    mut rows: impl RowSource,
) -> Result<Response, Problem> {
    let first = rows.next().await?;
    let (ending, kind, body) = match format {
        Format::Csv => ("csv", "text/csv; charset=utf-8; header=present", streamed(columns, first, rows)),
        Format::Xlsx => {
            let all = gathered(first, rows).await?;
            let sheet = name.to_owned();
            let written = tokio::task::spawn_blocking(move || workbook::write(&sheet, columns, &all)).await;
            let bytes = written.map_err(|_| Problem::internal("a workbook could not be made"))??;
            let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
            ("xlsx", kind, Body::from(bytes))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}.{ending}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

async fn gathered(first: Vec<Vec<Cell>>, mut rows: impl RowSource) -> Result<Vec<Vec<Cell>>, Problem> {
    let mut all = first;
    let mut length = 0;
    while length < all.len() {
        length = all.len();
        if length > LARGEST_WORKBOOK {
            let detail = format!("more than {LARGEST_WORKBOOK} rows; narrow the list, or ask for CSV");
            return Err(Problem::unprocessable(detail));
        }
        all.extend(rows.next().await?);
    }
    Ok(all)
}

fn streamed(columns: &'static [Column], first: Vec<Vec<Cell>>, rows: impl RowSource) -> Body {
    let mut head = String::from('\u{feff}').into_bytes();
    head.extend(lines([columns.iter().map(|column| Cell::from(column.title)).collect()]));
    let is_end = first.is_empty();
    head.extend(lines(first));
    let rest = stream::try_unfold((rows, is_end), |(mut rows, is_end)| async move {
        if is_end {
            return Ok(None);
        }
        let page = rows.next().await?;
        let is_end = page.is_empty();
        Ok::<_, Problem>(Some((Bytes::from(lines(page)), (rows, is_end))))
    });
    let head = stream::once(async { Ok(Bytes::from(head)) });
    Body::from_stream(futures_util::StreamExt::chain(head, rest))
}

fn lines(rows: impl IntoIterator<Item = Vec<Cell>>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        // Into memory, and each row with as many cells as the others: nothing can fail.
        let _ = writer.write_record(row.iter().map(|cell| plain(cell).into_owned()));
    }
    writer.into_inner().unwrap_or_default()
}

fn plain(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Empty => Cow::Borrowed(""),
        Cell::Text(text) => harmless(text),
        Cell::Number(number) => Cow::Owned(number.to_string()),
        Cell::Date(date) => Cow::Owned(date.to_string()),
        Cell::Flag(true) => Cow::Borrowed("yes"),
        Cell::Flag(false) => Cow::Borrowed("no"),
    }
}

/// Characters that a spreadsheet may take for the start of a formula, including full-width forms.
const BEGINS_A_FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Text that no spreadsheet takes for a formula (OWASP).
fn harmless(text: &str) -> Cow<'_, str> {
    let is_dangerous = |text: &str| text.starts_with(BEGINS_A_FORMULA);
    if is_dangerous(text) || is_dangerous(text.trim_start()) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, harmless, lines};

    #[test]
    fn text_that_begins_like_a_formula_is_made_harmless_and_a_number_stays_one() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠x"] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["Lovelace, Ada", "a=b", "1-2", "O'Neill", ""] {
            assert_eq!(harmless(text), text);
        }
        let row = vec![Cell::from("=cmd|' /C calc'!A0"), Cell::from(-5), Cell::from("a,\"b\"\nc"), Cell::from(0.5)];
        assert_eq!(String::from_utf8(lines([row])).unwrap(), "'=cmd|' /C calc'!A0,-5,\"a,\"\"b\"\"\nc\",0.5\r\n");
    }
}
