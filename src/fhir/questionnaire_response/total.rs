//! The total that a form states: shown where it contradicts the items, used where there are none.

use super::super::content::InstrumentReading;
use super::form::FormItem;
use super::identify::{InstrumentMatch, speaks_of};
use crate::domain::instrument::Instrument;
use crate::domain::instrument::words::normal;
use crate::domain::measurement::DataQualityIssue;
use crate::domain::score::Answers;
use crate::fhir::answer::{Figure, figure_in, number_in};
use crate::fhir::json::JsonNode;
use crate::fhir::mapping::lexicon::lexicon;
use crate::fhir::mapping::{Meaning, words};

/// A stated total, or a remark why it is not used.
#[derive(Debug, Default)]
pub(in crate::fhir) struct StatedTotal {
    pub(in crate::fhir) total: Option<u16>,
    pub(in crate::fhir) issue: Option<DataQualityIssue>,
}

impl StatedTotal {
    /// What stands in the place of a total.
    pub(in crate::fhir) fn read(figure: Figure, instrument: Instrument) -> Self {
        let refused = |code: &str, detail: &str| Self { total: None, issue: Some(DataQualityIssue::new(code, detail)) };
        match figure {
            Figure::Nothing => Self::default(),
            Figure::Compared => refused("compared_total", "a total with a comparator, like \"<10\", is no score"),
            Figure::Category => refused("category_for_total", "a degree of severity stands where the total belongs"),
            Figure::Share => {
                refused("percentage_for_total", "a percentage or a standard score stands where the total belongs")
            }
            Figure::Other => refused("unreadable_total", "the total is not a whole number from 0 up"),
            Figure::Number(number) => match whole(number) {
                Some(total) if total <= instrument.max_total() => Self { total: Some(total), issue: None },
                Some(total) => refused(
                    "total_out_of_range",
                    &format!("the stated total {total} is above {}", instrument.max_total()),
                ),
                None => refused("unreadable_total", "the total is not a whole number from 0 up"),
            },
        }
    }
}

/// A number as a total. `None` where it cannot be one.
fn whole(number: f64) -> Option<u16> {
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
    let in_items = entries.iter().filter(|entry| is_total_of(entry, instrument, found)).map(figure_of);
    let mut figures: Vec<Figure> = in_items.filter(|figure| *figure != Figure::Nothing).collect();
    if figures.is_empty() && found.len() == 1 {
        figures.extend(in_extension(resource).map(Figure::Number));
    }
    let Some(first) = figures.first() else { return StatedTotal::default() };
    if figures.iter().any(|figure| figure != first) {
        let detail = format!("the form states {} different totals", instrument.title());
        return StatedTotal { total: None, issue: Some(DataQualityIssue::new("duplicate_total", detail)) };
    }
    StatedTotal::read(*first, instrument)
}

/// A total belongs to an instrument by its code and its words together: forms do reuse one total's code for another.
fn is_total_of(entry: &FormItem<'_>, instrument: Instrument, found: &[InstrumentMatch]) -> bool {
    let is_mine = |other: &Instrument| is_same(*other, instrument);
    let is_other = |text: &str| {
        let spoken = speaks_of(text);
        !spoken.is_empty() && !spoken.iter().any(is_mine)
    };
    let mut coded = entry.coded.iter().filter_map(|meaning| match meaning {
        Meaning::Total(of) => Some(*of),
        _ => None,
    });
    if !entry.is_open() {
        return coded.any(|of| is_mine(&of)) && !is_other(entry.words());
    }
    if !entry.is_total_like() || is_other(entry.link_id) || is_other(entry.words()) {
        return false;
    }
    let names_mine = |text: &str| speaks_of(text).iter().any(is_mine);
    let is_alone = found.iter().all(|which| which.instrument == instrument);
    is_alone || names_mine(entry.link_id) || names_mine(entry.words())
}

/// The same total: a variant's is often sent with the code of what it varies.
fn is_same(of: Instrument, instrument: Instrument) -> bool {
    let varies = |one: Instrument, other: Instrument| one.definition().variant_of.as_deref() == Some(other.id());
    of == instrument || varies(of, instrument) || varies(instrument, of)
}

/// A total of ours on a form that names none: it is no score, but a high one proves an answer about self-harm.
pub(super) fn implied(entries: &[FormItem<'_>]) -> Option<InstrumentReading> {
    entries.iter().filter(|entry| entry.is_answered && entry.is_total_like()).find_map(|entry| {
        let coded = entry.coded.iter().filter_map(|meaning| meaning.instrument());
        let mut all = coded.chain(lexicon().names(entry.link_id).ours).chain(lexicon().names(entry.words()).ours);
        let instrument = all.find(|instrument| instrument.self_harm_item().is_some())?;
        let stated_total = Some(StatedTotal::read(figure_of(entry), instrument).total?);
        Some(InstrumentReading {
            instrument,
            answers: Answers { stated_total, ..Answers::default() },
            is_single_item: false,
        })
    })
}

/// The figure in an entry's answer, else in a vendor's extension of the item.
fn figure_of(entry: &FormItem<'_>) -> Figure {
    let said = entry.answers.iter().map(|answer| figure_in(answer)).find(|figure| *figure != Figure::Nothing);
    let bare = || entry.node.list("answer").iter().find_map(number_in);
    said.or_else(|| bare().or_else(|| in_extension(entry.node)).map(Figure::Number)).unwrap_or(Figure::Nothing)
}

/// A vendor's extension that names a score or a total.
fn in_extension(node: &JsonNode<'_>) -> Option<f64> {
    node.list("extension").iter().find_map(|extension| {
        let name = extension.text("url")?.rsplit('/').next()?;
        if words::names_a_total(&normal(name)) { number_in(extension) } else { None }
    })
}
