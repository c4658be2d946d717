//! The items of a form, whatever their nesting.

use std::cell::OnceCell;

use crate::fhir::answer;
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::{CodeMapping, Meaning, names, words};

/// One item, wherever it stood.
#[derive(Debug)]
pub(super) struct FormItem<'n> {
    pub(super) link_id: &'n str,
    pub(super) node: &'n JsonNode<'n>,
    /// Answers that say something; `dataAbsentReason` and empty ones are left out.
    pub(super) answers: Vec<&'n JsonNode<'n>>,
    pub(super) is_answered: bool,
    /// Has items below it.
    pub(super) is_group: bool,
    /// Meaning of its linkId or definition.
    pub(super) meaning: Option<Meaning>,
    text: Option<&'n str>,
    normal: OnceCell<String>,
    difficulty: OnceCell<bool>,
    total_like: OnceCell<bool>,
}

impl FormItem<'_> {
    /// The question in normal form; empty where there is none. Made only where the code does not say enough.
    pub(super) fn words(&self) -> &str {
        self.normal.get_or_init(|| self.text.map(words::normal).unwrap_or_default())
    }

    /// Neither its code nor the configuration says what it is.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.meaning, None | Some(Meaning::Panel(_)))
    }

    /// Asks or answers how difficult the problems made life.
    pub(super) fn is_difficulty(&self) -> bool {
        *self.difficulty.get_or_init(|| {
            self.meaning == Some(Meaning::Difficulty)
                || self.answers.iter().any(|node| answer::is_of_difficulty(node))
                || words::asks_about_difficulty(self.words())
        })
    }

    /// Looks like a total score, by its words or its linkId.
    pub(super) fn is_total_like(&self) -> bool {
        *self.total_like.get_or_init(|| self.names_a_total())
    }

    fn names_a_total(&self) -> bool {
        if matches!(self.meaning, Some(Meaning::Total(_))) {
            return true;
        }
        if !self.is_open() {
            return false;
        }
        let name = self.link_id.rsplit('/').next().unwrap_or_default();
        let is_named =
            name.len() <= 40 && (name.eq_ignore_ascii_case("ts") || words::names_a_total(&words::normal(name)));
        is_named || words::names_a_total(self.words())
    }
}

/// Every item in the order of the document, with those below groups and below answers.
pub(super) fn entries<'n>(resource: &'n JsonNode<'n>, mapping: &CodeMapping) -> Vec<FormItem<'n>> {
    let mut entries = Vec::with_capacity(16);
    collect(resource, mapping, &mut entries);
    entries
}

/// The document's own depth limit bounds the recursion.
fn collect<'n>(parent: &'n JsonNode<'n>, mapping: &CodeMapping, entries: &mut Vec<FormItem<'n>>) {
    for node in parent.list("item") {
        let link_id = node.text("linkId").unwrap_or_default();
        let code = |text: &str| names::loinc_in(text).and_then(|code| mapping.code(code));
        let meaning =
            mapping.configured(link_id).or_else(|| code(link_id)).or_else(|| node.text("definition").and_then(code));
        let all = node.list("answer");
        let answers: Vec<_> = all.iter().filter(|answer| answer::has_value(answer)).collect();
        entries.push(FormItem {
            link_id,
            node,
            is_answered: !answers.is_empty(),
            answers,
            is_group: node.get("item").is_some(),
            meaning,
            text: node.text("text"),
            normal: OnceCell::new(),
            difficulty: OnceCell::new(),
            total_like: OnceCell::new(),
        });
        collect(node, mapping, entries);
        for answer in all {
            collect(answer, mapping, entries);
        }
    }
}
