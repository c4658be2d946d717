//! A story put in order once, so that it can be read as of many dates: the planner looks ahead day by day.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::care::{Care, CareEntry, Risk};
use super::episode::{Course, Episode};
use super::instrument::Instrument;
use super::measurement::{EvidenceStatus, Measurement};
use super::story::{Score, Story};

/// A documented assessment of suicide risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessment<'a> {
    pub at: DateTime<Utc>,
    pub on: NaiveDate,
    pub entry: Uuid,
    /// The risk it came to.
    pub risk: Option<Risk>,
    pub instrument: &'a str,
    pub assessor: &'a str,
}

impl<'a> Assessment<'a> {
    fn of(entry: &'a CareEntry) -> Option<Self> {
        let Care::SafetyAssessment { risk, instrument, assessor, .. } = &entry.care else { return None };
        Some(Self { at: entry.at, on: entry.on, entry: entry.id, risk: *risk, instrument, assessor })
    }

    /// Whether it found no more than a low risk. Where nobody recorded the risk it is not known.
    pub fn found_low_risk(&self) -> bool {
        matches!(self.risk, Some(Risk::None | Risk::Low))
    }
}

/// A story in order of time. Everything here is sorted by local date first: "as of" is a prefix.
#[derive(Debug)]
pub struct History<'a> {
    /// The story.
    pub story: &'a Story,
    entries: Vec<&'a CareEntry>,
    episodes: Vec<&'a Episode>,
    scores: Vec<(Instrument, Vec<Score<'a>>)>,
    forms: Vec<&'a Measurement>,
    withdrawn: Vec<&'a Measurement>,
    assessments: Vec<Assessment<'a>>,
}

impl<'a> History<'a> {
    /// Puts a story in order.
    pub fn of(story: &'a Story) -> Self {
        let entries = story.standing_entries();
        let mut episodes: Vec<&Episode> = story.episodes.iter().collect();
        episodes.sort_by_key(|e| (e.enrolled_on, e.id));
        let mut instruments: Vec<Instrument> = story
            .episodes
            .iter()
            .flat_map(|e| e.target_instruments.iter().chain([&e.primary_instrument]))
            .copied()
            .collect();
        instruments.sort_unstable();
        instruments.dedup();
        let scores = instruments.into_iter().map(|i| (i, story.scores(i, NaiveDate::MAX))).collect();
        let (mut forms, mut withdrawn): (Vec<&Measurement>, Vec<&Measurement>) = story
            .measurements
            .iter()
            .filter(|m| asks_about_suicide(m))
            .partition(|m| m.counting != EvidenceStatus::Retracted);
        forms.sort_by_key(|m| (m.taken_on, m.taken_at, m.item9, m.id));
        withdrawn.sort_by_key(|m| (m.taken_on, m.taken_at, m.item9, m.id));
        let mut assessments: Vec<Assessment<'_>> = entries.iter().filter_map(|e| Assessment::of(e)).collect();
        assessments.sort_by_key(|a| (a.on, a.at, a.entry));
        Self { story, entries, episodes, scores, forms, withdrawn, assessments }
    }

    /// R3: the effective scores of a targeted instrument up to a date, one per local day, in order.
    pub fn scores(&self, instrument: Instrument, as_of: NaiveDate) -> &[Score<'a>] {
        let all = self.scores.iter().find(|(i, _)| *i == instrument).map_or(&[][..], |(_, scores)| scores);
        &all[..all.partition_point(|s| s.on <= as_of)]
    }

    /// The forms that ask about suicide and stand, finished or not, up to a date, in order of time.
    pub fn forms(&self, as_of: NaiveDate) -> &[&'a Measurement] {
        &self.forms[..self.forms.partition_point(|m| m.taken_on <= as_of)]
    }

    /// The forms that asked about suicide and were withdrawn, up to a date, in order of time.
    pub fn withdrawn_forms(&self, as_of: NaiveDate) -> &[&'a Measurement] {
        &self.withdrawn[..self.withdrawn.partition_point(|m| m.taken_on <= as_of)]
    }

    /// Assessments of suicide risk up to a date, in order of time.
    pub fn assessments(&self, as_of: NaiveDate) -> &[Assessment<'a>] {
        &self.assessments[..self.assessments.partition_point(|a| a.on <= as_of)]
    }

    /// Entries up to a date, in order of time, without those taken back.
    pub fn entries(&self, as_of: NaiveDate) -> &[&'a CareEntry] {
        &self.entries[..self.entries.partition_point(|e| e.on <= as_of)]
    }

    /// Each episode as it stands on a date, in order of enrollment.
    pub fn courses(&self, as_of: NaiveDate) -> Vec<Course<'a>> {
        let entries = self.entries(as_of);
        self.episodes.iter().map(|e| Course::on(e, entries, self.story.patient.deceased_on, as_of)).collect()
    }

    /// The first date after `date` on which something known happens: normally none, for facts lie in the past.
    pub fn next_fact(&self, date: NaiveDate) -> Option<NaiveDate> {
        let entries = self.entries.get(self.entries.partition_point(|e| e.on <= date)).map(|e| e.on);
        let measurements = self.story.measurements.iter().map(|m| m.taken_on).filter(|on| *on > date).min();
        let enrollments = self.episodes.iter().filter_map(|e| e.enrolled_on).filter(|on| *on > date).min();
        let death = self.story.patient.deceased_on.filter(|on| *on > date);
        [entries, measurements, enrollments, death].into_iter().flatten().min()
    }
}

impl Story {
    /// Each episode as it stands on a date, in order of enrollment.
    pub fn courses(&self, as_of: NaiveDate) -> Vec<Course<'_>> {
        History::of(self).courses(as_of)
    }
}

fn asks_about_suicide(m: &Measurement) -> bool {
    m.instrument.self_harm_item().is_some()
}
