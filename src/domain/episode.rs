//! R13: one course of collaborative care.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::care::{Care, CareEntry, DischargeReason, RecommendationDecision, ReferralProgress};
use super::instrument::Instrument;
use crate::id::EpisodeId;

named! {
    /// Where an episode stands.
    pub enum Phase {
        /// Referred, not enrolled yet.
        Referred = "referred",
        /// In active treatment.
        Active = "active",
        OnHold = "on_hold",
        /// Improved; the plan is to stay so.
        RelapsePrevention = "relapse_prevention",
        Discharged = "discharged",
    }
}

impl Phase {
    /// Kinds of entries that are allowed in this phase.
    pub fn allowed(self) -> &'static [&'static str] {
        match self {
            Self::Referred => &["contact", "fit_check", "discharge", "discussion_flag", "taken_back"],
            Self::Active => &[
                "contact",
                "fit_check",
                "care_plan",
                "treatment_change",
                "case_review",
                "recommendation_decision",
                "recommendation_progress",
                "baseline_override",
                "hold",
                "relapse_prevention",
                "discharge",
                "discussion_flag",
                "taken_back",
            ],
            Self::OnHold => &[
                "contact",
                "fit_check",
                "care_plan",
                "treatment_change",
                "case_review",
                "recommendation_decision",
                "recommendation_progress",
                "baseline_override",
                "resume",
                "discharge",
                "discussion_flag",
                "taken_back",
            ],
            Self::RelapsePrevention => &[
                "contact",
                "fit_check",
                "care_plan",
                "treatment_change",
                "case_review",
                "recommendation_decision",
                "recommendation_progress",
                "baseline_override",
                "hold",
                "resume",
                "discharge",
                "discussion_flag",
                "taken_back",
            ],
            Self::Discharged => &["recommendation_decision", "recommendation_progress", "taken_back"],
        }
    }
}

/// One course of collaborative care, as entered at its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub id: EpisodeId,
    /// The care manager's initial assessment; `None` while only referred.
    pub enrolled_on: Option<NaiveDate>,
    /// When the patient consented.
    pub consent_on: Option<NaiveDate>,
    /// The measure that drives metrics; fixed for the episode.
    pub primary_instrument: Instrument,
    /// Every measure that is treated to target; contains the primary one.
    pub target_instruments: Vec<Instrument>,
    /// The care manager, as entered last.
    pub care_manager: Option<String>,
    /// The patient's own doctor.
    pub primary_care_provider: Option<String>,
    /// The psychiatric consultant.
    pub psychiatric_consultant: Option<String>,
}

/// The end of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodeEnd {
    /// The first day on which it is no longer open.
    pub on: NaiveDate,
    pub reason: DischargeReason,
}

/// An episode on a date: its phase and what was done in it so far. Entries are in order of (date, id).
#[derive(Clone, Debug)]
pub struct Course<'a> {
    pub episode: &'a Episode,
    /// The date it is looked at.
    pub as_of: NaiveDate,
    /// Phase on that date.
    pub phase: Phase,
    /// Its end, where it has ended by that date.
    pub end: Option<EpisodeEnd>,
    /// Its entries up to that date.
    pub entries: Vec<&'a CareEntry>,
}

impl<'a> Course<'a> {
    /// Looks at an episode on a date. `entries` are the story's, in order, none taken back.
    pub fn on(
        episode: &'a Episode,
        entries: &[&'a CareEntry],
        deceased_on: Option<NaiveDate>,
        as_of: NaiveDate,
    ) -> Self {
        let entries: Vec<&CareEntry> =
            entries.iter().copied().filter(|e| e.episode == Some(episode.id) && e.on <= as_of).collect();
        let start = episode.enrolled_on.filter(|enrolled| *enrolled <= as_of);
        let mut phase = if start.is_some() { Phase::Active } else { Phase::Referred };
        let mut before_hold = phase;
        let mut end = None;
        for entry in &entries {
            if let Care::Discharge { reason, .. } = entry.care {
                end = Some(EpisodeEnd { on: entry.on, reason });
                break;
            }
            // Treatment that has not begun can be neither paused nor resumed.
            if start.is_none_or(|start| entry.on < start) {
                continue;
            }
            match entry.care {
                Care::Hold { .. } if phase != Phase::OnHold => {
                    before_hold = phase;
                    phase = Phase::OnHold;
                }
                Care::Resume => phase = if phase == Phase::OnHold { before_hold } else { Phase::Active },
                Care::RelapsePrevention { .. } => phase = Phase::RelapsePrevention,
                _ => {}
            }
        }
        if let Some(died) = deceased_on.filter(|died| *died <= as_of)
            && end.is_none_or(|end| died < end.on)
        {
            end = Some(EpisodeEnd { on: died, reason: DischargeReason::Died });
        }
        if end.is_some() {
            phase = Phase::Discharged;
        }
        Self { episode, as_of, phase, end, entries }
    }

    /// The first day of treatment, once enrolled.
    pub fn start(&self) -> Option<NaiveDate> {
        self.episode.enrolled_on.filter(|start| *start <= self.as_of)
    }

    /// The last day whose scores belong to it: a score of the day of discharge still does, a later one does not.
    pub fn last_day(&self) -> NaiveDate {
        self.end.map_or(self.as_of, |end| end.on.min(self.as_of))
    }

    /// The treatment changes since enrollment, in order. A recommendation that was done is one too, unless an entry of
    /// its own says when it was carried out; to go on as before changes nothing.
    fn plan_changes(&self) -> impl DoubleEndedIterator<Item = &'a CareEntry> + '_ {
        let start = self.start();
        self.entries.iter().copied().filter(move |e| {
            let changes = match &e.care {
                Care::TreatmentChange { .. } => true,
                Care::RecommendationDecision { recommendation, decision: RecommendationDecision::Done, .. }
                | Care::RecommendationProgress { recommendation, progress: ReferralProgress::Completed, .. } => {
                    self.recommends_change(*recommendation) && !self.changed_by(*recommendation)
                }
                _ => false,
            };
            changes && start.is_some_and(|start| e.on >= start)
        })
    }

    /// Dates of treatment changes since enrollment, in order.
    pub fn treatment_changes(&self) -> impl Iterator<Item = NaiveDate> + '_ {
        self.plan_changes().map(|e| e.on)
    }

    /// The entry that opened the present plan; `None` while that is the enrollment.
    pub fn plan_opening(&self) -> Option<&'a CareEntry> {
        self.plan_changes().next_back()
    }

    fn recommends_change(&self, id: Uuid) -> bool {
        self.entries.iter().any(|e| match &e.care {
            Care::CaseReview { recommendations, .. } => {
                recommendations.iter().any(|r| r.id == id && r.kind.as_change().is_some())
            }
            _ => false,
        })
    }

    fn changed_by(&self, id: Uuid) -> bool {
        self.entries
            .iter()
            .any(|e| matches!(&e.care, Care::TreatmentChange { recommendation, .. } if *recommendation == Some(id)))
    }

    /// When the present plan began: the last treatment change, at first the enrollment.
    pub fn plan_start(&self) -> Option<NaiveDate> {
        self.plan_opening().map(|e| e.on).or(self.start())
    }

    /// Dates of case reviews; with `recommending`, only those that recommended something.
    pub fn reviews(&self, recommending: bool) -> impl Iterator<Item = NaiveDate> + '_ {
        self.entries.iter().filter_map(move |e| match &e.care {
            Care::CaseReview { recommendations, .. } if !recommending || !recommendations.is_empty() => Some(e.on),
            _ => None,
        })
    }

    /// Baselines set by a clinician: (instrument, when).
    pub fn baseline_overrides(&self) -> impl Iterator<Item = (Instrument, NaiveDate)> + '_ {
        self.entries.iter().filter_map(|e| match e.care {
            Care::BaselineOverride { instrument, .. } => Some((instrument, e.on)),
            _ => None,
        })
    }

    /// The last clinical contact.
    pub fn last_contact(&self) -> Option<NaiveDate> {
        self.entries.iter().rev().find(|e| e.care.is_clinical_contact()).map(|e| e.on)
    }

    /// The last clinical contact after the day of enrollment: the initial assessment is not a follow-up.
    pub fn last_followup_contact(&self) -> Option<NaiveDate> {
        self.last_contact().filter(|on| self.start().is_some_and(|start| *on > start))
    }

    /// Since when it is flagged for discussion by hand; a review takes the flag down.
    pub fn discussion_flag(&self) -> Option<NaiveDate> {
        let reviewed = self.reviews(false).last();
        let mut since = None;
        for entry in &self.entries {
            match entry.care {
                Care::DiscussionFlag { raised: true, .. } if reviewed.is_none_or(|r| r < entry.on) => {
                    since = since.or(Some(entry.on));
                }
                Care::DiscussionFlag { .. } => since = None,
                _ => {}
            }
        }
        since
    }

    /// Whether the treatment clocks run: active or relapse prevention.
    pub fn in_treatment(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::RelapsePrevention)
    }
}
