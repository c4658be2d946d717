//! A QuestionnaireResponse: which of our instruments it holds, and what was answered.

mod form;
mod identify;
mod place;
mod total;

use self::form::Entry;
use self::identify::{Found, Identity};
pub(super) use self::total::{Stated, whole};
use super::answer::gather;
use super::arrival::{Context, Doubt, Evidence, Reading};
use super::json::Node;
use super::{date, reference};
use super::mapping::words;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{Counting, Issue};
use crate::problem::Problem;

/// Reads a form.
pub(super) fn read(resource: &Node<'_>, context: &Context<'_>) -> Result<Evidence, Problem> {
    let counting = counting(resource)?;
    let entries = form::entries(resource, context.mapping);
    let (mut readings, unmapped) = readings(resource, &entries, context);

    let subject = reference::patient(resource, resource.get("subject"), "QuestionnaireResponse.subject");
    let when = date::clinical(resource.get("authored"), "QuestionnaireResponse.authored", context);
    if counting == Counting::Retracted {
        // What is taken back is found by its id; nothing else of it has to be right.
        let subject = subject.ok().and_then(|pointed| pointed.subject);
        let taken = when.ok().and_then(|when| when.taken);
        return Ok(Evidence { subject, counting, taken, readings, doubt: None, language: None });
    }
    let (subject, when) = (subject?, when?);
    add_issue(&mut readings, when.issue.as_ref());
    // A form that is none of ours needs neither a patient nor a date.
    let is_ours = !readings.is_empty() || unmapped.is_some();
    let doubt = unmapped.or(subject.doubt).or(when.doubt).filter(|_| is_ours);
    Ok(Evidence { subject: subject.subject, counting, taken: when.taken, readings, doubt, language: None })
}

/// Adds a remark about the whole resource to every reading.
pub(super) fn add_issue(readings: &mut [Reading], issue: Option<&Issue>) {
    for reading in readings {
        reading.answers.issues.extend(issue.cloned());
    }
}

fn counting(resource: &Node<'_>) -> Result<Counting, Problem> {
    match resource.text("status") {
        Some("completed" | "amended") => Ok(Counting::Submitted),
        Some("in-progress" | "stopped") => Ok(Counting::Partial),
        Some("entered-in-error") => Ok(Counting::Retracted),
        Some(_) => {
            Err(Problem::malformed("not a status of a QuestionnaireResponse").at("QuestionnaireResponse.status"))
        }
        None => Err(Problem::malformed("status is missing").at("QuestionnaireResponse.status")),
    }
}

/// Every instrument in the form, or why somebody has to say first how to read it.
fn readings(resource: &Node<'_>, entries: &[Entry<'_>], context: &Context<'_>) -> (Vec<Reading>, Option<Doubt>) {
    let names = identify::names(resource);
    let found = match identify::identify(&names, entries, context.mapping) {
        Identity::NotOurs => return (Vec::new(), None),
        Identity::Resembles => {
            let readings = self_harm_alone(entries, context).into_iter().collect();
            return (readings, Some(mapping_needed("it resembles one of our instruments, and does not name it")));
        }
        Identity::Ours(found) => found,
    };
    let (placements, mut doubt) = place::place(&found, entries, context.mapping);
    let has_any = placements.iter().any(|placed| !placed.is_empty());
    let mut readings = Vec::with_capacity(found.len());
    for (which, placed) in found.iter().zip(&placements) {
        let (reading, why) = reading(resource, entries, *which, &found, placed, has_any, context);
        readings.extend(reading);
        doubt = doubt.or(why);
    }
    if !readings.iter().any(has_self_harm_item) {
        readings.extend(self_harm_alone(entries, context));
    }
    (readings, doubt.map(mapping_needed))
}

fn has_self_harm_item(reading: &Reading) -> bool {
    let item = reading.instrument.definition().suicide_item;
    item.is_some_and(|item| {
        reading.answers.items.get(item).is_some_and(Option::is_some) || reading.answers.unreadable.contains(&item)
    })
}

/// The question about death and self-harm in a form that is otherwise not understood, or another instrument: whoever
/// has these thoughts must be seen, whatever the form around the question is.
fn self_harm_alone(entries: &[Entry<'_>], context: &Context<'_>) -> Option<Reading> {
    let instrument = Instrument::Phq9;
    let item = instrument.definition().suicide_item?;
    let nodes: Vec<(usize, &Node<'_>)> = entries
        .iter()
        .filter(|entry| entry.is_open() && words::question(entry.words(), instrument) == Some(item))
        .flat_map(|entry| entry.answers.iter().map(|answer| (item, *answer)))
        .collect();
    if nodes.is_empty() {
        return None;
    }
    let answers = gather(instrument, &nodes, context.mapping).answers;
    Some(Reading { instrument, answers, is_single_item: false })
}

/// One instrument of the form.
fn reading(
    resource: &Node<'_>,
    entries: &[Entry<'_>],
    which: Found,
    found: &[Found],
    placed: &[place::Placed],
    has_any: bool,
    context: &Context<'_>,
) -> (Option<Reading>, Option<&'static str>) {
    let instrument = which.instrument;
    let nodes: Vec<(usize, &Node<'_>)> = placed
        .iter()
        .flat_map(|placed| entries[placed.entry].answers.iter().map(|answer| (placed.position, *answer)))
        .collect();
    let gathered = gather(instrument, &nodes, context.mapping);
    let mut answers = gathered.answers;
    if gathered.counts_from_one {
        let why = "its local codes count from 1; each needs a value";
        return (Some(Reading { instrument, answers, is_single_item: false }), Some(why));
    }
    let stated = total::stated(resource, entries, instrument, found);
    answers.stated_total = stated.total;
    answers.issues.extend(stated.issue);
    if placed.is_empty() {
        if has_any && answers.stated_total.is_none() {
            // Named beside an instrument that is there.
            return (None, None);
        }
        let is_answered = entries.iter().any(|entry| entry.is_answered && !entry.is_total_like());
        if is_answered && !has_any {
            return (None, Some("it names one of our instruments, and none of its items is known"));
        }
        if answers.stated_total.is_some() {
            answers.items.clear();
        }
    }
    (Some(Reading { instrument, answers, is_single_item: false }), None)
}

pub(super) fn mapping_needed(why: &str) -> Doubt {
    Doubt { code: "mapping_needed", detail: format!("the form needs a mapping: {why}") }
}

#[cfg(test)]
mod tests;
