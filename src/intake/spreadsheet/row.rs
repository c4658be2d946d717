//! One row, read and checked by itself: everything that is wrong with it is told at once.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use uuid::Uuid;

use super::RowError;
use super::columns::{Columns, ScoreCells};
use super::date::{self, ColumnOrder, DateReading, Orders};
use super::grid::Record;
use super::mapping::{ColumnField, ColumnMapping, DateOrder};
use super::record_number;
use super::sheet::Sheet;
use crate::domain::care::{DischargeReason, Payer};
use crate::domain::episode::{Episode, Phase};
use crate::domain::instrument::Instrument;
use crate::id::EpisodeId;
use crate::record::{ImportedCase, ImportedScore};

/// Context for reading a row.
pub struct RowContext<'a> {
    /// Where the columns are.
    pub columns: &'a Columns,
    /// How they are read.
    pub mapping: &'a ColumnMapping,
    /// In which order their dates are written.
    pub orders: &'a Orders,
    pub sheet: &'a Sheet,
    /// The clinic's today.
    pub today: NaiveDate,
    /// The namespace of the record numbers.
    pub system: &'a str,
}

/// Words for where a course stands.
const STATUSES: &[(&str, Phase)] = &[
    ("active", Phase::Active),
    ("a", Phase::Active),
    ("enrolled", Phase::Active),
    ("treatment", Phase::Active),
    ("tx", Phase::Active),
    ("active treatment", Phase::Active),
    ("in treatment", Phase::Active),
    ("relapse prevention", Phase::RelapsePrevention),
    ("rp", Phase::RelapsePrevention),
    ("rpp", Phase::RelapsePrevention),
    ("maintenance", Phase::RelapsePrevention),
    ("on hold", Phase::OnHold),
    ("hold", Phase::OnHold),
    ("paused", Phase::OnHold),
    ("referred", Phase::Referred),
    ("pending", Phase::Referred),
    ("discharged", Phase::Discharged),
    ("inactive", Phase::Discharged),
    ("closed", Phase::Discharged),
    ("i", Phase::Discharged),
    ("d c", Phase::Discharged),
    ("dc", Phase::Discharged),
    ("graduated", Phase::Discharged),
];

/// Words for why a course ended, beside the registry's own.
const REASONS: &[(&str, DischargeReason)] = &[
    ("completed", DischargeReason::Graduated),
    ("completed treatment", DischargeReason::Graduated),
    ("treatment complete", DischargeReason::Graduated),
    ("goals met", DischargeReason::Graduated),
    ("improved", DischargeReason::Graduated),
    ("ltfu", DischargeReason::LostToFollowUp),
    ("lost to follow up", DischargeReason::LostToFollowUp),
    ("lost to followup", DischargeReason::LostToFollowUp),
    ("unable to contact", DischargeReason::LostToFollowUp),
    ("unable to reach", DischargeReason::LostToFollowUp),
    ("inactivity", DischargeReason::AdministrativeInactivity),
    ("withdrew", DischargeReason::Withdrew),
    ("declined", DischargeReason::Withdrew),
    ("declined services", DischargeReason::Withdrew),
    ("patient declined", DischargeReason::Withdrew),
    ("no longer interested", DischargeReason::Withdrew),
    ("referred out", DischargeReason::TransferredOther),
    ("transferred", DischargeReason::TransferredOther),
    ("moved", DischargeReason::TransferredOther),
    ("higher level of care", DischargeReason::TransferredHigherLevelOfCare),
    ("referred to specialty", DischargeReason::TransferredHigherLevelOfCare),
    ("deceased", DischargeReason::Died),
    ("death", DischargeReason::Died),
];

/// Words for who pays, beside the registry's own.
const PAYERS: &[(&str, Payer)] = &[
    ("private", Payer::Commercial),
    ("private insurance", Payer::Commercial),
    ("self pay", Payer::Other),
    ("uninsured", Payer::Other),
    ("none", Payer::Other),
    ("va", Payer::Other),
];

/// Reads a row.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(context: &RowContext<'_>, record: &Record) -> Result<ImportedCase, Vec<RowError>> {
    let mut reader = RowReader { context, record, errors: Vec::new() };
    let case = reader.case();
    if reader.errors.is_empty() { Ok(case) } else { Err(reader.errors) }
}

struct RowReader<'a> {
    context: &'a RowContext<'a>,
    record: &'a Record,
    errors: Vec<RowError>,
}

impl RowReader<'_> {
    fn case(&mut self) -> ImportedCase {
        let identifier = self.identifier();
        let enrolled_on = self.date(ColumnField::EnrolledOn);
        let status =
            self.word(ColumnField::Status, STATUSES, &self.context.mapping.words.status, Phase::ALL, Phase::as_str);
        if enrolled_on.is_none() && status != Some(Phase::Referred) && !self.has_error(ColumnField::EnrolledOn) {
            self.wrong(ColumnField::EnrolledOn, "a date of enrollment is needed, unless the status is referred");
        }
        let words = &self.context.mapping.words.discharge_reason;
        let reason =
            self.word(ColumnField::DischargeReason, REASONS, words, DischargeReason::ALL, DischargeReason::as_str);
        let words = &self.context.mapping.words.payer;
        let payer = self.word(ColumnField::Payer, PAYERS, words, Payer::ALL, Payer::as_str);
        let birth_date = self.birth_date();
        let consent_on = self.date(ColumnField::ConsentOn);
        let scores = self.scores(enrolled_on);
        let [contact, review, held_on, relapse_prevention_on] = [
            ColumnField::LastContactOn,
            ColumnField::LastReviewOn,
            ColumnField::HeldOn,
            ColumnField::RelapsePreventionOn,
        ]
        .map(|field| self.within(field, enrolled_on));
        let discharged_on = self.within(ColumnField::DischargedOn, enrolled_on);
        let discharge = self.discharge(discharged_on, reason, status);
        self.phase(status, relapse_prevention_on, held_on);
        for (field, on) in
            [(ColumnField::LastContactOn, contact), (ColumnField::RelapsePreventionOn, relapse_prevention_on)]
        {
            if let (Some(on), Some((end, _))) = (on, discharge)
                && on > end
            {
                self.wrong(field, "after the discharge");
            }
        }
        let (name, family) = self.name();
        let mut targets = vec![Instrument::PHQ9];
        for ImportedScore { instrument, .. } in &scores {
            if !targets.contains(instrument) {
                targets.push(*instrument);
            }
        }
        ImportedCase {
            key: format!("{}|{}", self.context.system, identifier.unwrap_or_default()),
            name,
            family,
            birth_date,
            episode: Episode {
                id: EpisodeId(Uuid::nil()),
                enrolled_on,
                consent_on,
                primary_instrument: Instrument::PHQ9,
                target_instruments: targets,
                care_manager: self.text(ColumnField::CareManager),
                primary_care_provider: self.text(ColumnField::PrimaryCareProvider),
                psychiatric_consultant: self.text(ColumnField::PsychiatricConsultant),
            },
            scores,
            contacts: contact.into_iter().collect(),
            reviews: review.into_iter().collect(),
            held_on: held_on.filter(|_| status == Some(Phase::OnHold)),
            relapse_prevention_on,
            discharge,
            payer,
            note: self.text(ColumnField::Note),
        }
    }

    fn cell(&self, column: usize) -> &str {
        let cell = self.record.cells.get(column).map_or("", String::as_str);
        let is_nothing = ["", "-", "--", "n/a", "na", "none", "null", "unknown", "tbd"];
        if is_nothing.contains(&cell.to_ascii_lowercase().as_str()) { "" } else { cell }
    }

    fn of(&self, field: ColumnField) -> &str {
        self.context.columns.get(field).map_or("", |column| self.cell(column))
    }

    /// The record number, as the chart has it.
    fn identifier(&mut self) -> Option<String> {
        let number = record_number::read(self.of(ColumnField::Identifier));
        number.map_err(|detail| self.wrong(ColumnField::Identifier, detail)).ok()
    }

    fn text(&mut self, field: ColumnField) -> Option<String> {
        // A space that does not break is a space.
        let text = self.of(field).replace('\u{a0}', " ");
        if text.chars().count() > 20_000 {
            self.wrong(field, "longer than 20,000 characters");
            return None;
        }
        (!text.is_empty()).then_some(text)
    }

    fn wrong(&mut self, field: ColumnField, detail: &str) {
        let column = self.context.columns.get(field);
        self.wrong_at(column, detail.to_owned());
    }

    fn wrong_at(&mut self, column: Option<usize>, detail: String) {
        let column = column.and_then(|column| self.context.sheet.titles.get(column)).cloned();
        self.errors.push(RowError { row: self.record.row, column, detail });
    }

    fn has_error(&self, field: ColumnField) -> bool {
        let title = self.context.columns.get(field).and_then(|column| self.context.sheet.titles.get(column));
        title.is_some() && self.errors.iter().any(|error| error.column.as_ref() == title)
    }

    /// A date that may lie no more than a day in the future.
    fn date_at(&mut self, column: usize) -> Option<NaiveDate> {
        let text = self.cell(column);
        if text.is_empty() {
            return None;
        }
        let on = match date::read(text, self.context.orders.of_column(column), false) {
            DateReading::Date(on) => on,
            DateReading::Either => {
                self.wrong_at(Some(column), EITHER.to_owned());
                return None;
            }
            DateReading::Nothing => {
                self.wrong_at(Some(column), self.no_date(column));
                return None;
            }
        };
        if on > self.context.today + chrono::Days::new(1) {
            self.wrong_at(Some(column), "in the future".to_owned());
            return None;
        }
        Some(on)
    }

    fn no_date(&self, column: usize) -> String {
        let known = match self.context.orders.of_column(column) {
            ColumnOrder::Is(DateOrder::DayFirst) => "25/2/2026, the day first,",
            ColumnOrder::Is(DateOrder::MonthFirst) => "2/25/2026, the month first,",
            ColumnOrder::Mixed => "2/25/2026",
        };
        format!("not a date that is known here, as in {known} or 2026-02-25")
    }

    fn date(&mut self, field: ColumnField) -> Option<NaiveDate> {
        self.context.columns.get(field).and_then(|column| self.date_at(column))
    }

    /// A date that is not before the enrollment.
    fn within(&mut self, field: ColumnField, enrolled_on: Option<NaiveDate>) -> Option<NaiveDate> {
        let on = self.date(field)?;
        if enrolled_on.is_some_and(|enrolled| on < enrolled) {
            self.wrong(field, "before the enrollment");
            return None;
        }
        Some(on)
    }

    fn birth_date(&mut self) -> Option<NaiveDate> {
        let text = self.of(ColumnField::BirthDate).to_owned();
        if text.is_empty() {
            return None;
        }
        let column = self.context.columns.get(ColumnField::BirthDate).unwrap_or_default();
        match date::read(&text, self.context.orders.of_column(column), true) {
            DateReading::Date(on) if on <= self.context.today && on.year() >= 1900 => Some(on),
            DateReading::Either => {
                self.wrong(ColumnField::BirthDate, EITHER);
                None
            }
            DateReading::Date(_) => {
                self.wrong(ColumnField::BirthDate, "in the future");
                None
            }
            DateReading::Nothing => {
                self.wrong(ColumnField::BirthDate, "not a date with a year of four digits");
                None
            }
        }
    }

    fn scores(&mut self, enrolled_on: Option<NaiveDate>) -> Vec<ImportedScore> {
        let mut scores: Vec<ImportedScore> = Vec::new();
        for cells in &self.context.columns.scores {
            let Some(score) = self.score(cells, enrolled_on) else { continue };
            let is_same = |known: &&ImportedScore| (known.instrument, known.on) == (score.instrument, score.on);
            match scores.iter().find(is_same) {
                Some(known) if *known == score => {}
                Some(_) => {
                    let detail = "another score of the same instrument and date".to_owned();
                    self.wrong_at(cells.total.or(cells.taken_on), detail);
                }
                None => scores.push(score),
            }
        }
        scores
    }

    /// A score with its date; `None` where there is none, or something is wrong with it.
    fn score(&mut self, cells: &ScoreCells, enrolled_on: Option<NaiveDate>) -> Option<ImportedScore> {
        let before = self.errors.len();
        let instrument = cells.instrument;
        let definition = instrument.definition();
        let total = cells.total.and_then(|column| {
            let detail = format!("a total of {instrument} is a whole number from 0 to {}", instrument.max_total());
            self.number(column, instrument.max_total(), detail)
        });
        let mut items: Vec<Option<u8>> = vec![None; instrument.item_count()];
        for (item, column) in &cells.items {
            let most = definition.items.get(*item).map_or(0, |item| item.scale.max);
            let detail = format!("an answer to item {} of {instrument} is a whole number from 0 to {most}", item + 1);
            let answer = self.number(*column, u16::from(most), detail);
            items[*item] = answer.and_then(|answer| u8::try_from(answer).ok());
        }
        if items.iter().all(Option::is_none) {
            items.clear();
        }
        if self.errors.len() > before || (total.is_none() && items.is_empty()) {
            return None;
        }
        let on = match cells.taken_on {
            Some(date) => {
                let on = self.date_at(date);
                if on.is_none() && self.errors.len() == before {
                    self.wrong_at(Some(date), "the date of a score is needed".to_owned());
                }
                on?
            }
            None => enrolled_on?,
        };
        Some(ImportedScore { instrument, on, total, items })
    }

    /// A whole number, `18` or `18.0`.
    fn number(&mut self, column: usize, most: u16, detail: String) -> Option<u16> {
        let text: String = self.cell(column).chars().map(ordinary).collect();
        if text.is_empty() {
            return None;
        }
        let ends = [".0", ".00", ",0", ",00"];
        let whole = ends.into_iter().find_map(|end| text.strip_suffix(end)).unwrap_or(&text);
        let number = whole.trim().parse::<u16>().ok().filter(|number| *number <= most);
        if number.is_none() {
            self.wrong_at(Some(column), detail);
        }
        number
    }

    fn discharge(
        &mut self,
        on: Option<NaiveDate>,
        reason: Option<DischargeReason>,
        status: Option<Phase>,
    ) -> Option<(NaiveDate, DischargeReason)> {
        match (on, reason, status) {
            (Some(on), Some(reason), None | Some(Phase::Discharged)) => Some((on, reason)),
            (Some(_), _, Some(status)) if status != Phase::Discharged => {
                self.wrong(ColumnField::Status, "there is a date of discharge, and the status is another");
                None
            }
            (Some(_), None, _) if !self.has_error(ColumnField::DischargeReason) => {
                self.wrong(ColumnField::DischargeReason, "a discharge needs its reason");
                None
            }
            (None, _, Some(Phase::Discharged)) if !self.has_error(ColumnField::DischargedOn) => {
                self.wrong(ColumnField::DischargedOn, "a discharge needs its date");
                None
            }
            _ => None,
        }
    }

    /// A status needs the date since when it holds.
    fn phase(&mut self, status: Option<Phase>, prevention: Option<NaiveDate>, held: Option<NaiveDate>) {
        let field = match status {
            Some(Phase::RelapsePrevention) if prevention.is_none() => ColumnField::RelapsePreventionOn,
            Some(Phase::OnHold) if held.is_none() => ColumnField::HeldOn,
            Some(Phase::Active) if prevention.is_some() => {
                self.wrong(ColumnField::Status, "active, with a date of relapse prevention: which of the two holds?");
                return;
            }
            _ => return,
        };
        if !self.has_error(field) {
            self.wrong(field, "the status needs the date since when it holds");
        }
    }

    /// The name to show, and the family name.
    fn name(&mut self) -> (Option<String>, Option<String>) {
        let (given, family) = (self.text(ColumnField::GivenName), self.text(ColumnField::FamilyName));
        let whole = match (self.text(ColumnField::Name), &given, &family) {
            (Some(name), _, _) => Some(turned(&name)),
            (None, Some(given), Some(family)) => Some(format!("{given} {family}")),
            (None, given, family) => given.clone().or_else(|| family.clone()),
        };
        (whole, family)
    }

    /// Reads a word: first the clinic's own words, then known spellings, then the registry's.
    fn word<T: Copy>(
        &mut self,
        field: ColumnField,
        known: &[(&str, T)],
        own: &BTreeMap<String, T>,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.of(field).to_owned();
        if text.is_empty() {
            return None;
        }
        let said = simplified(&text);
        let found = own
            .iter()
            .find(|(word, _)| simplified(word) == said)
            .map(|(_, value)| *value)
            .or_else(|| known.iter().find(|(word, _)| *word == said).map(|(_, value)| *value))
            .or_else(|| all.iter().copied().find(|value| simplified(name(*value)) == said));
        if found.is_none() {
            let names = all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", ");
            let detail = format!("not a word that is known here; say in mapping.words which of these it is: {names}");
            self.wrong(field, &detail);
        }
        found
    }
}

/// What is said of a date in a column that is written in both orders.
const EITHER: &str = "day and month could be either: this column has dates of both orders; write 2026-02-25, or say in \
    mapping.dates which it is";

/// A full-width digit is a digit.
fn ordinary(c: char) -> char {
    match c {
        '\u{ff10}'..='\u{ff19}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    }
}

/// In small letters, with one space between words.
fn simplified(text: &str) -> String {
    let words: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `Lovelace, Ada` is Ada Lovelace, as the chart's names are shown.
fn turned(name: &str) -> String {
    match name.split_once(',') {
        Some((family, given)) if !given.trim().is_empty() && !given.contains(',') => {
            format!("{} {}", given.trim(), family.trim())
        }
        _ => name.to_owned(),
    }
}
