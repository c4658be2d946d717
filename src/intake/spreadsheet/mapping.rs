//! Meaning of columns and words.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::care::{DischargeReason, Payer};
use crate::domain::episode::Phase;
use crate::domain::instrument::Instrument;

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
    pub fn is_date(self) -> bool {
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

impl ColumnMapping {
    /// Every title that it names, in small letters.
    pub fn titles(&self) -> HashSet<String> {
        let scores = self.scores.iter().flat_map(|one| one.score.iter().chain(&one.taken_on).chain(one.items.values()));
        self.columns.values().chain(scores).map(|title| title.trim().to_lowercase()).collect()
    }
}
