//! Where a mapping's columns are in a file.

use std::collections::BTreeMap;

use super::mapping::{ColumnField, ColumnMapping, ScoreColumns};
use super::sheet::Sheet;
use crate::domain::instrument::Instrument;
use crate::problem::Problem;

/// The most scores that a mapping names.
const MOST_SCORES: usize = 500;

/// Where a score is.
#[derive(Clone, Debug)]
pub struct ScoreCells {
    /// Of which instrument.
    pub instrument: Instrument,
    /// The total's column.
    pub total: Option<usize>,
    /// The date's column.
    pub taken_on: Option<usize>,
    /// The answers' columns, by item, from 0.
    pub items: BTreeMap<usize, usize>,
}

impl ScoreCells {
    fn columns(&self) -> impl Iterator<Item = usize> {
        self.total.into_iter().chain(self.taken_on).chain(self.items.values().copied())
    }

    fn find(named: &ScoreColumns, sheet: &Sheet, at: &str) -> Result<Self, Problem> {
        let find = |title: &String, part: &str| found(sheet, title, format!("{at}.{part}"));
        let total = named.score.as_ref().map(|title| find(title, "score")).transpose()?;
        let taken_on = named.taken_on.as_ref().map(|title| find(title, "taken_on")).transpose()?;
        let count = named.instrument.item_count();
        let mut items = BTreeMap::new();
        for (number, title) in &named.items {
            if !(1..=count).contains(number) {
                let detail = format!("{} has the items 1 to {count}", named.instrument);
                return Err(Problem::unprocessable(detail).at(format!("{at}.items")));
            }
            items.insert(number - 1, find(title, "items")?);
        }
        if total.is_none() && items.is_empty() {
            return Err(Problem::unprocessable("a score needs its total or its answers").at(at.to_owned()));
        }
        Ok(Self { instrument: named.instrument, total, taken_on, items })
    }
}

fn found(sheet: &Sheet, title: &str, at: String) -> Result<usize, Problem> {
    sheet.column(title).ok_or_else(|| Problem::unprocessable("no column of the file has this title").at(at))
}

/// A mapping, found in a file.
#[derive(Clone, Debug)]
pub struct Columns {
    fields: BTreeMap<ColumnField, usize>,
    /// The scores.
    pub scores: Vec<ScoreCells>,
}

impl Columns {
    /// Finds the columns.
    ///
    /// # Errors
    /// Names the part of the mapping that is not in the file, or that is needed and missing.
    pub fn of(mapping: &ColumnMapping, sheet: &Sheet) -> Result<Self, Problem> {
        let mut fields = BTreeMap::new();
        for (field, title) in &mapping.columns {
            fields.insert(*field, found(sheet, title, format!("mapping.columns.{}", name(*field)))?);
        }
        if mapping.scores.len() > MOST_SCORES {
            let detail = format!("a mapping may name {MOST_SCORES} scores");
            return Err(Problem::unprocessable(detail).at("mapping.scores"));
        }
        let scores = mapping.scores.iter().enumerate();
        let scores = scores.map(|(n, named)| ScoreCells::find(named, sheet, &format!("mapping.scores[{n}]")));
        let scores = scores.collect::<Result<_, _>>()?;
        for needed in [ColumnField::Identifier, ColumnField::EnrolledOn] {
            if !fields.contains_key(&needed) {
                let detail = "this column is needed, and was neither named nor found";
                return Err(Problem::unprocessable(detail).at(format!("mapping.columns.{}", name(needed))));
            }
        }
        Ok(Self { fields, scores })
    }

    /// The columns that hold dates.
    pub fn dates(&self) -> Vec<usize> {
        let fields = self.fields.iter().filter(|(field, _)| field.is_date()).map(|(_, column)| *column);
        fields.chain(self.scores.iter().filter_map(|score| score.taken_on)).collect()
    }

    /// The column of a field.
    pub fn get(&self, field: ColumnField) -> Option<usize> {
        self.fields.get(&field).copied()
    }

    /// The title of the column that a field of a problem is about.
    pub fn title_of(&self, field: &str, sheet: &Sheet) -> Option<String> {
        let (_, column) = self.fields.iter().find(|(known, _)| name(**known) == field)?;
        sheet.titles.get(*column).cloned()
    }

    /// The titles of the columns that are not read.
    pub fn unread(&self, sheet: &Sheet) -> Vec<String> {
        let read = |column: usize| {
            self.fields.values().any(|known| *known == column)
                || self.scores.iter().any(|score| score.columns().any(|known| known == column))
        };
        let titles = sheet.titles.iter().enumerate();
        titles.filter(|(n, title)| !read(*n) && !title.is_empty()).map(|(_, title)| title.clone()).collect()
    }
}

/// A field's name in a mapping.
fn name(field: ColumnField) -> String {
    serde_json::to_value(field).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
