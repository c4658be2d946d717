//! Rows as a workbook: one sheet, its head frozen, filters on, columns as wide as what stands in them.

use chrono::NaiveDate;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};

use super::{Cell, Column};
use crate::problem::Problem;

/// The longest text of a cell, in characters; what is longer ends with `…`.
const LONGEST: usize = 32_000;

/// Writes rows into a workbook.
///
/// # Errors
/// `Internal` where the library refuses.
pub fn write(sheet: &str, columns: &[Column], rows: &[Vec<Cell>]) -> Result<Vec<u8>, Problem> {
    attempt(sheet, columns, rows).map_err(|_| Problem::internal("a workbook could not be written"))
}

fn attempt(sheet: &str, columns: &[Column], rows: &[Vec<Cell>]) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let page = book.add_worksheet();
    // A sheet's name has at most 31 characters.
    page.set_name(sheet.chars().take(31).collect::<String>())?;
    let (head, date) = (Format::new().set_bold(), Format::new().set_num_format("yyyy-mm-dd"));
    let at = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    for (number, column) in columns.iter().enumerate() {
        page.set_column_width(at(number), column.width)?;
        page.write_string_with_format(0, at(number), column.title, &head)?;
    }
    page.set_freeze_panes(1, 0)?;
    for (number, row) in rows.iter().enumerate() {
        let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
        for (number, cell) in row.iter().enumerate() {
            put(page, (line, at(number)), cell, &date)?;
        }
    }
    let last = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    page.autofilter(0, 0, last, at(columns.len().saturating_sub(1)))?;
    book.save_to_buffer()
}

fn put(page: &mut Worksheet, (row, column): (u32, u16), cell: &Cell, date: &Format) -> Result<(), XlsxError> {
    match cell {
        Cell::Empty => {}
        Cell::Text(text) if text.chars().count() > LONGEST => {
            let begin: String = text.chars().take(LONGEST).collect();
            page.write_string(row, column, format!("{begin}…"))?;
        }
        // Text is never a formula here, whatever it begins with.
        Cell::Text(text) => {
            page.write_string(row, column, text)?;
        }
        Cell::Number(number) => {
            page.write_number(row, column, *number)?;
        }
        Cell::Flag(flag) => {
            page.write_string(row, column, if *flag { "yes" } else { "no" })?;
        }
        Cell::Date(on) => {
            page.write_number_with_format(row, column, serial(*on), date)?;
        }
    }
    Ok(())
}

/// A date as a spreadsheet counts it: days since 1899-12-30 (right from March 1900 on).
fn serial(on: NaiveDate) -> f64 {
    let days = on.signed_duration_since(NaiveDate::from_ymd_opt(1899, 12, 30).unwrap_or_default()).num_days();
    f64::from(i32::try_from(days).unwrap_or(0))
}
