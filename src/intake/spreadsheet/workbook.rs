//! A workbook as Excel keeps it (.xlsx): an archive of XML files, bounded before anything is built from it.

use std::io::{Cursor, Read, copy, sink};

use calamine::{DataRef, Reader, SheetType, SheetVisible, Xlsx};
use chrono::NaiveDate;

use super::grid::{Grid, MOST_COLUMNS, MOST_ROWS, Record, too_many_rows};
use crate::problem::{Category, Problem};

/// The most that the files of a workbook may hold together, unpacked.
const LARGEST_UNPACKED: u64 = 64 << 20;
/// The most files in it.
const MOST_FILES: usize = 1_000;
/// Sheets that are looked at.
const MOST_SHEETS: usize = 20;
/// Merged cells that are filled: headings.
const MOST_MERGED: usize = 200;

/// Whether a file is a workbook of this kind.
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether it is one of Excel's before 2007, or an encrypted one.
pub fn is_old(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0])
}

/// The sheets of a workbook that somebody sees, each with its rows.
///
/// # Errors
/// `Unprocessable` for what cannot be read, `TooLarge` for what is beyond the limits.
pub fn sheets(bytes: &[u8]) -> Result<Vec<Grid>, Problem> {
    within_limits(bytes)?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|_| unreadable())?;
    let visible =
        |sheet: &&calamine::Sheet| sheet.typ == SheetType::WorkSheet && sheet.visible == SheetVisible::Visible;
    let names: Vec<String> =
        book.sheets_metadata().iter().filter(visible).take(MOST_SHEETS).map(|sheet| sheet.name.clone()).collect();
    names.iter().map(|name| sheet(&mut book, name)).collect()
}

fn unreadable() -> Problem {
    let detail = "the workbook cannot be read; open it, save it anew as .xlsx or as CSV UTF-8, and send that";
    Problem::unprocessable(detail).at("csv_base64")
}

fn too_large() -> Problem {
    Problem::new(Category::TooLarge, format!("the workbook holds more than {LARGEST_UNPACKED} bytes")).at("csv_base64")
}

/// What an archive says of its size is not believed: it is unpacked once into nothing.
fn within_limits(bytes: &[u8]) -> Result<(), Problem> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| unreadable())?;
    if archive.len() > MOST_FILES {
        return Err(too_large());
    }
    let mut left = LARGEST_UNPACKED;
    for n in 0..archive.len() {
        let mut file = archive.by_index(n).map_err(|_| unreadable())?.take(left + 1);
        let size = copy(&mut file, &mut sink()).map_err(|_| unreadable())?;
        left = left.checked_sub(size).ok_or_else(too_large)?;
    }
    Ok(())
}

fn sheet(book: &mut Xlsx<Cursor<&[u8]>>, name: &str) -> Result<Grid, Problem> {
    let merged = book.merge_cells_by_sheet_name(name).unwrap_or_default();
    let mut cells = book.worksheet_cells_reader(name).map_err(|_| unreadable())?;
    let mut rows: Vec<Record> = Vec::new();
    let mut grid = Grid::default();
    while let Some(cell) = cells.next_cell().map_err(|_| unreadable())? {
        let (row, column) = cell.get_position();
        let (row, column) = (index(row) + 1, index(column));
        let text = text(cell.get_value());
        if column >= MOST_COLUMNS || text.is_empty() {
            continue;
        }
        if rows.last().is_none_or(|last| last.row != row) {
            rows.push(Record { row, cells: Vec::new() });
        }
        if rows.len() > MOST_ROWS + 100 {
            return Err(too_many_rows());
        }
        let Some(last) = rows.last_mut() else { continue };
        if last.cells.len() <= column {
            last.cells.resize(column + 1, String::new());
        }
        last.cells[column] = text;
    }
    for area in merged.iter().take(MOST_MERGED) {
        fill(&mut rows, area);
    }
    rows.sort_by_key(|row| row.row);
    for row in rows {
        grid.add(row)?;
    }
    Ok(grid)
}

/// What stands in the first cell of a merged heading stands over every column that it covers.
fn fill(rows: &mut [Record], area: &calamine::Dimensions) {
    let ((top, left), (_, right)) = (area.start, area.end);
    let Some(row) = rows.iter_mut().find(|row| row.row == index(top) + 1) else { return };
    let Some(text) = row.cells.get(index(left)).cloned().filter(|text| !text.is_empty()) else { return };
    for column in index(left)..=index(right).min(MOST_COLUMNS - 1) {
        if row.cells.len() <= column {
            row.cells.resize(column + 1, String::new());
        }
        row.cells[column].clone_from(&text);
    }
}

fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A cell as text: a date as 2026-01-05, a whole number without a point.
fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty | DataRef::DurationIso(_) => String::new(),
        DataRef::Int(n) => n.to_string(),
        // Without an exponent and, where it is whole, without a point.
        DataRef::Float(n) => n.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) => text.trim().to_owned(),
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::Bool(yes) => yes.to_string(),
        DataRef::DateTime(at) => {
            let (year, month, day, ..) = at.to_ymd_hms_milli();
            let on = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day));
            on.filter(|_| at.is_datetime()).map_or_else(|| at.as_f64().to_string(), |on| on.to_string())
        }
        DataRef::Error(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rust_xlsxwriter::{Format, Workbook};

    use super::*;

    fn saved(build: impl FnOnce(&mut Workbook)) -> Vec<u8> {
        let mut book = Workbook::new();
        build(&mut book);
        book.save_to_buffer().unwrap()
    }

    #[test]
    fn cells_are_read_as_they_are_meant() {
        let bytes = saved(|book| {
            let hidden = book.add_worksheet();
            hidden.write(0, 0, "secret").unwrap();
            hidden.set_hidden(true);
            let sheet = book.add_worksheet();
            sheet.set_active(true);
            sheet.merge_range(0, 1, 0, 2, "PHQ-9", &Format::new()).unwrap();
            for (column, title) in ["MRN", "Date", "Score"].into_iter().enumerate() {
                sheet.write(1, u16::try_from(column).unwrap(), title).unwrap();
            }
            sheet.write(3, 0, "00123").unwrap();
            let date = rust_xlsxwriter::ExcelDateTime::from_ymd(2026, 1, 5).unwrap();
            sheet.write_with_format(3, 1, &date, &Format::new().set_num_format("m/d/yyyy")).unwrap();
            sheet.write(3, 2, 17.0).unwrap();
            sheet.write(4, 0, 123_456_789_012.0).unwrap();
        });
        let [grid] = &sheets(&bytes).unwrap()[..] else { panic!("one sheet is visible") };
        let shown: Vec<String> = grid.0.iter().map(|row| format!("{} {}", row.row, row.cells.join("|"))).collect();
        assert_eq!(shown, ["1 |PHQ-9|PHQ-9", "2 MRN|Date|Score", "4 00123|2026-01-05|17", "5 123456789012"]);
    }

    #[test]
    fn what_unpacks_to_much_or_is_no_workbook_is_refused() {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file("xl/workbook.xml", zip::write::SimpleFileOptions::default()).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..65 {
            archive.write_all(&zeros).unwrap();
        }
        let bytes = archive.finish().unwrap().into_inner();
        assert!(bytes.len() < 1 << 20);
        assert_eq!(sheets(&bytes).unwrap_err().category.status(), 413);
        assert_eq!(sheets(b"PK\x03\x04rubbish").unwrap_err().category.status(), 422);
        // A single cell far away costs nothing.
        let far = saved(|book| {
            book.add_worksheet().write(1_048_575, 16_383, "x").unwrap();
        });
        assert_eq!(sheets(&far).unwrap(), [Grid::default()]);
    }
}
