//! The particulars of an episode change: who is in its team, what is measured, when it began.

use serde_json::{Value, json};

use super::care_entry::{episode_of, not_in_future, recorded};
use super::dossier::Dossier;
use super::identify::locked;
use super::new_event::NewEvent;
use super::settle::settle;
use super::working_set::WorkingSet;
use super::{Amendment, Change, CommandEffect, RecordContext, Recorded};
use crate::domain::care::FitDecision;
use crate::domain::day::local_midnight;
use crate::domain::episode::{Course, Episode, Phase};
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::event_log;

/// The particulars of an episode changed. The log says what they were and what they are.
pub fn amended(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    id: EpisodeId,
    amendment: &Amendment,
    if_match: Option<i64>,
) -> Result<Recorded, Problem> {
    let stored = episode_of(set, id, None)?;
    let row = locked(set, stored.patient_id)?;
    // Read again under the lock.
    let stored = episode_of(set, id, if_match)?;
    let mut dossier = set.take(row)?;
    let e = amended_episode(context, &dossier, &stored.episode, amendment)?;
    if amendment.transferred_on.is_some() {
        may_be_transferred(context, &dossier, &stored.episode, &e, amendment)?;
    }
    set.update_episode(&e, context.now)?;
    let mut body = json!(e);
    body["changed"] = changed(&stored.episode, &e);
    if let Some(on) = amendment.transferred_on {
        dossier.story.handovers.extend(event_log::handover(Some(id), on, &body));
    }
    body["reason"] = json!(amendment.reason);
    let line = NewEvent {
        id: context.clock.id(),
        episode: Some(id),
        kind: if amendment.transferred_on.is_some() { "transfer" } else { "amendment" }.to_owned(),
        is_care: false,
        on: amendment.transferred_on.unwrap_or(context.today),
        at: amendment.transferred_on.map_or(context.now, |on| local_midnight(context.zone, on)),
        outcome: None,
        minutes: None,
        body,
    };
    if let Some(slot) = dossier.story.episodes.iter_mut().find(|x| x.id == id) {
        *slot = e;
    }
    let revision = stored.revision + 1;
    let answer =
        Recorded { effect: CommandEffect::Updated, ..recorded(context, line.id, revision, dossier.patient.id) };
    settle(set, context, dossier, Some(line))?;
    Ok(answer)
}

/// The episode after the amendment.
fn amended_episode(
    context: &RecordContext<'_>,
    dossier: &Dossier,
    before: &Episode,
    amendment: &Amendment,
) -> Result<Episode, Problem> {
    let mut e = before.clone();
    if let Change::To(on) = amendment.consent_on {
        not_in_future(context, on, "consent_on")?;
    }
    if let Some(on) = amendment.enrolled_on {
        not_in_future(context, on, "enrolled_on")?;
        let others = dossier.plan.standings.iter().filter(|s| s.episode != e.id);
        if let Some(end) = others.filter_map(|s| s.discharged_on).max().filter(|end| on < *end) {
            return Err(Problem::conflict(format!("the previous episode ended on {end}")).at("enrolled_on"));
        }
        if e.enrolled_on.is_some_and(|enrolled| enrolled != on) {
            return Err(Problem::conflict("the enrollment date is fixed; discharge and enroll again").at("enrolled_on"));
        }
        let fit = dossier.story.fit_check(e.id);
        if e.enrolled_on.is_none() && fit.is_some_and(|fit| fit.decision == FitDecision::SpecialtyCare) {
            let mut problem = Problem::conflict("the fit check says specialty care; a new one may say otherwise");
            problem.allowed = vec!["fit_check".to_owned(), "discharge".to_owned()];
            return Err(problem.at("enrolled_on"));
        }
        e.enrolled_on = Some(on);
    }
    if let Some(targets) = &amendment.target_instruments {
        if !targets.contains(&e.primary_instrument) {
            return Err(
                Problem::unprocessable("the primary instrument is fixed and stays a target").at("target_instruments")
            );
        }
        e.target_instruments.clone_from(targets);
    }
    amendment.consent_on.apply(&mut e.consent_on);
    amendment.care_manager.apply(&mut e.care_manager);
    amendment.primary_care_provider.apply(&mut e.primary_care_provider);
    amendment.psychiatric_consultant.apply(&mut e.psychiatric_consultant);
    Ok(e)
}

/// Checks a handover: the episode is in care, to another care manager, not before care began.
fn may_be_transferred(
    context: &RecordContext<'_>,
    dossier: &Dossier,
    before: &Episode,
    after: &Episode,
    amendment: &Amendment,
) -> Result<(), Problem> {
    let on = amendment.transferred_on.unwrap_or(context.today);
    not_in_future(context, on, "on")?;
    let entries = dossier.story.standing_entries();
    let course = Course::on(before, &entries, dossier.story.patient.deceased_on, context.today.max(on));
    if course.phase == Phase::Discharged {
        let mut problem = Problem::conflict("the episode is discharged: nobody can be handed over");
        problem.allowed = course.phase.allowed().iter().map(|kind| (*kind).to_owned()).collect();
        return Err(problem);
    }
    if let Some(start) = course.start().filter(|start| on < *start) {
        return Err(Problem::unprocessable(format!("before the episode began, {start}")).at("on"));
    }
    let handovers = dossier.story.handovers.iter().filter(|h| h.episode == before.id);
    if let Some(last) = handovers.map(|h| h.on).max().filter(|last| on < *last) {
        return Err(
            Problem::conflict(format!("handed over on {last} already: a later handover cannot lie before")).at("on")
        );
    }
    if before.care_manager == after.care_manager {
        return Err(Problem::conflict("the patient is with this care manager already").at("to_care_manager"));
    }
    Ok(())
}

/// Each field that is another one now: from what to what.
fn changed(before: &Episode, after: &Episode) -> Value {
    let (before, after) = (json!(before), json!(after));
    let fields = after.as_object().into_iter().flatten();
    let different = fields.filter(|(name, to)| before[name.as_str()] != **to);
    Value::Object(
        different.map(|(name, to)| (name.clone(), json!({"from": before[name.as_str()], "to": to}))).collect(),
    )
}
