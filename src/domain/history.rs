//! A story put in order once, so that it can be read as of many dates: the planner looks ahead day by day.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::care::{Care, CareEntry};
use super::episode::{Course, Episode};
use super::instrument::Instrument;
use super::measurement::{EvidenceStatus, Measurement};
use super::story::{Score, Story};

/// When suicide risk was assessed: (instant, local date, entry).
pub type Assessment = (DateTime<Utc>, NaiveDate, Uuid);

/// A story in order of time. Everything here is sorted by local date first: "as of" is a prefix.
#[derive(Debug)]
pub struct History<'a> {
    /// The story.
    pub story: &'a Story,
    entries: Vec<&'a CareEntry>,
    episodes: Vec<&'a Episode>,
    scores: Vec<(Instrument, Vec<Score<'a>>)>,
    forms: Vec<&'a Measurement>,
    assessments: Vec<Assessment>,
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
        let mut forms: Vec<&Measurement> = story.measurements.iter().filter(|m| asks_about_suicide(m)).collect();
        forms.sort_by_key(|m| (m.taken_on, m.taken_at, m.item9, m.id));
        let mut assessments: Vec<Assessment> = entries
            .iter()
            .filter(|e| matches!(e.care, Care::SafetyAssessment { .. }))
            .map(|e| (e.at, e.on, e.id))
            .collect();
        assessments.sort_by_key(|(at, on, id)| (*on, *at, *id));
        Self { story, entries, episodes, scores, forms, assessments }
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

    /// Assessments of suicide risk up to a date, in order of time.
    pub fn assessments(&self, as_of: NaiveDate) -> &[Assessment] {
        &self.assessments[..self.assessments.partition_point(|(_, on, _)| *on <= as_of)]
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

    /// When suicide risk was assessed, up to a date, in order: (instant, date, entry).
    pub fn assessments(&self, as_of: NaiveDate) -> Vec<(DateTime<Utc>, NaiveDate, Uuid)> {
        History::of(self).assessments(as_of).to_vec()
    }
}

fn asks_about_suicide(m: &Measurement) -> bool {
    m.instrument.definition().suicide_item.is_some() && m.counting != EvidenceStatus::Retracted
}
