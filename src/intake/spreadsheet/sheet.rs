//! A file as a spreadsheet shows it: its titles, wherever they begin, and the rows beneath them.

use std::collections::HashSet;

use super::grid::{Grid, MOST_ROWS, Record, too_many_rows};
use super::mapping::ColumnMapping;
use super::title::ColumnTitle;
use crate::problem::Problem;

/// Rows that are looked at for the titles: there may be a name, a legend or blank rows above them.
const ABOVE: usize = 12;

/// Titles and rows.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// The titles of the columns. A title that occurred before is followed by its number: `Date#2`.
    pub titles: Vec<String>,
    /// The rows that are not empty.
    pub records: Vec<Record>,
}

impl Sheet {
    /// Finds the titles: the row that says the most of what is known here, or of what a mapping names.
    ///
    /// # Errors
    /// `Unprocessable` for a file without titles or without a row beneath them, `TooLarge` for one beyond the limits.
    pub fn of(Grid(mut rows): Grid, mapping: Option<&ColumnMapping>) -> Result<Self, Problem> {
        let named: HashSet<String> = mapping.map(ColumnMapping::titles).unwrap_or_default();
        let says = |title: &str| {
            if mapping.is_some() {
                named.contains(&title.to_lowercase())
            } else {
                ColumnTitle::read(title).is_telling()
            }
        };
        let candidates: Vec<(usize, Vec<String>)> = rows
            .iter()
            .take(ABOVE)
            .enumerate()
            .map(|(n, row)| (n, titled(n.checked_sub(1).map(|n| &rows[n]), row)))
            .collect();
        let count = |titles: &[String]| titles.iter().filter(|title| says(title)).count();
        let best = candidates.into_iter().max_by_key(|(n, titles)| (count(titles), std::cmp::Reverse(*n)));
        let Some((head, titles)) = best else {
            return Err(Problem::unprocessable("the file is empty").at("csv"));
        };
        let records = rows.split_off(head + 1);
        if records.is_empty() {
            let row = rows[head].row;
            let detail = format!("row {row} has titles, and no row beneath it: is this the right file or sheet?");
            return Err(Problem::unprocessable(detail).at("csv"));
        }
        if records.len() > MOST_ROWS {
            return Err(too_many_rows());
        }
        Ok(Self { titles: distinct(titles), records })
    }

    /// The column of a title, in any case.
    pub fn column(&self, title: &str) -> Option<usize> {
        let wanted = title.trim().to_lowercase();
        self.titles.iter().position(|title| title.to_lowercase() == wanted)
    }

    /// How many of its titles are known here.
    pub fn known(&self) -> usize {
        self.titles.iter().filter(|title| ColumnTitle::read(title).is_telling()).count()
    }
}

/// The titles of a row, each with the heading above it where that says what it is of: `PHQ-9` over `Date` and `Score`.
fn titled(above: Option<&Record>, row: &Record) -> Vec<String> {
    let own = row.cells.iter().map(|cell| cell.split_whitespace().collect::<Vec<_>>().join(" "));
    let Some(above) = above.filter(|above| above.row + 1 == row.row) else { return own.collect() };
    let mut heading = "";
    let mut titles = Vec::with_capacity(row.cells.len());
    for (column, own) in own.enumerate() {
        if let Some(next) = above.cells.get(column).filter(|cell| !cell.is_empty()) {
            heading = next;
        }
        let both = format!("{heading} {own}");
        let (alone, together) = (ColumnTitle::read(&own), ColumnTitle::read(&both));
        let belongs = !own.is_empty() && !heading.is_empty() && alone.field.is_none() && together.is_telling();
        titles.push(if belongs && together.field.is_none() && !names_less(&alone, &together) { both } else { own });
    }
    titles
}

/// Whether a title says more alone than with a heading: the heading is that of another instrument, or of nothing.
fn names_less(alone: &ColumnTitle, together: &ColumnTitle) -> bool {
    alone.is_telling() && alone.parts.iter().map(|(of, _)| of).ne(together.parts.iter().map(|(of, _)| of))
}

fn distinct(titles: Vec<String>) -> Vec<String> {
    let mut known: HashSet<String> = HashSet::with_capacity(titles.len());
    let mut all: Vec<String> = Vec::with_capacity(titles.len());
    for title in titles {
        let mut name = title.clone();
        let mut number = 1;
        while !title.is_empty() && !known.insert(name.to_lowercase()) {
            number += 1;
            name = format!("{title}#{number}");
        }
        all.push(name);
    }
    all
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn sheet(csv: &str) -> Result<Sheet, Problem> {
        Sheet::of(Grid::of_text(csv).unwrap(), None)
    }

    #[rstest]
    #[case("MRN,Name\n1,x", "MRN|Name", 2)]
    #[case("\n,,\nOur clinic's registry\n\nMRN,Name\n1,x", "MRN|Name", 6)]
    #[case("Name of the clinic,,\nMRN,Patient Name,PHQ-9\n1,x,5", "MRN|Patient Name|PHQ-9", 3)]
    #[case(
        "Patient,,PHQ-9,,GAD-7,\nMRN,Name,Date,Score,Date,Score\n1",
        "MRN|Name|PHQ-9 Date|PHQ-9 Score|GAD-7 Date|GAD-7 Score",
        3
    )]
    #[case(
        ",,Baseline,,Visit 1,,\nMRN,Name,PHQ-9,GAD-7,PHQ-9,GAD-7,Date\n1",
        "MRN|Name|Baseline PHQ-9|Baseline GAD-7|Visit 1 PHQ-9|Visit 1 GAD-7|Date",
        3
    )]
    #[case("Our registry,,,\nMRN,PHQ-9,Date,date\n1", "MRN|PHQ-9|Date|date#2", 3)]
    fn the_titles_are_found_wherever_they_begin(#[case] csv: &str, #[case] titles: &str, #[case] first: usize) {
        let sheet = sheet(csv).unwrap();
        assert_eq!((sheet.titles.join("|").as_str(), sheet.records[0].row), (titles, first));
    }

    #[rstest]
    #[case(" \n,,\n", "empty")]
    #[case("MRN,Name\n", "no row")]
    #[case("MRN,Name\r\n,,\r\n", "no row")]
    fn a_file_without_rows_is_refused(#[case] csv: &str, #[case] why: &str) {
        let problem = sheet(csv).unwrap_err();
        assert_eq!(problem.category.status(), 422);
        assert!(problem.detail.contains(why), "{}", problem.detail);
    }

    #[test]
    fn a_mapping_says_which_row_has_the_titles() {
        let mapping: ColumnMapping =
            serde_json::from_str(r#"{"columns": {"identifier": "Nr.", "enrolled_on": "Start"}}"#).unwrap();
        let grid = Grid::of_text("Name,MRN\nNr.,Start\n7,2026-01-05").unwrap();
        assert_eq!(Sheet::of(grid, Some(&mapping)).unwrap().titles, ["Nr.", "Start"]);
    }
}
