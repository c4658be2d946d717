//! A QuestionnaireResponse: which of our instruments it holds, and what was answered.

mod form;
mod identify;
mod place;
mod total;

use self::form::FormItem;
use self::identify::{FormIdentity, InstrumentMatch};
pub(super) use self::total::{StatedTotal, whole};
use super::answer::gather;
use super::content::{Doubt, Evidence, InstrumentReading, ReadingContext};
use super::json::JsonNode;
use super::{date, reference};
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus};
use crate::problem::Problem;

pub(super) fn read(resource: &JsonNode<'_>, context: &ReadingContext<'_>) -> Result<Evidence, Problem> {
    let counting = counting(resource)?;
    let entries = form::entries(resource, context.mapping);
    let (mut readings, unmapped) = readings(resource, &entries, context);

    let subject = reference::patient(resource, resource.get("subject"), "QuestionnaireResponse.subject");
    let when = date::clinical(resource.get("authored"), "QuestionnaireResponse.authored", context);
    if counting == EvidenceStatus::Retracted {
        // A retracted resource is found by its id; nothing else in it must be valid.
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

/// Every instrument in the form, or why somebody has to say first how to read it.
fn readings(
    resource: &JsonNode<'_>,
    entries: &[FormItem<'_>],
    context: &ReadingContext<'_>,
) -> (Vec<InstrumentReading>, Option<Doubt>) {
    let names = identify::names(resource);
    let found = match identify::identify(&names, entries, context.mapping) {
        FormIdentity::NotOurs => return (Vec::new(), None),
        FormIdentity::Resembles => {
            return (Vec::new(), Some(mapping_needed("it resembles one of our instruments, and does not name it")));
        }
        FormIdentity::Ours(found) => found,
    };
    let placements = match place::place(&found, entries, context.mapping) {
        Ok(placements) => placements,
        Err(why) => return (Vec::new(), Some(mapping_needed(why))),
    };
    let has_any = placements.iter().any(|placed| !placed.is_empty());
    let mut readings = Vec::with_capacity(found.len());
    for (which, placed) in found.iter().zip(&placements) {
        match reading(resource, entries, *which, &found, placed, has_any, context) {
            Ok(Some(reading)) => readings.push(reading),
            Ok(None) => {}
            Err(why) => return (Vec::new(), Some(mapping_needed(why))),
        }
    }
    (readings, None)
}

/// One instrument of the form.
fn reading(
    resource: &JsonNode<'_>,
    entries: &[FormItem<'_>],
    which: InstrumentMatch,
    found: &[InstrumentMatch],
    placed: &[place::ItemPlace],
    has_any: bool,
    context: &ReadingContext<'_>,
) -> Result<Option<InstrumentReading>, &'static str> {
    let instrument = which.instrument;
    let nodes: Vec<(usize, &JsonNode<'_>)> = placed
        .iter()
        .flat_map(|placed| entries[placed.entry].answers.iter().map(|answer| (placed.position, *answer)))
        .collect();
    let gathered = gather(instrument, &nodes, context.mapping);
    if gathered.counts_from_one {
        return Err("its local codes count from 1; each needs a value");
    }
    let mut answers = gathered.answers;
    let stated = total::stated(resource, entries, instrument, found);
    answers.stated_total = stated.total;
    answers.issues.extend(stated.issue);
    if placed.is_empty() {
        if has_any && answers.stated_total.is_none() {
            // Named beside an instrument that is there.
            return Ok(None);
        }
        let is_answered = entries.iter().any(|entry| entry.is_answered && !entry.is_total_like());
        if is_answered && !has_any {
            return Err("it names one of our instruments, and none of its items is known");
        }
        if answers.stated_total.is_some() {
            answers.items.clear();
        }
    }
    Ok(Some(InstrumentReading { instrument, answers, is_single_item: false }))
}

pub(super) fn mapping_needed(why: &str) -> Doubt {
    Doubt { code: "mapping_needed", detail: format!("the form needs a mapping: {why}") }
}

#[cfg(test)]
mod tests;
