//! The items of the last two forms of each scale, side by side.

use chrono::NaiveDate;

use crate::domain::instrument::Instrument;
use crate::domain::measurement::{EvidenceStatus, Measurement};
use crate::domain::story::Story;
use crate::pages::date_texts::day;
use crate::pages::item_texts::item;

/// An item with its answer before and now.
pub struct AnswerPair {
    pub item: String,
    pub before: Option<u8>,
    pub now: Option<u8>,
    /// Asks about self-harm, and was answered above 0.
    pub danger: bool,
}

impl AnswerPair {
    /// The direction of a change, in words and as a shape.
    pub fn change(&self) -> (&'static str, &'static str) {
        match (self.before, self.now) {
            (Some(before), Some(now)) if now > before => ("▲", "worse"),
            (Some(before), Some(now)) if now < before => ("▼", "better"),
            _ => ("", ""),
        }
    }
}

/// The last two forms of one scale.
pub struct AnswerComparison {
    pub title: &'static str,
    /// `None` where there is only one form with answers.
    pub before: Option<String>,
    pub now: String,
    pub items: Vec<AnswerPair>,
}

/// Compares the last two forms with answers of each of these scales.
pub fn compared(story: &Story, instruments: &[Instrument], today: NaiveDate) -> Vec<AnswerComparison> {
    instruments.iter().filter_map(|instrument| of_instrument(story, *instrument, today)).collect()
}

fn of_instrument(story: &Story, instrument: Instrument, today: NaiveDate) -> Option<AnswerComparison> {
    let is_answered = |m: &&Measurement| {
        m.instrument == instrument && m.counting != EvidenceStatus::Retracted && m.answers.iter().any(Option::is_some)
    };
    let mut forms: Vec<&Measurement> = story.measurements.iter().filter(is_answered).collect();
    forms.sort_by_key(|m| (m.taken_at, m.id));
    let now = forms.pop()?;
    let before = forms.pop();
    let answer = |of: Option<&Measurement>, n: usize| of.and_then(|m| m.answers.get(n).copied().flatten());
    let items = (0..now.answers.len()).map(|n| AnswerPair {
        item: item(instrument, n),
        before: answer(before, n),
        now: answer(Some(now), n),
        danger: instrument.self_harm_item() == Some(n) && answer(Some(now), n).is_some_and(|a| a > 0),
    });
    Some(AnswerComparison {
        title: instrument.title(),
        before: before.map(|m| day(m.taken_on, today)),
        now: day(now.taken_on, today),
        items: items.collect(),
    })
}
