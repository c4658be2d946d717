//! R2: from answers to a total. Missing is never 0, and 0 is never missing.

use super::instrument::Instrument;
use super::measurement::{Issue, Quality};

/// What was read from a form, before scoring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Items in order; `None` is unanswered. Empty where the source carries no items at all.
    pub items: Vec<Option<u8>>,
    /// Items (0-based) that were answered in a way that cannot be read.
    pub unreadable: Vec<usize>,
    /// A total that the source states.
    pub stated_total: Option<u16>,
    /// Remarks of the reader: duplicates, a code and a display that disagree, values out of range, …
    pub issues: Vec<Issue>,
}

/// A scored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The total; `None` exactly when unscorable.
    pub total: Option<u16>,
    /// How it came about.
    pub quality: Quality,
    /// The answer to the suicide item.
    pub item9: Option<u8>,
    /// The suicide item is part of the form and open, or cannot be read.
    pub item9_unknown: bool,
    /// Remarks.
    pub issues: Vec<Issue>,
}

/// Scores a form. `None` where there is neither an item nor a total.
///
/// - all items present: their sum
/// - as many missing as the instrument allows: mean × number of items, half rounded up
/// - more missing, or an answer that cannot be read: unscorable
/// - items beat a stated total; a total without items is accepted as it is
pub fn score(instrument: Instrument, answers: &Answers) -> Option<Scored> {
    let definition = instrument.definition();
    let n = definition.item_count;
    let mut issues = answers.issues.clone();
    let answered: Vec<u8> = answers.items.iter().flatten().copied().collect();

    if answered.is_empty() && answers.unreadable.is_empty() {
        let stated = answers.stated_total?;
        if stated > instrument.max_total() {
            issues.push(Issue::new(
                "total_out_of_range",
                format!("stated total {stated} is above {}", instrument.max_total()),
            ));
            return Some(Scored { total: None, quality: Quality::Unscorable, item9: None, item9_unknown: false, issues });
        }
        return Some(Scored { total: Some(stated), quality: Quality::TotalOnly, item9: None, item9_unknown: false, issues });
    }

    let item9 = definition.suicide_item.and_then(|i| answers.items.get(i).copied().flatten());
    let doubt = definition.suicide_item.is_some_and(|i| answers.unreadable.contains(&i));
    let item9_unknown = definition.suicide_item.is_some() && (item9.is_none() || doubt);

    let sum: u32 = answered.iter().copied().map(u32::from).sum();
    let count = answered.len();
    let missing = n.saturating_sub(count);
    let (total, quality) = if !answers.unreadable.is_empty() {
        let items: Vec<String> = answers.unreadable.iter().map(|i| (i + 1).to_string()).collect();
        issues.push(Issue::new("unreadable_answer", format!("item {} cannot be read", items.join(", "))));
        (None, Quality::Unscorable)
    } else if missing == 0 {
        (Some(sum), Quality::Complete)
    } else if missing <= definition.may_miss && count > 0 {
        issues.push(Issue::new("items_missing", format!("{missing} of {n} items missing; total prorated")));
        let (n, count) = (u32::try_from(n).unwrap_or(0), u32::try_from(count).unwrap_or(1));
        (Some((2 * sum * n + count) / (2 * count)), Quality::Prorated)
    } else {
        issues.push(Issue::new("items_missing", format!("{missing} of {n} items missing; not scorable")));
        (None, Quality::Unscorable)
    };
    let total = total.and_then(|t| u16::try_from(t).ok());
    if let Some(stated) = answers.stated_total
        && u32::from(stated) != sum
    {
        issues.push(Issue::new("total_mismatch", format!("the form states {stated}, its items sum to {sum}")));
    }
    Some(Scored { total, quality, item9, item9_unknown, issues })
}
