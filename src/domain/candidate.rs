//! Candidates for Collaborative Care: screened positive, and in no open episode.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Care, DischargeReason, DismissedScore};
use super::day;
use super::episode::Phase;
use super::instrument::Instrument;
use super::rules::RuleSet;
use super::standing::Standing;
use super::story::Story;
use crate::id::{EpisodeId, MeasurementId};

/// A score that speaks for an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PositiveScore {
    /// Instrument.
    pub instrument: Instrument,
    /// Points.
    pub score: u16,
    /// Positive from here up.
    pub elevated_at: u16,
    /// Date in the clinic's time zone.
    pub taken_on: NaiveDate,
    /// The measurement.
    pub measurement: MeasurementId,
}

/// The last episode that ended: a reason to ask, not a reason to hide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EarlierEpisode {
    /// The episode.
    pub episode: EpisodeId,
    /// Its end.
    pub ended_on: NaiveDate,
    /// Why it ended.
    pub reason: Option<DischargeReason>,
    /// Whether the patient was enrolled in it, and not only referred.
    pub was_enrolled: bool,
}

/// Dismissal of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dismissal {
    /// The entry: taking it back brings the candidate back.
    pub entry: Uuid,
    /// Date in the clinic's time zone.
    pub on: NaiveDate,
    /// Reason.
    pub reason: String,
}

/// A patient who screened positive and has no open episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// Since when: the earliest of the scores below.
    pub since: NaiveDate,
    /// A sentence.
    pub reason: String,
    /// The latest scores that speak for an offer.
    pub scores: Vec<PositiveScore>,
    /// The last day on which this holds, unless something new is known.
    pub until: NaiveDate,
    /// The last episode that ended.
    pub earlier: Option<EarlierEpisode>,
    /// Set where somebody dismissed every one of these scores.
    pub dismissed: Option<Dismissal>,
}

impl Candidate {
    /// Scores that a dismissal of this candidate puts aside.
    pub fn scores_dismissed(&self) -> Vec<DismissedScore> {
        self.scores.iter().map(|s| DismissedScore { measurement: s.measurement, score: s.score }).collect()
    }
}

/// Scales that tell whether somebody should be offered care; a screener speaks only until the whole scale was taken.
const SCALES: [Instrument; 3] = [Instrument::Phq9, Instrument::Phq9Modified, Instrument::Gad7];

/// Whether a patient is a candidate on a date. `standings` are the patient's on that date.
///
/// The latest PHQ-9 or GAD-7 of the look-back is elevated (R5), or the latest PHQ-2 is and no PHQ-9 was taken on its
/// day or since. Scores that were dismissed do not speak any more; the next one does.
pub fn candidate(story: &Story, standings: &[Standing], rules: &RuleSet, as_of: NaiveDate) -> Option<Candidate> {
    let patient = &story.patient;
    if story.measurements.is_empty() || patient.inactive || patient.deceased_on.is_some_and(|died| died <= as_of) {
        return None;
    }
    if standings.iter().any(|s| s.status != Phase::Discharged) {
        return None;
    }
    let all = positives(story, rules, as_of);
    if all.is_empty() {
        return None;
    }
    let dismissals = dismissals(story, as_of);
    let is_dismissed = |p: &PositiveScore| {
        dismissals.iter().any(|(_, of)| of.iter().any(|d| d.measurement == p.measurement && d.score == p.score))
    };
    let (aside, fresh): (Vec<PositiveScore>, Vec<PositiveScore>) = all.into_iter().partition(is_dismissed);
    let dismissed =
        if fresh.is_empty() { dismissals.into_iter().next_back().map(|(dismissal, _)| dismissal) } else { None };
    let scores = if fresh.is_empty() { aside } else { fresh };
    let since = scores.iter().map(|s| s.taken_on).min()?;
    // The first of them to grow old changes the answer.
    let until = day::after(since, rules.candidates.look_back_days);
    let words: Vec<String> = scores
        .iter()
        .map(|s| format!("{} {} on {} ({} or more is positive)", s.instrument, s.score, s.taken_on, s.elevated_at))
        .collect();
    let reason = format!("{}; not enrolled.", words.join("; "));
    Some(Candidate { since, reason, scores, until, earlier: earlier(standings), dismissed })
}

fn positives(story: &Story, rules: &RuleSet, as_of: NaiveDate) -> Vec<PositiveScore> {
    let from = day::before(as_of, rules.candidates.look_back_days);
    let positive = |instrument: Instrument| {
        let scores = story.scores(instrument, as_of);
        let latest = scores.last().filter(|s| s.on >= from)?;
        let elevated_at = rules.measure(instrument).elevated_at;
        (latest.total >= elevated_at).then_some(PositiveScore {
            instrument,
            score: latest.total,
            elevated_at,
            taken_on: latest.on,
            measurement: latest.measurement.id,
        })
    };
    let mut found: Vec<PositiveScore> = SCALES.into_iter().filter_map(positive).collect();
    let last_whole = [Instrument::Phq9, Instrument::Phq9Modified]
        .into_iter()
        .filter_map(|i| story.scores(i, as_of).last().map(|s| s.on))
        .max();
    found.extend(positive(Instrument::Phq2).filter(|p| last_whole.is_none_or(|whole| whole < p.taken_on)));
    found
}

/// In order of entry.
fn dismissals(story: &Story, as_of: NaiveDate) -> Vec<(Dismissal, &[DismissedScore])> {
    let entries = story.standing_entries();
    let dismissals = entries.into_iter().filter(|e| e.on <= as_of).filter_map(|e| match &e.care {
        Care::CandidateDismissal { reason, scores } => {
            Some((Dismissal { entry: e.id, on: e.on, reason: reason.clone() }, scores.as_slice()))
        }
        _ => None,
    });
    dismissals.collect()
}

fn earlier(standings: &[Standing]) -> Option<EarlierEpisode> {
    let last = standings.iter().filter(|s| s.discharged_on.is_some()).max_by_key(|s| (s.discharged_on, s.episode))?;
    Some(EarlierEpisode {
        episode: last.episode,
        ended_on: last.discharged_on?,
        reason: last.discharge_reason,
        was_enrolled: last.day.is_some(),
    })
}
