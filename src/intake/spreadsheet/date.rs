//! Dates as spreadsheets write them, and in which order a file writes day and month.

use chrono::{Datelike, Days, NaiveDate};

use super::mapping::DateOrder;
use super::sheet::Sheet;

/// What is known of the order of day and month in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnOrder {
    /// It is this one.
    Is(DateOrder),
    /// Some of its dates can only be read one way, some only the other: one that can be read both ways is not.
    Mixed,
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// The mapping that was sent.
    Mapping,
    /// Dates of the file that can be read in one way only.
    Rows,
    /// Nobody: where every date can be read both ways, the month comes first.
    Default,
}

/// The order of day and month, by column.
#[derive(Clone, Debug)]
pub struct Orders {
    /// For a column that does not say.
    pub otherwise: ColumnOrder,
    /// Who decided it.
    pub decided_by: DecidedBy,
    columns: Vec<Option<ColumnOrder>>,
}

impl Orders {
    /// Decides once for a file: what the mapping says, else what the dates of the column prove, else those of the others.
    pub fn of(sheet: &Sheet, columns: &[usize], said: Option<DateOrder>) -> Self {
        if let Some(said) = said {
            return Self { otherwise: ColumnOrder::Is(said), decided_by: DecidedBy::Mapping, columns: Vec::new() };
        }
        let mut orders: Vec<Option<ColumnOrder>> = vec![None; sheet.titles.len()];
        for record in &sheet.records {
            for column in columns {
                let proved = record.cells.get(*column).and_then(|cell| proof(cell));
                let Some(order) = orders.get_mut(*column) else { continue };
                *order = together(*order, proved.map(ColumnOrder::Is));
            }
        }
        if let Some(otherwise) = orders.iter().copied().fold(None, together) {
            Self { otherwise, decided_by: DecidedBy::Rows, columns: orders }
        } else {
            let otherwise = ColumnOrder::Is(DateOrder::MonthFirst);
            Self { otherwise, decided_by: DecidedBy::Default, columns: Vec::new() }
        }
    }

    /// That of a column.
    pub fn of_column(&self, column: usize) -> ColumnOrder {
        self.columns.get(column).copied().flatten().unwrap_or(self.otherwise)
    }

    /// The one that holds for the whole file, if one does.
    pub fn of_file(&self) -> Option<DateOrder> {
        match self.otherwise {
            ColumnOrder::Is(order) => Some(order),
            ColumnOrder::Mixed => None,
        }
    }
}

fn together(one: Option<ColumnOrder>, other: Option<ColumnOrder>) -> Option<ColumnOrder> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Some(ColumnOrder::Mixed),
        (one, other) => one.or(other),
    }
}

/// A cell, read as a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateReading {
    /// It is one.
    Date(NaiveDate),
    /// It is one of two.
    Either,
    /// It is none that is known here.
    Nothing,
}

/// Reads a date: ISO, `M/D/YYYY` or `D/M/YYYY` as the order says, `D.M.YYYY`, `5-Jan-2026`, or the number under which a
/// spreadsheet keeps it. A year of two digits is one of this century; with `in_full` it is not accepted: a birth date
/// could be of either.
pub fn read(text: &str, order: ColumnOrder, in_full: bool) -> DateReading {
    let order = match (order, proof(text)) {
        (ColumnOrder::Is(order), _) | (ColumnOrder::Mixed, Some(order)) => order,
        (ColumnOrder::Mixed, None) => {
            let [first, second] =
                [DateOrder::MonthFirst, DateOrder::DayFirst].map(|order| read_in(text, order, in_full));
            return match (first, second) {
                (Some(first), Some(second)) if first != second => DateReading::Either,
                (first, second) => first.or(second).map_or(DateReading::Nothing, DateReading::Date),
            };
        }
    };
    read_in(text, order, in_full).map_or(DateReading::Nothing, DateReading::Date)
}

/// Whether a text is a date in some order.
pub fn looks_like_one(text: &str) -> bool {
    [DateOrder::MonthFirst, DateOrder::DayFirst].into_iter().any(|order| read_in(text, order, false).is_some())
}

/// The order in which a date is written, where it can only be one.
fn proof(text: &str) -> Option<DateOrder> {
    let text = date_part(text);
    if text.contains('.') {
        return None;
    }
    let readable = |order| by_parts(text, order, false).is_some();
    match (readable(DateOrder::MonthFirst), readable(DateOrder::DayFirst)) {
        (true, false) => Some(DateOrder::MonthFirst),
        (false, true) => Some(DateOrder::DayFirst),
        _ => None,
    }
}

/// A time behind it says nothing here.
fn date_part(text: &str) -> &str {
    text.split([' ', 'T', '\u{a0}']).next().unwrap_or_default()
}

fn read_in(text: &str, order: DateOrder, in_full: bool) -> Option<NaiveDate> {
    let first = date_part(text);
    let date = by_parts(first, order, in_full).or_else(|| by_words(text, in_full)).or_else(|| serial(first))?;
    (1900..=2200).contains(&date.year()).then_some(date)
}

fn year(text: &str, in_full: bool) -> Option<i32> {
    match (text.len(), text.parse::<i32>().ok()?) {
        (4, year) => Some(year),
        (2, year) if !in_full => Some(2000 + year),
        _ => None,
    }
}

/// A day or a month.
fn number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|_| text.len() <= 2)
}

/// `January 5, 2026`, `5 Jan 2026`: three words and nothing else, or a time behind them.
fn by_words(text: &str, in_full: bool) -> Option<NaiveDate> {
    let words: Vec<&str> = text.split([' ', ',', '.', '\u{a0}']).filter(|word| !word.is_empty()).collect();
    let [first, second, third] = *words.get(..3)? else { return None };
    let is_time = words.get(3).is_none_or(|word| word.contains(':'));
    let (name, day) = if month(first).is_some() { (first, second) } else { (second, first) };
    let day = ["st", "nd", "rd", "th"].into_iter().find_map(|end| day.strip_suffix(end)).unwrap_or(day);
    let date = NaiveDate::from_ymd_opt(year(third, in_full)?, month(name)?, number(day)?);
    date.filter(|_| is_time)
}

fn by_parts(text: &str, order: DateOrder, in_full: bool) -> Option<NaiveDate> {
    let separator = text.chars().find(|c| matches!(c, '/' | '-' | '.'))?;
    let parts: Vec<&str> = text.split(separator).collect();
    let [first, second, third] = parts[..] else { return None };
    let year = |text: &str| year(text, in_full);
    if first.len() == 4 {
        return NaiveDate::from_ymd_opt(year(first)?, number(second)?, number(third)?);
    }
    if let Some(month) = month(second) {
        return NaiveDate::from_ymd_opt(year(third)?, month, number(first)?);
    }
    let (month, day) = match (separator, order) {
        ('.', _) | (_, DateOrder::DayFirst) => (second, first),
        (_, DateOrder::MonthFirst) => (first, second),
    };
    NaiveDate::from_ymd_opt(year(third)?, number(month)?, number(day)?)
}

/// `Jan`, `January`.
pub fn month(text: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let name = text.get(..3)?.to_ascii_lowercase();
    MONTHS.iter().position(|month| *month == name).and_then(|n| u32::try_from(n + 1).ok())
}

/// Days since 1899-12-30; what is behind the point is a time. From 1920 to 2119: a score is no date.
fn serial(text: &str) -> Option<NaiveDate> {
    let days: u64 = text.split('.').next()?.parse().ok()?;
    let epoch = NaiveDate::from_ymd_opt(1899, 12, 30)?;
    (7_306..80_000).contains(&days).then(|| epoch.checked_add_days(Days::new(days))).flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::intake::spreadsheet::grid::Grid;

    fn month_first(text: &str, in_full: bool) -> DateReading {
        read(text, ColumnOrder::Is(DateOrder::MonthFirst), in_full)
    }

    fn on(date: &str) -> DateReading {
        DateReading::Date(date.parse().unwrap())
    }

    #[rstest]
    #[case("2026-01-05", "2026-01-05")]
    #[case("2026-01-05T00:00:00", "2026-01-05")]
    #[case("1/5/2026", "2026-01-05")]
    #[case("01/05/2026 12:00:00 AM", "2026-01-05")]
    #[case("1/5/26", "2026-01-05")]
    #[case("5.1.2026", "2026-01-05")]
    #[case("5-Jan-26", "2026-01-05")]
    #[case("January 5, 2026", "2026-01-05")]
    #[case("Jan 5th 2026", "2026-01-05")]
    #[case("5 January 2026 10:30", "2026-01-05")]
    #[case("46027", "2026-01-05")]
    #[case("46027.5", "2026-01-05")]
    fn a_date_is_read_however_it_is_written(#[case] text: &str, #[case] date: &str) {
        assert_eq!(month_first(text, false), on(date));
    }

    #[rstest]
    #[case("13/1/2026")]
    #[case("2/30/2026")]
    #[case("1/5")]
    #[case("12")]
    #[case("tomorrow")]
    #[case("1/5/0026")]
    #[case("")]
    fn what_is_no_date_is_none(#[case] text: &str) {
        assert_eq!(month_first(text, false), DateReading::Nothing);
    }

    #[test]
    fn the_order_decides_and_a_birth_date_needs_its_century() {
        assert_eq!(read("1/5/2026", ColumnOrder::Is(DateOrder::DayFirst), false), on("2026-05-01"));
        assert_eq!(month_first("1/5/62", true), DateReading::Nothing);
        assert_eq!(month_first("1/5/1962", true), on("1962-01-05"));
    }

    fn orders(csv: &str) -> (Vec<ColumnOrder>, DecidedBy) {
        let sheet = Sheet::of(Grid::of_text(csv).unwrap(), None).unwrap();
        let columns: Vec<usize> = (1..sheet.titles.len()).collect();
        let orders = Orders::of(&sheet, &columns, None);
        (columns.into_iter().map(|column| orders.of_column(column)).collect(), orders.decided_by)
    }

    #[rstest]
    #[case("MRN,Enrolled,Last Contact\n1,25/02/2026,\n2,03/02/2026,04/03/2026",
        &[ColumnOrder::Is(DateOrder::DayFirst), ColumnOrder::Is(DateOrder::DayFirst)], DecidedBy::Rows)]
    #[case("MRN,Enrolled\n1,2/25/2026\n2,03/02/2026", &[ColumnOrder::Is(DateOrder::MonthFirst)], DecidedBy::Rows)]
    #[case("MRN,Enrolled,Last Contact,Discharged\n1,25/02/2026,2/25/2026,1/2/2026",
        &[ColumnOrder::Is(DateOrder::DayFirst), ColumnOrder::Is(DateOrder::MonthFirst), ColumnOrder::Mixed], DecidedBy::Rows)]
    #[case("MRN,Enrolled\n1,25/02/2026\n2,2/25/2026", &[ColumnOrder::Mixed], DecidedBy::Rows)]
    #[case("MRN,Enrolled\n1,5/5/2026\n2,25.02.2026\n3,2026-02-25\n4,1/2/2026",
        &[ColumnOrder::Is(DateOrder::MonthFirst)], DecidedBy::Default)]
    fn the_order_is_decided_once_from_all_rows(
        #[case] csv: &str,
        #[case] expected: &[ColumnOrder],
        #[case] by: DecidedBy,
    ) {
        assert_eq!(orders(csv), (expected.to_vec(), by));
    }

    #[test]
    fn where_both_orders_are_written_a_date_of_either_is_not_read() {
        assert_eq!(read("25/02/2026", ColumnOrder::Mixed, false), on("2026-02-25"));
        assert_eq!(read("2/25/2026", ColumnOrder::Mixed, false), on("2026-02-25"));
        assert_eq!(read("2/2/2026", ColumnOrder::Mixed, false), on("2026-02-02"));
        assert_eq!(read("2026-02-03", ColumnOrder::Mixed, false), on("2026-02-03"));
        assert_eq!(read("3/2/2026", ColumnOrder::Mixed, false), DateReading::Either);
        assert_eq!(read("soon", ColumnOrder::Mixed, false), DateReading::Nothing);
    }
}
