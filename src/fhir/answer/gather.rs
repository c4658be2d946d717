//! From what was said to each item to the answers that are scored.

use super::{AnswerValue, CheckedAnswer, Reader, hear, of_stranger};
use crate::domain::instrument::{Instrument, yes_no};
use crate::domain::measurement::DataQualityIssue;
use crate::domain::score::Answers;
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::CodeMapping;

/// The answers of one instrument.
#[derive(Debug)]
pub(in crate::fhir) struct GatheredAnswers {
    pub(in crate::fhir) answers: Answers,
    /// Every local figure is one above its words: this chart counts from 1, and the figures cannot be used as they are.
    pub(in crate::fhir) counts_from_one: bool,
}

/// Puts answers (by 0-based item) together. An item may be there several times.
pub(in crate::fhir) fn gather(
    instrument: Instrument,
    placed: &[(usize, &JsonNode<'_>)],
    mapping: &CodeMapping,
) -> GatheredAnswers {
    let definition = instrument.definition();
    let mut answers = Answers { items: vec![None; definition.items.len()], ..Answers::default() };
    let mut shifts = ScaleShifts::default();
    let mut heard: Vec<CheckedAnswer> = Vec::with_capacity(2);
    for position in 0..definition.items.len() {
        let reader = Reader::of_item(instrument, position, mapping);
        let of_item = placed.iter().filter(|(at, _)| *at == position);
        heard.clear();
        heard.extend(of_item.map(|(_, node)| hear(node, reader)).filter(|h| h.said != AnswerValue::Nothing));
        if !heard.is_empty() {
            shifts.note(&heard);
            settle(position, &heard, definition.self_harm == Some(position), &mut answers);
        }
    }
    let counts_from_one = shifts.is_systematic();
    if let (true, Some(item)) = (counts_from_one, definition.self_harm) {
        // The figures mislead and the words do not: safety listens to them while somebody maps the codes.
        let reader = Reader::of_item(instrument, item, mapping);
        let of_item = placed.iter().filter(|(at, _)| *at == item);
        answers.items[item] = of_item.filter_map(|(_, node)| hear(node, reader).words).max();
    }
    GatheredAnswers { answers, counts_from_one }
}

/// An answer to a question about self-harm on a form that is not ours: its own scale, or yes and no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhir) enum SafetyAnswer {
    No,
    Yes(u8),
    /// It is answered, and nobody can say how.
    Unreadable,
}

/// Reads an answer to a question about self-harm, whatever form it stands on. `None` where there is none.
pub(in crate::fhir) fn safety_answer(node: &JsonNode<'_>, reader: Reader<'_>) -> Option<SafetyAnswer> {
    let of_value = |value: u8| if value == 0 { SafetyAnswer::No } else { SafetyAnswer::Yes(value) };
    let heard = hear(node, reader);
    match heard.said {
        AnswerValue::Nothing => None,
        AnswerValue::Value(value) => Some(of_value(value.max(heard.words.unwrap_or(0)))),
        AnswerValue::OutOfRange | AnswerValue::Unclear => Some(match (of_stranger(node), is_yes(node, reader)) {
            (Some(value), _) => of_value(value),
            (None, Some(false)) => SafetyAnswer::No,
            (None, _) => SafetyAnswer::Unreadable,
        }),
    }
}

/// Whether an answer is yes or no, where the question has another scale.
fn is_yes(node: &JsonNode<'_>, reader: Reader<'_>) -> Option<bool> {
    let heard = hear(node, Reader { scale: yes_no(), ..reader });
    if heard.is_known
        && let AnswerValue::Value(value) = heard.said
    {
        Some(value > 0)
    } else {
        None
    }
}

/// Settles what one item says.
fn settle(position: usize, heard: &[CheckedAnswer], is_suicide_item: bool, answers: &mut Answers) {
    let item = position + 1;
    let mut remark = |code: &str, detail: String| answers.issues.push(DataQualityIssue::new(code, detail));
    if heard.len() > 1 {
        remark("duplicate_item", format!("item {item} is answered {} times", heard.len()));
    }
    if heard.iter().any(|h| h.said == AnswerValue::OutOfRange) {
        remark("out_of_range", format!("item {item} has a value outside the instrument's range"));
    }
    if heard.iter().any(|h| h.disagrees) {
        remark("code_display_mismatch", format!("item {item}: the code and the words disagree"));
        answers.item9_doubtful |= is_suicide_item;
    }
    if heard.iter().any(|h| h.is_quoted) {
        answers
            .issues
            .push(DataQualityIssue::new("number_as_string", format!("item {item}: a number came as a string")));
    }
    let values =
        || heard.iter().filter_map(|h| if let AnswerValue::Value(value) = h.said { Some(value) } else { None });
    let (lowest, highest) = (values().min(), values().max());
    let is_clear = lowest == highest && values().count() == heard.len();
    if !is_clear {
        answers.unreadable.push(position);
    }
    // Contradictory answers cannot be trusted, but a suicidal one must not be lost.
    answers.items[position] = if is_clear || is_suicide_item { highest } else { None };
}

/// Offsets of local numbers from their words.
#[derive(Default)]
struct ScaleShifts {
    by_one: usize,
    other: usize,
}

impl ScaleShifts {
    fn note(&mut self, heard: &[CheckedAnswer]) {
        for shift in heard.iter().filter_map(|h| h.figure_above_words) {
            if shift == 1 {
                self.by_one += 1;
            } else {
                self.other += 1;
            }
        }
    }

    fn is_systematic(&self) -> bool {
        self.by_one >= 2 && self.other == 0
    }
}
