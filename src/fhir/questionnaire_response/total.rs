//! The total that a form states: shown where it contradicts the items, used where there are none.

use super::form::FormItem;
use super::identify::{InstrumentFamily, InstrumentMatch, families_in, family};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::DataQualityIssue;
use crate::fhir::answer::number_in;
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::{Meaning, names, words};

/// A stated total, or a remark why it is not used.
#[derive(Debug, Default)]
pub(in crate::fhir) struct StatedTotal {
    pub(in crate::fhir) total: Option<u16>,
    pub(in crate::fhir) issue: Option<DataQualityIssue>,
}

/// A number as a total. `None` where it cannot be one.
pub(in crate::fhir) fn whole(number: f64) -> Option<u16> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked on the same line")]
    (number.fract() == 0.0 && (0.0..=65_535.0).contains(&number)).then_some(number as u16)
}

/// The total that the form states for this instrument.
pub(super) fn stated(
    resource: &JsonNode<'_>,
    entries: &[FormItem<'_>],
    instrument: Instrument,
    found: &[InstrumentMatch],
) -> StatedTotal {
    let in_items = entries.iter().filter(|entry| is_total_of(entry, instrument, found)).filter_map(number_of);
    let mut numbers: Vec<f64> = in_items.collect();
    if numbers.is_empty() && found.len() == 1 {
        numbers.extend(in_extension(resource));
    }
    let Some(first) = numbers.first() else { return StatedTotal::default() };
    if numbers.iter().any(|number| (number - first).abs() > 1e-9) {
        let detail = format!("the form states {} different totals", instrument.definition().title);
        return StatedTotal { total: None, issue: Some(DataQualityIssue::new("duplicate_total", detail)) };
    }
    let total = whole(*first);
    let unreadable = || DataQualityIssue::new("unreadable_total", "the stated total is not a whole number from 0 up");
    StatedTotal { total, issue: total.is_none().then(unreadable) }
}

/// A total belongs to an instrument by its code and its words together: forms do reuse one total's code for another.
fn is_total_of(entry: &FormItem<'_>, instrument: Instrument, found: &[InstrumentMatch]) -> bool {
    let mine = family(instrument);
    let is_other = |text: &str| {
        let named = names::named(text).ours;
        let families = families_in(text);
        (!named.is_empty() && !named.iter().any(|other| is_same(*other, instrument)))
            || (!families.is_empty() && !families.contains(&mine))
    };
    match entry.meaning {
        Some(Meaning::Total(of)) => is_same(of, instrument) && !is_other(entry.words()),
        None | Some(Meaning::Panel(_))
            if entry.is_total_like() && !is_other(entry.link_id) && !is_other(entry.words()) =>
        {
            let names_mine = |text: &str| families_in(text).contains(&mine);
            let is_alone = found.iter().all(|which| which.instrument == instrument);
            is_alone || names_mine(entry.link_id) || names_mine(entry.words())
        }
        _ => false,
    }
}

/// The same total: the teens' form is often sent with the PHQ-9's code, the PHQ-2 never means the PHQ-9.
fn is_same(of: Instrument, instrument: Instrument) -> bool {
    let is_short = |i: Instrument| i == Instrument::Phq2;
    of == instrument
        || (family(of) == InstrumentFamily::Phq
            && family(instrument) == InstrumentFamily::Phq
            && !is_short(of)
            && !is_short(instrument))
}

/// The number in an entry's answer, else in a vendor's extension of the item.
fn number_of(entry: &FormItem<'_>) -> Option<f64> {
    let bare = || entry.node.list("answer").iter().find_map(number_in);
    entry.answers.iter().find_map(|answer| number_in(answer)).or_else(bare).or_else(|| in_extension(entry.node))
}

/// A vendor's extension that names a score or a total.
fn in_extension(node: &JsonNode<'_>) -> Option<f64> {
    node.list("extension").iter().find_map(|extension| {
        let name = extension.text("url")?.rsplit('/').next()?;
        if words::names_a_total(&words::normal(name)) { number_in(extension) } else { None }
    })
}
