//! Which of our instruments a form holds: by its name, by the codes and the words of its items.

use std::cmp::Reverse;

use super::form::FormItem;
use crate::domain::instrument::Instrument;
use crate::domain::instrument::words::holds;
use crate::fhir::answer;
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::lexicon::{NamedInstruments, lexicon};
use crate::fhir::mapping::{CodeMapping, Meaning, QuestionnaireMapping, names};

/// An instrument, and how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InstrumentMatch {
    pub(super) instrument: Instrument,
    /// The form says so itself; otherwise only its items do.
    pub(super) is_named: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormIdentity {
    NotOurs,
    /// Looks like one of ours, and cannot be read without a mapping: the reason names what was seen.
    Resembles(String),
    Ours(Vec<InstrumentMatch>),
}

/// Names of the form: its canonical (in STU3 a Reference), its title, and its Questionnaire's.
pub(super) fn names<'n>(resource: &'n JsonNode<'n>, questionnaire: Option<&'n JsonNode<'n>>) -> Vec<&'n str> {
    let named = resource.get("questionnaire");
    let canonical = named.and_then(JsonNode::as_text).or_else(|| named?.text("reference"));
    let title = named.and_then(|q| q.text("display")).or_else(|| {
        resource.get("_questionnaire")?.list("extension").iter().find_map(|extension| extension.text("valueString"))
    });
    let inner = questionnaire.into_iter().flat_map(|inner| {
        let codes = inner.list("code").iter().filter(|coding| names::is_of_terminology(coding.text("system")));
        let own = ["url", "title", "name"].map(|name| inner.text(name));
        own.into_iter().chain(codes.map(|coding| coding.text("code"))).flatten()
    });
    [canonical, title].into_iter().flatten().chain(inner).collect()
}

/// What a form calls itself, read.
fn called(own_names: &[&str]) -> NamedInstruments {
    let mut called = NamedInstruments::default();
    for name in own_names {
        for meaning in lexicon().code(names::loinc_in(name).unwrap_or(name)) {
            match meaning {
                Meaning::Panel(instrument) | Meaning::Total(instrument) => called.ours.push(*instrument),
                Meaning::Foreign => called.is_stranger = true,
                _ => {}
            }
        }
        let more = lexicon().names(names::name_in_canonical(name));
        called.ours.extend(more.ours);
        called.is_stranger |= more.is_stranger;
        called.family = called.family.or(more.family);
    }
    called
}

/// Says what a form is.
pub(super) fn identify(own_names: &[&str], entries: &[FormItem<'_>], mapping: &CodeMapping) -> FormIdentity {
    let configured = own_names.iter().find_map(|name| mapping.form(name));
    let mut called = match configured {
        Some(QuestionnaireMapping::Ignore) => return FormIdentity::NotOurs,
        Some(QuestionnaireMapping::Ours(instruments)) => {
            NamedInstruments { ours: instruments.clone(), ..NamedInstruments::default() }
        }
        None => called(own_names),
    };
    let strange = |entry: &FormItem<'_>| {
        entry.coded.contains(&Meaning::Foreign) || entry.answers.iter().any(|node| answer::of_stranger(node).is_some())
    };
    // One linkId with a stranger's name may be chance.
    let by_link_id = entries.iter().filter(|entry| entry.is_open() && lexicon().names(entry.link_id).is_stranger);
    called.is_stranger |= configured.is_none() && (entries.iter().any(strange) || by_link_id.count() > 1);
    if called.is_stranger {
        // It calls itself like one of ours, and is not: only codes of ours say otherwise.
        called.ours.clear();
    }
    // A group with an instrument's code names it, as does a question that only one of its relatives asks.
    for entry in entries {
        for meaning in entry.coded.iter() {
            if let Meaning::Panel(instrument) = meaning {
                called.ours.push(*instrument);
            }
        }
    }
    let found = found(&called, entries);
    match resemblance(&found, &called, entries) {
        Some(why) => FormIdentity::Resembles(why),
        None if found.is_empty() => FormIdentity::NotOurs,
        None => FormIdentity::Ours(found),
    }
}

/// The items (by entry) that each instrument would explain.
struct Coverage {
    instrument: Instrument,
    is_named: bool,
    entries: Vec<usize>,
    items: usize,
}

fn coverage(instrument: Instrument, called: &NamedInstruments, entries: &[FormItem<'_>]) -> Coverage {
    let is_named = called.ours.contains(&instrument);
    let mut coverage = Coverage { instrument, is_named, entries: Vec::new(), items: 0 };
    let (mut items, mut coded, mut marks) = (0_u32, false, false);
    for (index, entry) in entries.iter().enumerate() {
        let is_there = entry.is_answered || !entry.is_group;
        let Some(position) = entry.item_of(instrument).filter(|_| is_there) else { continue };
        if (entry.is_only_numbered && !is_named) || (entry.is_open() && called.is_stranger) {
            continue;
        }
        coded |= !entry.is_open();
        marks |= instrument.definition().marks.iter().any(|mark| holds(entry.words(), mark));
        items |= 1 << position;
        coverage.entries.push(index);
    }
    coverage.items = items.count_ones() as usize;
    coverage.is_named |= marks;
    // Words alone must be most of the instrument's.
    let most = instrument.item_count() / 2 + 1;
    if !coverage.is_named && !coded && coverage.items < most {
        coverage.entries.clear();
        coverage.items = 0;
    }
    coverage
}

/// The fewest instruments that explain the items, those that the form names first.
fn found(called: &NamedInstruments, entries: &[FormItem<'_>]) -> Vec<InstrumentMatch> {
    let mut candidates: Vec<Coverage> =
        Instrument::all().iter().map(|instrument| coverage(*instrument, called, entries)).collect();
    candidates.retain(|one| one.is_named || (one.items > 0 && one.instrument.definition().by_items));
    // What explains more comes first; of those that explain the same, the one named; then the smallest. Where the names
    // alone speak, the largest: a form called PHQ-2 and PHQ-9 is the PHQ-9.
    let size = |one: &Coverage| {
        let count = one.instrument.item_count();
        if one.items > 0 { count } else { usize::MAX - count }
    };
    candidates.sort_by_key(|one| (Reverse(one.items), !one.is_named, size(one), one.instrument));
    let mut is_explained = vec![false; entries.len()];
    let mut found: Vec<InstrumentMatch> = Vec::new();
    for one in candidates {
        let explains = one.entries.iter().any(|entry| !is_explained[*entry]);
        let is_alone =
            one.entries.is_empty() && !found.iter().any(|other| is_relative(other.instrument, one.instrument));
        if explains || (one.is_named && is_alone) {
            one.entries.iter().for_each(|entry| is_explained[*entry] = true);
            found.push(InstrumentMatch { instrument: one.instrument, is_named: one.is_named });
        }
    }
    found.sort_by_key(|one| one.instrument);
    found
}

/// Share items: the PHQ-2 is part of the PHQ-9.
pub(super) fn is_relative(one: Instrument, other: Instrument) -> bool {
    let codes = |of: Instrument| of.definition().items.iter().filter_map(|item| item.code.as_deref());
    codes(one).any(|code| codes(other).any(|same| same == code))
}

/// Why a form looks like one of ours, where nothing was found that can be read.
fn resemblance(found: &[InstrumentMatch], called: &NamedInstruments, entries: &[FormItem<'_>]) -> Option<String> {
    if !found.is_empty() || called.is_stranger {
        return None;
    }
    let answered = || entries.iter().filter(|entry| entry.is_answered);
    if let Some(entry) = answered().find(|entry| entry.about_safety().is_some()) {
        return Some(format!("the item {} asks about self-harm", shown(entry.link_id)));
    }
    if let Some(entry) = answered().find(|entry| is_a_total_of_ours(entry)) {
        return Some(format!("the item {} is a total of one of ours, on a form that names none", shown(entry.link_id)));
    }
    for instrument in Instrument::all() {
        let asks = answered().filter(|entry| entry.is_open() && entry.item_of(*instrument).is_some());
        let items: Vec<&str> = asks.map(|entry| entry.link_id).collect();
        if items.len() >= 2 {
            return Some(format!("the item {} asks what the {instrument} asks", shown(items[0])));
        }
    }
    if let (Some(family), true) = (called.family, answered().next().is_some()) {
        return Some(format!("its name may be that of the {family} or a relative; say which"));
    }
    let is_numbered = |entry: &&FormItem<'_>| {
        let by_link_id = entry.link_id.ends_with(|c: char| c.is_ascii_digit());
        (by_link_id && !lexicon().names(entry.link_id).ours.is_empty()) || lexicon().numbered(entry.words()).is_some()
    };
    let numbered: Vec<&str> = answered().filter(is_numbered).map(|entry| entry.link_id).collect();
    if numbered.len() >= 3 {
        return Some(format!("the item {} names one of ours and a number", shown(numbered[0])));
    }
    let value = |entry: &FormItem<'_>| entry.answers.iter().find_map(|node| answer::telling(node));
    let telling: Vec<(&str, u8)> = answered().filter_map(|entry| Some((entry.link_id, value(entry)?))).collect();
    // "Not at all" alone is on the scales of others too.
    let is_ours = telling.len() >= 2 && (telling.len() >= 7 || telling.iter().any(|(_, value)| *value > 0));
    is_ours.then(|| format!("the item {} is answered like one of ours", shown(telling[0].0)))
}

fn is_a_total_of_ours(entry: &FormItem<'_>) -> bool {
    let names_one = |text: &str| !lexicon().names(text).ours.is_empty();
    entry.coded.iter().any(|meaning| matches!(meaning, Meaning::Total(_)))
        || (entry.is_open() && entry.is_total_like() && (names_one(entry.link_id) || names_one(entry.words())))
}

/// A linkId or a code in a sentence: short, and nothing that could be a name.
pub(in crate::fhir) fn shown(link_id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '#');
    let short: String = link_id.chars().filter(|c| is_plain(*c)).take(40).collect();
    format!("\"{short}\"")
}

/// The instruments that a linkId or a question speaks of.
pub(super) fn speaks_of(text: &str) -> Vec<Instrument> {
    let named = lexicon().names(text).ours;
    if !named.is_empty() {
        return named;
    }
    let text = text.to_ascii_lowercase();
    let says = |keyword: &String| text.contains(keyword.as_str());
    let all = Instrument::all().iter().copied();
    all.filter(|instrument| instrument.definition().keywords.iter().any(says)).collect()
}
