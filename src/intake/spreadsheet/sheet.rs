//! The file itself: its encoding, its separator, its rows.

use crate::problem::{Category, Problem};

/// The largest file, in bytes.
pub const LARGEST: usize = 5 << 20;

/// The most rows of patients.
pub const MOST_ROWS: usize = 5_000;

/// A file as a spreadsheet shows it.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// The titles of the columns. A title that occurred before is followed by its number: `Date#2`.
    pub titles: Vec<String>,
    /// The rows that are not empty.
    pub records: Vec<Record>,
}

#[derive(Clone, Debug)]
pub struct Record {
    /// Its number, as a spreadsheet counts.
    pub row: usize,
    /// Its cells, trimmed.
    pub cells: Vec<String>,
}

/// The text of a file: UTF-8 or UTF-16 where a byte order mark says so, UTF-8 where it is that, and otherwise what
/// Excel writes in the west, Windows-1252.
///
/// # Errors
/// `Unprocessable` where it is none of them.
pub fn decoded(bytes: &[u8]) -> Result<String, Problem> {
    let encoding = match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if std::str::from_utf8(bytes).is_ok() => encoding_rs::UTF_8,
        None => encoding_rs::WINDOWS_1252,
    };
    let (text, _, is_broken) = encoding.decode(bytes);
    if is_broken || text.contains('\0') {
        let detail = "the file is not text; save the sheet as \"CSV UTF-8 (comma delimited)\"";
        return Err(Problem::unprocessable(detail).at("csv"));
    }
    Ok(text.into_owned())
}

impl Sheet {
    /// Reads a file: separated by commas, semicolons or tabs, with quoted cells that may go over several lines.
    ///
    /// # Errors
    /// `Unprocessable` for a file without a head, `TooLarge` for one beyond the limits.
    pub fn read(text: &str) -> Result<Self, Problem> {
        if text.len() > LARGEST {
            return Err(Problem::new(Category::TooLarge, format!("the file may have {LARGEST} bytes")).at("csv"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.contains('\0') || text.contains('\u{fffd}') {
            let detail = "the text is damaged: read the file as it is encoded, or send its bytes as csv_base64";
            return Err(Problem::unprocessable(detail).at("csv"));
        }
        // Excel's own first line, which is no row.
        let (text, skipped) = match text.split_once('\n') {
            Some((first, rest)) if first.trim_start().to_ascii_lowercase().starts_with("sep=") => (rest, 1),
            _ => (text, 0),
        };
        let separator = separator(text);
        let mut titles: Option<Vec<String>> = None;
        let mut records = Vec::new();
        for (n, line) in rows(text, separator)?.into_iter().enumerate() {
            let row = n + 1 + skipped;
            let cells = cells(line, separator);
            if cells.iter().all(String::is_empty) {
                continue;
            }
            match &titles {
                None => titles = Some(distinct(cells)),
                Some(_) if records.len() == MOST_ROWS => {
                    let detail = format!("more than {MOST_ROWS} rows; send the file in parts");
                    return Err(Problem::new(Category::TooLarge, detail).at("csv"));
                }
                Some(_) => records.push(Record { row, cells }),
            }
        }
        let titles = titles.ok_or_else(|| Problem::unprocessable("the file is empty").at("csv"))?;
        Ok(Self { titles, records })
    }

    /// The column of a title, in any case.
    pub fn column(&self, title: &str) -> Option<usize> {
        let wanted = title.trim().to_lowercase();
        self.titles.iter().position(|title| title.to_lowercase() == wanted)
    }
}

/// The rows of a file: a line break in a quoted cell ends none.
fn rows(text: &str, separator: u8) -> Result<Vec<&str>, Problem> {
    let (mut rows, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut at_start) = (false, true);
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            // Two in a row are one that is meant.
            b'"' if quoted && bytes.peek().is_some_and(|(_, next)| *next == b'"') => {
                bytes.next();
            }
            b'"' if quoted => quoted = false,
            b'"' if at_start => quoted = true,
            b'\n' if !quoted => {
                rows.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        at_start = !quoted && (byte == separator || byte == b'\n');
    }
    if quoted {
        let detail = format!("row {} has a quoted cell without an end", rows.len() + 1);
        return Err(Problem::unprocessable(detail).at("csv"));
    }
    rows.push(&text[begin..]);
    Ok(rows)
}

/// The cells of a row; none of an empty one.
fn cells(row: &str, separator: u8) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .buffer_capacity(1024)
        .from_reader(row.trim_end_matches('\r').as_bytes());
    // The data is text and rows may have any number of cells, so nothing can fail.
    reader.records().next().and_then(Result::ok).map_or_else(Vec::new, |record| record.iter().map(tidy).collect())
}

/// Without what stands around it; a space that does not break is a space.
fn tidy(cell: &str) -> String {
    cell.replace('\u{a0}', " ").trim().to_owned()
}

fn distinct(titles: Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::with_capacity(titles.len());
    for title in titles {
        // A title may go over several lines.
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut name = title.clone();
        let mut number = 1;
        while !title.is_empty() && all.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            number += 1;
            name = format!("{title}#{number}");
        }
        all.push(name);
    }
    all
}

/// Separator of the first line's cells, outside of quotes.
fn separator(text: &str) -> u8 {
    let (mut counts, mut quoted) = ([0_usize; 3], false);
    for byte in text.trim_start().bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            b',' if !quoted => counts[0] += 1,
            b';' if !quoted => counts[1] += 1,
            b'\t' if !quoted => counts[2] += 1,
            _ => {}
        }
    }
    match counts {
        [commas, semicolons, tabs] if tabs > commas && tabs > semicolons => b'\t',
        [commas, semicolons, _] if semicolons > commas => b';',
        _ => b',',
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Sheet, decoded};

    #[rstest]
    #[case(b"\xef\xbb\xbfName\nJos\xc3\xa9", "José")]
    #[case(b"Name\nJos\xc3\xa9", "José")]
    #[case(b"Name\nJos\xe9", "José")]
    #[case(b"\xff\xfeN\0\n\0J\0o\0s\0\xe9\0", "José")]
    fn a_file_is_read_in_the_encoding_that_it_has(#[case] bytes: &[u8], #[case] name: &str) {
        let sheet = Sheet::read(&decoded(bytes).unwrap()).unwrap();
        assert_eq!(sheet.records[0].cells[0], name);
    }

    #[rstest]
    #[case("MRN,Name\n1,\"a, b\"")]
    #[case("MRN;Name\r\n1;\"a, b\"\r\n")]
    #[case("MRN\tName\n1\ta, b")]
    #[case("sep=;\nMRN;Name\n1;a, b")]
    fn the_separator_is_seen(#[case] text: &str) {
        let sheet = Sheet::read(text).unwrap();
        assert_eq!((sheet.titles.join("|"), sheet.records[0].cells.join("|")), ("MRN|Name".into(), "1|a, b".into()));
    }

    #[test]
    fn rows_are_counted_as_a_spreadsheet_counts_them() {
        let text = "MRN,Note,Date,date\n1,\"two\nlines\",,\n,,,\n\n2,x,,\n";
        let sheet = Sheet::read(text).unwrap();
        assert_eq!(sheet.titles, ["MRN", "Note", "Date", "date#2"]);
        assert_eq!(sheet.records.iter().map(|record| record.row).collect::<Vec<_>>(), [2, 5]);
        assert!(Sheet::read(" \n,,\n").is_err());
        let unending = Sheet::read("MRN,Note\n1,5'6\" tall\n2,\"never ends\n3,x\n").unwrap_err();
        assert!(unending.detail.contains("row 3"), "{}", unending.detail);
    }
}
