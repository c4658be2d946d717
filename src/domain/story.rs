//! All facts about one patient: the planner's only input.

use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::care::{Care, CareEntry, FitCheck, SharedCarePlan};
use super::episode::Episode;
use super::instrument::Instrument;
use super::measurement::{EvidenceStatus, Measurement, Quality};
use crate::id::{EpisodeId, PatientId};

/// The patient's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientStatus {
    pub id: PatientId,
    /// The record is marked inactive in the chart.
    pub inactive: bool,
    /// Date of death, or the date on which the chart first said so.
    pub deceased_on: Option<NaiveDate>,
}

/// Everything known about one patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    pub patient: PatientStatus,
    /// Every measurement, retracted ones too.
    pub measurements: Vec<Measurement>,
    pub episodes: Vec<Episode>,
    /// Everything the care team did.
    pub entries: Vec<CareEntry>,
    /// Every time an episode went to another care manager of the clinic, in order of entry: dates do not go back.
    #[serde(default)]
    pub handovers: Vec<Handover>,
}

/// An episode went from one care manager to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    pub episode: EpisodeId,
    /// The first day of the new one.
    pub on: NaiveDate,
    /// Previous care manager; `None` if there was none.
    pub from: Option<String>,
}

/// A score that counts: one per instrument and local day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score<'a> {
    /// The measurement it comes from.
    pub measurement: &'a Measurement,
    pub total: u16,
    pub on: NaiveDate,
}

/// One version of a care plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarePlanVersion<'a> {
    pub number: i64,
    /// The entry that it is.
    pub entry: &'a CareEntry,
    pub plan: &'a SharedCarePlan,
    /// Whether it was taken back as a mistake.
    pub taken_back: bool,
}

impl Score<'_> {
    /// How the total came about.
    pub fn quality(&self) -> Quality {
        self.measurement.quality
    }
}

impl Story {
    /// A patient of whom nothing else is known.
    pub fn of(patient: PatientStatus) -> Self {
        Self { patient, measurements: Vec::new(), episodes: Vec::new(), entries: Vec::new(), handovers: Vec::new() }
    }

    /// The entries that stand, in order of (date, instant, id): nothing that was taken back.
    pub fn standing_entries(&self) -> Vec<&CareEntry> {
        let taken_back: Vec<Uuid> = self
            .entries
            .iter()
            .filter_map(|e| match e.care {
                Care::TakenBack { entry, .. } => Some(entry),
                _ => None,
            })
            .collect();
        let mut entries: Vec<&CareEntry> = self.entries.iter().filter(|e| !taken_back.contains(&e.id)).collect();
        entries.sort_by_key(|e| (e.on, e.at, e.id));
        entries
    }

    /// The care manager of an episode on a date: the one who handed it over next, else the current one. A name that was
    /// amended without a handover was a mistake, and the new name holds since the last handover.
    pub fn care_manager<'a>(&'a self, episode: &'a Episode, on: NaiveDate) -> Option<&'a str> {
        let next = self.handovers.iter().find(|h| h.episode == episode.id && h.on > on);
        next.map_or(episode.care_manager.as_deref(), |handover| handover.from.as_deref())
    }

    /// The fit check of an episode that was documented last.
    pub fn fit_check(&self, episode: EpisodeId) -> Option<&FitCheck> {
        let checks = self.standing_entries().into_iter().filter_map(|e| match &e.care {
            Care::FitCheck(fit) if e.episode == Some(episode) => Some((e.id, fit)),
            _ => None,
        });
        // In order of entry, not of date. Ids are ordered by time.
        checks.max_by_key(|(id, _)| *id).map(|(_, fit)| fit)
    }

    /// The versions of an episode's care plan, in order of entry, from 1. What was taken back keeps its number.
    pub fn care_plans(&self, episode: EpisodeId) -> Vec<CarePlanVersion<'_>> {
        let standing = self.standing_entries();
        let mut plans: Vec<(&CareEntry, &SharedCarePlan)> = self
            .entries
            .iter()
            .filter_map(|e| match &e.care {
                Care::CarePlan(plan) if e.episode == Some(episode) => Some((e, plan)),
                _ => None,
            })
            .collect();
        plans.sort_by_key(|(e, _)| e.id);
        let numbered = plans.into_iter().zip(1..);
        numbered
            .map(|((entry, plan), number)| CarePlanVersion {
                number,
                entry,
                plan,
                taken_back: !standing.iter().any(|e| e.id == entry.id),
            })
            .collect()
    }

    /// The care plan of an episode that holds: its last version that was not taken back.
    pub fn care_plan(&self, episode: EpisodeId) -> Option<CarePlanVersion<'_>> {
        self.care_plans(episode).into_iter().rfind(|version| !version.taken_back)
    }

    /// R3: the effective scores of an instrument up to a date, one per local day, in order.
    /// The latest of a day counts; of two at the same instant the higher, of equals the better documented.
    pub fn scores(&self, instrument: Instrument, as_of: NaiveDate) -> Vec<Score<'_>> {
        let mut all: Vec<Score<'_>> = self
            .measurements
            .iter()
            .filter(|m| m.instrument == instrument && m.taken_on <= as_of)
            .filter_map(|m| m.score().map(|total| Score { measurement: m, total, on: m.taken_on }))
            .collect();
        let itemized: Vec<_> =
            all.iter().filter(|s| s.quality() != Quality::TotalOnly).map(|s| s.measurement).collect();
        // Items beat a stated total (R2), also where the chart files the two apart.
        let is_stated = |s: &Score<'_>| {
            let at = s.measurement.taken_at;
            s.quality() == Quality::TotalOnly
                && itemized.iter().any(|m| (m.taken_at - at).abs() <= ONE_TAKING && m.taken_on == s.on)
        };
        all.retain(|s| !is_stated(s));
        all.sort_by_key(|s| (s.on, s.measurement.taken_at, s.total, rank(s.quality()), s.measurement.id));
        let mut daily: Vec<Score<'_>> = Vec::with_capacity(all.len());
        for score in all {
            match daily.last_mut() {
                Some(last) if last.on == score.on => *last = score,
                _ => daily.push(score),
            }
        }
        daily
    }

    /// Whether the measurement behind a chart reference still counts for anything.
    pub fn source_stands(&self, source: &str) -> bool {
        self.measurements.iter().any(|m| m.source == source && m.counting != EvidenceStatus::Retracted)
    }
}

/// Nobody fills in the same form twice in an hour: a total and items so near to each other are of one.
const ONE_TAKING: TimeDelta = TimeDelta::hours(1);

fn rank(quality: Quality) -> u8 {
    match quality {
        Quality::Complete => 2,
        Quality::Prorated => 1,
        Quality::TotalOnly | Quality::Unscorable => 0,
    }
}
