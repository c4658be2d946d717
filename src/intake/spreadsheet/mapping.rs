//! Meaning of columns and words.

use std::collections::BTreeMap;

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

/// The order of day and month where a date is written `1/5/2026`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// 5 January.
    #[default]
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
    /// The column of the total.
    pub score: String,
    /// The column of its date; the date of enrollment where it is left out.
    pub taken_on: Option<String>,
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
    /// The order of day and month.
    pub dates: DateOrder,
    /// Column title for each field.
    pub columns: BTreeMap<ColumnField, String>,
    /// The scores, with their dates.
    pub scores: Vec<ScoreColumns>,
    /// Meaning of the clinic's own words.
    pub words: ClinicWords,
}

/// A mapping, found in a file.
#[derive(Clone, Debug)]
pub struct Columns {
    fields: BTreeMap<ColumnField, usize>,
    /// Instrument, column of the score, column of its date.
    pub scores: Vec<(Instrument, usize, Option<usize>)>,
}

impl Columns {
    /// Finds the columns.
    ///
    /// # Errors
    /// Names the part of the mapping that is not in the file, or that is needed and missing.
    pub fn of(mapping: &ColumnMapping, sheet: &Sheet) -> Result<Self, Problem> {
        let find = |title: &str, at: String| {
            sheet.column(title).ok_or_else(|| Problem::unprocessable("no column of the file has this title").at(at))
        };
        let mut fields = BTreeMap::new();
        for (field, title) in &mapping.columns {
            fields.insert(*field, find(title, format!("mapping.columns.{}", name(*field)))?);
        }
        let mut scores = Vec::with_capacity(mapping.scores.len());
        for (n, columns) in mapping.scores.iter().enumerate() {
            let score = find(&columns.score, format!("mapping.scores[{n}].score"))?;
            let taken_on = columns.taken_on.as_deref();
            let taken_on = taken_on.map(|title| find(title, format!("mapping.scores[{n}].taken_on"))).transpose()?;
            scores.push((columns.instrument, score, taken_on));
        }
        for needed in [ColumnField::Identifier, ColumnField::EnrolledOn] {
            if !fields.contains_key(&needed) {
                let detail = "this column is needed, and was neither named nor found";
                return Err(Problem::unprocessable(detail).at(format!("mapping.columns.{}", name(needed))));
            }
        }
        Ok(Self { fields, scores })
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
                || self.scores.iter().any(|(_, score, date)| *score == column || *date == Some(column))
        };
        let titles = sheet.titles.iter().enumerate();
        titles.filter(|(n, title)| !read(*n) && !title.is_empty()).map(|(_, title)| title.clone()).collect()
    }
}

/// A field's name in a mapping.
fn name(field: ColumnField) -> String {
    serde_json::to_value(field).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
