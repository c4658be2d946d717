//! The parts of the page, in words.

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use uuid::Uuid;

use super::{PatientFile, forms};
use crate::domain::care::{Care, RecommendationDecision};
use crate::domain::finding::Rule;
use crate::domain::measurement::{EvidenceStatus, Quality};
use crate::domain::recommendation::{self, RecommendationState};
use crate::domain::safety::ConcernState;
use crate::domain::standing::Standing;
use crate::domain::story::Story;
use crate::domain::target::MeasureSummary;
use crate::id::{EpisodeId, MeasurementId};
use crate::identity::Role;
use crate::pages::caseload::row::percent;
use crate::pages::date_texts::{day, in_sentence, instant, whole_day};
use crate::pages::form::Form;
use crate::pages::item_texts::item;
use crate::pages::session::Visitor;
use crate::pages::words::{self, Tone};
use crate::store::episode::EpisodeRecord;
use crate::store::outbox::Delivery;

/// Identity and standing of the patient.
pub struct PatientHeader {
    pub name: String,
    /// What tells this person from another of the same name: birth date and age, sex, record number, language, phone.
    pub identity: Vec<String>,
    pub remarks: Vec<&'static str>,
    pub phase: Option<&'static str>,
    pub at_target: bool,
    pub facts: Vec<(&'static str, String)>,
    pub measures: Vec<MeasureView>,
    /// Other episodes: (id, words, shown now).
    pub episodes: Vec<(EpisodeId, String, bool)>,
}

/// One measure, large.
pub struct MeasureView {
    pub title: &'static str,
    pub baseline: String,
    pub baseline_note: String,
    pub latest: Option<String>,
    pub latest_note: String,
    pub percent: Option<String>,
    pub status: &'static str,
    pub tone: Tone,
}

impl PatientHeader {
    pub fn of(
        whole: &PatientFile,
        stored: Option<&EpisodeRecord>,
        standing: Option<&Standing>,
        today: NaiveDate,
    ) -> Self {
        let row = &whole.row;
        let mut remarks = Vec::new();
        if !row.seen {
            remarks.push("Only references to this person have arrived; the Patient resource has not.");
        }
        if row.inactive {
            remarks.push("The record is marked inactive in the chart.");
        }
        if row.deceased_on.is_some() {
            remarks.push("Deceased.");
        }
        let mut facts = Vec::new();
        if let Some(stored) = stored {
            let episode = &stored.episode;
            if let Some(on) = episode.enrolled_on {
                facts.push(("Enrolled", day(on, today)));
            }
            if let Some(standing) = standing {
                facts.extend(standing.day.map(|d| ("Week", format!("{}, day {d}", d.div_euclid(7)))));
                let changed = standing.plan_started_on.filter(|on| Some(*on) != episode.enrolled_on);
                if let (Some(on), Some(d)) = (changed, standing.plan_day) {
                    facts.push(("This plan", format!("since {}, day {d}", day(on, today))));
                }
                facts.push((
                    "Last review",
                    standing.reviewed_on.map_or_else(|| "not yet".to_owned(), |on| day(on, today)),
                ));
            }
            for (what, who) in [
                ("Care manager", &episode.care_manager),
                ("PCP", &episode.primary_care_provider),
                ("Consultant", &episode.psychiatric_consultant),
            ] {
                facts.extend(who.clone().map(|who| (what, who)));
            }
        }
        let others = whole.stored.iter().filter(|_| whole.stored.len() > 1).map(|s| {
            let from = s.episode.enrolled_on.map_or_else(|| "referred".to_owned(), whole_day);
            let to = s.discharged_on.map_or_else(|| "now".to_owned(), whole_day);
            (s.episode.id, format!("{from} to {to}"), stored.is_some_and(|shown| shown.episode.id == s.episode.id))
        });
        Self {
            name: row.label(),
            identity: identity(whole, today),
            remarks,
            phase: stored.map(|s| words::phase(s.phase)),
            at_target: standing.is_some_and(|s| s.at_target),
            facts,
            measures: standing.map_or_else(Vec::new, |s| s.measures.iter().map(|m| measure(m, today)).collect()),
            episodes: others.collect(),
        }
    }
}

/// What tells this person from another of the same name.
pub fn identity(whole: &PatientFile, today: NaiveDate) -> Vec<String> {
    let row = &whole.row;
    let born = row.birth_date.as_deref().map(|born| match age(born, today) {
        Some(age) => format!("born {born}, {age}"),
        None => format!("born {born}"),
    });
    let number = whole.contact.record_number.as_deref().map(|number| format!("record number {number}"));
    let language = row.language.as_deref().filter(|tag| !tag.starts_with("en")).map(|tag| format!("speaks {tag}"));
    let phone = whole.contact.phone.as_deref().map(|phone| format!("phone {phone}"));
    let known = [born, row.gender.clone(), number, language, phone];
    known.into_iter().flatten().chain([row.reference.clone()]).collect()
}

/// Whole years, where the birth date is a day.
fn age(born: &str, today: NaiveDate) -> Option<i32> {
    let born: NaiveDate = born.parse().ok()?;
    let before = (today.month(), today.day()) < (born.month(), born.day());
    Some(today.year() - born.year() - i32::from(before))
}

fn measure(m: &MeasureSummary, today: NaiveDate) -> MeasureView {
    let (status, tone) = words::status(m.status);
    let note = |b: &crate::domain::target::BaselineSummary| match words::basis(b.basis) {
        Some(basis) => format!("{}, {basis}", day(b.taken_on, today)),
        None => day(b.taken_on, today),
    };
    let quality = |q: Quality| match q {
        Quality::Prorated => ", prorated",
        Quality::TotalOnly => ", total only",
        Quality::Complete | Quality::Unscorable => "",
    };
    MeasureView {
        title: m.instrument.title(),
        baseline: m.baseline.as_ref().map_or_else(|| "–".to_owned(), |b| b.score.to_string()),
        baseline_note: m.baseline.as_ref().map_or_else(String::new, note),
        latest: m.latest.as_ref().map(|l| l.score.to_string()),
        latest_note: match (&m.latest, &m.baseline) {
            (Some(l), _) => format!("{}, {}{}", l.severity, day(l.taken_on, today), quality(l.quality)),
            (None, Some(b)) => format!("no score since {}", day(b.taken_on, today)),
            (None, None) => "never measured in this episode".to_owned(),
        },
        percent: m.percent_change.map(percent),
        status,
        tone,
    }
}

/// A conclusion of the rules.
pub struct FindingView {
    pub rule: &'static str,
    pub tone: Tone,
    pub measure: Option<&'static str>,
    pub reason: String,
    pub since: String,
    pub clock: &'static str,
    /// The numbers it was compared with.
    pub thresholds: Vec<String>,
    /// The scores and entries behind it: (anchor, words).
    pub evidence: Vec<(String, String)>,
    pub id: &'static str,
}

/// Clock of a rule (R7).
fn clock(rule: Rule) -> &'static str {
    match rule {
        Rule::EarlyWatch
        | Rule::InadequateResponse
        | Rule::Nonresponse
        | Rule::PersistentNonresponse
        | Rule::ConsiderSpecialtyReferral
        | Rule::MeasureStale
        | Rule::Unmeasured
        | Rule::Plateau => "plan clock: days since the last treatment change",
        Rule::ReviewRequired => "episode clock: days since enrollment",
        _ => "dates of scores, contacts and reviews",
    }
}

/// Why somebody who is in no episode might be offered one.
pub fn candidacy(whole: &PatientFile, today: NaiveDate) -> Option<String> {
    let candidate = whole.row.candidate.as_ref().filter(|candidate| candidate.dismissed.is_none())?;
    Some(in_sentence(&candidate.reason, today))
}

pub fn said(standing: &Standing, whole: &PatientFile, today: NaiveDate) -> Vec<FindingView> {
    let mut findings: Vec<_> = standing.findings.iter().collect();
    let order = crate::domain::attention::reasons(standing);
    findings.sort_by_key(|f| order.iter().position(|r| r.rule == Some(f.rule)).unwrap_or(usize::MAX));
    findings
        .into_iter()
        .map(|f| {
            let (rule, tone) = words::rule(f.rule);
            FindingView {
                rule,
                tone,
                measure: f.instrument.map(crate::domain::instrument::Instrument::title),
                reason: in_sentence(words::without_notice(&f.reason), today),
                since: day(f.since, today),
                clock: clock(f.rule),
                thresholds: f
                    .thresholds
                    .iter()
                    .map(|(name, value)| format!("{}: {value}", words::spaced(name)))
                    .collect(),
                evidence: f.evidence.iter().filter_map(|id| evidence(*id, whole, today)).collect(),
                id: f.rule.as_str(),
            }
        })
        .collect()
}

fn evidence(id: Uuid, whole: &PatientFile, today: NaiveDate) -> Option<(String, String)> {
    if let Some(m) = whole.story.measurements.iter().find(|m| m.id.0 == id) {
        let total = m.total.map_or_else(|| "not scorable".to_owned(), |t| t.to_string());
        return Some((format!("#m-{id}"), format!("{} {total}, {}", m.instrument, day(m.taken_on, today))));
    }
    let entry = whole.story.entries.iter().find(|e| e.id == id)?;
    Some((format!("#t-{id}"), format!("{}, {}", words::spaced(entry.care.kind()), day(entry.on, today))))
}

/// An unassessed safety answer.
pub struct OpenConcernView {
    pub reason: String,
    pub due: String,
    pub overdue: bool,
}

pub fn open(whole: &PatientFile, today: NaiveDate) -> Vec<OpenConcernView> {
    let concerns = whole.plan.concerns.iter().filter(|c| c.state == ConcernState::Open);
    concerns
        .map(|c| OpenConcernView {
            reason: in_sentence(words::without_notice(&c.reason), today),
            due: if c.due_on == today { "today".to_owned() } else { day(c.due_on, today) },
            overdue: c.due_on < today,
        })
        .collect()
}

/// The last documented assessment.
pub struct AssessmentView {
    pub on: String,
    pub words: String,
}

pub fn last_assessment(story: &Story, today: NaiveDate) -> Option<AssessmentView> {
    let entries = story.standing_entries();
    let last =
        entries.into_iter().filter(|e| matches!(e.care, Care::SafetyAssessment { .. })).max_by_key(|e| (e.at, e.id))?;
    let Care::SafetyAssessment { instrument, result, disposition, assessor, .. } = &last.care else { return None };
    Some(AssessmentView {
        on: day(last.on, today),
        words: format!("{instrument} by {assessor}: {result}. {disposition}"),
    })
}

/// A recommendation and its state.
pub struct RecommendationView {
    pub kind: &'static str,
    pub text: String,
    pub to: &'static str,
    pub on: String,
    pub due: Option<(String, bool)>,
    pub decision: Option<String>,
    pub tone: Tone,
    pub form: Option<Form>,
    pub open: bool,
}

pub fn followed(
    visitor: &Visitor,
    whole: &PatientFile,
    episode: Option<EpisodeId>,
    tried: Option<&Form>,
    today: NaiveDate,
) -> Vec<RecommendationView> {
    let may = visitor.is(&[Role::PrimaryCare, Role::CareManager]);
    let all = recommendation::followed(&whole.story);
    let of_this = all.into_iter().rev().filter(|f| f.episode == episode);
    of_this
        .map(|f| {
            let allowed = f.allowed();
            // Continuing as planned needs no decision.
            let goes_on = f.state == RecommendationState::NothingToDo;
            let form = (may && !allowed.is_empty() && !goes_on).then(|| {
                let fresh = forms::decision(visitor, whole.row.id, f.recommendation.id, allowed);
                tried.filter(|tried| tried.id == fresh.id).cloned().unwrap_or(fresh)
            });
            let decided = f.decided_on.map(|on| day(on, today)).unwrap_or_default();
            let reason = f.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
            let is_open = f.state.waits();
            RecommendationView {
                kind: words::change(f.recommendation.kind),
                to: words::addressee(f.recommendation.to),
                on: day(f.recommended_on, today),
                due: f.recommendation.due_on.filter(|_| is_open).map(|on| (day(on, today), on < today)),
                decision: match f.decision {
                    Some(d) => Some(format!("{}, {decided}{reason}", words::decision(d))),
                    None if goes_on => Some("no decision needed".to_owned()),
                    None => None,
                },
                tone: match f.decision {
                    None if !goes_on => Tone::Watch,
                    Some(RecommendationDecision::Done) => Tone::Good,
                    _ => Tone::Plain,
                },
                text: f.recommendation.text,
                open: form.as_ref().is_some_and(|form| form.problem.is_some()),
                form,
            }
        })
        .collect()
}

/// A Task or Flag, and whether it arrived.
pub struct ChartEntry {
    pub what: String,
    pub reason: String,
    pub stands: &'static str,
    pub since: String,
    pub due: Option<String>,
    pub state: &'static str,
    pub tone: Tone,
    pub chart_id: Option<String>,
    /// State in the chart, if it differs from what was written.
    pub drift: Option<String>,
    pub error: Option<String>,
    pub tried: String,
}

/// Open items first, then failed ones, then the rest; newest first.
pub fn chart_entries(deliveries: &[Delivery], zone: Tz, today: NaiveDate) -> Vec<ChartEntry> {
    let mut all: Vec<&Delivery> = deliveries.iter().collect();
    all.sort_by_key(|d| (d.posture != crate::domain::task::Posture::Open, std::cmp::Reverse(d.updated_at), d.id));
    all.into_iter()
        .map(|d| {
            let desired = &d.intent.desired;
            let (state, tone) = words::delivery(d.state, d.rung());
            ChartEntry {
                what: format!("{}: {}", desired.resource, words::code(desired.code)),
                reason: in_sentence(
                    words::without_notice(d.intent.ended_because.as_deref().unwrap_or(&desired.reason)),
                    today,
                ),
                stands: words::posture(d.posture),
                since: day(desired.since, today),
                due: desired.due_on.map(|on| day(on, today)),
                state,
                tone,
                chart_id: d.chart_id.clone(),
                drift: d.drift.as_deref().and_then(|drift| drift.parse().ok()).map(|drift| {
                    let status = d.chart_status.as_deref().unwrap_or_default().replace('-', " ");
                    let seen = d.chart_seen_at.map(|at| format!(", seen {}", instant(at, zone, today)));
                    format!("In the EHR {status}: {}{}.", words::drift(drift).0, seen.unwrap_or_default())
                }),
                error: d.last_error.clone().filter(|_| d.state != crate::store::outbox::DeliveryState::Settled),
                tried: instant(d.updated_at, zone, today),
            }
        })
        .collect()
}

/// One taking of one questionnaire.
pub struct ScoreView {
    pub id: MeasurementId,
    pub on: String,
    pub title: &'static str,
    pub total: String,
    pub band: &'static str,
    pub item9: Option<u8>,
    pub remarks: Vec<String>,
    pub retracted: bool,
    /// (item, answer, is item 9)
    pub answers: Vec<(String, String, bool)>,
    pub source: String,
}

pub fn scores(story: &Story, today: NaiveDate) -> Vec<ScoreView> {
    let mut all: Vec<_> = story.measurements.iter().collect();
    all.sort_by_key(|m| std::cmp::Reverse((m.taken_at, m.instrument, m.id)));
    all.into_iter()
        .map(|m| {
            let mut remarks: Vec<String> = match m.quality {
                Quality::Prorated => vec!["prorated: some items are missing".to_owned()],
                Quality::TotalOnly => vec!["total only".to_owned()],
                Quality::Unscorable => vec!["cannot be scored".to_owned()],
                Quality::Complete => Vec::new(),
            };
            if m.counting == EvidenceStatus::Partial {
                remarks.push("not finished: counts for safety only".to_owned());
            }
            if m.item9_unknown {
                remarks.push("item 9 is not known".to_owned());
            }
            remarks.extend(m.issues.iter().map(|issue| issue.detail.clone()));
            let suicide = m.instrument.self_harm_item();
            ScoreView {
                id: m.id,
                on: day(m.taken_on, today),
                title: m.instrument.title(),
                total: m.total.map_or_else(|| "–".to_owned(), |t| t.to_string()),
                band: m.total.map_or("", |t| m.instrument.band(t)),
                item9: m.item9,
                remarks,
                retracted: m.counting == EvidenceStatus::Retracted,
                answers: m
                    .answers
                    .iter()
                    .enumerate()
                    .map(|(n, a)| {
                        (
                            item(m.instrument, n),
                            a.map_or_else(|| "–".to_owned(), |a| a.to_string()),
                            suicide == Some(n) && a.is_some_and(|a| a > 0),
                        )
                    })
                    .collect(),
                source: m.source.clone(),
            }
        })
        .collect()
}
