//! Stories for the tests of the rules, told by day. Day 0 is the enrollment, 2026-01-05.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use cocm_registry::domain::care::{
    Addressee, Care, CareEntry, ChangeKind, ContactKind, ContactOutcome, DischargeReason, Modality, Recommendation,
    RecommendationDecision,
};
use cocm_registry::domain::episode::Episode;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::{EvidenceStatus, Measurement, Quality};
use cocm_registry::domain::story::{PatientStatus, Story};
use cocm_registry::id::{EpisodeId, MeasurementId, PatientId};
use uuid::Uuid;

/// The date of a day of the story.
pub fn date(day: i64) -> NaiveDate {
    let start = NaiveDate::from_ymd_opt(2026, 1, 5).unwrap();
    let days = Days::new(day.unsigned_abs());
    if day < 0 { start - days } else { start + days }
}

/// The day of the story of a date.
pub fn day_of(date_: NaiveDate) -> i64 {
    (date_ - date(0)).num_days()
}

/// Noon, or so many minutes after it. The clinic of these stories lies on the meridian.
pub fn at(day: i64, minutes: i64) -> DateTime<Utc> {
    date(day).and_time(NaiveTime::from_hms_opt(12, 0, 0).unwrap()).and_utc() + TimeDelta::minutes(minutes)
}

/// A story being told. What is told gets ids in the order of telling.
#[derive(Clone, Debug)]
pub struct Tale {
    pub story: Story,
    pub episode: EpisodeId,
    told: u128,
    minutes: i64,
}

impl Tale {
    /// A patient who is not enrolled.
    pub fn of_a_patient() -> Self {
        let patient = PatientStatus { id: PatientId(Uuid::from_u128(1)), inactive: false, deceased_on: None };
        Self { story: Story::of(patient), episode: EpisodeId(Uuid::nil()), told: 1, minutes: 0 }
    }

    /// A patient enrolled on day 0.
    pub fn enrolled(measures: &[Instrument]) -> Self {
        let mut tale = Self::of_a_patient();
        tale.enroll(Some(0), measures);
        tale
    }

    /// Enrolled on day 0, treated to a PHQ-9 target.
    pub fn new() -> Self {
        Self::enrolled(&[Instrument::Phq9])
    }

    fn id(&mut self) -> Uuid {
        self.told += 1;
        Uuid::from_u128(self.told)
    }

    /// What is told from here on happens so many minutes after noon.
    pub fn minutes(&mut self, minutes: i64) -> &mut Self {
        self.minutes = minutes;
        self
    }

    /// Opens an episode; what is told from here on belongs to it.
    pub fn enroll(&mut self, day: Option<i64>, measures: &[Instrument]) -> &mut Self {
        self.episode = EpisodeId(self.id());
        self.story.episodes.push(Episode {
            id: self.episode,
            enrolled_on: day.map(date),
            consent_on: day.map(date),
            primary_instrument: measures[0],
            target_instruments: measures.to_vec(),
            care_manager: None,
            primary_care_provider: None,
            psychiatric_consultant: None,
        });
        self
    }

    pub fn measurement(&mut self, instrument: Instrument, day: i64, total: Option<u16>) -> &mut Measurement {
        let id = MeasurementId(self.id());
        self.story.measurements.push(Measurement {
            id,
            instrument,
            taken_at: at(day, self.minutes),
            taken_on: date(day),
            answers: Vec::new(),
            total,
            quality: if total.is_some() { Quality::Complete } else { Quality::Unscorable },
            item9: None,
            item9_unknown: false,
            counting: EvidenceStatus::Submitted,
            source: format!("QuestionnaireResponse/{}", id.0.as_u128()),
            issues: Vec::new(),
            language: None,
        });
        self.story.measurements.last_mut().unwrap()
    }

    pub fn score(&mut self, instrument: Instrument, day: i64, total: u16) -> &mut Self {
        self.measurement(instrument, day, Some(total));
        self
    }

    pub fn phq9(&mut self, day: i64, total: u16) -> &mut Self {
        self.score(Instrument::Phq9, day, total)
    }

    pub fn gad7(&mut self, day: i64, total: u16) -> &mut Self {
        self.score(Instrument::Gad7, day, total)
    }

    /// A PHQ-9 with an answer to item 9.
    pub fn item9(&mut self, day: i64, total: u16, answer: u8) -> &mut Self {
        self.measurement(Instrument::Phq9, day, Some(total)).item9 = Some(answer);
        self
    }

    /// Takes the last measurement told back, or puts it right again.
    pub fn last_measurement(&mut self) -> &mut Measurement {
        self.story.measurements.last_mut().unwrap()
    }

    /// Anything the care team does.
    pub fn entry(&mut self, day: i64, care: Care) -> &mut Self {
        let id = self.id();
        let episode = (!matches!(care, Care::SafetyAssessment { .. })).then_some(self.episode);
        self.story.entries.push(CareEntry { id, episode, on: date(day), at: at(day, self.minutes), care });
        self
    }

    pub fn contact_with(&mut self, day: i64, purpose: ContactKind, outcome: ContactOutcome) -> &mut Self {
        self.contact_until(day, purpose, outcome, None)
    }

    /// A contact at which the next appointment was made.
    pub fn appointment(&mut self, day: i64, next: i64) -> &mut Self {
        self.contact_until(day, ContactKind::Treatment, ContactOutcome::Attended, Some(next))
    }

    fn contact_until(
        &mut self,
        day: i64,
        purpose: ContactKind,
        outcome: ContactOutcome,
        next: Option<i64>,
    ) -> &mut Self {
        self.entry(
            day,
            Care::Contact {
                purpose,
                modality: Some(Modality::Phone),
                scheduled: true,
                outcome,
                starts_at: None,
                minutes: Some(20),
                performer: None,
                interventions: Vec::new(),
                next_contact_on: next.map(date),
                note: None,
            },
        )
    }

    pub fn contact(&mut self, day: i64) -> &mut Self {
        self.contact_with(day, ContactKind::Treatment, ContactOutcome::Attended)
    }

    pub fn no_show(&mut self, day: i64) -> &mut Self {
        self.contact_with(day, ContactKind::Treatment, ContactOutcome::NoShow)
    }

    pub fn change(&mut self, day: i64) -> &mut Self {
        let changes = vec![ChangeKind::Medication];
        self.entry(
            day,
            Care::TreatmentChange { changes, summary: "Dose".into(), recommendation: None, medication: Vec::new() },
        )
    }

    /// A case review with a recommendation of a kind; its id.
    pub fn recommendation(&mut self, day: i64, kind: ChangeKind) -> Uuid {
        let id = self.id();
        let recommendation =
            Recommendation { id, kind, text: "As discussed".into(), to: Addressee::PrimaryCare, due_on: None };
        self.case_review(day, vec![recommendation]);
        id
    }

    fn case_review(&mut self, day: i64, recommendations: Vec<Recommendation>) -> &mut Self {
        self.entry(
            day,
            Care::CaseReview {
                reviewer: "Dr. Berg".into(),
                summary: None,
                minutes: None,
                recommendations,
                session: None,
            },
        )
    }

    /// A case review that recommends to continue.
    pub fn review(&mut self, day: i64) -> &mut Self {
        self.recommendation(day, ChangeKind::Continue);
        self
    }

    /// A case review that recommends nothing.
    pub fn meeting(&mut self, day: i64) -> &mut Self {
        self.case_review(day, Vec::new())
    }

    pub fn decision(&mut self, day: i64, recommendation: Uuid, decision: RecommendationDecision) -> &mut Self {
        self.entry(day, Care::RecommendationDecision { recommendation, decision, by: None, reason: None })
    }

    pub fn hold(&mut self, day: i64) -> &mut Self {
        self.entry(day, Care::Hold { reason: "Away".into() })
    }

    pub fn resume(&mut self, day: i64) -> &mut Self {
        self.entry(day, Care::Resume)
    }

    pub fn relapse_prevention(&mut self, day: i64) -> &mut Self {
        self.entry(day, Care::RelapsePrevention { plan: "Signs, steps, whom to call".into() })
    }

    pub fn discharge(&mut self, day: i64) -> &mut Self {
        self.entry(day, Care::Discharge { reason: DischargeReason::Graduated, note: None })
    }

    pub fn override_baseline(&mut self, day: i64, measurement: MeasurementId) -> &mut Self {
        let instrument = self.story.measurements.iter().find(|m| m.id == measurement).unwrap().instrument;
        self.entry(day, Care::BaselineOverride { instrument, measurement, reason: "Reassessed".into() })
    }

    pub fn assessed(&mut self, day: i64) -> &mut Self {
        self.entry(
            day,
            Care::SafetyAssessment {
                instrument: "C-SSRS".into(),
                result: "low".into(),
                disposition: "Safety plan".into(),
                assessor: "R. Ortiz".into(),
                note: None,
            },
        )
    }

    pub fn taken_back(&mut self, day: i64, entry: Uuid) -> &mut Self {
        self.entry(day, Care::TakenBack { entry, reason: None })
    }
}

/// A patient enrolled on a day for a PHQ-9 target; patient and episode have the same id.
pub fn enrolled(n: u128, on: i64, told: impl FnOnce(&mut Tale)) -> Story {
    let mut tale = Tale::of_a_patient();
    tale.enroll(Some(on), &[Instrument::Phq9]);
    told(&mut tale);
    let mut story = tale.story;
    story.patient.id = PatientId(Uuid::from_u128(n));
    story.episodes[0].id = EpisodeId(Uuid::from_u128(n));
    for entry in &mut story.entries {
        entry.episode = Some(EpisodeId(Uuid::from_u128(n)));
    }
    story
}
