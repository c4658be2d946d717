//! Which item of an instrument each entry of a form is. What identifies itself, by code or by words, is that item,
//! whatever stands beside it. A number is believed last: only in a form that names the instrument, only where nothing
//! else identifies the items, and only while nothing contradicts it, for an offset by one would be a wrong score.

use super::form::FormItem;
use super::identify::{InstrumentMatch, is_relative, shown, speaks_of};
use crate::domain::instrument::Instrument;
use crate::fhir::answer::{AnswerValue, Reader, hear};
use crate::fhir::mapping::CodeMapping;

/// An entry (by its index) that is an item (0-based) of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemPlace {
    pub(super) position: usize,
    pub(super) entry: usize,
}

/// What each instrument found, and why somebody has to finish it.
pub(super) struct Placements {
    pub(super) of: Vec<Vec<ItemPlace>>,
    pub(super) doubt: Option<String>,
}

/// Places the entries for each instrument.
pub(super) fn place(found: &[InstrumentMatch], entries: &[FormItem<'_>], mapping: &CodeMapping) -> Placements {
    let mut of: Vec<Vec<ItemPlace>> = found.iter().map(|which| identified(*which, entries, mapping)).collect();
    let mut is_taken = vec![false; entries.len()];
    of.iter().flatten().for_each(|placed| is_taken[placed.entry] = true);
    let mut doubt = None;
    for (which, placed) in found.iter().zip(&mut of) {
        if !which.is_named || filled(placed).count_ones() as usize == which.instrument.item_count() {
            continue;
        }
        let group = Numbered { instrument: which.instrument, is_shared: found.len() > 1, entries, mapping };
        match group.items(placed, &is_taken) {
            Ok(more) => {
                for placed in &more {
                    is_taken[placed.entry] = true;
                }
                placed.extend(more);
            }
            Err(why) => doubt = Some(why),
        }
    }
    for (which, placed) in found.iter().zip(&of) {
        let count = filled(placed).count_ones() as usize;
        if doubt.is_none() && count > 0 && count < which.instrument.item_count() {
            doubt = left_over(*which, placed, entries, &is_taken, mapping);
        }
    }
    Placements { of, doubt }
}

/// The positions that have an entry, as bits.
fn filled(placed: &[ItemPlace]) -> u32 {
    placed.iter().fold(0, |bits, placed| bits | 1 << placed.position)
}

/// Items by code; and by words, those that no code claims.
fn identified(which: InstrumentMatch, entries: &[FormItem<'_>], mapping: &CodeMapping) -> Vec<ItemPlace> {
    let mut placed = Vec::with_capacity(which.instrument.item_count());
    for is_coded in [true, false] {
        let claimed = filled(&placed);
        for (index, entry) in entries.iter().enumerate() {
            let is_there = entry.is_open() != is_coded && (entry.is_answered || !entry.is_group);
            if !is_there || (entry.is_only_numbered && !which.is_named) {
                continue;
            }
            if let Some(position) = entry.item_of(which.instrument).filter(|at| claimed & (1 << at) == 0) {
                placed.push(ItemPlace { position, entry: index });
            }
        }
    }
    without_namesakes(placed, which.instrument, entries, mapping)
}

/// Of several entries that say to be the same item, a question with answers of its own ("Suicidal thoughts: no") is not
/// it where another one is answered on the instrument's scale.
fn without_namesakes(
    placed: Vec<ItemPlace>,
    instrument: Instrument,
    entries: &[FormItem<'_>],
    mapping: &CodeMapping,
) -> Vec<ItemPlace> {
    if filled(&placed).count_ones() as usize == placed.len() {
        return placed;
    }
    let is_on_scale = |one: &ItemPlace| is_answered_like_an_item(&entries[one.entry], instrument, mapping);
    let has_rival = |one: &ItemPlace| {
        placed.iter().any(|other| other.position == one.position && other.entry != one.entry && is_on_scale(other))
    };
    let is_namesake = |one: &ItemPlace| {
        entries[one.entry].is_open() && has_rival(one) && !is_on_scale(one) && entries[one.entry].is_answered
    };
    placed.iter().filter(|one| !is_namesake(one)).copied().collect()
}

/// `phq9-1`, `H1/T1/Q1`, `g1.q1`, `1`: what stands before the number, and the number.
fn number(link_id: &str) -> Option<(&str, usize)> {
    let at = link_id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = link_id[at..].parse().ok()?;
    Some((&link_id[..at], number))
}

/// The entries of a form by the numbers in their linkIds.
struct Numbered<'f, 'n> {
    instrument: Instrument,
    /// The form holds other instruments too.
    is_shared: bool,
    entries: &'f [FormItem<'n>],
    mapping: &'f CodeMapping,
}

/// An entry with a number.
#[derive(Clone, Copy)]
struct Candidate<'f> {
    index: usize,
    prefix: &'f str,
    number: usize,
}

impl<'f> Numbered<'f, '_> {
    /// The items that their numbers place, or why the numbers are not believed.
    fn items(&self, placed: &[ItemPlace], is_taken: &[bool]) -> Result<Vec<ItemPlace>, String> {
        let group = self.group(is_taken);
        let position_of = |index: usize| placed.iter().find(|p| p.entry == index).map(|p| p.position);
        // Beside items that identify themselves, the numbers of a group without any of them are other questions'. What
        // somebody configured says nothing about the others.
        let is_configured = |index: usize| self.mapping.configured(self.entries[index].link_id).is_some();
        let identifies = placed.iter().any(|one| !is_configured(one.entry));
        if identifies && !group.iter().any(|one| position_of(one.index).is_some()) {
            return Ok(Vec::new());
        }
        let count = self.instrument.item_count();
        let is_there = |wanted: usize| group.iter().any(|one| one.number == wanted);
        let Some(first) = group.first().filter(|_| group.iter().any(|one| self.is_wanted(one, is_taken))) else {
            return Ok(Vec::new());
        };
        let contradicted = |one: &Candidate<'_>| {
            let link_id = shown(self.entries[one.index].link_id);
            Err(format!("the numbers of its linkIds are contradicted at {link_id}; name the item of each"))
        };
        if !self.instrument.definition().by_number {
            return Err(format!(
                "{} counts some items from the other end; name the item of each linkId",
                self.instrument
            ));
        }
        if (is_there(0) && !is_there(count)) || (is_there(count + 1) && !is_there(1)) {
            return contradicted(first);
        }
        let mut more: Vec<ItemPlace> = Vec::new();
        for one in &group {
            if position_of(one.index).is_some_and(|position| position + 1 != one.number) || self.is_misplaced(one) {
                return contradicted(one);
            }
            if !self.is_wanted(one, is_taken) {
                continue;
            }
            let is_free = |at: usize| filled(placed) & (1 << at) == 0 && more.iter().all(|p| p.position != at);
            match one.number {
                1.. if one.number <= count && (is_free(one.number - 1) || placed.is_empty()) => {
                    more.push(ItemPlace { position: one.number - 1, entry: one.index });
                }
                // Behind the items stands the difficulty, and what a form adds of its own.
                _ if one.number > count && !self.may_be_an_item(one) => {}
                _ => return contradicted(one),
            }
        }
        Ok(more)
    }

    /// The entries with the prefix that most unplaced answers share.
    fn group(&self, is_taken: &[bool]) -> Vec<Candidate<'f>> {
        let is_mine = |link_id: &str| match speaks_of(link_id).as_slice() {
            [] => !self.is_shared,
            all => all.iter().any(|one| *one == self.instrument || is_relative(*one, self.instrument)),
        };
        let all: Vec<Candidate<'f>> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.is_open() && (entry.is_answered || !entry.is_group) && is_mine(entry.link_id))
            .filter_map(|(index, entry)| {
                number(entry.link_id).map(|(prefix, number)| Candidate { index, prefix, number })
            })
            .collect();
        let wanted =
            |prefix: &str| all.iter().filter(|one| one.prefix == prefix && self.is_wanted(one, is_taken)).count();
        let best = all.iter().map(|one| one.prefix).max_by_key(|prefix| wanted(prefix));
        all.iter().filter(|one| Some(one.prefix) == best).copied().collect()
    }

    fn is_wanted(&self, one: &Candidate<'_>, is_taken: &[bool]) -> bool {
        let entry = &self.entries[one.index];
        entry.is_answered && !is_taken[one.index] && !entry.is_identified()
    }

    /// Says by its words that it is another item than its number says, or another instrument's.
    fn is_misplaced(&self, one: &Candidate<'_>) -> bool {
        let entry = &self.entries[one.index];
        let asks_for_another = entry.item_of(self.instrument).is_some_and(|position| position + 1 != one.number);
        let self_harm = self.instrument.self_harm_item();
        let asks_about_suicide = self_harm.is_some_and(|item| item + 1 != one.number)
            && one.number <= self.instrument.item_count()
            && entry.words().contains("suicid");
        asks_for_another || asks_about_suicide
    }

    /// Answered like an item: on the instrument's own scale, or with a bare figure where the difficulty does not stand.
    fn may_be_an_item(&self, one: &Candidate<'_>) -> bool {
        let entry = &self.entries[one.index];
        let is_bare = || {
            one.number > self.instrument.item_count() + 1
                && entry.words().is_empty()
                && says_a_value(entry, self.instrument, self.mapping)
        };
        is_answered_like_an_item(entry, self.instrument, self.mapping) || is_bare()
    }
}

fn says_a_value(entry: &FormItem<'_>, instrument: Instrument, mapping: &CodeMapping) -> bool {
    let reader = Reader::of_item(instrument, 0, mapping);
    entry.answers.iter().any(|node| matches!(hear(node, reader).said, AnswerValue::Value(_)))
}

/// Answered with an answer of the instrument's own scale, in code or in words.
fn is_answered_like_an_item(entry: &FormItem<'_>, instrument: Instrument, mapping: &CodeMapping) -> bool {
    let reader = Reader::of_item(instrument, 0, mapping);
    entry.answers.iter().any(|node| {
        let heard = hear(node, reader);
        heard.is_known && matches!(heard.said, AnswerValue::Value(_))
    })
}

/// An answer that may be the missing item's: on its scale, or a bare figure under a linkId that names the instrument. A
/// question with words of its own is another one, unless it stands in the missing item's place.
fn left_over(
    which: InstrumentMatch,
    placed: &[ItemPlace],
    entries: &[FormItem<'_>],
    is_taken: &[bool],
    mapping: &CodeMapping,
) -> Option<String> {
    let instrument = which.instrument;
    let names_mine = |link_id: &str| {
        let spoken = speaks_of(link_id);
        spoken.iter().any(|one| *one == instrument || is_relative(*one, instrument))
    };
    let found = entries.iter().enumerate().find(|(index, entry)| {
        let is_free = !is_taken[*index] && entry.is_answered && !entry.is_identified();
        let is_bare = || names_mine(entry.link_id) && says_a_value(entry, instrument, mapping);
        let is_like_an_item = || is_answered_like_an_item(entry, instrument, mapping);
        let is_near = || entry.words().is_empty() || is_in_a_gap(*index, placed, instrument);
        is_free && ((is_like_an_item() && is_near()) || (entry.words().is_empty() && is_bare()))
    });
    found.map(|(_, entry)| {
        format!("{instrument} misses an item, and the answer to {} may be it; name its item", shown(entry.link_id))
    })
}

/// Stands where a missing item would: right behind the item before it, and before the one after it.
fn is_in_a_gap(index: usize, placed: &[ItemPlace], instrument: Instrument) -> bool {
    let at = |entry: Option<usize>| placed.iter().find(|p| Some(p.entry) == entry).map(|p| p.position);
    let (before, after) = (at(index.checked_sub(1)), at(Some(index + 1)));
    let is_missing =
        |position: usize| position < instrument.item_count() && placed.iter().all(|p| p.position != position);
    match (before, after) {
        (Some(before), Some(after)) => before + 2 == after && is_missing(before + 1),
        (Some(before), None) => is_missing(before + 1),
        (None, Some(after)) => after.checked_sub(1).is_some_and(is_missing),
        (None, None) => false,
    }
}
