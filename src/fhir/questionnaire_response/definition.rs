//! The Questionnaire that a form contains, or names and we know: what each linkId asks, and what may be answered to it.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::fhir::answer;
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::lexicon::lexicon;
use crate::fhir::mapping::{CodeMapping, names};

/// The questions by linkId.
#[derive(Debug, Default)]
pub(super) struct Questions<'n> {
    by_link_id: HashMap<&'n str, Question<'n>>,
}

/// One question.
#[derive(Debug)]
pub(super) struct Question<'n> {
    pub(super) node: &'n JsonNode<'n>,
    /// The answers that it offers, each in the shape of an answer.
    options: Vec<JsonNode<'n>>,
}

impl<'n> Questions<'n> {
    /// Of a Questionnaire; its value sets are contained in it, or in the form that contains it.
    pub(super) fn of(questionnaire: Option<&'n JsonNode<'n>>, resource: &'n JsonNode<'n>) -> Self {
        let mut questions = Self::default();
        if let Some(questionnaire) = questionnaire {
            let sets = questionnaire.list("contained").iter().chain(resource.list("contained"));
            questions.collect(questionnaire, &sets.collect::<Vec<_>>());
        }
        questions
    }

    fn collect(&mut self, parent: &'n JsonNode<'n>, sets: &[&'n JsonNode<'n>]) {
        for item in parent.list("item") {
            if let Some(link_id) = item.text("linkId") {
                let question = || Question { node: item, options: options(item, sets) };
                self.by_link_id.entry(link_id).or_insert_with(question);
            }
            self.collect(item, sets);
        }
    }

    pub(super) fn get(&self, link_id: &str) -> Option<&Question<'n>> {
        self.by_link_id.get(link_id)
    }
}

impl<'n> Question<'n> {
    /// The offered answer that was given, where it says more than the answer itself: its words or what it counts.
    pub(super) fn option_of(&self, given: &JsonNode<'n>) -> Option<&JsonNode<'n>> {
        if answer::has_weight(given) {
            return None;
        }
        let is_given = |option: &&JsonNode<'n>| is_same_value(option, given);
        let says_more = |option: &&JsonNode<'n>| {
            answer::has_weight(option)
                || given.get("valueCoding").is_some_and(|coding| coding.text("display").is_none())
        };
        self.options.iter().find(is_given).filter(says_more)
    }
}

/// The same code, whatever its words; or the same text or number.
fn is_same_value(option: &JsonNode<'_>, given: &JsonNode<'_>) -> bool {
    if let (Some(one), Some(other)) = (option.get("valueCoding"), given.get("valueCoding")) {
        let is_same_system = |a: Option<&str>, b: Option<&str>| a.is_none() || b.is_none() || a == b;
        return one.get("code").is_some_and(|code| other.get("code") == Some(code))
            && is_same_system(one.text("system"), other.text("system"));
    }
    let values = option.members().iter().filter(|(name, _)| name.starts_with("value") && name != "valueCoding");
    values.into_iter().any(|(name, value)| given.get(name) == Some(value))
}

/// The answers that a question offers: in itself, or in a value set beside it.
fn options<'n>(question: &JsonNode<'n>, sets: &[&JsonNode<'n>]) -> Vec<JsonNode<'n>> {
    // STU3 calls them `option`.
    let own = ["answerOption", "option"].into_iter().flat_map(|name| question.list(name)).cloned();
    let id = question.text("answerValueSet").and_then(|canonical| canonical.strip_prefix('#'));
    let set = id.and_then(|id| sets.iter().find(|inner| inner.text("id") == Some(id)));
    let compose = set.and_then(|set| set.get("compose")).map_or(&[][..], |compose| compose.list("include")).iter();
    let expansion = set.and_then(|set| set.get("expansion")).map_or(&[][..], |expansion| expansion.list("contains"));
    let concepts = compose.flat_map(|include| include.list("concept")).chain(expansion);
    let coding = |concept: &JsonNode<'n>| JsonNode::Object(vec![(Cow::Borrowed("valueCoding"), concept.clone())]);
    own.chain(concepts.map(coding)).collect()
}

/// The contained Questionnaire that the form names, or the only one that it contains.
pub(super) fn questionnaire<'n>(resource: &'n JsonNode<'n>) -> Option<&'n JsonNode<'n>> {
    let named = resource.get("questionnaire");
    let canonical = named.and_then(|named| named.as_text().or_else(|| named.text("reference")));
    let id = canonical.and_then(|canonical| canonical.strip_prefix('#'));
    let mut contained = resource.list("contained").iter();
    match id {
        Some(id) => contained.find(|inner| inner.text("id") == Some(id)),
        None => contained.find(|inner| inner.text("resourceType") == Some("Questionnaire")),
    }
}

/// The canonical of a form, where it says nothing by itself and no Questionnaire is contained.
pub(super) fn unknown_canonical<'n>(resource: &'n JsonNode<'n>, mapping: &CodeMapping) -> Option<&'n str> {
    let canonical = resource.text("questionnaire")?;
    let is_canonical = canonical.starts_with("http") || canonical.starts_with("urn:");
    let names = lexicon().names(names::name_in_canonical(canonical));
    let is_known = mapping.form(canonical).is_some()
        || !names.ours.is_empty()
        || names.is_stranger
        || names::loinc_in(canonical).is_some_and(|code| !lexicon().code(code).is_empty());
    (is_canonical && canonical.len() <= 500 && !is_known && questionnaire(resource).is_none()).then_some(canonical)
}
