//! Dates as spreadsheets write them.

use chrono::{Datelike, Days, NaiveDate};

use super::mapping::DateOrder;

/// Reads a date: ISO, `M/D/YYYY` or `D/M/YYYY` as the order says, `D.M.YYYY`, `5-Jan-2026`, or the number under which a
/// spreadsheet keeps it. A year of two digits is one of this century; with `in_full` it is not accepted: a birth date
/// could be of either.
pub fn read(text: &str, order: DateOrder, in_full: bool) -> Option<NaiveDate> {
    // A time behind it says nothing here.
    let text = text.split([' ', 'T']).next().unwrap_or_default();
    let date = by_parts(text, order, in_full).or_else(|| serial(text))?;
    (1900..=2200).contains(&date.year()).then_some(date)
}

fn by_parts(text: &str, order: DateOrder, in_full: bool) -> Option<NaiveDate> {
    let separator = text.chars().find(|c| matches!(c, '/' | '-' | '.'))?;
    let parts: Vec<&str> = text.split(separator).collect();
    let [first, second, third] = parts[..] else { return None };
    let year = |text: &str| match (text.len(), text.parse::<i32>().ok()?) {
        (4, year) => Some(year),
        (2, year) if !in_full => Some(2000 + year),
        _ => None,
    };
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() <= 2);
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
fn month(text: &str) -> Option<u32> {
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

    use super::{DateOrder, read};

    #[rstest]
    #[case("2026-01-05", "2026-01-05")]
    #[case("2026-01-05T00:00:00", "2026-01-05")]
    #[case("1/5/2026", "2026-01-05")]
    #[case("01/05/2026 12:00:00 AM", "2026-01-05")]
    #[case("1/5/26", "2026-01-05")]
    #[case("5.1.2026", "2026-01-05")]
    #[case("5-Jan-26", "2026-01-05")]
    #[case("46027", "2026-01-05")]
    #[case("46027.5", "2026-01-05")]
    fn a_date_is_read_however_it_is_written(#[case] text: &str, #[case] date: &str) {
        assert_eq!(read(text, DateOrder::MonthFirst, false), Some(date.parse().unwrap()));
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
        assert_eq!(read(text, DateOrder::MonthFirst, false), None);
    }

    #[test]
    fn the_order_decides_and_a_birth_date_needs_its_century() {
        assert_eq!(read("1/5/2026", DateOrder::DayFirst, false), Some("2026-05-01".parse().unwrap()));
        assert_eq!(read("1/5/62", DateOrder::MonthFirst, true), None);
        assert_eq!(read("1/5/1962", DateOrder::MonthFirst, true), Some("1962-01-05".parse().unwrap()));
    }
}
