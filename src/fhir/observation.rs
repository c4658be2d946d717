//! An Observation: a total, a single item, or a whole form in components.

use std::borrow::Cow;

use super::answer::{figure_in, gather, has_value, is_telling, of_stranger};
use super::content::{Doubt, Evidence, InstrumentReading, ReadingContext};
use super::json::JsonNode;
use super::logical_id::is_logical_id;
use super::mapping::lexicon::lexicon;
use super::mapping::{Meaning, words};
use super::questionnaire_response::{StatedTotal, add_issue, mapping_needed, no_item_but_safety, shown};
use super::{date, modifier, reference};
use crate::domain::instrument::Instrument;
use crate::domain::instrument::words::normal;
use crate::domain::measurement::EvidenceStatus;
use crate::domain::score::Answers;
use crate::problem::Problem;

/// Reads an Observation.
pub(super) fn read(resource: &JsonNode<'_>, context: &ReadingContext<'_>) -> Result<Evidence, Problem> {
    let counting = counting(resource)?;
    let (mut readings, unmapped) = match modifier::somebody_else(resource) {
        Some(doubt) => (Vec::new(), somebody_elses(resource, context, doubt)),
        None => readings(resource, context),
    };
    let subject = reference::patient(resource, resource.get("subject"), "Observation.subject", context.bases);
    let (effective, expression) = effective(resource);
    let when = date::clinical(effective, expression, context);
    if counting == EvidenceStatus::Retracted {
        let subject = subject.ok().and_then(|pointed| pointed.subject);
        let taken = when.ok().and_then(|when| when.taken);
        return Ok(Evidence { subject, counting, taken, readings, doubt: None, language: None, members: Vec::new() });
    }
    let (subject, when) = (subject?, when?);
    add_issue(&mut readings, when.issue.as_ref());
    let is_ours = !readings.is_empty() || unmapped.is_some();
    let doubt = modifier::unknown(resource).or(unmapped).or(subject.doubt).or(when.doubt).filter(|_| is_ours);
    let members = members(resource, context);
    Ok(Evidence { subject: subject.subject, counting, taken: when.taken, readings, doubt, language: None, members })
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

/// Meaning of a code: its first known coding. An item that several instruments share comes with its owner first.
fn meanings(node: &JsonNode<'_>, context: &ReadingContext<'_>) -> Cow<'static, [Meaning]> {
    let codings = node.get("code").map_or(&[][..], |code| code.list("coding")).iter();
    let known = codings.filter_map(|coding| coding.text("code")).map(|code| context.mapping.code(code));
    known.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
}

/// The most items that an instrument has, and a few totals beside them.
const MOST_MEMBERS: usize = 40;

/// The Observations that a panel or a total of ours consists of.
fn members(resource: &JsonNode<'_>, context: &ReadingContext<'_>) -> Vec<String> {
    let is_whole = |meaning: &Meaning| matches!(meaning, Meaning::Panel(_) | Meaning::Total(_));
    if !meanings(resource, context).iter().any(is_whole) {
        return Vec::new();
    }
    let linked = ["hasMember", "derivedFrom"].into_iter().flat_map(|name| resource.list(name));
    let observation = |link: &JsonNode<'_>| {
        let mut parts = link.text("reference")?.rsplit('/');
        let (id, kind) = (parts.next()?, parts.next()?);
        (kind == "Observation" && is_logical_id(id)).then(|| format!("Observation/{id}"))
    };
    let mut members: Vec<String> = linked.filter_map(observation).take(MOST_MEMBERS).collect();
    members.sort();
    members.dedup();
    members
}

/// Content of a resource or its components for one instrument.
struct ObservationPart<'n, 'a> {
    instrument: Instrument,
    items: Vec<(usize, &'n JsonNode<'a>)>,
    stated: Option<StatedTotal>,
}

fn readings(resource: &JsonNode<'_>, context: &ReadingContext<'_>) -> (Vec<InstrumentReading>, Option<Doubt>) {
    let own = meanings(resource, context);
    let mut parts: Vec<ObservationPart<'_, '_>> = Vec::new();
    let mut readings = Vec::new();
    let mut is_single_item = false;
    let is_ours = has_value(resource) && of_stranger(resource).is_none();
    match own.first() {
        Some(Meaning::Foreign | Meaning::Ignore) => return (Vec::new(), None),
        Some(Meaning::Item(instrument, position)) if is_ours => {
            is_single_item = true;
            part(&mut parts, *instrument).items.push((*position, resource));
        }
        Some(meaning @ Meaning::Safety(..)) => readings.extend(no_item_but_safety(*meaning, resource, context.mapping)),
        Some(Meaning::Total(instrument) | Meaning::Panel(instrument)) if has_value(resource) => {
            part(&mut parts, *instrument).stated = Some(StatedTotal::read(figure_in(resource), *instrument));
        }
        _ => {}
    }
    let of = own.first().and_then(|meaning| meaning.instrument());
    let mut unknown: Vec<&JsonNode<'_>> = Vec::new();
    for component in resource.list("component").iter().filter(|component| has_value(component)) {
        // The panel knows best whether these are the teens' or the short form's items.
        let found = meanings(component, context);
        let mine = found.iter().find(|meaning| meaning.instrument() == of).or(found.first());
        match mine {
            Some(Meaning::Item(instrument, position)) if of_stranger(component).is_none() => {
                part(&mut parts, *instrument).items.push((*position, component));
                is_single_item = false;
            }
            Some(Meaning::Total(instrument)) => {
                let stated = &mut part(&mut parts, *instrument).stated;
                *stated = stated.take().or_else(|| Some(StatedTotal::read(figure_in(component), *instrument)));
            }
            Some(_) => {}
            None => unknown.push(component),
        }
    }
    unknown.retain(|component| !is_item_by_words(component, of, &mut parts));
    let mut doubt = None;
    for part in parts {
        let (reading, why) = read_part(part, is_single_item, context);
        readings.push(reading);
        doubt = doubt.or(why);
    }
    if own.is_empty() && has_value(resource) {
        unknown.insert(0, resource);
    }
    let is_known = !readings.is_empty();
    for part in unknown {
        let (more, why) = unmapped(part, context);
        // Beside what is known, only a question about self-harm matters.
        let is_safety = more.as_ref().is_some_and(|reading| !reading.answers.items.is_empty());
        if !is_known || is_safety {
            readings.extend(more);
            doubt = doubt.or(why);
        }
    }
    (readings, doubt)
}

/// A component of one of our panels that says in words alone which item it is.
fn is_item_by_words<'n, 'a>(
    component: &'n JsonNode<'a>,
    panel: Option<Instrument>,
    parts: &mut Vec<ObservationPart<'n, 'a>>,
) -> bool {
    let Some(instrument) = panel.or_else(|| parts.first().map(|part| part.instrument)) else { return false };
    let item_of = |text: String| {
        lexicon().question(&text).into_iter().find_map(|meaning| match meaning {
            Meaning::Item(of, position) if of == instrument => Some(position),
            _ => None,
        })
    };
    let Some(position) = texts(component).find_map(item_of) else { return false };
    let items = &mut part(parts, instrument).items;
    let is_free = items.iter().all(|(at, _)| *at != position);
    if is_free {
        items.push((position, component));
    }
    is_free
}

fn read_part(
    part: ObservationPart<'_, '_>,
    is_single_item: bool,
    context: &ReadingContext<'_>,
) -> (InstrumentReading, Option<Doubt>) {
    let instrument = part.instrument;
    let gathered = gather(instrument, &part.items, context.mapping);
    let mut doubt =
        gathered.counts_from_one.then(|| mapping_needed("its local codes count from 1; say what each answer counts"));
    let mut answers = if part.items.is_empty() { Answers::default() } else { gathered.answers };
    if let Some(stated) = part.stated {
        if part.items.is_empty() {
            doubt = stated.issue.as_ref().map(|issue| Doubt { code: "not_a_score", detail: issue.detail.clone() });
        }
        answers.stated_total = stated.total;
        answers.issues.extend(stated.issue);
    }
    (InstrumentReading { instrument, answers, is_single_item }, doubt)
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

/// The texts of a code: its own and its codings'.
fn texts(node: &JsonNode<'_>) -> impl Iterator<Item = String> {
    let code = node.get("code");
    let displays = code.map_or(&[][..], |code| code.list("coding")).iter().filter_map(|coding| coding.text("display"));
    code.and_then(|code| code.text("text")).into_iter().chain(displays).map(normal).collect::<Vec<_>>().into_iter()
}

/// The local code, to name it.
fn local_code(node: &JsonNode<'_>) -> String {
    let mut codings = node.get("code").map_or(&[][..], |code| code.list("coding")).iter();
    shown(codings.find_map(|coding| coding.text("code")).unwrap_or("without a code"))
}

/// A local code with telling words: it waits for a mapping, and an answer about self-harm is seen at once.
fn unmapped(part: &JsonNode<'_>, context: &ReadingContext<'_>) -> (Option<InstrumentReading>, Option<Doubt>) {
    let code = local_code(part);
    let waits =
        |why: String| Some(Doubt { code: "mapping_needed", detail: format!("the code {code} needs a mapping: {why}") });
    for text in texts(part) {
        let asks = lexicon().question(&text);
        let numbered = if asks.is_empty() { lexicon().numbered(&text) } else { None };
        let mut meant = asks.iter().chain(&numbered);
        if let Some(meaning) = meant.clone().find(|meaning| meaning.is_about_safety()) {
            let reading = no_item_but_safety(*meaning, part, context.mapping);
            return (reading, waits(format!("its words ask about self-harm, like {meaning}")));
        }
        if let Some(meaning) = meant.find(|meaning| matches!(meaning, Meaning::Item(..))) {
            return (None, waits(format!("its words are those of {meaning}")));
        }
        let names = lexicon().names(&text);
        let Some(instrument) = names.ours.first().copied().or(names.family).filter(|_| !names.is_stranger) else {
            continue;
        };
        if names.ours.is_empty() || !words::names_a_total(&text) {
            return (None, waits(format!("its words name the {instrument}")));
        }
        let stated = StatedTotal::read(figure_in(part), instrument);
        let answers =
            Answers { stated_total: stated.total, issues: stated.issue.into_iter().collect(), ..Answers::default() };
        let why = waits(format!("its words are those of {}/total", instrument.id()));
        return (Some(InstrumentReading { instrument, answers, is_single_item: false }), why);
    }
    let why = is_telling(part).then(|| "it is answered like an item of one of ours".to_owned());
    (None, why.and_then(waits))
}

/// Why what is about somebody else waits; `None` where it would be nothing of ours either.
fn somebody_elses(resource: &JsonNode<'_>, context: &ReadingContext<'_>, doubt: Doubt) -> Option<Doubt> {
    let (readings, unmapped) = readings(resource, context);
    let asks = |reading: &InstrumentReading| {
        let item = reading.instrument.self_harm_item();
        item.is_some_and(|item| reading.answers.items.get(item).copied().flatten().is_some_and(|answer| answer > 0))
    };
    let detail = if readings.iter().any(asks) {
        format!("{}. It answers a question about self-harm: find out today whose answer it is", doubt.detail)
    } else {
        doubt.detail
    };
    (!readings.is_empty() || unmapped.is_some()).then_some(Doubt { code: doubt.code, detail })
}

#[cfg(test)]
mod tests;
