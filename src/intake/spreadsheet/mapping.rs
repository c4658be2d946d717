//! Meaning of columns and words.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sheet::Sheet;
use crate::domain::care::{DischargeReason, Payer};
use crate::domain::episode::Phase;
use crate::domain::instrument::Instrument;
use crate::problem::Problem;

/// Kinds of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnField {
    /// The medical record number.
    Identifier,
    /// The whole name.
    Name,
    /// The given name, where it has a column of its own.
    GivenName,
    /// The family name, where it has a column of its own.
    FamilyName,
    /// Date of birth.
    BirthDate,
    /// The care manager's initial assessment.
    EnrolledOn,
    /// Consent.
    ConsentOn,
    /// The care manager.
    CareManager,
    /// The patient's own doctor.
    PrimaryCareProvider,
    /// The psychiatric consultant.
    PsychiatricConsultant,
    /// Where the course stands; checked against the dates.
    Status,
    /// The last clinical contact.
    LastContactOn,
    /// The last psychiatric case review.
    LastReviewOn,
    /// The beginning of a pause.
    HeldOn,
    /// The beginning of relapse prevention.
    RelapsePreventionOn,
    /// The end.
    DischargedOn,
    /// Why it ended.
    DischargeReason,
    /// The payer.
    Payer,
    /// Free text: kept in the timeline.
    Note,
}

impl ColumnField {
    fn is_date(self) -> bool {
        matches!(
            self,
            Self::BirthDate
                | Self::EnrolledOn
                | Self::ConsentOn
                | Self::LastContactOn
                | Self::LastReviewOn
                | Self::HeldOn
                | Self::RelapsePreventionOn
                | Self::DischargedOn
        )
    }
}

/// The order of day and month where a date is written `1/5/2026`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// 5 January.
    MonthFirst,
    /// 1 May.
    DayFirst,
}

/// A score and its date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreColumns {
    /// The instrument.
    pub instrument: Instrument,
    /// The column of the total; may be left out where there are answers.
    pub score: Option<String>,
    /// The column of its date; the date of enrollment where it is left out.
    pub taken_on: Option<String>,
    /// The columns of the answers, by the number of the item, from 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<usize, String>,
}

/// Words of this clinic, beside those that are known. In any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClinicWords {
    /// For where a course stands.
    pub status: BTreeMap<String, Phase>,
    /// For why it ended.
    pub discharge_reason: BTreeMap<String, DischargeReason>,
    /// For who pays.
    pub payer: BTreeMap<String, Payer>,
}

/// How a spreadsheet is read. A column is named by its title; of several of the same title the second is `Title#2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnMapping {
    /// The order of day and month. Where it is left out, the file says: dates of a column that can be read in one way only
    /// decide for the others, and where there is none, the month comes first.
    pub dates: Option<DateOrder>,
    /// What is in which column.
    pub columns: BTreeMap<ColumnField, String>,
    /// The scores, with their dates.
    pub scores: Vec<ScoreColumns>,
    /// Meaning of the clinic's own words.
    pub words: ClinicWords,
}

/// The most scores that a mapping names.
const MOST_SCORES: usize = 500;

impl ColumnMapping {
    /// Every title that it names, in small letters.
    pub fn titles(&self) -> HashSet<String> {
        let scores = self.scores.iter().flat_map(|one| one.score.iter().chain(&one.taken_on).chain(one.items.values()));
        self.columns.values().chain(scores).map(|title| title.trim().to_lowercase()).collect()
    }
}

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
