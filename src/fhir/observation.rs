//! An Observation: a total, a single item, or a whole form in components.

use super::answer::{gather, has_value, is_of_mds, number_in};
use super::content::{Evidence, InstrumentReading, ReadingContext};
use super::json::JsonNode;
use super::mapping::Meaning;
use super::questionnaire_response::{StatedTotal, add_issue, whole};
use super::{date, reference};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus};
use crate::domain::score::Answers;
use crate::problem::Problem;

/// Reads an Observation.
pub(super) fn read(resource: &JsonNode<'_>, context: &ReadingContext<'_>) -> Result<Evidence, Problem> {
    let counting = counting(resource)?;
    let (mut readings, unmapped) = readings(resource, context);
    let subject = reference::patient(resource, resource.get("subject"), "Observation.subject");
    let (effective, expression) = effective(resource);
    let when = date::clinical(effective, expression, context);
    if counting == EvidenceStatus::Retracted {
        let subject = subject.ok().and_then(|pointed| pointed.subject);
        let taken = when.ok().and_then(|when| when.taken);
        return Ok(Evidence { subject, counting, taken, readings, doubt: None, language: None });
    }
    let (subject, when) = (subject?, when?);
    add_issue(&mut readings, when.issue.as_ref());
    let is_ours = !readings.is_empty() || unmapped.is_some();
    let doubt = unmapped.or(subject.doubt).or(when.doubt).filter(|_| is_ours);
    Ok(Evidence { subject: subject.subject, counting, taken: when.taken, readings, doubt, language: None })
}

fn counting(resource: &JsonNode<'_>) -> Result<EvidenceStatus, Problem> {
    match resource.text("status") {
        Some("final" | "amended" | "corrected") => Ok(EvidenceStatus::Submitted),
        Some("registered" | "preliminary" | "partial" | "unknown") => Ok(EvidenceStatus::Partial),
        Some("cancelled" | "entered-in-error") => Ok(EvidenceStatus::Retracted),
        Some(_) => Err(Problem::malformed("not a status of an Observation").at("Observation.status")),
        None => Err(Problem::malformed("status is missing").at("Observation.status")),
    }
}

/// When it was taken. `issued` is when it was filed, so it does not help.
fn effective<'n, 'a>(resource: &'n JsonNode<'a>) -> (Option<&'n JsonNode<'a>>, &'static str) {
    let period = resource.get("effectivePeriod");
    let places = [
        (resource.get("effectiveDateTime"), "Observation.effectiveDateTime"),
        (resource.get("effectiveInstant"), "Observation.effectiveInstant"),
        (period.and_then(|period| period.get("end")), "Observation.effectivePeriod.end"),
        (period.and_then(|period| period.get("start")), "Observation.effectivePeriod.start"),
    ];
    places.into_iter().find(|(date, _)| date.is_some()).unwrap_or((None, "Observation.effectiveDateTime"))
}

/// Meaning of a code: its first known coding.
fn meaning(node: &JsonNode<'_>, context: &ReadingContext<'_>) -> Option<Meaning> {
    let codings = node.get("code")?.list("coding").iter();
    codings.filter_map(|coding| coding.text("code")).find_map(|code| context.mapping.code(code))
}

/// Content of a resource or its components for one instrument.
struct ObservationPart<'n, 'a> {
    instrument: Instrument,
    items: Vec<(usize, &'n JsonNode<'a>)>,
    stated: Option<StatedTotal>,
}

fn readings(
    resource: &JsonNode<'_>,
    context: &ReadingContext<'_>,
) -> (Vec<InstrumentReading>, Option<crate::fhir::content::Doubt>) {
    let own = meaning(resource, context);
    let mut parts: Vec<ObservationPart<'_, '_>> = Vec::new();
    let mut is_single_item = false;
    match own {
        Some(Meaning::Foreign | Meaning::Ignore) => return (Vec::new(), None),
        Some(Meaning::Item(instrument, position)) if has_value(resource) && !is_of_mds(resource) => {
            is_single_item = true;
            part(&mut parts, instrument).items.push((position, resource));
        }
        Some(Meaning::Total(instrument) | Meaning::Panel(instrument)) if has_value(resource) => {
            part(&mut parts, instrument).stated = Some(total(resource));
        }
        _ => {}
    }
    let components = resource.list("component").iter().filter(|component| has_value(component));
    for component in components.filter(|component| !is_of_mds(component)) {
        match meaning(component, context) {
            Some(Meaning::Item(instrument, position)) => {
                // The panel knows best whether these are the teens' or the short form's items.
                let (instrument, position) = seen_from(own, instrument, position);
                part(&mut parts, instrument).items.push((position, component));
                is_single_item = false;
            }
            Some(Meaning::Total(instrument)) => {
                let stated = &mut part(&mut parts, instrument).stated;
                *stated = stated.take().or_else(|| Some(total(component)));
            }
            _ => {}
        }
    }
    let mut readings = Vec::with_capacity(parts.len());
    for part in parts {
        let gathered = gather(part.instrument, &part.items, context.mapping);
        if gathered.counts_from_one {
            return (
                Vec::new(),
                Some(super::questionnaire_response::mapping_needed("its local codes count from 1; each needs a value")),
            );
        }
        let mut answers = if part.items.is_empty() { Answers::default() } else { gathered.answers };
        if let Some(stated) = part.stated {
            answers.stated_total = stated.total;
            answers.issues.extend(stated.issue);
        }
        readings.push(InstrumentReading { instrument: part.instrument, answers, is_single_item });
    }
    (readings, None)
}

fn part<'p, 'n, 'a>(
    parts: &'p mut Vec<ObservationPart<'n, 'a>>,
    instrument: Instrument,
) -> &'p mut ObservationPart<'n, 'a> {
    let at = parts.iter().position(|part| part.instrument == instrument).unwrap_or(parts.len());
    if at == parts.len() {
        parts.push(ObservationPart { instrument, items: Vec::new(), stated: None });
    }
    &mut parts[at]
}

/// An item that several instruments share, as the Observation's own code means it.
fn seen_from(own: Option<Meaning>, instrument: Instrument, position: usize) -> (Instrument, usize) {
    match (own, instrument) {
        (Some(Meaning::Panel(Instrument::Phq2) | Meaning::Total(Instrument::Phq2)), Instrument::Phq9)
            if position < 2 =>
        {
            (Instrument::Phq2, position)
        }
        (
            Some(Meaning::Panel(own @ Instrument::Phq9Modified) | Meaning::Total(own @ Instrument::Phq9Modified)),
            Instrument::Phq9,
        ) => (own, super::mapping::words::TEEN_ORDER[position]),
        _ => (instrument, position),
    }
}

/// The total in `value[x]`.
fn total(node: &JsonNode<'_>) -> StatedTotal {
    let total = number_in(node).and_then(whole);
    let issue =
        total.is_none().then(|| DataQualityIssue::new("unreadable_total", "the total is not a whole number from 0 up"));
    StatedTotal { total, issue }
}

#[cfg(test)]
mod tests;
