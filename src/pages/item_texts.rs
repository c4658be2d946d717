//! What the questionnaires ask, in a few words each.

use crate::domain::instrument::Instrument;

pub fn item(instrument: Instrument, index: usize) -> String {
    let item = instrument.definition().items.get(index);
    item.map_or_else(|| format!("Item {}", index + 1), |item| item.label.clone())
}
