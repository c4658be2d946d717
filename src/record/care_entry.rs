//! Facts that people enter: enrollment, what the care team did, scores taken elsewhere, assessments.

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use serde_json::json;
use uuid::Uuid;

use super::candidate;
use super::decide;
use super::dossier::Dossier;
use super::identify::{locked, whom};
use super::new_event::NewEvent;
use super::scored_form::measure;
use super::settle::settle;
use super::working_set::WorkingSet;
use super::{CommandEffect, PatientKey, RecordContext, Recorded};
use crate::domain::care::{Care, CareEntry, DischargeReason, FitCheck};
use crate::domain::day::local_midnight;
use crate::domain::episode::{Course, Episode, Phase};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::EvidenceStatus;
use crate::domain::score::Answers;
use crate::domain::story::Story;
use crate::fhir::content::EvidenceTime;
use crate::id::{EpisodeId, MeasurementId, PatientId};
use crate::problem::{Category, Problem};
use crate::store::episode;

/// Nobody alive was in care before this year; dates far away would run out of the calendar.
const FIRST_YEAR: i32 = 1900;

pub(super) fn not_in_future(context: &RecordContext<'_>, on: NaiveDate, field: &str) -> Result<(), Problem> {
    if on.year() < FIRST_YEAR {
        return Err(Problem::unprocessable("a date before 1900").at(field));
    }
    if on > context.today + Days::new(1) {
        return Err(Problem::unprocessable("a date more than a day in the future").at(field));
    }
    Ok(())
}

pub(super) fn recorded(context: &RecordContext<'_>, id: Uuid, version: i64, patient: PatientId) -> Recorded {
    Recorded {
        effect: CommandEffect::Created,
        id: id.to_string(),
        version,
        at: context.now,
        patient: Some(patient),
        quarantined: None,
        added: None,
    }
}

/// An episode began.
pub fn enrolled(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    who: &PatientKey,
    entered: &Episode,
    fit: Option<&FitCheck>,
) -> Result<Recorded, Problem> {
    let mut dossier = whom(set, who)?;
    for (on, field) in [(entered.enrolled_on, "enrolled_on"), (entered.consent_on, "consent_on")] {
        on.map_or(Ok(()), |on| not_in_future(context, on, field))?;
    }
    if let Some(open) = dossier.plan.standings.iter().find(|s| s.status != Phase::Discharged) {
        let mut problem = Problem::conflict(format!("the patient has an open episode, {}", open.episode));
        problem.allowed = vec!["discharge".to_owned()];
        return Err(problem);
    }
    if let (Some(start), Some(end)) =
        (entered.enrolled_on, dossier.plan.standings.iter().filter_map(|s| s.discharged_on).max())
        && start < end
    {
        return Err(Problem::conflict(format!("the previous episode ended on {end}")).at("enrolled_on"));
    }
    let episode = Episode { id: EpisodeId(context.clock.id()), ..entered.clone() };
    set.insert_episode(dossier.patient.id, &episode, context.by, context.now);
    if !dossier.patient.has_care {
        dossier.patient.has_care = true;
        set.update_patient(&dossier.patient);
    }
    let on = episode.enrolled_on.unwrap_or(context.today);
    let line = NewEvent {
        id: context.clock.id(),
        episode: Some(episode.id),
        kind: if episode.enrolled_on.is_some() { "enrolment" } else { "referral" }.to_owned(),
        is_care: false,
        on,
        at: local_midnight(context.zone, on),
        outcome: None,
        minutes: None,
        body: json!(episode),
    };
    let answer = recorded(context, episode.id.0, 1, dossier.patient.id);
    let id = episode.id;
    dossier.story.episodes.push(episode);
    settle(set, context, dossier, Some(line))?;
    if let Some(fit) = fit {
        cared(set, context, id, (on, None), &Care::FitCheck(fit.clone()), None)?;
    }
    Ok(answer)
}

pub(super) fn episode_of(
    set: &mut WorkingSet,
    id: EpisodeId,
    if_match: Option<i64>,
) -> Result<episode::EpisodeRecord, Problem> {
    let stored = set.episode(id)?.ok_or_else(|| Problem::not_found("episode"))?;
    if if_match.is_some_and(|revision| revision != stored.revision) {
        return Err(Problem::new(
            Category::PreconditionFailed,
            format!("the episode is at revision {}", stored.revision),
        ));
    }
    Ok(stored)
}

/// The care team did something in an episode.
pub fn cared(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    id: EpisodeId,
    (on, at): (NaiveDate, Option<DateTime<Utc>>),
    care: &Care,
    if_match: Option<i64>,
) -> Result<Recorded, Problem> {
    let stored = episode_of(set, id, None)?;
    let row = locked(set, stored.patient_id)?;
    let stored = episode_of(set, id, if_match)?;
    let mut dossier = set.take(row)?;
    not_in_future(context, on, "on")?;

    let entries = dossier.story.standing_entries();
    let Some(entered) = dossier.story.episodes.iter().find(|e| e.id == id) else {
        return Err(Problem::not_found("episode"));
    };
    // What may be done depends on where the episode stands now, and a closed one takes nothing before its end either.
    let course = Course::on(entered, &entries, dossier.story.patient.deceased_on, context.today.max(on));
    if !course.phase.allowed().contains(&care.kind()) {
        let mut problem =
            Problem::conflict(format!("the episode is {}: no {} can be entered", course.phase, care.kind()));
        problem.allowed = course.phase.allowed().iter().map(|kind| (*kind).to_owned()).collect();
        return Err(problem);
    }
    if let Some(start) = course.start().filter(|start| on < *start && moves_the_course(care)) {
        return Err(Problem::unprocessable(format!("before the episode began, {start}")).at("on"));
    }
    not_before_hold(&entries, id, care, on)?;
    consistent(&dossier.story, Some(id), care, on)?;
    reopens_alone(&dossier, id, care)?;
    replaces_the_last(&dossier.story, id, care)?;

    let entry = CareEntry {
        id: context.clock.id(),
        episode: Some(id),
        on,
        at: at.unwrap_or_else(|| local_midnight(context.zone, on)),
        care: care.clone(),
    };
    decide::join_session(set, (entry.id, id), on, care)?;
    set.touch_episode(id, context.now)?;
    let line = line_of(&entry);
    let answer = recorded(context, entry.id, stored.revision + 1, dossier.patient.id);
    dossier.story.entries.push(entry);
    settle(set, context, dossier, Some(line))?;
    Ok(answer)
}

/// Treatment is resumed after it was put on hold, not before.
fn not_before_hold(entries: &[&CareEntry], id: EpisodeId, care: &Care, on: NaiveDate) -> Result<(), Problem> {
    let holds = entries.iter().filter(|e| e.episode == Some(id) && matches!(e.care, Care::Hold { .. }));
    match holds.map(|hold| hold.on).max() {
        Some(began) if matches!(care, Care::Resume) && on < began => {
            Err(Problem::unprocessable(format!("before the hold began, {began}")).at("on"))
        }
        _ => Ok(()),
    }
}

/// Whether what an entry refers to exists in the patient's story.
fn consistent(story: &Story, episode: Option<EpisodeId>, care: &Care, on: NaiveDate) -> Result<(), Problem> {
    match care {
        Care::BaselineOverride { instrument, measurement, .. } => {
            let known = story
                .measurements
                .iter()
                .any(|m| m.id == *measurement && m.instrument == *instrument && m.score().is_some());
            if !known {
                return Err(
                    Problem::unprocessable("no scored measurement of this instrument has that id").at("measurement")
                );
            }
        }
        Care::Duplicate { of } => {
            let open = |one: &&Course<'_>| one.episode.id == *of && one.phase != Phase::Discharged;
            if Some(*of) == episode || !story.courses(on).iter().any(|one| open(&one)) {
                return Err(Problem::unprocessable("another open episode of the same patient").at("duplicate_of"));
            }
        }
        Care::TakenBack { entry, .. } => {
            if !story.entries.iter().any(|e| e.id == *entry && !matches!(e.care, Care::TakenBack { .. })) {
                return Err(Problem::unprocessable("no such entry").at("entry"));
            }
            if !story.standing_entries().iter().any(|e| e.id == *entry) {
                return Err(Problem::conflict("the entry was taken back already"));
            }
        }
        _ => decide::may_follow(story, care, on)?,
    }
    Ok(())
}

/// What changes the phase or a clock: it cannot have happened before the episode began.
fn moves_the_course(care: &Care) -> bool {
    matches!(
        care,
        Care::TreatmentChange { .. }
            | Care::Hold { .. }
            | Care::Resume
            | Care::RelapsePrevention { .. }
            | Care::Discharge { .. }
            | Care::Duplicate { .. }
    )
}

/// Taking a discharge back opens the episode again: never beside another open one.
fn reopens_alone(dossier: &Dossier, id: EpisodeId, care: &Care) -> Result<(), Problem> {
    let Care::TakenBack { entry, .. } = care else { return Ok(()) };
    let is_end = |care: &Care| matches!(care, Care::Discharge { .. } | Care::Duplicate { .. });
    let is_discharge = dossier.story.entries.iter().any(|e| e.id == *entry && is_end(&e.care));
    let other = dossier.plan.standings.iter().find(|s| s.episode != id && s.status != Phase::Discharged);
    match other.filter(|_| is_discharge) {
        Some(open) => Err(Problem::conflict(format!("the patient has another open episode, {}", open.episode))),
        None => Ok(()),
    }
}

/// Whoever writes the next version of a care plan has read the last one, as far as they say so.
fn replaces_the_last(story: &Story, id: EpisodeId, care: &Care) -> Result<(), Problem> {
    let Care::CarePlan(plan) = care else { return Ok(()) };
    let last = story.care_plan(id).map_or(0, |version| version.number);
    if plan.replaces.is_some_and(|replaces| replaces != last) {
        let detail =
            if last == 0 { "there is no care plan".to_owned() } else { format!("the care plan is at version {last}") };
        return Err(Problem::new(Category::PreconditionFailed, detail));
    }
    Ok(())
}

pub(super) fn line_of(entry: &CareEntry) -> NewEvent {
    let outcome = match &entry.care {
        Care::Contact { outcome, .. } => Some(outcome.to_string()),
        Care::RecommendationDecision { decision, .. } => Some(decision.to_string()),
        Care::RecommendationProgress { progress, .. } => Some(progress.to_string()),
        Care::Discharge { reason, .. } => Some(reason.to_string()),
        Care::Duplicate { .. } => Some(DischargeReason::Duplicate.to_string()),
        Care::FitCheck(fit) => Some(fit.decision.to_string()),
        Care::SetInChart { status, .. } => Some(status.clone()),
        _ => None,
    };
    NewEvent {
        id: entry.id,
        episode: entry.episode,
        kind: entry.care.kind().to_owned(),
        is_care: true,
        on: entry.on,
        at: entry.at,
        outcome,
        minutes: entry.care.minutes(),
        body: json!(entry.care),
    }
}

/// Something about the patient, in whichever episode.
pub fn of_patient(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    id: PatientId,
    at: DateTime<Utc>,
    care: &Care,
) -> Result<Recorded, Problem> {
    let mut dossier = whom(set, &PatientKey::Id(id))?;
    let on = at.with_timezone(&context.zone).date_naive();
    not_in_future(context, on, "assessed_at")?;
    if !dossier.patient.has_care {
        dossier.patient.has_care = true;
        set.update_patient(&dossier.patient);
    }
    let care = match care {
        Care::CandidateDismissal { reason, .. } => candidate::dismissal(&dossier, reason)?,
        care => care.clone(),
    };
    consistent(&dossier.story, None, &care, on)?;
    let entry = CareEntry { id: context.clock.id(), episode: None, on, at, care };
    let line = line_of(&entry);
    let answer = recorded(context, entry.id, 1, dossier.patient.id);
    dossier.story.entries.push(entry);
    settle(set, context, dossier, Some(line))?;
    Ok(answer)
}

/// A score was taken outside the EHR.
pub fn measured(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    id: PatientId,
    (instrument, taken, answers): (Instrument, EvidenceTime, &Answers),
    (taken_by, language): (Option<&str>, Option<&str>),
) -> Result<Recorded, Problem> {
    let mut dossier = whom(set, &PatientKey::Id(id))?;
    not_in_future(context, taken.on, "taken_at")?;
    let measurement_id = MeasurementId(context.clock.id());
    let source = format!("urn:uuid:{measurement_id}");
    let Some(mut measurement) = measure(measurement_id, instrument, answers, taken, EvidenceStatus::Submitted, &source)
    else {
        return Err(Problem::unprocessable("neither answers nor a total").at("answers"));
    };
    measurement.language = language.map(str::to_owned);
    let one = std::slice::from_ref(&measurement);
    set.put_measurements(dossier.patient.id, one, context.now);
    let line = NewEvent {
        id: context.clock.id(),
        episode: None,
        kind: "measurement".to_owned(),
        is_care: false,
        on: taken.on,
        at: taken.at,
        outcome: None,
        minutes: None,
        body: json!({"source": source, "taken_by": taken_by, "measurements": [measurement]}),
    };
    let answer = recorded(context, measurement_id.0, 1, dossier.patient.id);
    dossier.story.measurements.push(measurement);
    settle(set, context, dossier, Some(line))?;
    Ok(answer)
}

/// A day has passed, or the rules have changed.
pub fn looked_at(set: &mut WorkingSet, context: &RecordContext<'_>, id: PatientId) -> Result<Recorded, Problem> {
    let dossier = whom(set, &PatientKey::Id(id))?;
    let patient = dossier.patient.id;
    settle(set, context, dossier, None)?;
    Ok(Recorded { effect: CommandEffect::Unchanged, ..recorded(context, patient.0, 1, patient) })
}
