//! The Questionnaire that a form contains, or names and we know: what each linkId asks.

use std::collections::HashMap;

use crate::fhir::json::JsonNode;

/// The questions by linkId.
#[derive(Debug, Default)]
pub(super) struct Questions<'n> {
    by_link_id: HashMap<&'n str, &'n JsonNode<'n>>,
}

impl<'n> Questions<'n> {
    /// Of the Questionnaire that the form contains.
    pub(super) fn contained(resource: &'n JsonNode<'n>) -> Self {
        let mut questions = Self::default();
        if let Some(questionnaire) = questionnaire(resource) {
            questions.collect(questionnaire);
        }
        questions
    }

    fn collect(&mut self, parent: &'n JsonNode<'n>) {
        for item in parent.list("item") {
            if let Some(link_id) = item.text("linkId") {
                self.by_link_id.entry(link_id).or_insert(item);
            }
            self.collect(item);
        }
    }

    pub(super) fn get(&self, link_id: &str) -> Option<&'n JsonNode<'n>> {
        self.by_link_id.get(link_id).copied()
    }
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
