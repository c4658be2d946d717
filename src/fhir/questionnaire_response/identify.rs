//! Finds the instruments of a form: by its canonical, by codes in its items, by its questions.

use super::form::FormItem;
use crate::domain::instrument::Instrument::{self, Gad7, Pcl5, Phq2, Phq9, Phq9Modified};
use crate::fhir::answer::{self, hear};
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::{CodeMapping, Meaning, QuestionnaireMapping, names, words};

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
    /// Asks what ours ask, and cannot be read without a mapping.
    Resembles,
    Ours(Vec<InstrumentMatch>),
}

/// Names of the form: its canonical (in STU3 a Reference), its title, and the contained Questionnaire's.
pub(super) fn names<'n>(resource: &'n JsonNode<'n>) -> Vec<&'n str> {
    let questionnaire = resource.get("questionnaire");
    let canonical = questionnaire.and_then(JsonNode::as_text).or_else(|| questionnaire?.text("reference"));
    let title = questionnaire.and_then(|q| q.text("display")).or_else(|| {
        resource.get("_questionnaire")?.list("extension").iter().find_map(|extension| extension.text("valueString"))
    });
    let contained = canonical
        .and_then(|canonical| canonical.strip_prefix('#'))
        .and_then(|id| resource.list("contained").iter().find(|inner| inner.text("id") == Some(id)));
    let inner = contained.into_iter().flat_map(|inner| ["url", "title", "name"].map(|name| inner.text(name)));
    [canonical, title].into_iter().chain(inner).flatten().collect()
}

/// The items that a form carries by code, as bits.
#[derive(Default)]
struct CodedItems {
    phq: u32,
    gad: u32,
    panels: Vec<Instrument>,
    is_foreign: bool,
}

impl CodedItems {
    fn read(entries: &[FormItem<'_>], named: &[Instrument]) -> Self {
        let mut coded = Self::default();
        for entry in entries {
            match entry.meaning {
                // A linkId without a letter or a code in it says nothing about a form that nobody names.
                Some(Meaning::Item(instrument, _)) if is_generic(entry.link_id) && !named.contains(&instrument) => {}
                Some(Meaning::Item(Gad7, position)) => coded.gad |= 1 << position,
                Some(Meaning::Item(Phq9 | Phq2, position)) => coded.phq |= 1 << position,
                Some(Meaning::Item(instrument, _) | Meaning::Panel(instrument)) => coded.panels.push(instrument),
                Some(Meaning::Foreign) => coded.is_foreign = true,
                _ => {}
            }
        }
        coded
    }
}

/// `1`, `2.1`: too little to go by alone.
pub(super) fn is_generic(link_id: &str) -> bool {
    !link_id.bytes().any(|b| b.is_ascii_alphabetic()) && names::loinc_in(link_id).is_none()
}

const FIRST_TWO: u32 = 0b11;
const ITEM_9: u32 = 1 << 8;

/// Says what a form is.
pub(super) fn identify(own_names: &[&str], entries: &[FormItem<'_>], mapping: &CodeMapping) -> FormIdentity {
    let configured = own_names.iter().find_map(|name| mapping.form(name));
    let mut called = names::NamedInstruments::default();
    let mut is_foreign = false;
    match configured {
        Some(QuestionnaireMapping::Ignore) => return FormIdentity::NotOurs,
        Some(QuestionnaireMapping::Ours(instruments)) => called.ours.clone_from(instruments),
        None => {
            for name in own_names {
                match names::loinc_in(name).and_then(|code| mapping.code(code)) {
                    Some(Meaning::Panel(instrument)) => called.ours.push(instrument),
                    Some(Meaning::Foreign) => is_foreign = true,
                    _ => {}
                }
                let more = names::named(names::name_in_canonical(name));
                called.ours.extend(more.ours);
                called.other |= more.other;
                called.mds |= more.mds;
            }
        }
    }
    let coded = CodedItems::read(entries, &called.ours);
    // The coded suicide question is the PHQ-9's and must be seen, whatever the form calls itself.
    let has_item_9 = coded.phq & ITEM_9 != 0;
    if configured.is_none() && !has_item_9 {
        let is_mds = called.mds
            || entries.iter().any(|entry| entry.answers.iter().any(|answer| answer::is_of_mds(answer)))
            || entries.iter().any(|entry| entry.meaning.is_none() && names::named(entry.link_id).mds);
        if is_mds {
            return FormIdentity::NotOurs;
        }
    }
    is_foreign |= coded.is_foreign;
    let is_other_phq =
        (called.other && !called.ours.iter().any(|i| family(*i) == InstrumentFamily::Phq)) && !has_item_9;

    let mut found = Vec::new();
    let mut add = |instrument: Option<Instrument>| {
        if let Some(instrument) = instrument {
            found.push(InstrumentMatch { instrument, is_named: called.ours.contains(&instrument) });
        }
    };
    if !is_other_phq {
        add(phq(&called.ours, &coded, is_foreign));
    }
    let is_there = |instrument| called.ours.contains(&instrument) || coded.panels.contains(&instrument);
    // GAD-2 is the first two items of the GAD-7, and not ours.
    add((is_there(Gad7) || coded.gad & !FIRST_TWO != 0).then_some(Gad7));
    add(is_there(Pcl5).then_some(Pcl5));

    let is_unnamed = called.ours.is_empty() && !called.other && !is_foreign;
    let is_code_less = coded.phq == 0 && coded.gad == 0 && coded.panels.is_empty();
    match found.is_empty() {
        false => FormIdentity::Ours(found),
        true if is_unnamed && is_code_less => by_words(entries, mapping),
        true => FormIdentity::NotOurs,
    }
}

/// The one PHQ in a form: a PHQ-9 is never also a PHQ-2.
fn phq(called: &[Instrument], coded: &CodedItems, is_foreign: bool) -> Option<Instrument> {
    let is_there = |instrument| called.contains(&instrument) || coded.panels.contains(&instrument);
    // PHQ-4 is the first two items of the PHQ-9 and of the GAD-7.
    let is_phq4 = is_foreign || (coded.phq == FIRST_TWO && coded.gad == FIRST_TWO);
    if is_there(Phq9Modified) {
        Some(Phq9Modified)
    } else if is_there(Phq9) || coded.phq & !FIRST_TWO != 0 {
        Some(Phq9)
    } else if is_there(Phq2) || (coded.phq != 0 && !is_phq4) {
        Some(Phq2)
    } else {
        None
    }
}

/// A form without a name and without codes: what it asks, in English.
fn by_words(entries: &[FormItem<'_>], mapping: &CodeMapping) -> FormIdentity {
    let (mut phq, mut gad, mut answered, mut named_links) = (0_u32, 0_u32, 0, 0);
    let (mut is_for_teens, mut asks_about_death) = (false, false);
    for entry in entries.iter().filter(|entry| entry.is_answered && entry.is_open()) {
        answered += 1;
        let text = entry.words();
        let is_known = || entry.answers.iter().any(|node| hear(node, Phq9, mapping).is_known);
        if let Some(position) = words::question(text, Phq9) {
            phq |= 1 << position;
            is_for_teens |= text.contains("irritable") || text.contains("weight loss");
            asks_about_death |= position == 8 && is_known();
        }
        if let Some(position) = words::question(text, Gad7) {
            gad |= 1 << position;
        }
        let ends_in_figure = entry.link_id.ends_with(|c: char| c.is_ascii_digit());
        named_links +=
            i32::from(ends_in_figure && names::named(entry.link_id).ours.len() == 1 && !entry.is_total_like());
    }
    let mut found = Vec::new();
    if phq.count_ones() >= 5 {
        found.push(InstrumentMatch { instrument: if is_for_teens { Phq9Modified } else { Phq9 }, is_named: false });
    } else if phq == FIRST_TWO && answered == 2 {
        found.push(InstrumentMatch { instrument: Phq2, is_named: false });
    }
    if gad.count_ones() >= 4 {
        found.push(InstrumentMatch { instrument: Gad7, is_named: false });
    }
    let resembles = (asks_about_death && phq.count_ones() < 5) || (found.is_empty() && named_links >= 3);
    match (resembles, found.is_empty()) {
        (true, _) => FormIdentity::Resembles,
        (false, true) => FormIdentity::NotOurs,
        (false, false) => FormIdentity::Ours(found),
    }
}

/// Instruments that share items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstrumentFamily {
    Phq,
    Gad,
    Pcl,
}

pub(super) fn family(instrument: Instrument) -> InstrumentFamily {
    match instrument {
        Phq9 | Phq2 | Phq9Modified => InstrumentFamily::Phq,
        Gad7 => InstrumentFamily::Gad,
        Pcl5 => InstrumentFamily::Pcl,
    }
}

/// The families that a linkId or a question names.
pub(super) fn families_in(text: &str) -> Vec<InstrumentFamily> {
    let text = text.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    [
        (InstrumentFamily::Phq, says(&["phq", "patient health", "depress"])),
        (
            InstrumentFamily::Gad,
            says(&["gad7", "gad-7", "gad_7", "gad 7", "gad.", "anxiety"]) || text.starts_with("gad"),
        ),
        (InstrumentFamily::Pcl, says(&["pcl", "ptsd"])),
    ]
    .into_iter()
    .filter_map(|(family, is_named)| is_named.then_some(family))
    .collect()
}
