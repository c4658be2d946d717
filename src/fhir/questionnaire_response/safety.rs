//! Questions about self-harm, wherever they stand: on another instrument's form, on one that nobody knows, beside the
//! items. Whoever has these thoughts must be seen, whatever the form around the question is.

use super::super::content::InstrumentReading;
use super::form::FormItem;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::Supplement;
use crate::domain::score::Answers;
use crate::fhir::answer::{Reader, SafetyAnswer, safety_answer};
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::{CodeMapping, Meaning};

/// Adds what the entries that no instrument holds say about self-harm: to the reading that it belongs to, or as one of
/// its own.
pub(super) fn add(
    readings: &mut Vec<InstrumentReading>,
    entries: &[FormItem<'_>],
    placed: &[usize],
    mapping: &CodeMapping,
) {
    let free = entries.iter().enumerate().filter(|(index, entry)| entry.is_answered && !placed.contains(index));
    for (_, entry) in free {
        let Some(meaning) = entry.about_safety() else { continue };
        add_question(readings, meaning, &entry.answers, mapping);
    }
    // A code and a text that disagree: the code wins, and a suicidal answer is asked for.
    for entry in placed.iter().filter_map(|index| entries.get(*index)) {
        if let Some(meaning) = entry.hidden_safety() {
            add_question(readings, meaning, &entry.answers, mapping);
        }
    }
}

/// One question with its answers.
pub(in crate::fhir) fn no_item_but_safety(
    meaning: Meaning,
    node: &JsonNode<'_>,
    mapping: &CodeMapping,
) -> Option<InstrumentReading> {
    let mut readings = Vec::new();
    add_question(&mut readings, meaning, &[node], mapping);
    readings.pop()
}

fn add_question(
    readings: &mut Vec<InstrumentReading>,
    meaning: Meaning,
    answers: &[&JsonNode<'_>],
    mapping: &CodeMapping,
) {
    match meaning {
        Meaning::Item(instrument, position) => {
            let reader = Reader::of_item(instrument, position, mapping);
            let said = answers.iter().filter_map(|node| safety_answer(node, reader)).collect::<Vec<_>>();
            let is_known = readings.iter().any(|reading| reading.instrument == instrument);
            match worst(&said) {
                Some(SafetyAnswer::No) if !is_known => {}
                Some(worst) => add_item(reading_of(readings, instrument), instrument, position, worst),
                None => {}
            }
        }
        Meaning::Safety(instrument, supplement) => {
            let questions = &instrument.definition().safety_questions;
            let Some(question) = questions.iter().find(|question| question.supplement == supplement) else { return };
            let reader = Reader { instrument, scale: &question.scale, mapping };
            let said = answers.iter().filter_map(|node| safety_answer(node, reader)).collect::<Vec<_>>();
            // An answer that nobody can read counts as one: somebody has to ask.
            if matches!(worst(&said), Some(SafetyAnswer::Yes(_) | SafetyAnswer::Unreadable)) {
                add_supplement(readings, instrument, supplement);
            }
        }
        _ => {}
    }
}

fn worst(said: &[SafetyAnswer]) -> Option<SafetyAnswer> {
    said.iter().copied().max_by_key(|answer| match answer {
        SafetyAnswer::No => 0,
        SafetyAnswer::Unreadable => 1,
        SafetyAnswer::Yes(value) => 1 + u16::from(*value),
    })
}

/// The reading of this instrument, or a new one that holds nothing else.
fn reading_of(readings: &mut Vec<InstrumentReading>, instrument: Instrument) -> &mut Answers {
    let at = readings.iter().position(|reading| reading.instrument == instrument).unwrap_or(readings.len());
    if at == readings.len() {
        let answers = Answers { items: vec![None; instrument.item_count()], ..Answers::default() };
        readings.push(InstrumentReading { instrument, answers, is_single_item: false });
    }
    &mut readings[at].answers
}

fn add_item(answers: &mut Answers, instrument: Instrument, position: usize, said: SafetyAnswer) {
    if answers.items.len() != instrument.item_count() {
        // A total without items: the answer beside it is not part of it.
        answers.items = vec![None; instrument.item_count()];
    }
    match said {
        SafetyAnswer::No => answers.items[position] = answers.items[position].or(Some(0)),
        // The form's own item stays what it is. Another question beside it that says more is for a person to ask about.
        said if answers.items[position].is_some() => {
            let is_higher = !matches!(said, SafetyAnswer::Yes(value) if Some(value) <= answers.items[position]);
            answers.item9_doubtful |= is_higher;
        }
        SafetyAnswer::Yes(value) => answers.items[position] = answers.items[position].max(Some(value)),
        SafetyAnswer::Unreadable if !answers.unreadable.contains(&position) => answers.unreadable.push(position),
        SafetyAnswer::Unreadable => {}
    }
    let supplement = instrument.definition().items[position].supplement.filter(|_| said != SafetyAnswer::No);
    if let Some(supplement) = supplement.filter(|supplement| !answers.supplements.contains(supplement)) {
        answers.supplements.push(supplement);
    }
}

/// A supplement belongs to the instrument of the form that asks about self-harm, else to its own.
fn add_supplement(readings: &mut Vec<InstrumentReading>, instrument: Instrument, supplement: Supplement) {
    let host = readings.iter().map(|reading| reading.instrument).find(|one| one.self_harm_item().is_some());
    let answers = reading_of(readings, host.unwrap_or(instrument));
    if !answers.supplements.contains(&supplement) {
        answers.supplements.push(supplement);
    }
}
