//! R4–R6, R12: baseline, response and remission of one measure in one episode.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::care::Care;
use super::day;
use super::episode::Course;
use super::instrument::Instrument;
use super::measurement::Quality;
use super::rules::{AtTarget, InstrumentRules, RuleSet};
use super::story::{Score, Story};
use crate::id::MeasurementId;

named! {
    /// Where a baseline comes from.
    pub enum Basis {
        /// The first score in the window after enrollment.
        Window = "window",
        /// The last score shortly before enrollment.
        Provisional = "provisional",
        /// The first score after the window.
        Late = "late",
        /// Set by a clinician.
        Override = "override",
    }
}

named! {
    /// R6: the status of one measure.
    pub enum MeasureStatus {
        /// No score that could be a baseline.
        NoBaseline = "no_baseline",
        /// The baseline is below the threshold: no credit for improvement, no alerts of non-response.
        BaselineSubthreshold = "baseline_subthreshold",
        /// No score after the baseline.
        AwaitingFollowup = "awaiting_followup",
        /// Below the remission threshold.
        Remission = "remission",
        /// At least half of the baseline is gone.
        Response = "response",
        /// Below the threshold of elevation, though not by half.
        ImprovedBelow10 = "improved_below_10",
        /// Better by at least the important difference.
        PartialResponse = "partial_response",
        /// Worse by at least the important difference.
        Worse = "worse",
        NoImprovement = "no_improvement",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline<'a> {
    pub score: Score<'a>,
    /// Basis of the baseline.
    pub basis: Basis,
}

/// One measure in one episode on a date: the scores that matter.
#[derive(Clone, Debug)]
pub struct Track<'a> {
    pub instrument: Instrument,
    pub numbers: &'a InstrumentRules,
    /// Definition of "at target".
    pub at_target: AtTarget,
    /// The baseline, if there is one.
    pub baseline: Option<Baseline<'a>>,
    /// The score at the start of the present plan.
    pub plan_reference: Option<Score<'a>>,
    /// The scores after the baseline, in order.
    pub followups: Vec<Score<'a>>,
    /// The last score of all, be it before the baseline.
    pub last_taken: Option<Score<'a>>,
}

impl<'a> Track<'a> {
    /// Follows one measure through an episode. `previous_end` is the end of the episode before it.
    pub fn follow(
        story: &'a Story,
        rules: &'a RuleSet,
        course: &Course<'_>,
        previous_end: Option<NaiveDate>,
        instrument: Instrument,
    ) -> Self {
        Self::through(&story.scores(instrument, course.last_day()), story, rules, course, previous_end, instrument)
    }

    /// The same, with the effective scores already in order. Later ones than the episode's last day are left out.
    pub fn through(
        scores: &[Score<'a>],
        story: &'a Story,
        rules: &'a RuleSet,
        course: &Course<'_>,
        previous_end: Option<NaiveDate>,
        instrument: Instrument,
    ) -> Self {
        let mut track = Self {
            instrument,
            numbers: rules.measure(instrument),
            at_target: rules.at_target,
            baseline: None,
            plan_reference: None,
            followups: Vec::new(),
            last_taken: None,
        };
        let Some(start) = course.start() else { return track };
        let scores = &scores[..scores.partition_point(|s| s.on <= course.last_day())];
        track.last_taken = scores.last().cloned();
        track.baseline = overridden(story, course, instrument).or_else(|| baseline(rules, start, previous_end, scores));
        if let Some(baseline) = &track.baseline {
            let from = start.max(day::after(baseline.score.on, 1));
            track.followups = scores[scores.partition_point(|s| s.on < from)..].to_vec();
            let plan_start = course.plan_start().unwrap_or(start);
            track.plan_reference = Some(if plan_start == start {
                baseline.score.clone()
            } else {
                track.followups.iter().rev().find(|s| s.on <= plan_start).unwrap_or(&baseline.score).clone()
            });
        }
        track
    }

    pub fn elevated(&self) -> bool {
        self.baseline.as_ref().is_some_and(|b| b.score.total >= self.numbers.elevated_at)
    }

    /// The last score after the baseline.
    pub fn latest(&self) -> Option<&Score<'a>> {
        self.followups.last()
    }

    /// The last score after the baseline and after the start of the present plan: news about this plan.
    pub fn latest_on_plan(&self) -> Option<&Score<'a>> {
        let reference = self.plan_reference.as_ref()?;
        self.latest().filter(|s| s.on > reference.on)
    }

    fn compared(&self, latest: u16) -> Option<(u16, u16)> {
        self.baseline.as_ref().filter(|_| self.elevated()).map(|b| (b.score.total, latest))
    }

    /// At least half (or the instrument's points) below an elevated baseline.
    pub fn is_response(&self, latest: u16) -> bool {
        self.compared(latest).is_some_and(|(b, l)| self.numbers.response.reached(b, l))
    }

    /// Below the remission threshold, from an elevated baseline.
    pub fn is_remission(&self, latest: u16) -> bool {
        self.compared(latest).is_some_and(|(_, l)| l < self.numbers.remission_below)
    }

    /// Clinically significant improvement (R6): response, or where the measure has such a threshold, below it. PCL-5 has none:
    /// below 33 is remission, improved is 12 points.
    pub fn is_improved(&self, latest: u16) -> bool {
        self.is_response(latest)
            || self.compared(latest).is_some_and(|(_, l)| self.numbers.improved_below.is_some_and(|t| l < t))
    }

    /// R12: whether this measure is at its target.
    pub fn is_at_target(&self, latest: u16) -> bool {
        match self.at_target {
            AtTarget::ResponseOrRemission => self.is_response(latest) || self.is_remission(latest),
            AtTarget::ClinicallySignificantImprovement => self.is_improved(latest),
        }
    }

    /// Whether the latest score is clinically significantly improved; a patient without one is not.
    pub fn improved_now(&self) -> bool {
        self.latest().is_some_and(|s| self.is_improved(s.total))
    }

    pub fn status(&self) -> MeasureStatus {
        let Some(baseline) = &self.baseline else { return MeasureStatus::NoBaseline };
        if !self.elevated() {
            return MeasureStatus::BaselineSubthreshold;
        }
        let Some(latest) = self.latest() else { return MeasureStatus::AwaitingFollowup };
        let (b, l) = (baseline.score.total, latest.total);
        let difference = self.numbers.important_difference;
        if self.is_remission(l) {
            MeasureStatus::Remission
        } else if self.is_response(l) {
            MeasureStatus::Response
        } else if self.is_improved(l) {
            MeasureStatus::ImprovedBelow10
        } else if b >= l.saturating_add(difference) {
            MeasureStatus::PartialResponse
        } else if l >= b.saturating_add(difference) {
            MeasureStatus::Worse
        } else {
            MeasureStatus::NoImprovement
        }
    }

    /// The summary for the API.
    pub fn summary(&self) -> MeasureSummary {
        let latest = self.latest();
        let change = self
            .baseline
            .as_ref()
            .zip(latest)
            .map(|(b, l)| (i32::from(l.total) - i32::from(b.score.total), i32::from(b.score.total)));
        let holds = |test: fn(&Self, u16) -> bool| latest.is_some_and(|l| test(self, l.total));
        MeasureSummary {
            instrument: self.instrument,
            elevated: self.elevated(),
            status: self.status(),
            baseline: self.baseline.as_ref().map(|b| BaselineSummary {
                score: b.score.total,
                taken_on: b.score.on,
                basis: b.basis,
                measurement: b.score.measurement.id,
            }),
            plan_reference: self.plan_reference.as_ref().map(|s| ReferenceSummary {
                score: s.total,
                taken_on: s.on,
                measurement: s.measurement.id,
            }),
            latest: latest.map(|s| LatestSummary {
                score: s.total,
                taken_on: s.on,
                quality: s.quality(),
                severity: self.instrument.band(s.total).to_owned(),
                measurement: s.measurement.id,
            }),
            change: change.map(|(c, _)| c),
            percent_change: change.and_then(|(c, b)| percent(c, b)),
            response: holds(Self::is_response),
            remission: holds(Self::is_remission),
            clinically_significant_improvement: holds(Self::is_improved),
            at_target: holds(Self::is_at_target),
        }
    }
}

/// Whole percent, rounded half away from zero. `None` for a baseline of 0.
fn percent(change: i32, baseline: i32) -> Option<i32> {
    (baseline > 0).then(|| {
        let size = (200 * change.abs() + baseline) / (2 * baseline);
        size * change.signum()
    })
}

/// A clinician may choose any measurement that counts, also one that is not its day's effective score.
fn overridden<'a>(story: &'a Story, course: &Course<'_>, instrument: Instrument) -> Option<Baseline<'a>> {
    let chosen = course.entries.iter().rev().find_map(|e| match &e.care {
        Care::BaselineOverride { instrument: i, measurement, .. } if *i == instrument => Some(*measurement),
        _ => None,
    })?;
    let measurement = story
        .measurements
        .iter()
        .find(|m| m.id == chosen && m.instrument == instrument && m.taken_on <= course.last_day())?;
    let score = Score { measurement, total: measurement.score()?, on: measurement.taken_on };
    Some(Baseline { score, basis: Basis::Override })
}

fn baseline<'a>(
    rules: &RuleSet,
    start: NaiveDate,
    previous_end: Option<NaiveDate>,
    scores: &[Score<'a>],
) -> Option<Baseline<'a>> {
    let window_end = day::after(start, rules.baseline.window_days);
    let look_back = day::before(start, rules.baseline.look_back_days);
    let found = |score: &Score<'a>, basis| Baseline { score: score.clone(), basis };
    let window = scores.iter().find(|s| s.on >= start && s.on <= window_end).map(|s| found(s, Basis::Window));
    let provisional = || {
        scores
            .iter()
            .rev()
            .find(|s| s.on < start && s.on >= look_back && previous_end.is_none_or(|end| s.on > end))
            .map(|s| found(s, Basis::Provisional))
    };
    let late = || scores.iter().find(|s| s.on > window_end).map(|s| found(s, Basis::Late));
    window.or_else(provisional).or_else(late)
}

/// A baseline, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselineSummary {
    /// Points.
    pub score: u16,
    /// Local date.
    pub taken_on: NaiveDate,
    /// Basis of the baseline.
    pub basis: Basis,
    /// The measurement.
    pub measurement: MeasurementId,
}

/// The score that the present plan started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReferenceSummary {
    /// Points.
    pub score: u16,
    /// Local date.
    pub taken_on: NaiveDate,
    /// The measurement.
    pub measurement: MeasurementId,
}

/// The latest score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LatestSummary {
    /// Points.
    pub score: u16,
    /// Local date.
    pub taken_on: NaiveDate,
    /// How the total came about.
    pub quality: Quality,
    /// The severity band.
    pub severity: String,
    /// The measurement.
    pub measurement: MeasurementId,
}

/// R6 for one measure, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "independent conclusions, each shown beside the others")]
pub struct MeasureSummary {
    /// Instrument of the target.
    pub instrument: Instrument,
    /// Whether the baseline reaches the threshold.
    pub elevated: bool,
    /// R6.
    pub status: MeasureStatus,
    /// The baseline; `null` while there is none.
    pub baseline: Option<BaselineSummary>,
    /// The score at the start of the present plan.
    pub plan_reference: Option<ReferenceSummary>,
    /// The latest score after the baseline; `null` while there is none.
    pub latest: Option<LatestSummary>,
    /// Latest minus baseline, in points.
    pub change: Option<i32>,
    /// The same in whole percent of the baseline.
    pub percent_change: Option<i32>,
    /// At least half (or the instrument's points) below baseline.
    pub response: bool,
    /// Below the remission threshold.
    pub remission: bool,
    /// Response, or below the threshold of elevation.
    pub clinically_significant_improvement: bool,
    /// At the target of this measure.
    pub at_target: bool,
}
