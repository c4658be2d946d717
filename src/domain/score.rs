//! R2: from answers to a total. Missing is never 0, and 0 is never missing.

use super::instrument::Instrument;
use super::measurement::{DataQualityIssue, Quality, Supplement};

/// Answers read from a form, before scoring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Items in order; `None` is unanswered. Empty where the source carries no items at all.
    pub items: Vec<Option<u8>>,
    /// Items (0-based) that were answered in a way that cannot be read, or in several ways that contradict each other.
    /// Where a contradicting item asks about suicide, `items` keeps the highest answer: safety must see it.
    pub unreadable: Vec<usize>,
    /// The suicide item has a value, and its words say something else: somebody has to ask.
    pub item9_doubtful: bool,
    /// Questions about suicide beside the scored ones that were answered with yes.
    pub supplements: Vec<Supplement>,
    /// A total that the source states.
    pub stated_total: Option<u16>,
    /// Remarks of the reader: duplicates, a code and a display that disagree, values out of range, …
    pub issues: Vec<DataQualityIssue>,
}

impl Answers {
    /// What is said about suicide besides the numbers: by questions beside the items, and by items of their own right.
    pub fn all_supplements(&self, instrument: Instrument) -> Vec<Supplement> {
        let items = instrument.definition().items.iter().zip(&self.items);
        let above = items.filter(|(_, answer)| answer.is_some_and(|answer| answer > 0));
        let mut all: Vec<Supplement> = self.supplements.clone();
        all.extend(above.filter_map(|(item, _)| item.supplement));
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The total; `None` exactly when unscorable.
    pub total: Option<u16>,
    /// Quality of the total.
    pub quality: Quality,
    /// The answer to the suicide item.
    pub item9: Option<u8>,
    /// The suicide item is part of the form and open, or cannot be read.
    pub item9_unknown: bool,
    /// The suicide item was answered, and the answer cannot be read.
    pub item9_unreadable: bool,
    pub issues: Vec<DataQualityIssue>,
}

/// Scores a form. `None` where there is neither an item, nor a total, nor a remark why there is none.
///
/// - all items present: their sum
/// - as many missing as the instrument allows: mean × number of items, half rounded up
/// - more missing, an answer that cannot be read, or one outside the instrument's range: unscorable
/// - items beat a stated total; a total without items is accepted as it is
/// - a form whose items are there and all open has no total, whatever it states: forms compute 0 from nothing
///
/// A total of [`Quality::TotalOnly`] leaves the suicide item unasked rather than unknown: nobody left it open.
pub fn score(instrument: Instrument, answers: &Answers) -> Option<Scored> {
    if answers.items.is_empty() && answers.unreadable.is_empty() {
        return total_only(instrument, answers);
    }
    let definition = instrument.definition();
    let n = definition.items.len();
    let mut issues = answers.issues.clone();
    let mut unreadable = answers.unreadable.clone();
    // A value outside the instrument's range counts as no answer, whatever built the answers.
    let most = |position: usize| definition.items.get(position).map(|item| item.scale.max);
    let readable = |position: usize| {
        let value = answers.items.get(position).copied().flatten();
        value.filter(|value| most(position).is_some_and(|most| *value <= most))
    };
    for (position, value) in answers.items.iter().enumerate() {
        if value.is_some() && readable(position).is_none() {
            issues.push(DataQualityIssue::new(
                "out_of_range",
                format!("item {} has a value outside {instrument}", position + 1),
            ));
            unreadable.push(position);
        }
    }
    unreadable.sort_unstable();
    unreadable.dedup();

    let item9 = definition.self_harm.and_then(readable);
    let is_doubtful = |item: usize| answers.item9_doubtful || unreadable.contains(&item);
    let item9_unreadable = definition.self_harm.is_some_and(is_doubtful)
        || unreadable.iter().any(|item| definition.is_about_safety(*item));

    let item9_unknown = item9_unreadable || (definition.self_harm.is_some() && item9.is_none());

    let answered: Vec<u8> = (0..n).filter(|position| !unreadable.contains(position)).filter_map(readable).collect();
    let sum: u32 = answered.iter().copied().map(u32::from).sum();
    let missing = n - answered.len();
    let (total, quality) = if !unreadable.is_empty() {
        let items: Vec<String> = unreadable.iter().map(|item| (item + 1).to_string()).collect();
        issues.push(DataQualityIssue::new("unreadable_answer", format!("item {} cannot be read", items.join(", "))));
        (None, Quality::Unscorable)
    } else if missing == 0 {
        (Some(sum), Quality::Complete)
    } else if missing <= definition.may_miss {
        issues.push(DataQualityIssue::new("items_missing", format!("{missing} of {n} items missing; total prorated")));
        (Some(prorated(sum, n, answered.len())), Quality::Prorated)
    } else {
        issues.push(DataQualityIssue::new("items_missing", format!("{missing} of {n} items missing; not scorable")));
        (None, Quality::Unscorable)
    };
    if let Some(stated) = answers.stated_total.map(u32::from)
        && unreadable.is_empty()
        && stated != sum
        && Some(stated) != total
    {
        issues
            .push(DataQualityIssue::new("total_mismatch", format!("the form states {stated}, its items sum to {sum}")));
    }
    let total = total.and_then(|total| u16::try_from(total).ok());
    Some(Scored { total, quality, item9, item9_unknown, item9_unreadable, issues })
}

/// sum ÷ answered × items, half rounded up.
fn prorated(sum: u32, items: usize, answered: usize) -> u32 {
    let (items, answered) = (u32::try_from(items).unwrap_or(0), u32::try_from(answered).unwrap_or(1));
    (2 * sum * items + answered) / (2 * answered)
}

/// A source without items.
fn total_only(instrument: Instrument, answers: &Answers) -> Option<Scored> {
    let mut issues = answers.issues.clone();
    let total = answers.stated_total.filter(|stated| *stated <= instrument.max_total());
    if let (Some(stated), None) = (answers.stated_total, total) {
        let detail = format!("stated total {stated} is above {}", instrument.max_total());
        issues.push(DataQualityIssue::new("total_out_of_range", detail));
    }
    if total.is_none() && issues.is_empty() {
        return None;
    }
    let quality = if total.is_some() { Quality::TotalOnly } else { Quality::Unscorable };
    let item9_unknown = instrument.self_harm_item().is_some() && answers.item9_doubtful;
    Some(Scored { total, quality, item9: None, item9_unknown, item9_unreadable: item9_unknown, issues })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answers(items: &[i8]) -> Answers {
        Answers { items: items.iter().map(|item| u8::try_from(*item).ok()).collect(), ..Answers::default() }
    }

    fn scored(instrument: Instrument, items: &[i8]) -> Scored {
        score(instrument, &answers(items)).unwrap()
    }

    fn codes(scored: &Scored) -> Vec<&str> {
        scored.issues.iter().map(|issue| issue.code.as_str()).collect()
    }

    #[test]
    fn a_complete_form_is_its_sum_and_zero_is_a_score() {
        let full = scored(Instrument::PHQ9, &[3, 3, 2, 2, 1, 0, 2, 1, 0]);
        assert_eq!(
            (full.total, full.quality, full.item9, full.item9_unknown),
            (Some(14), Quality::Complete, Some(0), false)
        );
        let zero = scored(Instrument::GAD7, &[0; 7]);
        assert_eq!(
            (zero.total, zero.quality, zero.item9, zero.item9_unknown),
            (Some(0), Quality::Complete, None, false)
        );
    }

    #[test]
    fn up_to_two_missing_items_are_prorated_with_half_rounded_up() {
        let gad = scored(Instrument::GAD7, &[1, 1, -1, 1, -1, 2, 2]);
        assert_eq!((gad.total, gad.quality), (Some(10), Quality::Prorated), "7 / 5 × 7 = 9.8");
        let phq = scored(Instrument::PHQ9, &[1, 1, 1, 1, 1, 0, 0, -1, 0]);
        assert_eq!(phq.total, Some(6), "5 / 8 × 9 = 5.625");
        let half = scored(Instrument::PHQ9, &[1, 1, 1, 1, 0, 0, 0, 0, -1]);
        assert_eq!((half.total, half.item9, half.item9_unknown), (Some(5), None, true), "4 / 8 × 9 = 4.5");
        assert_eq!(codes(&half), ["items_missing"]);
    }

    #[test]
    fn more_missing_items_have_no_total() {
        let few = scored(Instrument::PHQ9, &[1, 1, -1, -1, -1, -1, -1, -1, -1]);
        assert_eq!((few.total, few.quality, few.item9_unknown), (None, Quality::Unscorable, true));
        assert_eq!(scored(Instrument::PHQ2, &[1, -1]).total, None, "the PHQ-2 may miss none");
    }

    #[test]
    fn items_beat_a_stated_total_and_a_contradiction_is_remarked() {
        let form = Answers { stated_total: Some(13), ..answers(&[0, 0, 0, 1, 2, 1, 3, 2, 1]) };
        let form = score(Instrument::PHQ9, &form).unwrap();
        assert_eq!((form.total, codes(&form)), (Some(10), vec!["total_mismatch"]));
        for stated in [7, 10] {
            let gad = Answers { stated_total: Some(stated), ..answers(&[1, 1, -1, 1, -1, 2, 2]) };
            assert_eq!(
                codes(&score(Instrument::GAD7, &gad).unwrap()),
                ["items_missing"],
                "sum or prorated: both agree"
            );
        }
    }

    #[test]
    fn a_total_without_items_is_accepted_within_the_range() {
        let only =
            |stated| score(Instrument::PHQ9, &Answers { stated_total: Some(stated), ..Answers::default() }).unwrap();
        assert_eq!((only(0).total, only(0).quality, only(0).item9), (Some(0), Quality::TotalOnly, None));
        assert_eq!(only(27).total, Some(27));
        assert_eq!(
            (only(28).total, only(28).quality, codes(&only(28))),
            (None, Quality::Unscorable, vec!["total_out_of_range"])
        );
        assert_eq!(score(Instrument::PHQ9, &Answers::default()), None);
    }

    #[test]
    fn a_total_without_items_leaves_item_9_unasked_unless_its_words_say_something_else() {
        let said = |item9_doubtful, instrument| {
            let only = Answers { stated_total: Some(12), item9_doubtful, ..Answers::default() };
            score(instrument, &only).unwrap().item9_unknown
        };
        assert!(!said(false, Instrument::PHQ9), "nobody left it open");
        assert!(said(true, Instrument::PHQ9));
        assert!(!said(true, Instrument::GAD7), "the GAD-7 does not ask");
    }

    #[test]
    fn a_blank_form_that_computed_a_total_of_0_has_none() {
        let blank = score(Instrument::PHQ9, &Answers { stated_total: Some(0), ..answers(&[-1; 9]) }).unwrap();
        assert_eq!((blank.total, blank.quality, blank.item9_unknown), (None, Quality::Unscorable, true));
    }

    #[test]
    fn an_unreadable_answer_makes_the_form_unscorable_and_never_counts_as_0() {
        let form = Answers { unreadable: vec![2, 0], stated_total: Some(22), ..answers(&[3, 3, -1, 3, 3, 3, 3, 3, 1]) };
        let form = score(Instrument::PHQ9, &form).unwrap();
        assert_eq!((form.total, form.item9, form.item9_unknown), (None, Some(1), false));
        assert_eq!(codes(&form), ["unreadable_answer"], "what is not a sum contradicts no total");
        assert_eq!(form.issues[0].detail, "item 1, 3 cannot be read", "items as the form numbers them");
        let nothing_else = Answers { unreadable: vec![8], ..Answers::default() };
        let nothing_else = score(Instrument::PHQ9, &nothing_else).unwrap();
        assert_eq!((nothing_else.quality, nothing_else.item9_unknown), (Quality::Unscorable, true));
    }

    #[test]
    fn a_contradicting_suicide_item_keeps_its_highest_answer_and_has_to_be_asked() {
        let twice = Answers { unreadable: vec![8], ..answers(&[0, 0, 0, 0, 0, 0, 0, 0, 2]) };
        let twice = score(Instrument::PHQ9, &twice).unwrap();
        assert_eq!((twice.total, twice.item9, twice.item9_unknown), (None, Some(2), true));
        let doubtful = Answers { item9_doubtful: true, ..answers(&[0; 9]) };
        let doubtful = score(Instrument::PHQ9, &doubtful).unwrap();
        assert_eq!((doubtful.total, doubtful.item9, doubtful.item9_unknown), (Some(0), Some(0), true));
    }

    #[test]
    fn a_value_that_the_instrument_does_not_have_is_none() {
        let high = scored(Instrument::PHQ9, &[0, 0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!((high.total, high.item9, high.item9_unknown), (None, None, true));
        assert_eq!(scored(Instrument::PCL5, &[4; 20]).total, Some(80));
        assert_eq!(scored(Instrument::GAD7, &[0, 0, 0, 0, 0, 0, 0, 3]).total, None, "an eighth item");
        assert_eq!(
            scored(Instrument::GAD7, &[0, 0, 0, 0, 0]).quality,
            Quality::Prorated,
            "a short list misses the rest"
        );
    }

    fn any_form() -> impl Strategy<Value = (Instrument, Answers)> {
        let items = proptest::collection::vec(proptest::option::weighted(0.9, 0..=5_u8), 0..=21);
        let unreadable = proptest::collection::vec(0..21_usize, 0..2);
        (proptest::sample::select(Instrument::all()), items, unreadable, proptest::option::of(0..100_u16)).prop_map(
            |(instrument, items, unreadable, stated_total)| {
                (instrument, Answers { items, unreadable, stated_total, ..Answers::default() })
            },
        )
    }

    proptest! {
        #[test]
        fn a_total_is_absent_exactly_when_unscorable((instrument, answers) in any_form()) {
            if let Some(scored) = score(instrument, &answers) {
                prop_assert_eq!(scored.total.is_none(), scored.quality == Quality::Unscorable);
                prop_assert!(scored.total.is_none_or(|total| total <= instrument.max_total()));
                prop_assert!(scored.total.is_some() || !scored.issues.is_empty(), "a reason is given");
            }
        }

        #[test]
        fn a_missing_item_never_lowers_a_total_in_silence(
            items in proptest::collection::vec(0..=3_u8, 9), gone in proptest::collection::hash_set(0..9_usize, 1..9),
        ) {
            let full = Answers { items: items.iter().copied().map(Some).collect(), ..Answers::default() };
            let mut less = full.clone();
            for position in &gone {
                less.items[*position] = None;
            }
            let scored = score(Instrument::PHQ9, &less).unwrap();
            prop_assert_ne!(scored.quality, Quality::Complete);
            prop_assert!(codes(&scored).contains(&"items_missing"));
            let sum: u16 = less.items.iter().flatten().copied().map(u16::from).sum();
            prop_assert!(scored.total.is_none_or(|total| total >= sum));
            prop_assert_eq!(scored.total.is_none(), gone.len() > 2);
            prop_assert_eq!(scored.item9_unknown, gone.contains(&8));
        }

        #[test]
        fn prorating_is_the_mean_times_the_items_with_half_rounded_up(sum in 0..=24_u32, answered in 7..=9_usize) {
            let exact = f64::from(sum) * 9.0 / f64::from(u32::try_from(answered).unwrap());
            let rounded = f64::from(prorated(sum, 9, answered));
            prop_assert!(rounded - exact <= 0.5 + 1e-9 && exact - rounded < 0.5 - 1e-9);
        }
    }
}
