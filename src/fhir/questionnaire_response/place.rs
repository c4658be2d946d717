//! Finds the item of an instrument for each entry of a form: by code, by its question, by its number.
//!
//! An offset by one would be a wrong score, so a number counts only in a form that names the instrument, and only while
//! nothing contradicts it.

use super::form::FormItem;
use super::identify::{InstrumentFamily, InstrumentMatch, families_in, family, is_generic};
use crate::domain::instrument::Instrument::{self, Phq2, Phq9, Phq9Modified};
use crate::fhir::answer::{AnswerValue, hear};
use crate::fhir::mapping::{CodeMapping, Meaning, words};

/// An entry (by its index) that is an item (0-based) of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemPlace {
    pub(super) position: usize,
    pub(super) entry: usize,
}

const CONTRADICTED: &str = "the numbers of its items are contradicted by what they ask or how they are answered";
const LEFT_OVER: &str = "some of its answers belong to no known item";

/// Places the entries for each instrument, or says why somebody has to do it.
pub(super) fn place(
    found: &[InstrumentMatch],
    entries: &[FormItem<'_>],
    mapping: &CodeMapping,
) -> Result<Vec<Vec<ItemPlace>>, &'static str> {
    let mut placements: Vec<Vec<ItemPlace>> = Vec::with_capacity(found.len());
    let mut is_taken = vec![false; entries.len()];
    let mut used_numbers = false;
    for which in found {
        let instrument = which.instrument;
        let mut placed = by_code(*which, entries);
        let by_code = filled(&placed);
        let asked = |entry: &FormItem<'_>| words::question(entry.words(), instrument);
        for (index, entry) in entries.iter().enumerate() {
            let is_candidate = entry.is_open() && (entry.is_answered || !entry.is_group) && !is_taken[index];
            if !is_candidate || entry.is_difficulty() {
                continue;
            }
            if let Some(position) = asked(entry).filter(|position| by_code & (1 << position) == 0) {
                placed.push(ItemPlace { position, entry: index });
            }
        }
        if which.is_named {
            let numbered = by_number(instrument, found.len() > 1, entries, &placed, &is_taken, mapping)?;
            used_numbers |= !numbered.is_empty();
            placed.extend(numbered);
        }
        for placed in &placed {
            is_taken[placed.entry] = true;
        }
        placements.push(placed);
    }
    let is_partly_there = |placed: &Vec<ItemPlace>, which: InstrumentMatch| {
        !placed.is_empty() && (filled(placed).count_ones() as usize) < which.instrument.definition().item_count
    };
    let has_gaps = placements.iter().zip(found).any(|(placed, which)| is_partly_there(placed, *which));
    if (used_numbers || has_gaps) && has_left_over(found, entries, &is_taken, mapping) {
        return Err(LEFT_OVER);
    }
    Ok(placements)
}

/// The positions that have an entry, as bits.
fn filled(placed: &[ItemPlace]) -> u32 {
    placed.iter().fold(0, |bits, placed| bits | 1 << placed.position)
}

fn by_code(which: InstrumentMatch, entries: &[FormItem<'_>]) -> Vec<ItemPlace> {
    let mut placed = Vec::with_capacity(which.instrument.definition().item_count);
    for (index, entry) in entries.iter().enumerate() {
        let Some(Meaning::Item(of, position)) = entry.meaning else { continue };
        if is_generic(entry.link_id) && !(which.is_named && of == which.instrument) {
            continue;
        }
        let position = match (of, which.instrument) {
            (Phq9 | Phq2, Phq9Modified) => words::TEEN_ORDER[position],
            (of, instrument) if family(of) == family(instrument) => position,
            _ => continue,
        };
        if position < which.instrument.definition().item_count {
            placed.push(ItemPlace { position, entry: index });
        }
    }
    placed
}

/// `phq9-1`, `H1/T1/Q1`, `g1.q1`, `1`: what stands before the number, and the number.
fn number(link_id: &str) -> Option<(&str, usize)> {
    let at = link_id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = link_id[at..].parse().ok()?;
    Some((&link_id[..at], number))
}

fn by_number(
    instrument: Instrument,
    is_shared: bool,
    entries: &[FormItem<'_>],
    placed: &[ItemPlace],
    is_taken: &[bool],
    mapping: &CodeMapping,
) -> Result<Vec<ItemPlace>, &'static str> {
    let is_mine = |link_id: &str| match families_in(link_id).as_slice() {
        [] => !is_shared,
        families => families.contains(&family(instrument)),
    };
    let position_of = |index: usize| placed.iter().find(|p| p.entry == index).map(|p| p.position);
    let numbered: Vec<(usize, &FormItem<'_>, &str, usize)> = entries
        .iter()
        .enumerate()
        .filter(|(index, entry)| entry.is_open() && (entry.is_answered || !entry.is_group) && !is_taken[*index])
        .filter(|(_, entry)| is_mine(entry.link_id))
        .filter_map(|(index, entry)| number(entry.link_id).map(|(prefix, number)| (index, entry, prefix, number)))
        .collect();
    let is_wanted = |index: usize, entry: &FormItem<'_>| {
        entry.is_answered && position_of(index).is_none() && !entry.is_total_like() && !entry.is_difficulty()
    };
    let count = |prefix: &str| numbered.iter().filter(|(i, e, p, _)| *p == prefix && is_wanted(*i, e)).count();
    let mut best: Option<(&str, usize)> = None;
    for (_, _, prefix, _) in &numbered {
        if best.is_some_and(|(known, _)| known == *prefix) {
            continue;
        }
        let count = count(prefix);
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((prefix, count));
        }
    }
    let Some((prefix, 1..)) = best else { return Ok(Vec::new()) };

    let items = instrument.definition().item_count;
    let group = || numbered.iter().filter(|(_, _, found, _)| *found == prefix);
    let is_there = |wanted: usize| group().any(|(_, _, _, number)| *number == wanted);
    if is_there(items + 1) && !is_there(1) {
        return Err(CONTRADICTED);
    }
    let taken = filled(placed);
    let mut more = Vec::new();
    for (index, entry, _, number) in group() {
        // Forms add questions of their own (the teens' asks "have you ever …", yes or no): only a value misleads.
        let is_value = |said| matches!(said, AnswerValue::Value(_) | AnswerValue::OutOfRange);
        let may_count = !entry.is_answered || entry.answers.iter().any(|n| is_value(hear(n, instrument, mapping).said));
        let suicide_elsewhere = instrument.definition().suicide_item.is_some_and(|item| item + 1 != *number)
            && may_count
            && words::asks_about_suicide(entry.words());
        // The teens' form and the PHQ-9 order their first five questions differently.
        let is_elsewhere = position_of(*index)
            .is_some_and(|position| position + 1 != *number && !(instrument == Phq9Modified && position < 5));
        if suicide_elsewhere || is_elsewhere {
            return Err(CONTRADICTED);
        }
        if !is_wanted(*index, entry) {
            continue;
        }
        match number {
            1.. if *number <= items => {
                if taken & (1 << (number - 1)) != 0 {
                    return Err(CONTRADICTED);
                }
                more.push(ItemPlace { position: number - 1, entry: *index });
            }
            // The place of the difficulty, unless it is answered like an item.
            _ if *number == items + 1 && !is_answered_like_an_item(entry, instrument, mapping) => {}
            _ if *number > items && !may_count => {}
            _ => return Err(CONTRADICTED),
        }
    }
    Ok(more)
}

/// Answered with an answer of the instrument's own scale, in code or in words.
fn is_answered_like_an_item(entry: &FormItem<'_>, instrument: Instrument, mapping: &CodeMapping) -> bool {
    entry.answers.iter().any(|node| {
        let heard = hear(node, instrument, mapping);
        heard.is_known && matches!(heard.said, AnswerValue::Value(_))
    })
}

/// Whether answers remain that may be those of a missing item.
fn has_left_over(
    found: &[InstrumentMatch],
    entries: &[FormItem<'_>],
    is_taken: &[bool],
    mapping: &CodeMapping,
) -> bool {
    entries.iter().enumerate().any(|(index, entry)| {
        let is_free = !is_taken[index] && entry.is_answered && entry.is_open();
        if !is_free || entry.is_total_like() || entry.is_difficulty() {
            return false;
        }
        found.iter().any(|which| {
            let is_bare_figure = || {
                let is_value = |said| matches!(said, AnswerValue::Value(_));
                which.is_named
                    && entry.words().is_empty()
                    && is_family(entry.link_id, family(which.instrument))
                    && number(entry.link_id)
                        .is_none_or(|(_, number)| number != which.instrument.definition().item_count + 1)
                    && entry.answers.iter().any(|node| is_value(hear(node, which.instrument, mapping).said))
            };
            is_answered_like_an_item(entry, which.instrument, mapping) || is_bare_figure()
        })
    })
}

fn is_family(link_id: &str, wanted: InstrumentFamily) -> bool {
    let families = families_in(link_id);
    families.is_empty() || families.contains(&wanted)
}
