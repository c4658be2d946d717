//! The role of each column of a spreadsheet, as a choice on the page.

use std::collections::BTreeMap;

use crate::domain::instrument::Instrument;
use crate::intake::spreadsheet::ColumnMapping;
use crate::intake::spreadsheet::mapping::{ClinicWords, ColumnField, DateOrder, ScoreColumns};
use crate::pages::caseload::choice::SelectOption;
use crate::pages::session::FormPost;
use crate::problem::Problem;

/// Fields of a column in words, in the order in which they are offered.
const FIELDS: [(ColumnField, &str); 19] = [
    (ColumnField::Identifier, "record number"),
    (ColumnField::Name, "whole name"),
    (ColumnField::GivenName, "given name"),
    (ColumnField::FamilyName, "family name"),
    (ColumnField::BirthDate, "birth date"),
    (ColumnField::EnrolledOn, "enrolled on"),
    (ColumnField::ConsentOn, "consent on"),
    (ColumnField::CareManager, "care manager"),
    (ColumnField::PrimaryCareProvider, "primary care provider"),
    (ColumnField::PsychiatricConsultant, "psychiatric consultant"),
    (ColumnField::Status, "status"),
    (ColumnField::LastContactOn, "last contact on"),
    (ColumnField::LastReviewOn, "last case review on"),
    (ColumnField::HeldOn, "on hold since"),
    (ColumnField::RelapsePreventionOn, "relapse prevention since"),
    (ColumnField::DischargedOn, "discharged on"),
    (ColumnField::DischargeReason, "discharge reason"),
    (ColumnField::Payer, "payer"),
    (ColumnField::Note, "note"),
];

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    Field(ColumnField),
    /// The total of a score; scores are numbered in the mapping.
    Total(usize, Instrument),
    /// The date of a score.
    TakenOn(usize, Instrument),
    /// An answer of a score.
    Answer(usize, Instrument, usize),
}

impl ColumnRole {
    /// Its value in a form.
    fn value(self) -> String {
        match self {
            Self::Field(field) => {
                let place = FIELDS.iter().position(|(known, _)| *known == field).unwrap_or_default();
                format!("field {place}")
            }
            Self::Total(n, instrument) => format!("total {n} {}", instrument.id()),
            Self::TakenOn(n, instrument) => format!("date {n} {}", instrument.id()),
            Self::Answer(n, instrument, item) => format!("answer {n} {} {item}", instrument.id()),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Field(field) => {
                let known = FIELDS.iter().find(|(known, _)| *known == field);
                known.map_or_else(String::new, |(_, words)| (*words).to_owned())
            }
            Self::Total(n, instrument) => format!("score {}: {} total", n + 1, instrument.title()),
            Self::TakenOn(n, instrument) => format!("score {}: {} date", n + 1, instrument.title()),
            Self::Answer(n, instrument, item) => format!("score {}: {} item {item}", n + 1, instrument.title()),
        }
    }

    /// Reads the value of a form. `None` for a column that is not read.
    fn read(value: &str) -> Result<Option<Self>, Problem> {
        let fault = || Problem::unprocessable("a column is read as something that is unknown here");
        let parts: Vec<&str> = value.split_whitespace().collect();
        let number = |text: &str| text.parse::<usize>().map_err(|_| fault());
        let instrument = |text: &str| text.parse::<Instrument>().map_err(|_| fault());
        Ok(Some(match parts.as_slice() {
            [] => return Ok(None),
            ["field", place] => Self::Field(FIELDS.get(number(place)?).ok_or_else(fault)?.0),
            ["total", n, of] => Self::Total(number(n)?, instrument(of)?),
            ["date", n, of] => Self::TakenOn(number(n)?, instrument(of)?),
            ["answer", n, of, item] => Self::Answer(number(n)?, instrument(of)?, number(item)?),
            _ => return Err(fault()),
        }))
    }

    /// Everything that a column may be: the fields, the scores that were found, and one more of the two usual scales.
    pub fn options(found: &[(String, Self)], chosen: Option<Self>) -> Vec<SelectOption> {
        let mut roles: Vec<Self> = FIELDS.iter().map(|(field, _)| Self::Field(*field)).collect();
        let mut scores: Vec<Self> =
            found.iter().map(|(_, role)| *role).filter(|role| !matches!(role, Self::Field(_))).collect();
        let next = scores.iter().map(|role| role.score().map_or(0, |n| n + 1)).max().unwrap_or_default();
        for (n, instrument) in [(next, Instrument::PHQ9), (next + 1, Instrument::GAD7)] {
            scores.extend([Self::Total(n, instrument), Self::TakenOn(n, instrument)]);
        }
        scores.sort_by_key(|role| (role.score(), role.value()));
        roles.extend(scores);
        let none = SelectOption { value: String::new(), words: "not read".to_owned(), chosen: chosen.is_none() };
        let option =
            |role: Self| SelectOption { value: role.value(), words: role.words(), chosen: chosen == Some(role) };
        std::iter::once(none).chain(roles.into_iter().map(option)).collect()
    }

    /// The number of its score.
    fn score(self) -> Option<usize> {
        match self {
            Self::Field(_) => None,
            Self::Total(n, _) | Self::TakenOn(n, _) | Self::Answer(n, ..) => Some(n),
        }
    }
}

/// The titles that a mapping names, each with its role.
pub fn roles_in(mapping: &ColumnMapping) -> Vec<(String, ColumnRole)> {
    let mut roles: Vec<(String, ColumnRole)> =
        mapping.columns.iter().map(|(field, title)| (title.clone(), ColumnRole::Field(*field))).collect();
    for (n, score) in mapping.scores.iter().enumerate() {
        let of = score.instrument;
        roles.extend(score.score.iter().map(|title| (title.clone(), ColumnRole::Total(n, of))));
        roles.extend(score.taken_on.iter().map(|title| (title.clone(), ColumnRole::TakenOn(n, of))));
        roles.extend(score.items.iter().map(|(item, title)| (title.clone(), ColumnRole::Answer(n, of, *item))));
    }
    roles
}

/// The score of this number; a new one of the instrument where there is none yet.
fn score(scores: &mut BTreeMap<usize, ScoreColumns>, number: usize, instrument: Instrument) -> &mut ScoreColumns {
    let blank = ScoreColumns { instrument, score: None, taken_on: None, items: BTreeMap::new() };
    scores.entry(number).or_insert(blank)
}

/// The mapping that was chosen on the page; `None` before anything was chosen: then the titles say.
pub fn mapping_of(form: &FormPost) -> Result<Option<ColumnMapping>, Problem> {
    let all = |name: &str| form.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
    let (titles, roles): (Vec<String>, Vec<String>) = (all("column"), all("role"));
    if roles.is_empty() || form.get("again").is_none() {
        return Ok(None);
    }
    let dates = match form.get("dates") {
        Some("month_first") => Some(DateOrder::MonthFirst),
        Some("day_first") => Some(DateOrder::DayFirst),
        _ => None,
    };
    let mut columns = BTreeMap::new();
    let mut scores: BTreeMap<usize, ScoreColumns> = BTreeMap::new();
    for (title, role) in titles.into_iter().zip(&roles) {
        let Some(role) = ColumnRole::read(role)? else { continue };
        let before = match role {
            ColumnRole::Field(field) => columns.insert(field, title),
            ColumnRole::Total(n, of) => score(&mut scores, n, of).score.replace(title),
            ColumnRole::TakenOn(n, of) => score(&mut scores, n, of).taken_on.replace(title),
            ColumnRole::Answer(n, of, item) => score(&mut scores, n, of).items.insert(item, title),
        };
        if before.is_some() {
            return Err(Problem::unprocessable(format!("two columns are read as {}", role.words())));
        }
    }
    let scores = scores.into_values().collect();
    Ok(Some(ColumnMapping { dates, columns, scores, words: ClinicWords::default() }))
}

#[cfg(test)]
mod tests {
    use super::{ColumnRole, FIELDS};
    use crate::domain::instrument::Instrument;

    #[test]
    fn every_role_is_read_as_it_was_written() {
        let mut all: Vec<ColumnRole> = FIELDS.iter().map(|(field, _)| ColumnRole::Field(*field)).collect();
        all.extend([
            ColumnRole::Total(0, Instrument::PHQ9),
            ColumnRole::TakenOn(12, Instrument::GAD7),
            ColumnRole::Answer(1, Instrument::PHQ9, 9),
        ]);
        for role in all {
            assert_eq!(ColumnRole::read(&role.value()).unwrap(), Some(role));
        }
        assert_eq!(ColumnRole::read("").unwrap(), None);
        for rubbish in ["field 99", "total x phq9", "total 0 nothing", "answer 0 phq9", "<b>"] {
            assert!(ColumnRole::read(rubbish).is_err(), "{rubbish}");
        }
    }
}
