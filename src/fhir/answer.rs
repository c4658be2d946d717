//! One answer to one item, however it was written down.
//!
//! Trusted in this order: a known code; an ordinal on the coding, then on the answer; an item weight; a figure (as a
//! local code, a number or a string); words. What is not recognized is unreadable, never 0.

mod gather;

pub(super) use gather::{SafetyAnswer, gather, safety_answer};

use super::json::JsonNode;
use super::mapping::CodeMapping;
use super::mapping::lexicon::lexicon;
use super::mapping::words;
use crate::domain::instrument::{Instrument, Scale};

const ORDINAL: &str = "http://hl7.org/fhir/StructureDefinition/ordinalValue";
const WEIGHT: &str = "http://hl7.org/fhir/StructureDefinition/itemWeight";
/// Answers that say that there is none.
const ABSENT: [&str; 2] =
    ["http://terminology.hl7.org/CodeSystem/data-absent-reason", "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"];
/// "I choose not to answer this question".
const DECLINED: &str = "LA30122-8";

/// The scale on which an answer is read, with what the connection adds to it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) instrument: Instrument,
    pub(super) scale: &'a Scale,
    pub(super) mapping: &'a CodeMapping,
}

impl<'a> Reader<'a> {
    /// Of one item (0-based).
    pub(super) fn of_item(instrument: Instrument, item: usize, mapping: &'a CodeMapping) -> Self {
        Self { instrument, scale: &instrument.definition().items[item].scale, mapping }
    }

    fn coded(&self, system: Option<&str>, code: &str) -> Option<u8> {
        self.mapping.coded(system, code, self.instrument, self.scale)
    }

    fn worded(&self, text: &str) -> Option<u8> {
        self.mapping.worded(text, self.instrument, self.scale)
    }
}

/// Meaning of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerValue {
    Nothing,
    /// A value within the instrument's range.
    Value(u8),
    /// A figure outside it.
    OutOfRange,
    /// An answer that we do not understand.
    Unclear,
}

/// An answer and what there is to remark about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CheckedAnswer {
    pub(super) said: AnswerValue,
    /// The code and the words disagree; the code wins.
    pub(super) disagrees: bool,
    /// By how much a local figure is above its words: a chart that counts from 1 shows 1 everywhere.
    pub(super) figure_above_words: Option<i16>,
    /// What the words say by themselves.
    pub(super) words: Option<u8>,
    /// A number came as a string.
    pub(super) is_quoted: bool,
    /// Known by its code or its words, not only a figure.
    pub(super) is_known: bool,
}

/// Evidence in one value[x].
#[derive(Default)]
struct ValueClues {
    is_there: bool,
    coded: Option<u8>,
    ordinal: Option<f64>,
    weight: Option<f64>,
    figure: Option<f64>,
    is_local_code: bool,
    is_quoted: bool,
    words: Option<u8>,
}

/// Reads `value[x]` of an answer, a component or an Observation.
pub(super) fn hear(node: &JsonNode<'_>, reader: Reader<'_>) -> CheckedAnswer {
    if is_absent(node) {
        return judge(
            &ValueClues { is_there: has_value(node), ..ValueClues::default() },
            (None, None),
            reader.scale.max,
        );
    }
    let mut outside = (extension(node, ORDINAL), extension(node, WEIGHT));
    let mut heard: Option<CheckedAnswer> = None;
    // `_valueString` carries the extensions of `valueString`.
    for (_, value) in node.members().iter().filter(|(name, _)| name.starts_with("_value")) {
        outside = (outside.0.or_else(|| extension(value, ORDINAL)), outside.1.or_else(|| extension(value, WEIGHT)));
    }
    for (name, value) in
        node.members().iter().filter(|(name, value)| name.starts_with("value") && *value != JsonNode::Null)
    {
        let clues = clues(name, value, reader);
        if !clues.is_there {
            continue;
        }
        let next = judge(&clues, outside, reader.scale.max);
        // Two values in one answer are invalid; where they differ nobody knows which is meant.
        heard = Some(match heard {
            Some(first) if first.said != next.said => CheckedAnswer { said: AnswerValue::Unclear, ..first },
            Some(first) => first,
            None => next,
        });
    }
    // An answer may consist of an ordinal alone.
    heard.unwrap_or_else(|| {
        let is_there = outside.0.is_some() || outside.1.is_some();
        judge(&ValueClues { is_there, ..ValueClues::default() }, outside, reader.scale.max)
    })
}

fn clues(name: &str, value: &JsonNode<'_>, reader: Reader<'_>) -> ValueClues {
    let mut clues = ValueClues::default();
    match (name, value) {
        ("valueCoding", coding) => read_coding(coding, &mut clues, reader),
        ("valueCodeableConcept", concept) => {
            for coding in concept.list("coding") {
                read_coding(coding, &mut clues, reader);
            }
            if let Some(text) = concept.text("text") {
                clues.is_there = true;
                clues.words = clues.words.or_else(|| reader.worded(text));
            }
        }
        ("valueBoolean", JsonNode::Bool(answer)) => {
            clues.is_there = true;
            clues.words = reader.worded(if *answer { "yes" } else { "no" });
        }
        // Less than something is not that.
        ("valueQuantity", quantity) if quantity.get("comparator").is_some() => clues.is_there = true,
        ("valueQuantity", quantity) => {
            clues.figure = quantity.get("value").and_then(JsonNode::as_number);
            clues.is_quoted = matches!(quantity.get("value"), Some(JsonNode::Text(_)));
            clues.is_there = quantity.get("value").is_some();
        }
        ("valueInteger" | "valueDecimal", number) => {
            clues.is_there = number.as_text().is_some() || matches!(number, JsonNode::Number(_) | JsonNode::Bool(_));
            clues.figure = number.as_number();
            clues.is_quoted = matches!(number, JsonNode::Text(_)) && clues.figure.is_some();
        }
        ("valueString", JsonNode::Text(text)) => {
            clues.is_there = !text.trim().is_empty();
            clues.figure = value.as_number();
            clues.words = reader.worded(text);
            if clues.figure.is_none() {
                clues.coded = reader.coded(None, text.trim());
            }
        }
        _ => clues.is_there = true,
    }
    clues
}

fn read_coding(coding: &JsonNode<'_>, clues: &mut ValueClues, reader: Reader<'_>) {
    let (system, code, display) = (coding.text("system"), coding.text("code"), coding.text("display"));
    if system.is_some_and(|system| ABSENT.contains(&system)) || code == Some(DECLINED) {
        return;
    }
    clues.ordinal = clues.ordinal.or_else(|| extension(coding, ORDINAL));
    clues.weight = clues.weight.or_else(|| extension(coding, WEIGHT));
    clues.is_there |= code.is_some() || display.is_some() || clues.ordinal.is_some();
    if let Some(code) = code {
        clues.coded = clues.coded.or_else(|| reader.coded(system, code));
        if clues.coded.is_none() && clues.figure.is_none() && code.len() <= 3 {
            clues.figure = coding.get("code").and_then(JsonNode::as_number);
            clues.is_local_code = clues.figure.is_some();
        }
    } else if let Some(JsonNode::Number(code)) = coding.get("code") {
        clues.is_there = true;
        clues.figure = clues.figure.or(Some(*code));
        clues.is_local_code = true;
    }
    clues.words = clues.words.or_else(|| reader.worded(display?));
    if clues.words.is_none() && clues.coded.is_none() && clues.figure.is_none() {
        clues.words = code.and_then(|code| reader.worded(code));
    }
}

/// Weighs the clues.
fn judge(clues: &ValueClues, outside: (Option<f64>, Option<f64>), max: u8) -> CheckedAnswer {
    let figure = clues.ordinal.or(outside.0).or(clues.weight).or(outside.1).or(clues.figure);
    let said = match (clues.coded, figure, clues.words) {
        _ if !clues.is_there => AnswerValue::Nothing,
        (None, Some(figure), _) => whole(figure, max),
        (Some(value), _, _) | (None, None, Some(value)) if value <= max => AnswerValue::Value(value),
        (None, None, None) => AnswerValue::Unclear,
        _ => AnswerValue::OutOfRange,
    };
    let disagrees = matches!((said, clues.words), (AnswerValue::Value(value), Some(words)) if value != words)
        || (said == AnswerValue::OutOfRange && clues.words.is_some())
        // An ordinal says on purpose what an answer counts.
        || matches!((clues.coded, clues.ordinal.or(outside.0)), (Some(value), Some(ordinal)) if whole(ordinal, max) != AnswerValue::Value(value));
    let is_bare_figure = clues.coded.is_none() && figure == clues.figure && clues.is_local_code;
    let figure_above_words = match (clues.figure, clues.words) {
        (Some(figure), Some(words)) if is_bare_figure => {
            (0..=9_i16).find(|n| (f64::from(*n) - figure).abs() < 1e-9).map(|figure| figure - i16::from(words))
        }
        _ => None,
    };
    let is_known = clues.coded.is_some() || clues.words.is_some();
    CheckedAnswer { said, disagrees, figure_above_words, words: clues.words, is_quoted: clues.is_quoted, is_known }
}

/// A figure as a value: whole, and within 0 to `max`.
fn whole(figure: f64, max: u8) -> AnswerValue {
    if figure.fract().abs() > 1e-9 {
        return AnswerValue::Unclear;
    }
    (0..=max)
        .find(|value| (f64::from(*value) - figure).abs() < 1e-9)
        .map_or(AnswerValue::OutOfRange, AnswerValue::Value)
}

/// The number in an extension of this URL (or a form of it with a version or from another FHIR release).
fn extension(node: &JsonNode<'_>, url: &str) -> Option<f64> {
    node.get("extension")?;
    let name = url.rsplit('/').next()?;
    let fits = |found: &str| found == url || found.rsplit('/').next() == Some(name);
    node.list("extension").iter().find(|e| e.text("url").is_some_and(fits)).and_then(number_in)
}

/// The number in `value[x]`: a decimal, an integer, a quantity, a numeric string or code, or an ordinal.
pub(super) fn number_in(node: &JsonNode<'_>) -> Option<f64> {
    let values = node.members().iter().filter(|(name, _)| name.starts_with("value"));
    let stated = values.filter_map(|(_, value)| match value {
        JsonNode::Object(_) => {
            let codings = std::iter::once(value).chain(value.list("coding"));
            let ordinal = codings.clone().find_map(|coding| extension(coding, ORDINAL));
            let code = || codings.clone().find_map(|c| c.get("code").and_then(JsonNode::as_number));
            value
                .get("value")
                .and_then(JsonNode::as_number)
                .or(ordinal)
                .or_else(|| if value.get("value").is_some() { None } else { code() })
        }
        value => value.as_number(),
    });
    stated.into_iter().next().or_else(|| node.list("extension").iter().find_map(number_in))
}

/// A number that is meant as a total, or what stands in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Nothing,
    Number(f64),
    /// "Less than 10" is not 10.
    Compared,
    /// A degree like "moderate" has a code, and a code is no number.
    Category,
    /// A percentage or a standard score.
    Share,
    /// Text, a date, anything else.
    Other,
}

/// Reads `value[x]` as a total.
pub(super) fn figure_in(node: &JsonNode<'_>) -> Figure {
    if is_absent(node) {
        return Figure::Other;
    }
    if let Some(quantity) = node.get("valueQuantity") {
        if quantity.get("comparator").is_some() {
            return Figure::Compared;
        }
        let mut units = ["unit", "code"].into_iter().filter_map(|name| quantity.text(name));
        if units.any(words::names_a_share) {
            return Figure::Share;
        }
    }
    let mut all = codings(node).peekable();
    if all.peek().is_some() || node.get("valueCodeableConcept").is_some() {
        let text = node.get("valueCodeableConcept").and_then(|concept| concept.get("text"));
        let is_figure = |coding: &JsonNode<'_>| {
            coding.get("display").is_none_or(|display| display.as_number().is_some())
                && coding.text("system").is_none()
                && text.is_none_or(|text| text.as_number().is_some())
        };
        let ordinal = codings(node).find_map(|coding| extension(coding, ORDINAL).or_else(|| extension(coding, WEIGHT)));
        let outside = || extension(node, ORDINAL).or_else(|| extension(node, WEIGHT));
        let figure = || all.find(|coding| is_figure(coding)).and_then(|coding| coding.get("code")?.as_number());
        let said = || text.and_then(JsonNode::as_number);
        return ordinal.or_else(outside).or_else(said).or_else(figure).map_or(Figure::Category, Figure::Number);
    }
    match number_in(node) {
        Some(number) => Figure::Number(number),
        None if has_value(node) => Figure::Other,
        None => Figure::Nothing,
    }
}

/// Whether an Observation says that it has no value: one beside that is a placeholder.
fn is_absent(node: &JsonNode<'_>) -> bool {
    node.get("dataAbsentReason").is_some()
}

/// Whether an answer says itself what it counts.
pub(super) fn has_weight(node: &JsonNode<'_>) -> bool {
    codings(node).chain([node]).any(|one| extension(one, ORDINAL).or_else(|| extension(one, WEIGHT)).is_some())
}

/// Whether `value[x]` is there at all.
pub(super) fn has_value(node: &JsonNode<'_>) -> bool {
    let is_blank = |value: &JsonNode<'_>| match value {
        JsonNode::Null => true,
        JsonNode::Text(text) => text.trim().is_empty(),
        _ => false,
    };
    node.members().iter().any(|(name, value)| name.starts_with("value") && !is_blank(value))
        || extension(node, ORDINAL).is_some()
        || extension(node, WEIGHT).is_some()
}

/// The codings of `valueCoding` and `valueCodeableConcept`.
fn codings<'n, 'a>(node: &'n JsonNode<'a>) -> impl Iterator<Item = &'n JsonNode<'a>> {
    let concept = node.get("valueCodeableConcept").map_or(&[][..], |concept| concept.list("coding"));
    node.get("valueCoding").into_iter().chain(concept)
}

/// What an answer of a stranger's own counts there: it asks the same, and counts otherwise.
pub(super) fn of_stranger(node: &JsonNode<'_>) -> Option<u8> {
    codings(node).find_map(|coding| lexicon().stranger_answer(coding.text("code")?))
}

/// An answer to a question that is asked beside the items, like how difficult the problems made life.
pub(super) fn is_of_aside(node: &JsonNode<'_>) -> bool {
    codings(node).any(|coding| lexicon().is_aside_answer(coding.text("code"), coding.text("display")))
        || lexicon().is_aside_answer(None, node.text("valueString"))
}

/// An answer with a code that only the scales of ours have. "Not at all" is on the scales of others too.
pub(super) fn is_telling(node: &JsonNode<'_>) -> bool {
    telling(node).is_some_and(|value| value > 0)
}

/// The value of an answer's code on a scale of ours that says by itself that a form resembles one of ours.
pub(super) fn telling(node: &JsonNode<'_>) -> Option<u8> {
    let value = |code: &str| {
        let items = Instrument::all().iter().flat_map(|instrument| &instrument.definition().items);
        items.filter(|item| item.scale.telling).find_map(|item| item.scale.coded(code))
    };
    codings(node).filter_map(|coding| coding.text("code")).filter(|code| code.starts_with("LA")).find_map(value)
}
