//! One row, in words and pictures.

use askama::filters::HtmlSafe;
use chrono::NaiveDate;

use crate::domain::caseload_row::{CaseloadRow, MeasureCell, NextContactKind};
use crate::domain::episode::Phase;
use crate::domain::instrument::Instrument;
use crate::id::PatientId;
use crate::pages::date_texts::{day, in_sentence};
use crate::pages::identity::PersonIdentity;
use crate::pages::sparkline::Sparkline;
use crate::pages::words::{self, Tone};
use crate::store::standing::caseload;

pub struct CaseloadPageRow {
    pub patient: PatientId,
    pub name: String,
    /// Birth date and record number.
    pub identity: PersonIdentity,
    pub flags: Vec<(&'static str, &'static str, Tone)>,
    /// The phase, where it is not plainly active.
    pub phase: Option<&'static str>,
    pub week: String,
    pub depression: Vec<MeasureCellView>,
    pub others: Vec<MeasureCellView>,
    pub item9: Option<(u8, &'static str)>,
    pub last_contact: Option<String>,
    /// The date in words, and whether it is past.
    pub next_contact: Option<(String, bool)>,
    pub last_review: Option<String>,
    pub enrolled: bool,
    pub due: Vec<(&'static str, String, bool)>,
    pub why: String,
    pub also: Vec<(&'static str, Tone)>,
    pub care_manager: String,
}

pub struct MeasureCellView {
    /// Named where the column does not say it.
    pub title: Option<&'static str>,
    pub baseline: String,
    pub latest: Option<String>,
    pub percent: Option<String>,
    pub status: &'static str,
    pub tone: Tone,
    /// The date of the latest score, or since when there is none.
    pub when: String,
    pub trend: Option<Sparkline>,
}

// The picture escapes what it is made of.
impl HtmlSafe for Sparkline {}

impl MeasureCellView {
    pub fn of(gauge: &MeasureCell, today: NaiveDate, titled: bool) -> Self {
        let (status, tone) = words::status(gauge.status);
        let when = match (gauge.latest, gauge.baseline) {
            (Some((_, on)), _) => day(on, today),
            (None, Some((_, on, _))) => format!("no score since {}", day(on, today)),
            (None, None) => String::new(),
        };
        Self {
            title: titled.then(|| gauge.instrument.title()),
            baseline: gauge.baseline.map_or_else(|| "–".to_owned(), |(score, ..)| score.to_string()),
            latest: gauge.latest.map(|(score, _)| score.to_string()),
            percent: gauge.percent.map(percent),
            status,
            tone,
            when,
            trend: Sparkline::of(gauge),
        }
    }
}

/// `−57 %`, with a real minus.
pub fn percent(change: i32) -> String {
    match change {
        0 => "±0 %".to_owned(),
        c if c < 0 => format!("−{} %", -c),
        c => format!("+{c} %"),
    }
}

impl CaseloadPageRow {
    /// Builds the row from the stored columns and the caseload row.
    pub fn of(read: &caseload::EpisodeListing, identity: PersonIdentity, line: &CaseloadRow, today: NaiveDate) -> Self {
        let phase: Option<Phase> = read.status.parse().ok();
        let measured = |depression: bool| {
            line.measures
                .iter()
                .filter(|g| g.instrument.measures_depression() == depression)
                .map(|g| MeasureCellView::of(g, today, !matches!(g.instrument, Instrument::PHQ9 | Instrument::GAD7)))
                .collect()
        };
        Self {
            patient: read.patient_id,
            name: read.display_name.clone(),
            identity,
            flags: flags(read, line),
            phase: phase.filter(|phase| *phase != Phase::Active).map(words::phase),
            week: read
                .enrolled_on
                .map_or_else(|| "–".to_owned(), |on| (today - on).num_days().div_euclid(7).to_string()),
            depression: measured(true),
            others: measured(false),
            item9: line
                .item9
                .map(|item9| (item9.answer, if item9.before && item9.answer == 0 { "was > 0" } else { "" })),
            last_contact: line.last_contact.map(|on| day(on, today)),
            next_contact: line.next_contact.map(|(on, what)| next_contact(on, what, today)),
            last_review: line.last_review.map(|on| day(on, today)),
            enrolled: read.enrolled_on.is_some(),
            due: line
                .due
                .iter()
                .map(|(code, on)| {
                    (
                        words::code(*code),
                        on.map_or_else(String::new, |on| day(on, today)),
                        on.is_some_and(|on| on < today),
                    )
                })
                .collect(),
            why: in_sentence(words::without_notice(line.why.as_deref().unwrap_or_default()), today),
            also: line.also.iter().map(|rule| words::rule(*rule)).collect(),
            care_manager: read.care_manager.clone().unwrap_or_default(),
        }
    }
}

fn next_contact(on: NaiveDate, what: NextContactKind, today: NaiveDate) -> (String, bool) {
    let when = day(on, today);
    match what {
        NextContactKind::Appointment => (format!("booked {when}"), false),
        NextContactKind::Missed => (format!("booked {when}, not documented"), true),
        NextContactKind::Due if on < today => (format!("due {when}, overdue"), true),
        NextContactKind::Due => (format!("due {when}"), false),
    }
}

fn flags(read: &caseload::EpisodeListing, line: &CaseloadRow) -> Vec<(&'static str, &'static str, Tone)> {
    let mut flags = Vec::new();
    if read.open_safety {
        flags.push(("‼", "Unassessed safety answer", Tone::Danger));
    }
    if read.findings.has_any(words::NOT_IMPROVING) {
        flags.push(("▲", "Not improving", Tone::Bad));
    }
    if line.flagged {
        flags.push(("⚑", "Flagged for discussion", Tone::Watch));
    }
    if read.at_target {
        flags.push(("✓", "At target", Tone::Good));
    }
    flags
}
