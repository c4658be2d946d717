//! From what was said to each item to the answers that are scored.

use super::{AnswerValue, CheckedAnswer, hear};
use crate::domain::instrument::Instrument;
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
    let mut answers = Answers { items: vec![None; definition.item_count], ..Answers::default() };
    let mut shifts = ScaleShifts::default();
    let mut heard: Vec<CheckedAnswer> = Vec::with_capacity(2);
    for position in 0..definition.item_count {
        let of_item = placed.iter().filter(|(at, _)| *at == position);
        heard.clear();
        heard.extend(
            of_item.map(|(_, node)| hear(node, instrument, mapping)).filter(|h| h.said != AnswerValue::Nothing),
        );
        if !heard.is_empty() {
            shifts.note(&heard);
            settle(position, &heard, definition.suicide_item == Some(position), &mut answers);
        }
    }
    GatheredAnswers { answers, counts_from_one: shifts.is_systematic() }
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
