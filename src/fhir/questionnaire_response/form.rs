//! The items of a form, whatever their nesting, and what each says of itself.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::definition::Questions;
use crate::domain::instrument::Instrument;
use crate::domain::instrument::words::normal;
use crate::fhir::answer;
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::lexicon::lexicon;
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
    /// What the configuration or its code says: in its linkId, its definition, or the Questionnaire.
    pub(super) coded: Cow<'static, [Meaning]>,
    /// What it is stands in the configuration under a linkId without a letter or a code, like `1`: too little to go by in
    /// a form that nobody names.
    pub(super) is_only_numbered: bool,
    text: Option<&'n str>,
    normal: OnceCell<String>,
    worded: OnceCell<Vec<Meaning>>,
    total_like: OnceCell<bool>,
}

impl FormItem<'_> {
    /// The question in normal form; empty where there is none. Made only where the code does not say enough.
    pub(super) fn words(&self) -> &str {
        self.normal.get_or_init(|| self.text.map(normal).unwrap_or_default())
    }

    /// Neither its code nor the configuration says what it is.
    pub(super) fn is_open(&self) -> bool {
        self.coded.iter().all(|meaning| matches!(meaning, Meaning::Panel(_)))
    }

    /// What it is: by configuration or code, else by its words. What a stranger's answers show to be a stranger's is
    /// nothing of ours.
    pub(super) fn meanings(&self) -> &[Meaning] {
        if !self.is_open() {
            return &self.coded;
        }
        self.worded.get_or_init(|| {
            let is_strange = self.answers.iter().any(|node| answer::of_stranger(node).is_some());
            let mut meanings = lexicon().question(self.words());
            meanings.retain(|meaning| !is_strange || meaning.is_about_safety());
            meanings
        })
    }

    /// What it asks about self-harm, by code, words, or a number behind the name of an instrument. The owner of a shared
    /// question comes first.
    pub(super) fn about_safety(&self) -> Option<Meaning> {
        let meant = self.meanings().iter().find(|meaning| meaning.is_about_safety()).copied();
        meant.or_else(|| {
            let numbered = || lexicon().numbered(self.words()).filter(Meaning::is_about_safety);
            if self.meanings().is_empty() { numbered() } else { None }
        })
    }

    /// What its words ask about self-harm, where its code says that it is something else.
    pub(super) fn hidden_safety(&self) -> Option<Meaning> {
        if self.is_open() || self.coded.iter().any(Meaning::is_about_safety) {
            return None;
        }
        lexicon().question(self.words()).into_iter().find(Meaning::is_about_safety)
    }

    /// The item (0-based) of an instrument that it is.
    pub(super) fn item_of(&self, instrument: Instrument) -> Option<usize> {
        self.meanings().iter().find_map(|meaning| match meaning {
            Meaning::Item(of, position) if *of == instrument => Some(*position),
            _ => None,
        })
    }

    /// Says itself what it is, so that its number says nothing.
    pub(super) fn is_identified(&self) -> bool {
        self.is_aside()
            || self.is_total_like()
            || self.meanings().iter().any(|meaning| !matches!(meaning, Meaning::Panel(_)))
    }

    /// Asked beside the items and never summed, like how difficult the problems made life.
    pub(super) fn is_aside(&self) -> bool {
        self.meanings().contains(&Meaning::Difficulty)
            || (self.is_open() && self.answers.iter().any(|node| answer::is_of_aside(node)))
    }

    /// Looks like a total score, by its words or its linkId, and asks nothing.
    pub(super) fn is_total_like(&self) -> bool {
        *self.total_like.get_or_init(|| {
            if !self.is_open() || self.meanings().iter().any(|meaning| !matches!(meaning, Meaning::Panel(_))) {
                return self.coded.iter().any(|meaning| matches!(meaning, Meaning::Total(_)));
            }
            let name = self.link_id.rsplit('/').next().unwrap_or_default();
            let is_named = name.len() <= 40 && (name.eq_ignore_ascii_case("ts") || words::names_a_total(&normal(name)));
            is_named || words::names_a_total(self.words())
        })
    }
}

/// Every item in the order of the document, with those below groups and below answers.
pub(super) fn entries<'n>(
    resource: &'n JsonNode<'n>,
    questions: &'n Questions<'n>,
    mapping: &CodeMapping,
) -> Vec<FormItem<'n>> {
    let mut entries = Vec::with_capacity(16);
    collect(resource, questions, mapping, &mut entries);
    entries
}

/// The document's own depth limit bounds the recursion.
fn collect<'n>(
    parent: &'n JsonNode<'n>,
    questions: &'n Questions<'n>,
    mapping: &CodeMapping,
    entries: &mut Vec<FormItem<'n>>,
) {
    for node in parent.list("item") {
        let link_id = node.text("linkId").unwrap_or_default();
        let question = questions.get(link_id);
        let coded = coded(node, link_id, question.map(|question| question.node), mapping);
        let inner = inner_answer(node, &coded, mapping);
        let all = inner.unwrap_or(node).list("answer");
        let offered = |given| question.and_then(|question| question.option_of(given)).unwrap_or(given);
        let answers: Vec<_> = all.iter().filter(|answer| answer::has_value(answer)).map(offered).collect();
        let question = question.map(|question| question.node);
        entries.push(FormItem {
            link_id,
            node,
            is_answered: !answers.is_empty(),
            answers,
            is_group: inner.is_none() && node.get("item").is_some(),
            coded,
            is_only_numbered: mapping.configured(link_id).is_some() && is_generic(link_id),
            text: node.text("text").or_else(|| question?.text("text")),
            normal: OnceCell::new(),
            worded: OnceCell::new(),
            total_like: OnceCell::new(),
        });
        if inner.is_none() {
            collect(node, questions, mapping, entries);
        }
        for answer in all {
            collect(answer, questions, mapping, entries);
        }
    }
}

/// The only item below one that its code identifies, where it says nothing itself and holds the answer.
fn inner_answer<'n>(node: &'n JsonNode<'n>, own: &[Meaning], mapping: &CodeMapping) -> Option<&'n JsonNode<'n>> {
    let is_item = own.iter().any(|meaning| matches!(meaning, Meaning::Item(..) | Meaning::Safety(..)));
    let [inner] = node.list("item") else { return None };
    let says_nothing = inner.get("text").is_none() && inner.get("item").is_none();
    let link_id = inner.text("linkId").unwrap_or_default();
    (is_item && node.get("answer").is_none() && says_nothing && coded(inner, link_id, None, mapping).is_empty())
        .then_some(inner)
}

/// What an item is by configuration or by code: its linkId's, its definition's, its question's in the Questionnaire.
fn coded(
    node: &JsonNode<'_>,
    link_id: &str,
    question: Option<&JsonNode<'_>>,
    mapping: &CodeMapping,
) -> Cow<'static, [Meaning]> {
    if let Some(meaning) = mapping.configured(link_id) {
        return Cow::Owned(vec![meaning]);
    }
    let in_text = |text: &str| {
        let found = mapping.code(names::loinc_in(text).unwrap_or(text));
        if !found.is_empty() || !text.contains('_') {
            return found;
        }
        // Some form builders allow no hyphen: `44250_9`.
        names::loinc_in(&text.replace('_', "-"))
            .map(|code| Cow::Owned(mapping.code(code).into_owned()))
            .unwrap_or_default()
    };
    let in_question = |question: &JsonNode<'_>| {
        let codings = question.list("code").iter();
        let known = codings.filter(|coding| names::is_of_terminology(coding.text("system")));
        known.filter_map(|coding| coding.text("code")).map(|code| mapping.code(code)).find(|found| !found.is_empty())
    };
    let places = [Some(link_id), node.text("definition"), question.and_then(|question| question.text("definition"))];
    let mut found = places.into_iter().flatten().map(in_text);
    // R4 has no code here; some write the Questionnaire's all the same.
    let in_codes = || [Some(node), question].into_iter().flatten().find_map(in_question);
    found.find(|meanings| !meanings.is_empty()).or_else(in_codes).unwrap_or_default()
}

/// `1`, `2.1`: too little to go by alone.
fn is_generic(link_id: &str) -> bool {
    !link_id.bytes().any(|b| b.is_ascii_alphabetic()) && names::loinc_in(link_id).is_none()
}
