//! The file itself: what it is, its encoding, its separator, its rows of cells.

use crate::problem::{Category, Problem};

/// The largest file, in bytes.
pub const LARGEST: usize = 5 << 20;

/// The most rows of patients.
pub const MOST_ROWS: usize = 5_000;

/// The most cells of a row.
pub const MOST_COLUMNS: usize = 500;

/// Rows above those of patients: titles, headings, blank ones.
const ABOVE: usize = 50;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, as a spreadsheet counts.
    pub row: usize,
    /// Its cells, trimmed.
    pub cells: Vec<String>,
}

/// The rows of a file that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grid(pub Vec<Record>);

impl Grid {
    /// Adds a row, unless it is empty.
    ///
    /// # Errors
    /// `TooLarge` beyond the limits.
    pub fn add(&mut self, mut record: Record) -> Result<(), Problem> {
        let length = record.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        if length == 0 {
            return Ok(());
        }
        if length > MOST_COLUMNS {
            let detail = format!("row {} has more than {MOST_COLUMNS} cells", record.row);
            return Err(Problem::new(Category::TooLarge, detail).at("csv"));
        }
        record.cells.truncate(length);
        if self.0.len() > MOST_ROWS + ABOVE {
            return Err(too_many_rows());
        }
        self.0.push(record);
        Ok(())
    }

    /// Reads text: cells separated by commas, semicolons or tabs, quoted ones may go over several lines.
    ///
    /// # Errors
    /// `Unprocessable` for what is no such text, `TooLarge` for one beyond the limits.
    pub fn of_text(text: &str) -> Result<Self, Problem> {
        if text.len() > LARGEST {
            return Err(Problem::new(Category::TooLarge, format!("the file may have {LARGEST} bytes")).at("csv"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.contains('\0') || text.contains('\u{fffd}') {
            let detail = "the text is damaged: read the file as it is encoded, or send its bytes as csv_base64";
            return Err(Problem::unprocessable(detail).at("csv"));
        }
        // Excel's own first line, which is no row, says what separates the cells.
        let first = text.split(['\r', '\n']).next().unwrap_or_default();
        let (own, text, skipped) = match first.trim().to_ascii_lowercase().strip_prefix("sep=") {
            Some(own) => (own.bytes().next(), after_line(&text[first.len()..]), 1),
            None => (None, text, 0),
        };
        let separator = own.filter(u8::is_ascii).unwrap_or_else(|| separator(text));
        let mut grid = Self::default();
        for (n, line) in lines(text, separator)?.into_iter().enumerate() {
            grid.add(Record { row: n + 1 + skipped, cells: cells(line, separator) })?;
        }
        Ok(grid)
    }
}

/// The answer to a file with more rows than are taken at once.
pub fn too_many_rows() -> Problem {
    Problem::new(Category::TooLarge, format!("more than {MOST_ROWS} rows; send the file in parts")).at("csv")
}

/// The text of a file: in the encoding that its byte order mark names, in UTF-16 where every other byte is empty, in UTF-8
/// where it is that, and otherwise in what Excel writes in the west, Windows-1252.
///
/// # Errors
/// `Unprocessable` where it is none of them.
pub fn decoded(bytes: &[u8]) -> Result<String, Problem> {
    let empty_at = |odd: usize| bytes.len() > 3 && bytes.iter().skip(odd).step_by(2).take(16).all(|byte| *byte == 0);
    let encoding = match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if empty_at(1) => encoding_rs::UTF_16LE,
        None if empty_at(0) => encoding_rs::UTF_16BE,
        None if std::str::from_utf8(bytes).is_ok() => encoding_rs::UTF_8,
        None => encoding_rs::WINDOWS_1252,
    };
    let (text, _, is_broken) = encoding.decode(bytes);
    if is_broken || text.contains('\0') {
        let detail = "the file is neither a workbook (.xlsx) nor text; save the sheet as one of the two";
        return Err(Problem::unprocessable(detail).at("csv"));
    }
    Ok(text.into_owned())
}

/// What follows the end of a line.
fn after_line(text: &str) -> &str {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix(['\r', '\n'])).unwrap_or(text)
}

/// The lines of a file, ended by LF, CRLF, or CR alone as on an old Macintosh: a line break in a quoted cell ends none.
fn lines(text: &str, separator: u8) -> Result<Vec<&str>, Problem> {
    let (mut lines, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut at_start) = (false, true);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let next = bytes.get(at + 1).copied();
        let mut width = 1;
        match byte {
            // Two in a row are one that is meant.
            b'"' if quoted && next == Some(b'"') => width = 2,
            b'"' if quoted => quoted = false,
            b'"' if at_start => quoted = true,
            b'\n' | b'\r' if !quoted => {
                width = if (byte, next) == (b'\r', Some(b'\n')) { 2 } else { 1 };
                lines.push(&text[begin..at]);
                begin = at + width;
            }
            _ => {}
        }
        at_start = !quoted && (byte == separator || byte == b'\n' || byte == b'\r');
        at += width;
    }
    if quoted {
        let detail = format!("row {} has a quoted cell without an end", lines.len() + 1);
        return Err(Problem::unprocessable(detail).at("csv"));
    }
    lines.push(&text[begin..]);
    Ok(lines)
}

/// The cells of a line; none of an empty one.
fn cells(line: &str, separator: u8) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .buffer_capacity(1024)
        .from_reader(line.as_bytes());
    let trimmed = |record: csv::StringRecord| record.iter().map(|cell| cell.trim().to_owned()).collect();
    // It is text, and any number of cells will do: nothing can fail.
    reader.records().next().and_then(Result::ok).map_or_else(Vec::new, trimmed)
}

/// The usual first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What separates the cells: what stands most often, outside of quotes, in the first lines that have any of them.
fn separator(text: &str) -> u8 {
    let (mut counts, mut quoted, mut lines) = ([0_usize; SEPARATORS.len()], false, 0);
    for byte in text.trim_start().bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted && counts.iter().any(|count| *count > 0) => lines += 1,
            _ if quoted => {}
            _ => {
                if let Some(at) = SEPARATORS.iter().position(|separator| *separator == byte) {
                    counts[at] += 1;
                }
            }
        }
        if lines == 1 {
            break;
        }
    }
    let best = (0..SEPARATORS.len()).rev().max_by_key(|at| counts[*at]).unwrap_or_default();
    SEPARATORS[best]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Grid, decoded};

    fn shown(grid: &Grid) -> Vec<String> {
        grid.0.iter().map(|record| format!("{} {}", record.row, record.cells.join("|"))).collect()
    }

    #[rstest]
    #[case(b"\xef\xbb\xbfName\nJos\xc3\xa9")]
    #[case(b"Name\nJos\xc3\xa9")]
    #[case(b"Name\nJos\xe9")]
    #[case(b"\xff\xfeN\0a\0m\0e\0\n\0J\0o\0s\0\xe9\0")]
    #[case(b"\xfe\xff\0N\0a\0m\0e\0\n\0J\0o\0s\0\xe9")]
    #[case(b"N\0a\0m\0e\0\n\0J\0o\0s\0\xe9\0")]
    fn a_file_is_read_in_the_encoding_that_it_has(#[case] bytes: &[u8]) {
        assert_eq!(shown(&Grid::of_text(&decoded(bytes).unwrap()).unwrap()), ["1 Name", "2 José"]);
    }

    #[rstest]
    #[case("MRN,Name\n1,\"a, b\"")]
    #[case("MRN;Name\r\n1;\"a, b\"\r\n")]
    #[case("MRN\tName\r1\ta, b\r")]
    #[case("\u{feff}MRN;Name\r1;a, b")]
    #[case("MRN|Name\n1|a, b\n")]
    fn separator_and_line_breaks_are_seen(#[case] text: &str) {
        assert_eq!(shown(&Grid::of_text(text).unwrap()), ["1 MRN|Name", "2 1|a, b"]);
    }

    #[rstest]
    #[case("sep=;\nMRN;Name\n1;a, b")]
    #[case("\u{feff}SEP=;\r\nMRN;Name\r\n1;a, b\r\n")]
    #[case("sep=;\rMRN;Name\r1;a, b\r")]
    fn excels_own_first_line_is_no_row_but_counts(#[case] text: &str) {
        assert_eq!(shown(&Grid::of_text(text).unwrap()), ["2 MRN|Name", "3 1|a, b"]);
    }

    #[test]
    fn rows_are_counted_as_a_spreadsheet_counts_them() {
        let text = "MRN,Note,Date,date\n1,\"two\nlines\",,\n,,,\n\n2,x,,\n";
        assert_eq!(shown(&Grid::of_text(text).unwrap()), ["1 MRN|Note|Date|date", "2 1|two\nlines", "5 2|x"]);
        let unending = Grid::of_text("MRN,Note\n1,5'6\" tall\n2,\"never ends\n3,x\n").unwrap_err();
        assert!(unending.detail.contains("row 3"), "{}", unending.detail);
    }
}
