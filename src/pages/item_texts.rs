//! Short texts of the questionnaires' items. The PHQ and the GAD-7 may be reproduced freely (Pfizer, 1999).

use crate::domain::instrument::Instrument;

const PHQ9: [&str; 9] = [
    "Little interest or pleasure",
    "Feeling down, depressed, hopeless",
    "Trouble with sleep",
    "Tired, little energy",
    "Appetite",
    "Feeling bad about oneself",
    "Trouble concentrating",
    "Moving slowly, or restless",
    "Thoughts of death or self-harm",
];

const GAD7: [&str; 7] = [
    "Nervous, anxious, on edge",
    "Cannot stop worrying",
    "Worrying too much",
    "Trouble relaxing",
    "Restless",
    "Easily annoyed",
    "Afraid something awful might happen",
];

/// An item's words; its number where we have none.
pub fn item(instrument: Instrument, index: usize) -> String {
    let words: &[&str] = match instrument {
        Instrument::Phq9 | Instrument::Phq9Modified => &PHQ9,
        Instrument::Phq2 => &PHQ9[..2],
        Instrument::Gad7 => &GAD7,
        Instrument::Pcl5 => &[],
    };
    words.get(index).map_or_else(|| format!("Item {}", index + 1), |words| (*words).to_owned())
}
