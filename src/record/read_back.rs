//! Something that we wrote into the chart was looked at there: what a person did to it becomes part of the story, and
//! what was lost is written again.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::care_entry::line_of;
use super::dossier::Dossier;
use super::identify::locked;
use super::settle::{append_events, settle};
use super::working_set::WorkingSet;
use super::{CommandEffect, RecordContext, Recorded, Sighting, decide};
use crate::domain::care::{Care, CareEntry, DELETED};
use crate::domain::read_back::{Drift, decision, is_closed, reported_status};
use crate::domain::recommendation::{TrackedRecommendation, followed};
use crate::domain::task::{ChartResource, Code, Posture};
use crate::fhir::chart_item::ChartItem;
use crate::fhir::write::parts::{ChartState, FLAG_CODES, TASK_CODES, WrittenPostures, carries};
use crate::fhir::write::{Planned, WriteForm};
use crate::problem::Problem;
use crate::store::journal;
use crate::store::outbox::{ChartNote, Delivery, DeliveryState};

/// How often what was lost is written again, until the intent changes. A chart that loses it once more has to be looked
/// at by a person.
const HEALS: i32 = 3;
/// By whom a decision is that was made in the chart, where it does not say whose the Task is.
const THE_CHART: &str = "the chart";

/// What a look says.
struct LookJudgment {
    noted: ChartNote,
    /// The status to tell, where a person set it and it was not told yet.
    news: Option<String>,
}

/// Something of ours was looked at in the chart.
pub fn seen(set: &mut WorkingSet, context: &RecordContext<'_>, sighting: &Sighting) -> Result<Recorded, Problem> {
    let row = locked(set, sighting.patient)?;
    let mut dossier = set.take(row)?;
    let absent = || Problem::not_found("delivery");
    let delivery = set.look_at(sighting.delivery)?.ok_or_else(absent)?;
    let here = match &sighting.seen {
        Some(seen) if still_ours(seen, &delivery, &sighting.system) => Some(seen),
        _ => None,
    };
    let about_another = match here.and_then(|seen| seen.about.as_deref()) {
        Some(key) => !set.persons_with_key(key)?.iter().any(|one| one.id == dossier.patient.id),
        None => false,
    };
    let told = reported_status(&dossier.story, delivery.id);
    let judged = match here {
        Some(seen) if about_another => Some(judged_about_another(seen, &delivery)),
        Some(seen) => judge(seen, &delivery, &sighting.system, told),
        None => judged_gone(&delivery, told),
    };
    let answer = Recorded {
        effect: if judged.is_some() { CommandEffect::Updated } else { CommandEffect::Unchanged },
        id: delivery.id.to_string(),
        version: 1,
        at: context.now,
        patient: Some(dossier.patient.id),
        quarantined: None,
        added: None,
    };
    let Some(judged) = judged else {
        set.put(dossier);
        return Ok(Recorded { effect: CommandEffect::Unchanged, ..answer });
    };
    set.note_sighting(&delivery, &judged.noted);
    if judged.noted.drift == Some(Drift::OursLost) && delivery.drift.as_deref() != Some(Drift::OursLost.as_str()) {
        set.journal_entries.push(line(context, &delivery, "delivery.lost_in_chart"));
        tracing::warn!(delivery = %delivery.id, heals = judged.noted.heal, "what was written is not what stands in the chart");
    }
    let Some(status) = judged.news else {
        set.put(dossier);
        return Ok(answer);
    };
    if status == DELETED {
        tracing::warn!(delivery = %delivery.id, "it was deleted in the chart, and is not written again");
    }
    if !dossier.patient.has_care {
        dossier.patient.has_care = true;
        set.update_patient(&dossier.patient);
    }
    let at = here.and_then(|seen| seen.changed_at).map_or(context.now, |at| at.min(context.now));
    tell(set, context, dossier, &delivery, (here, status), at)?;
    Ok(answer)
}

/// Tells that a person set a status, and what follows from it.
fn tell(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    mut dossier: Dossier,
    delivery: &Delivery,
    (seen, status): (Option<&ChartItem>, String),
    at: DateTime<Utc>,
) -> Result<(), Problem> {
    let desired = &delivery.intent.desired;
    let on = at.with_timezone(&context.zone).date_naive();
    let said = |field: fn(&ChartItem) -> &Option<String>| seen.and_then(|seen| field(seen).clone());
    let (owner, reason, remark) = (said(|s| &s.owner), said(|s| &s.reason), said(|s| &s.note));
    let asked = match decision(&status) {
        Some(decision) if desired.code == Code::Recommendation => {
            let by = owner.as_deref().map_or_else(|| THE_CHART.to_owned(), |owner| format!("{THE_CHART} ({owner})"));
            let known = recommended(&dossier, &desired.key).filter(|known| known.decision != Some(decision));
            known.map(|known| (known, decision, by, reason.clone().or_else(|| remark.clone())))
        }
        _ => None,
    };
    let entry =
        |care: Care, on: NaiveDate| CareEntry { id: context.clock.id(), episode: desired.episode, on, at, care };
    let status_entry = entry(
        Care::SetInChart {
            delivery: delivery.id,
            key: desired.key.clone(),
            resource: desired.resource,
            code: desired.code,
            since: desired.since,
            status,
            owner,
            reason,
            note: remark,
        },
        on,
    );
    let set_line = line_of(&status_entry);
    dossier.story.entries.push(status_entry);
    let Some((known, decision, by, reason)) = asked else {
        return settle(set, context, dossier, Some(set_line));
    };
    let on = on.max(known.recommended_on);
    let recommendation = known.recommendation.id;
    let care = Care::RecommendationDecision { recommendation, decision, by: Some(by), reason };
    let follows = decide::may_follow(&dossier.story, &care, on).is_ok() && !repeats(&known, &care);
    if !follows || decided_since(set, context, delivery, recommendation, at)? {
        return settle(set, context, dossier, Some(set_line));
    }
    append_events(set, context, &dossier, vec![set_line]);
    let decided = entry(care, on);
    let line = line_of(&decided);
    dossier.story.entries.push(decided);
    settle(set, context, dossier, Some(line))
}

/// The recommendation that a Task is about.
fn recommended(dossier: &Dossier, key: &str) -> Option<TrackedRecommendation> {
    followed(&dossier.story).into_iter().find(|one| key.contains(&one.recommendation.id.to_string()))
}

/// To work on what was modified is to accept it as modified: that adds nothing.
fn repeats(known: &TrackedRecommendation, care: &Care) -> bool {
    use crate::domain::care::RecommendationDecision::{Accepted, Modified};
    matches!(care, Care::RecommendationDecision { decision: Accepted, .. }) && known.decision == Some(Modified)
}

/// Whether somebody decided in the registry after the chart was changed: the last word counts. Decisions that came from
/// the chart follow each other there.
fn decided_since(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    delivery: &Delivery,
    recommendation: Uuid,
    at: DateTime<Utc>,
) -> Result<bool, Problem> {
    let Some(episode) = delivery.intent.desired.episode else { return Ok(false) };
    let id = recommendation.to_string();
    for kind in ["recommendation_decision", "recommendation_progress"] {
        let decided = set.facts_of_episode(episode, kind)?;
        let later = decided.iter().any(|one| {
            one.body.0["recommendation"] == id.as_str() && one.recorded_by != context.by && one.recorded_at >= at
        });
        if later {
            return Ok(true);
        }
    }
    Ok(false)
}

fn line(context: &RecordContext<'_>, delivery: &Delivery, event: &str) -> journal::JournalEntry {
    let mut line =
        journal::JournalEntry::new(context.clock.id(), context.clinic, context.now, context.by, context.role)
            .event(event);
    line.patient = Some(delivery.patient_id);
    line.episode = delivery.intent.desired.episode;
    line.subject = Some(format!("delivery/{}", delivery.id));
    line
}

/// Whether what stands under the id is what we wrote there. A server that began anew gives its ids to others; what has
/// only lost our identifier is known by its code.
fn still_ours(seen: &ChartItem, delivery: &Delivery, system: &str) -> bool {
    let intent = &delivery.intent.0;
    if carries(&seen.body, system, &intent.identifier) {
        return true;
    }
    let list = |field: &Value| field.as_array().cloned().unwrap_or_default();
    let of_another = list(&seen.body["identifier"]).iter().any(|one| one["system"] == system);
    let is_code = |one: &Value| {
        [TASK_CODES, FLAG_CODES].iter().any(|codes| one["system"] == **codes)
            && one["code"] == intent.desired.code.as_str()
    };
    !of_another && list(&seen.body["code"]["coding"]).iter().any(is_code)
}

fn judged_about_another(seen: &ChartItem, delivery: &Delivery) -> LookJudgment {
    let noted = ChartNote {
        status: Some(seen.status.clone()),
        version: seen.version.clone(),
        updated_at: seen.updated,
        drift: Some(Drift::NamesAnotherPatient),
        state: delivery.state,
        heal: false,
    };
    LookJudgment { noted, news: None }
}

fn judged_gone(delivery: &Delivery, told: Option<&str>) -> Option<LookJudgment> {
    let open = delivery.posture == Posture::Open;
    let known = delivery.chart_status.as_deref() == Some(DELETED);
    let noted = ChartNote {
        status: Some(DELETED.to_owned()),
        version: None,
        updated_at: None,
        drift: open.then_some(Drift::Deleted),
        // What was closed by us, and then tidied away, is in order.
        state: if open { DeliveryState::ClosedInChart } else { delivery.state },
        heal: false,
    };
    let news = (open && told != Some(DELETED)).then(|| DELETED.to_owned());
    (!known || news.is_some()).then_some(LookJudgment { noted, news })
}

/// What stands in the chart, compared with what we wrote and saw there before. `None` where it says nothing new.
fn judge(seen: &ChartItem, delivery: &Delivery, system: &str, told: Option<&str>) -> Option<LookJudgment> {
    let intent = &delivery.intent.0;
    let postures = delivery.settled_posture.iter().map(String::as_str).chain(delivery.unanswered.split(','));
    let written = WrittenPostures(postures.filter_map(|posture| posture.parse().ok()).collect());
    let form = match seen.resource {
        ChartResource::Task => WriteForm::Task,
        ChartResource::Flag => WriteForm::Flag,
    };
    let planned = Planned { intent, form, system, updates: true };
    let stands = planned.state(&seen.body, &written);
    let mut noted = ChartNote {
        status: Some(seen.status.clone()),
        version: seen.version.clone(),
        updated_at: seen.updated,
        drift: None,
        state: delivery.state,
        heal: false,
    };
    if is_older(seen, delivery) {
        let ours_was_last = delivery.chart_version.is_none() || delivery.chart_version == delivery.written_version;
        if !ours_was_last || delivery.state == DeliveryState::ClosedInChart {
            // It comes late.
            return None;
        }
        // A version before ours stands again. Written anew, a person's part in it is kept.
        (noted.version, noted.updated_at) = (None, None);
        return Some(LookJudgment { noted: lost(noted, delivery), news: None });
    }
    let by_us = seen.version.is_some() && seen.version == delivery.written_version;
    let touched = || match &delivery.written_version {
        Some(_) => !by_us,
        None => planned.merge(&seen.body, &written, delivery.updated_at).body.is_some(),
    };
    if stands == ChartState::ClosedThere {
        noted.drift = Some(Drift::ClosedByPerson);
        noted.state = DeliveryState::ClosedInChart;
    } else {
        if delivery.state == DeliveryState::ClosedInChart {
            // Open again: whoever closed it has thought better of it, or a deleted one is back.
            let behind = delivery.settled_revision < delivery.revision;
            noted.state = if behind { DeliveryState::Pending } else { DeliveryState::Settled };
        }
        if !carries(&seen.body, system, &intent.identifier) {
            noted = lost(noted, delivery);
        } else if touched() {
            noted.drift = Some(Drift::ChangedByPerson);
        }
    }
    let persons = match stands {
        ChartState::ClosedThere | ChartState::InProgress => true,
        // Open again, and not by us.
        ChartState::Ours => !by_us && told.is_some() && !is_closed(&seen.status),
    };
    let news = (persons && told != Some(seen.status.as_str())).then(|| seen.status.clone());
    Some(LookJudgment { noted, news })
}

/// Writes it again, unless that was tried often enough or is under way.
fn lost(mut noted: ChartNote, delivery: &Delivery) -> ChartNote {
    noted.drift = Some(Drift::OursLost);
    if noted.state == DeliveryState::Settled && delivery.heals < HEALS {
        noted.state = DeliveryState::Pending;
        noted.heal = true;
    }
    noted
}

/// Whether it is older than what was written or seen before.
fn is_older(seen: &ChartItem, delivery: &Delivery) -> bool {
    let latest = delivery.chart_version.as_ref().or(delivery.written_version.as_ref());
    if seen.version.as_ref() == latest {
        return false;
    }
    let number = |version: Option<&String>| version.and_then(|version| version.parse::<u64>().ok());
    let numbers = number(seen.version.as_ref()).zip(number(latest));
    match (&delivery.chart_version, seen.updated.zip(delivery.chart_updated_at), numbers) {
        (Some(_), Some((seen, known)), _) if seen != known => seen < known,
        (_, _, Some((seen, known))) => seen < known,
        // We have written since.
        (None, Some((seen, known)), None) => delivery.written_version.is_some() && seen <= known,
        _ => false,
    }
}
