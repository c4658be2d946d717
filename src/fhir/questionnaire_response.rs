//! A QuestionnaireResponse: which of our instruments it holds, and what was answered.

mod definition;
mod form;
mod identify;
mod place;
mod safety;
mod total;

use self::definition::Questions;
use self::form::FormItem;
pub(super) use self::identify::shown;
use self::identify::{FormIdentity, InstrumentMatch};
use self::place::ItemPlace;
pub(super) use self::safety::no_item_but_safety;
pub(super) use self::total::StatedTotal;
use super::answer::gather;
use super::content::{Doubt, Evidence, InstrumentReading, ReadingContext};
use super::json::JsonNode;
use super::{date, modifier, reference};
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus};
use crate::problem::Problem;

pub(super) fn read(resource: &JsonNode<'_>, context: &ReadingContext<'_>) -> Result<Evidence, Problem> {
    let counting = counting(resource)?;
    let fetched = definition::unknown_canonical(resource, context.mapping)
        .and_then(|canonical| context.mapping.questionnaires().get(canonical));
    let fetched = fetched.as_deref().and_then(|body| JsonNode::read(body).ok());
    let questionnaire = definition::questionnaire(resource).or(fetched.as_ref());
    let questions = Questions::of(questionnaire, resource);
    let entries = form::entries(resource, &questions, context.mapping);
    let names = identify::names(resource, questionnaire);
    let Form { mut readings, doubt } = form(resource, &names, &entries, context);

    let subject = reference::patient(resource, resource.get("subject"), "QuestionnaireResponse.subject", context.bases);
    let when = date::clinical(resource.get("authored"), "QuestionnaireResponse.authored", context);
    if counting == EvidenceStatus::Retracted {
        // A retracted resource is found by its id; nothing else in it must be valid.
        let subject = subject.ok().and_then(|pointed| pointed.subject);
        let taken = when.ok().and_then(|when| when.taken);
        return Ok(Evidence { subject, counting, taken, readings, doubt: None, language: None, members: Vec::new() });
    }
    let (subject, when) = (subject?, when?);
    add_issue(&mut readings, when.issue.as_ref());
    // A form that is none of ours needs neither a patient nor a date.
    let is_ours = !readings.is_empty() || doubt.is_some();
    let doubt = modifier::unknown(resource).or(doubt).or(subject.doubt).or(when.doubt).filter(|_| is_ours);
    Ok(Evidence {
        subject: subject.subject,
        counting,
        taken: when.taken,
        readings,
        doubt,
        language: None,
        members: Vec::new(),
    })
}

/// Adds a remark about the whole resource to every reading.
pub(super) fn add_issue(readings: &mut [InstrumentReading], issue: Option<&DataQualityIssue>) {
    for reading in readings {
        reading.answers.issues.extend(issue.cloned());
    }
}

fn counting(resource: &JsonNode<'_>) -> Result<EvidenceStatus, Problem> {
    match resource.text("status") {
        Some("completed" | "amended") => Ok(EvidenceStatus::Submitted),
        Some("in-progress" | "stopped") => Ok(EvidenceStatus::Partial),
        Some("entered-in-error") => Ok(EvidenceStatus::Retracted),
        Some(_) => {
            Err(Problem::malformed("not a status of a QuestionnaireResponse").at("QuestionnaireResponse.status"))
        }
        None => Err(Problem::malformed("status is missing").at("QuestionnaireResponse.status")),
    }
}

/// Every instrument in the form, and why somebody has to say first how to read it.
struct Form {
    readings: Vec<InstrumentReading>,
    doubt: Option<Doubt>,
}

fn form(resource: &JsonNode<'_>, names: &[&str], entries: &[FormItem<'_>], context: &ReadingContext<'_>) -> Form {
    let (found, mut doubt) = match identify::identify(names, entries, context.mapping) {
        FormIdentity::NotOurs => (Vec::new(), None),
        FormIdentity::Resembles(why) => (Vec::new(), Some(why)),
        FormIdentity::Ours(found) => (found, None),
    };
    let placements = place::place(&found, entries, context.mapping);
    doubt = doubt.or(placements.doubt);
    let has_any = placements.of.iter().any(|placed| !placed.is_empty());
    let mut readings = Vec::with_capacity(found.len());
    for (which, placed) in found.iter().zip(&placements.of) {
        let (reading, why) = reading(resource, entries, *which, &found, placed, has_any, context);
        readings.extend(reading);
        doubt = doubt.or(why);
    }
    let placed: Vec<usize> = placements.of.iter().flatten().map(|placed| placed.entry).collect();
    safety::add(&mut readings, entries, &placed, context.mapping);
    if found.is_empty() && doubt.is_some() {
        readings.extend(total::implied(entries));
    }
    Form { readings, doubt: doubt.map(|why| mapping_needed(&why)) }
}

/// One instrument of the form.
fn reading(
    resource: &JsonNode<'_>,
    entries: &[FormItem<'_>],
    which: InstrumentMatch,
    found: &[InstrumentMatch],
    placed: &[ItemPlace],
    has_any: bool,
    context: &ReadingContext<'_>,
) -> (Option<InstrumentReading>, Option<String>) {
    let instrument = which.instrument;
    let nodes: Vec<(usize, &JsonNode<'_>)> = placed
        .iter()
        .flat_map(|placed| entries[placed.entry].answers.iter().map(|answer| (placed.position, *answer)))
        .collect();
    let gathered = gather(instrument, &nodes, context.mapping);
    let mut answers = gathered.answers;
    if gathered.counts_from_one {
        let why = "its local codes count from 1; say what each answer counts".to_owned();
        return (Some(InstrumentReading { instrument, answers, is_single_item: false }), Some(why));
    }
    let stated = total::stated(resource, entries, instrument, found);
    let is_refused = stated.issue.is_some();
    answers.stated_total = stated.total;
    answers.issues.extend(stated.issue);
    let mut doubt = None;
    if placed.is_empty() {
        if has_any && answers.stated_total.is_none() {
            // Named beside an instrument that is there.
            return (None, None);
        }
        let is_answered = entries.iter().any(|entry| entry.is_answered && !entry.is_total_like());
        if is_answered && !has_any {
            return (None, Some(format!("it names the {instrument}, and none of its items is known")));
        }
        if answers.stated_total.is_some() || is_refused {
            answers.items.clear();
        }
        doubt = is_refused.then(|| format!("the total of the {instrument} is no score"));
    }
    (Some(InstrumentReading { instrument, answers, is_single_item: false }), doubt)
}

pub(super) fn mapping_needed(why: &str) -> Doubt {
    Doubt { code: "mapping_needed", detail: format!("the form needs a mapping: {why}") }
}

#[cfg(test)]
mod tests;
