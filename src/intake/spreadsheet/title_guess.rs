//! A mapping guessed from the titles, as the AIMS Center's and similar tracking spreadsheets write them.

use std::collections::BTreeMap;

use super::date;
use super::mapping::{ColumnField, ColumnMapping, ScoreColumns};
use super::sheet::Sheet;
use super::title::{ColumnTitle, TitlePart, fields, titles_of};
use crate::domain::instrument::Instrument;

/// `I/A`: initial assessment, or inactive/active. The cells below decide.
const AMBIGUOUS_TITLE: &str = "i a";

/// Guesses which column is what. The answer to a dry run shows it, so that it can be corrected.
pub fn guess_mapping(sheet: &Sheet) -> ColumnMapping {
    let titles: Vec<ColumnTitle> = sheet.titles.iter().map(|title| ColumnTitle::read(title)).collect();
    let mut mapping = ColumnMapping::default();
    for field in fields() {
        let column = titles_of(field).iter().find_map(|known| titles.iter().position(|title| title.plain == *known));
        if let Some(column) = column {
            mapping.columns.insert(field, sheet.titles[column].clone());
        }
    }
    if let Some(column) = titles.iter().position(|title| title.plain == AMBIGUOUS_TITLE) {
        let field = if has_dates(sheet, column) { ColumnField::EnrolledOn } else { ColumnField::Status };
        mapping.columns.entry(field).or_insert_with(|| sheet.titles[column].clone());
    }
    mapping.scores = ScoreTitles::of(&titles).columns(sheet);
    mapping
}

fn has_dates(sheet: &Sheet, column: usize) -> bool {
    let cells = sheet.records.iter().filter_map(|record| record.cells.get(column)).filter(|cell| !cell.is_empty());
    let (dates, others): (Vec<_>, Vec<_>) = cells.partition(|cell| date::looks_like_one(cell));
    dates.len() > others.len()
}

/// The columns of instruments, by what they hold.
struct ScoreTitles<'a> {
    titles: &'a [ColumnTitle],
    totals: Vec<(usize, Instrument, bool)>,
    items: Vec<(usize, Instrument, usize)>,
}

impl<'a> ScoreTitles<'a> {
    fn of(titles: &'a [ColumnTitle]) -> Self {
        let mut scores = Self { titles, totals: Vec::new(), items: Vec::new() };
        let mut numbered: BTreeMap<Instrument, Vec<(usize, usize)>> = BTreeMap::new();
        for (column, title) in titles.iter().enumerate() {
            match title.parts[..] {
                [(of, TitlePart::Total { is_baseline })] => scores.totals.push((column, of, is_baseline)),
                [(of, TitlePart::Item(item))] => scores.items.push((column, of, item)),
                [(of, TitlePart::Numbered(n))] => numbered.entry(of).or_default().push((column, n)),
                _ => {}
            }
        }
        for (of, columns) in numbered {
            let numbers: Vec<usize> = columns.iter().map(|(_, n)| *n).collect();
            let count = of.item_count();
            if numbers == (1..=count).collect::<Vec<_>>() {
                scores.items.extend(columns.iter().map(|(column, n)| (*column, of, n - 1)));
            } else if numbers == (1..=numbers.len()).collect::<Vec<_>>() && numbers.len() < count {
                scores.totals.extend(columns.iter().map(|(column, _)| (*column, of, false)));
            }
            // Otherwise the numbering is ambiguous: do not guess.
        }
        scores.totals.sort_unstable_by_key(|(column, ..)| *column);
        scores
    }

    fn columns(&self, sheet: &Sheet) -> Vec<ScoreColumns> {
        let leftwards = self.dates_stand_in_front();
        let name = |column: usize| sheet.titles[column].clone();
        let mut found = Vec::new();
        for (column, instrument, is_baseline) in &self.totals {
            let date = self.date_of(*column, *instrument, leftwards);
            // A follow-up without a date is no score; a baseline is taken at enrollment.
            if date.is_some() || *is_baseline {
                let items = self.items_of(*column, *instrument).map(|(n, column)| (n, name(column))).collect();
                let (score, taken_on) = (Some(name(*column)), date.map(name));
                found.push(ScoreColumns { instrument: *instrument, score, taken_on, items });
            }
        }
        let with_total: Vec<Instrument> = self.totals.iter().map(|(_, instrument, _)| *instrument).collect();
        let mut alone: BTreeMap<Instrument, BTreeMap<usize, usize>> = BTreeMap::new();
        for (column, instrument, item) in self.items.iter().filter(|(_, of, _)| !with_total.contains(of)) {
            alone.entry(*instrument).or_default().entry(item + 1).or_insert(*column);
        }
        for (instrument, items) in alone {
            let columns = (items.values().min().copied(), items.values().max().copied());
            let (Some(first), Some(last)) = columns else { continue };
            let before = self.date_of(first, instrument, true);
            let date = self.date_of(last, instrument, false).or(before);
            let items = items.into_iter().map(|(n, column)| (n, name(column))).collect();
            if let Some(date) = date {
                found.push(ScoreColumns { instrument, score: None, taken_on: Some(name(date)), items });
            }
        }
        found
    }

    /// The item columns whose nearest total is this one.
    fn items_of(&self, total: usize, of: Instrument) -> impl Iterator<Item = (usize, usize)> {
        let nearest = move |item: usize| {
            let totals = self.totals.iter().filter(|(_, instrument, _)| *instrument == of);
            totals.map(|(column, ..)| *column).min_by_key(|column| (column.abs_diff(item), *column))
        };
        let mine = self.items.iter().filter(move |(_, instrument, _)| *instrument == of);
        mine.filter(move |(column, ..)| nearest(*column) == Some(total)).map(|(column, _, item)| (item + 1, *column))
    }

    /// Whether visits read "date, score" and not "score, date". The first follow-up score decides.
    fn dates_stand_in_front(&self) -> bool {
        let first = self.totals.iter().find(|(_, _, is_baseline)| !is_baseline);
        first.is_some_and(|(column, of, _)| {
            let is_date = |n: Option<usize>| n.and_then(|n| self.titles.get(n)).is_some_and(|t| t.is_date_of(*of));
            is_date(column.checked_sub(1)) && !is_date(Some(column + 1))
        })
    }

    /// The nearest date column in one direction, skipping only columns of the same visit; else the only date column with the
    /// same words.
    fn date_of(&self, score: usize, of: Instrument, leftwards: bool) -> Option<usize> {
        let title = &self.titles[score];
        let is_baseline = |title: &ColumnTitle| title.total_of().is_some_and(|(_, is_baseline)| is_baseline);
        let mut at = score;
        loop {
            at = if leftwards { at.checked_sub(1)? } else { at + 1 };
            let Some(next) = self.titles.get(at) else { break };
            if next.is_date_of(of) {
                return Some(at);
            }
            let is_same_visit = match next.parts[..] {
                [(other, TitlePart::Total { .. })] => other != of && is_baseline(next) == is_baseline(title),
                [(other, TitlePart::Numbered(_))] => other != of,
                [(_, TitlePart::Item(_) | TitlePart::Other)] => true,
                _ => false,
            };
            if !is_same_visit {
                break;
            }
        }
        let own = distinguishing_words(&title.plain, of);
        let mut same = self.titles.iter().enumerate().filter(|(_, other)| {
            other.is_date_of(of) && !other.parts.is_empty() && distinguishing_words(&other.plain, of) == own
        });
        let only = same.next()?.0;
        same.next().is_none().then_some(only)
    }
}

/// The words of a title that distinguish one visit's columns from another's.
fn distinguishing_words(plain: &str, of: Instrument) -> Vec<&str> {
    let name = super::title::simplified(of.title());
    let id = of.id();
    let says_nothing = |word: &&str| {
        ["date", "dates", "score", "total", "result", "of", "the", "on", "taken", id].contains(word)
            || name.split(' ').any(|part| part == *word)
    };
    plain.split(' ').filter(|word| !says_nothing(word)).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::intake::spreadsheet::grid::Grid;

    fn guessed(csv: &str) -> ColumnMapping {
        guess_mapping(&Sheet::of(Grid::of_text(csv).unwrap(), None).unwrap())
    }

    fn scores(csv: &str) -> Vec<String> {
        let all = guessed(&format!("{csv}\n1"));
        let shown = |s: &ScoreColumns| {
            let items: Vec<String> = s.items.iter().map(|(n, column)| format!("{n}={column}")).collect();
            let (score, date) = (s.score.as_deref().unwrap_or("-"), s.taken_on.as_deref().unwrap_or("-"));
            [[s.instrument.id(), score, date].join(" "), items.join(" ")].join(" ").trim_end().to_owned()
        };
        all.scores.iter().map(shown).collect()
    }

    #[test]
    fn a_tracking_spreadsheet_is_understood_by_its_titles() {
        let head = "MRN,Patient Name,DOB,Date of Initial Assessment,Baseline PHQ-9,Baseline GAD-7,PHQ-9 Score,Date,PHQ-9 Score,Date,\
            GAD-7,GAD-7 date,% change PHQ-9,Status,Discharge Date,Discharge Reason,Comments\n1";
        let found = guessed(head);
        assert_eq!(found.columns[&ColumnField::Identifier], "MRN");
        assert_eq!(found.columns[&ColumnField::EnrolledOn], "Date of Initial Assessment");
        assert_eq!(found.columns[&ColumnField::DischargeReason], "Discharge Reason");
        assert_eq!(
            scores(head),
            [
                "phq9 Baseline PHQ-9 -",
                "gad7 Baseline GAD-7 -",
                "phq9 PHQ-9 Score Date",
                "phq9 PHQ-9 Score#2 Date#2",
                "gad7 GAD-7 GAD-7 date",
            ]
        );
    }

    #[rstest]
    #[case("MRN,Date,PHQ-9,GAD-7,Date,PHQ-9,GAD-7",
        &["phq9 PHQ-9 Date", "gad7 GAD-7 Date", "phq9 PHQ-9#2 Date#2", "gad7 GAD-7#2 Date#2"])]
    #[case("MRN,PHQ-9 Score,PHQ-9 Q9,PHQ-9 Date", &["phq9 PHQ-9 Score PHQ-9 Date 9=PHQ-9 Q9"])]
    #[case("MRN,PHQ-9 Q9,PHQ-9 Score,PHQ-9 Date", &["phq9 PHQ-9 Score PHQ-9 Date 9=PHQ-9 Q9"])]
    #[case("MRN,Baseline PHQ-9,% Improvement from Baseline PHQ-9", &["phq9 Baseline PHQ-9 -"])]
    #[case("MRN,Last PHQ-9,% Change in PHQ-9,Last PHQ-9 Date", &["phq9 Last PHQ-9 Last PHQ-9 Date"])]
    #[case("MRN,# of PHQ-9,PHQ-9 Date", &[])]
    #[case("MRN,Visit 1 PHQ-9,Visit 1 GAD-7,Visit 1 Date",
        &["phq9 Visit 1 PHQ-9 Visit 1 Date", "gad7 Visit 1 GAD-7 Visit 1 Date"])]
    #[case("MRN,PHQ-9,Comments,PHQ-9 Date", &["phq9 PHQ-9 PHQ-9 Date"])]
    #[case("MRN,PHQ-9", &[])]
    #[case("MRN,PHQ-9 #9,PHQ-9 Date", &[])]
    fn a_score_is_found_with_its_date(#[case] head: &str, #[case] found: &[&str]) {
        assert_eq!(scores(head), found, "{head}");
    }

    #[test]
    fn answers_without_a_total_are_a_form() {
        let items: Vec<String> = (1..=9).map(|n| format!("phq9_q{n}")).collect();
        let found = guessed(&format!("MRN,{},phq9_date\n1", items.join(",")));
        assert_eq!((found.scores.len(), found.scores[0].items.len(), found.scores[0].score.is_none()), (1, 9, true));
        let numbered: Vec<String> = (1..=9).map(|n| format!("PHQ-9 #{n}")).collect();
        let found = guessed(&format!("MRN,{},PHQ-9 Total,PHQ-9 Date\n1", numbered.join(",")));
        assert_eq!((found.scores.len(), found.scores[0].items.len()), (1, 9));
    }

    #[rstest]
    #[case("1/5/2026", ColumnField::EnrolledOn)]
    #[case("I", ColumnField::Status)]
    fn cells_decide_an_ambiguous_title(#[case] cell: &str, #[case] field: ColumnField) {
        assert_eq!(guessed(&format!("MRN,I/A\n1,{cell}")).columns[&field], "I/A");
    }
}
