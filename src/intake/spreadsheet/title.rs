//! What a column's title says: a field of a patient, or a score, an answer or a date of an instrument. Of an instrument, a
//! title says nothing but what each of its words says: whatever is not known here is no score.

use std::sync::LazyLock;

use super::mapping::ColumnField;
use crate::domain::instrument::Instrument;

/// For each field the titles it is known by; the first column that has one of them is taken, in this order.
const TITLES: &[(ColumnField, &[&str])] = &[
    (
        ColumnField::Identifier,
        &[
            "mrn",
            "mrn number",
            "mrn no",
            "medical record number",
            "medical record no",
            "medical record",
            "med rec no",
            "mr number",
            "patient id",
            "patient identifier",
            "patient number",
            "patient no",
            "pt id",
            "patient mrn",
            "pt mrn",
            "chart number",
            "chart no",
            "record number",
            "record no",
            "emr id",
            "emr number",
            "ehr id",
        ],
    ),
    (ColumnField::GivenName, &["first name", "given name", "patient first name"]),
    (ColumnField::FamilyName, &["last name", "family name", "surname", "patient last name"]),
    (ColumnField::Name, &["patient name", "name", "patient", "client name", "client", "full name", "pt name", "pt"]),
    (ColumnField::BirthDate, &["dob", "date of birth", "birth date", "birthdate", "birthday", "d o b", "patient dob"]),
    (
        ColumnField::EnrolledOn,
        &[
            "date of initial assessment",
            "initial assessment date",
            "date of initial contact",
            "initial contact date",
            "initial contact",
            "date of i a",
            "i a date",
            "initial assessment",
            "enrollment date",
            "enrolment date",
            "date enrolled",
            "date of enrollment",
            "enrolled on",
            "enrolled",
            "start date",
            "intake date",
        ],
    ),
    (
        ColumnField::ConsentOn,
        &["consent date", "date of consent", "date consent obtained", "verbal consent date", "consent"],
    ),
    (ColumnField::CareManager, &["care manager", "bhcm", "behavioral health care manager", "cm", "bh care manager"]),
    (
        ColumnField::PrimaryCareProvider,
        &["pcp", "primary care provider", "primary care", "provider", "primary care physician"],
    ),
    (
        ColumnField::PsychiatricConsultant,
        &["psychiatric consultant", "consultant", "psychiatrist", "consulting psychiatrist"],
    ),
    (
        ColumnField::Status,
        &["status", "treatment status", "episode status", "phase", "patient status", "active inactive"],
    ),
    (
        ColumnField::LastContactOn,
        &[
            "last contact",
            "last contact date",
            "date of last contact",
            "date of most recent contact",
            "most recent contact",
            "last follow up contact",
            "date of last follow up contact",
            "date last contact",
            "last f u contact",
            "last f u",
            "last follow up",
            "date of last follow up",
            "date of last session",
            "last seen",
            "date last seen",
        ],
    ),
    (
        ColumnField::LastReviewOn,
        &[
            "last psychiatric consultation",
            "date of last psychiatric consultation",
            "last case review",
            "date of last case review",
            "last psychiatric case review",
            "last review",
            "most recent psychiatric case review note",
            "date of most recent psychiatric case review",
            "psychiatric consult date",
            "psychiatric consultation date",
            "date of psychiatric consultation",
            "most recent psychiatric consultation",
            "date of most recent psychiatric consultation",
            "last psychiatric note",
            "last psychiatric consult",
            "psychiatric note date",
            "psych consult date",
        ],
    ),
    (ColumnField::HeldOn, &["on hold since", "hold date", "held on"]),
    (
        ColumnField::RelapsePreventionOn,
        &[
            "relapse prevention date",
            "relapse prevention plan date",
            "date of relapse prevention plan",
            "relapse prevention plan",
            "relapse prevention",
            "rp date",
            "rpp date",
        ],
    ),
    (
        ColumnField::DischargedOn,
        &[
            "discharge date",
            "date discharged",
            "date of discharge",
            "discharged on",
            "discharged",
            "end date",
            "date closed",
        ],
    ),
    (
        ColumnField::DischargeReason,
        &["discharge reason", "reason for discharge", "reason", "reason closed", "disposition"],
    ),
    (ColumnField::Payer, &["payer", "payor", "insurance", "insurance type", "coverage"]),
    (ColumnField::Note, &["notes", "note", "comments", "comment"]),
];

/// A column of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TitlePart {
    /// A total. Where it is the first one of a course, it needs no date of its own.
    Total { is_baseline: bool },
    /// The answer to one item, counted from 0.
    Item(usize),
    /// A total or an answer: `PHQ-9 #2` is the second taking, or the second question.
    Numbered(usize),
    /// The date of a total.
    Date,
    /// Something that was computed from it, or that is not known here.
    Other,
}

/// What a title says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnTitle {
    /// In small letters, with one space between words; the number of a repeated title left out.
    pub plain: String,
    /// The field of a patient, where it is one of those that are known.
    pub field: Option<ColumnField>,
    /// Of which instruments it speaks, and of what of theirs.
    pub parts: Vec<(Instrument, TitlePart)>,
}

impl ColumnTitle {
    /// Reads a title.
    pub fn read(title: &str) -> Self {
        if title.len() > LONGEST {
            return Self::default();
        }
        let plain = simplified(title);
        let field = TITLES.iter().find(|(_, titles)| titles.contains(&plain.as_str())).map(|(field, _)| *field);
        let parts = if field.is_some() { Vec::new() } else { parts(title, &plain) };
        Self { plain, field, parts }
    }

    /// Whether it says what its column holds without those around it.
    pub fn is_telling(&self) -> bool {
        self.field.is_some() || self.parts.iter().any(|(_, part)| *part != TitlePart::Other)
    }

    /// The instrument whose total it is.
    pub fn total_of(&self) -> Option<(Instrument, bool)> {
        match self.parts[..] {
            [(instrument, TitlePart::Total { is_baseline })] => Some((instrument, is_baseline)),
            _ => None,
        }
    }

    /// Whether it is the date of an instrument's total, or of any.
    pub fn is_date_of(&self, instrument: Instrument) -> bool {
        if self.parts.is_empty() {
            return self.field.is_none() && (self.plain == "on" || has(&self.plain, DATES)) && !has(&self.plain, ASIDE);
        }
        self.parts.contains(&(instrument, TitlePart::Date))
    }
}

/// The titles by which a field is known, the best first.
pub fn titles_of(field: ColumnField) -> &'static [&'static str] {
    TITLES.iter().find(|(known, _)| *known == field).map_or(&[], |(_, titles)| titles)
}

/// Every field with its titles, in the order in which they are looked for.
pub fn fields() -> impl Iterator<Item = ColumnField> {
    TITLES.iter().map(|(field, _)| *field)
}

/// Nobody's title is longer; a note is.
const LONGEST: usize = 200;

const DATES: &[&str] = &["date", "dates"];
/// Words of a date that is none of a score.
const ASIDE: &[&str] = &["due", "next", "goal", "target", "birth", "scheduled", "planned"];
/// Words of the first score of a course.
const BASELINES: &[&str] = &["baseline", "initial", "intake", "enrollment", "enrolment", "first", "pre"];
/// Words that say nothing of what a score is.
const PLAIN: &[&str] = &[
    "score",
    "scores",
    "total",
    "result",
    "value",
    "sum",
    "raw",
    "points",
    "pts",
    "current",
    "last",
    "latest",
    "most",
    "recent",
    "available",
    "followup",
    "follow",
    "up",
    "fu",
    "f",
    "u",
    "visit",
    "session",
    "contact",
    "month",
    "months",
    "mo",
    "week",
    "weeks",
    "wk",
    "wks",
    "post",
    "at",
    "of",
    "the",
    "in",
    "on",
    "taken",
    "and",
    "assessment",
    "screen",
    "screening",
    "start",
    "end",
    "final",
    "discharge",
    "today",
    "tx",
    "treatment",
    "measure",
    "answer",
];
/// Words of the item that asks about thoughts of death or self-harm.
const SELF_HARM: &[&str] =
    &["si", "suicide", "suicidal", "suicidality", "ideation", "harm", "selfharm", "thoughts", "self"];

fn has(plain: &str, words: &[&str]) -> bool {
    plain.split(' ').any(|word| words.contains(&word))
}

/// In small letters, with one space between words; the number of a repeated title left out.
pub fn simplified(title: &str) -> String {
    let title = match title.rsplit_once('#') {
        Some((title, number)) if !title.ends_with(' ') && !title.is_empty() && number.parse::<u8>().is_ok() => title,
        _ => title,
    };
    let words: String = title.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How instruments are called in titles, squeezed; the longest names first.
static NAMES: LazyLock<Vec<(String, Instrument)>> = LazyLock::new(|| {
    let of = |instrument: Instrument| {
        let names = [instrument.id(), instrument.title()];
        names.map(|name| (simplified(name).replace(' ', ""), instrument))
    };
    let mut names: Vec<_> = Instrument::all().iter().copied().flat_map(of).collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names
});

/// `PHQ` and `GAD` without a number are the usual ones.
const BARE: &[(&str, Instrument)] = &[("phq", Instrument::PHQ9), ("gad", Instrument::GAD7)];

fn parts(title: &str, plain: &str) -> Vec<(Instrument, TitlePart)> {
    let mut words: Vec<String> = plain.split(' ').map(str::to_owned).collect();
    let mut found = Vec::new();
    while let Some(instrument) = take_name(&mut words) {
        if !found.contains(&instrument) {
            found.push(instrument);
        }
    }
    // `# of PHQ-9` is how many there were.
    let is_count = plain.starts_with("of ");
    let is_computed = is_count || (title.contains(['%', '<', '>', '=', '≥', '≤', '+', 'Δ', '?']) && found.len() < 2);
    let part = |instrument| match part(instrument, &words) {
        TitlePart::Date => TitlePart::Date,
        _ if found.len() > 1 || is_computed => TitlePart::Other,
        part => part,
    };
    found.iter().map(|instrument| (*instrument, part(*instrument))).collect()
}

/// Takes the name of an instrument out of the words, the longest that is there.
fn take_name(words: &mut Vec<String>) -> Option<Instrument> {
    for (name, instrument) in NAMES.iter() {
        for begin in 0..words.len() {
            let mut joined = String::new();
            for (n, word) in words[begin..].iter().enumerate() {
                joined.push_str(word);
                if name.starts_with(joined.as_str()) && joined.len() < name.len() {
                    continue;
                }
                // `phq92` is no PHQ-9.
                let rest = joined.strip_prefix(name).filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
                if let Some(rest) = rest.map(str::to_owned) {
                    words.splice(begin..=begin + n, Some(rest).filter(|rest| !rest.is_empty()));
                    return Some(*instrument);
                }
                break;
            }
        }
    }
    let is_number = |word: Option<&String>| word.is_some_and(|word| word.parse::<u32>().is_ok());
    let bare = words.iter().enumerate().find_map(|(n, word)| {
        let (_, instrument) = BARE.iter().find(|(name, _)| name == word)?;
        (!is_number(words.get(n + 1))).then_some((n, *instrument))
    });
    let (n, instrument) = bare?;
    words.remove(n);
    Some(instrument)
}

/// What the words beside an instrument's name say.
fn part(instrument: Instrument, words: &[String]) -> TitlePart {
    let definition = instrument.definition();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.iter().any(|word| DATES.contains(word)) && !words.iter().any(|word| ASIDE.contains(word)) {
        return TitlePart::Date;
    }
    let self_harm = definition.self_harm.filter(|_| words.iter().any(|word| SELF_HARM.contains(word)));
    words.retain(|word| !SELF_HARM.contains(word));
    let number = take_item(&mut words);
    let is_baseline = words.iter().any(|word| BASELINES.contains(word));
    let is_plain = |word: &&str| PLAIN.contains(word) || BASELINES.contains(word) || is_ordinal(word);
    let rest: Vec<&str> = words.into_iter().filter(|word| !is_plain(word)).collect();
    let lone = match rest[..] {
        [only] => only.parse::<usize>().ok().filter(|n| (1..=100).contains(n)),
        _ => None,
    };
    match (number, self_harm, lone) {
        (Some(n), None, _) if rest.is_empty() && (1..=definition.items.len()).contains(&n) => TitlePart::Item(n - 1),
        (Some(n), Some(item), _) if rest.is_empty() && n == item + 1 => TitlePart::Item(item),
        (None, Some(item), _) if rest.is_empty() || lone == Some(item + 1) => TitlePart::Item(item),
        (None, None, _) if rest.is_empty() => TitlePart::Total { is_baseline },
        (None, None, Some(n)) => TitlePart::Numbered(n),
        _ => TitlePart::Other,
    }
}

/// `q9`, `item 9`, `question 9`: the number of an item, taken out of the words.
fn take_item(words: &mut Vec<&str>) -> Option<usize> {
    const ITEMS: [&str; 6] = ["q", "item", "question", "ques", "qn", "i"];
    for (n, word) in words.iter().enumerate() {
        let own = ITEMS.iter().find_map(|name| word.strip_prefix(name)).and_then(|number| number.parse().ok());
        if let Some(number) = own {
            words.remove(n);
            return Some(number);
        }
        let next = words.get(n + 1).and_then(|number| number.parse().ok());
        if let Some(number) = next.filter(|_| ITEMS.contains(word)) {
            words.drain(n..n + 2);
            return Some(number);
        }
    }
    None
}

/// `2nd`, `4wk`, `6mo`.
fn is_ordinal(word: &str) -> bool {
    let letters = word.trim_start_matches(|c: char| c.is_ascii_digit());
    letters.len() < word.len() && ["st", "nd", "rd", "th", "wk", "wks", "mo", "m", "w", "weeks"].contains(&letters)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("PHQ-9")]
    #[case("PHQ9 Score")]
    #[case("phq9_total")]
    #[case("PHQ-9 (total)")]
    #[case("Last PHQ-9")]
    #[case("Visit 1 PHQ-9 score")]
    #[case("PHQ-9 Score#2")]
    #[case("PHQ")]
    #[case("PHQ score")]
    #[case("4wk PHQ-9")]
    #[case("F/U PHQ-9")]
    fn a_total_is_known_by_its_words(#[case] title: &str) {
        let read = ColumnTitle::read(title);
        let is_total = read.total_of() == Some((Instrument::PHQ9, false));
        let is_numbered = matches!(read.parts[..], [(Instrument::PHQ9, TitlePart::Numbered(_))]);
        assert!(is_total || is_numbered && title.contains('1'), "{read:?}");
    }

    #[rstest]
    #[case("% Improvement from Baseline PHQ-9")]
    #[case("PHQ-9 % change")]
    #[case("PHQ-9 change")]
    #[case("Change in PHQ-9")]
    #[case("PHQ-9 improvement")]
    #[case("PHQ-9 drop")]
    #[case("PHQ-9 reduction (points)")]
    #[case("PHQ-9 points improved")]
    #[case("PHQ-9 goal")]
    #[case("PHQ-9 severity")]
    #[case("PHQ-9 due")]
    #[case("PHQ-9 due date")]
    #[case("Next PHQ-9 date")]
    #[case("# of PHQ-9s")]
    #[case("PHQ-9 count")]
    #[case("PHQ-9 >= 10")]
    #[case("PHQ-9 positive?")]
    #[case("PHQ-9 Y/N")]
    #[case("Days since PHQ-9")]
    #[case("Lowest PHQ-9")]
    #[case("PHQ-9 + GAD-7")]
    #[case("PHQ-9 difficulty")]
    #[case("PHQ-9 SI flag")]
    #[case("PHQ-9 Q10")]
    fn what_was_computed_or_is_not_known_is_no_score(#[case] title: &str) {
        let read = ColumnTitle::read(title);
        assert!(!read.is_telling(), "{read:?}");
    }

    #[rstest]
    #[case("PHQ-9 Q9", 8)]
    #[case("phq9_q1", 0)]
    #[case("PHQ9Q9", 8)]
    #[case("PHQ-9 item 9", 8)]
    #[case("PHQ-9 Item #9 score", 8)]
    #[case("PHQ-9 question 3", 2)]
    #[case("PHQ-9 Q9 (SI)", 8)]
    #[case("PHQ-9 suicidal ideation", 8)]
    #[case("PHQ-9 #9 suicide", 8)]
    fn an_answer_is_known_by_its_item(#[case] title: &str, #[case] item: usize) {
        assert_eq!(ColumnTitle::read(title).parts, [(Instrument::PHQ9, TitlePart::Item(item))]);
    }

    #[test]
    fn another_questionnaire_is_not_taken_for_one_that_is_known() {
        for title in ["PHQ-15", "PHQ-12 score", "GAD-5", "PHQ92", "PHQ 15"] {
            assert!(!ColumnTitle::read(title).is_telling(), "{title}");
        }
        for (title, instrument) in
            [("PCL-5", Instrument::PCL5), ("PHQ-2 score", Instrument::PHQ2), ("gad7", Instrument::GAD7)]
        {
            assert_eq!(ColumnTitle::read(title).total_of(), Some((instrument, false)), "{title}");
        }
        assert_eq!(ColumnTitle::read("Initial GAD-7").total_of(), Some((Instrument::GAD7, true)));
    }

    #[test]
    fn a_date_may_be_of_one_of_several_or_of_any() {
        let shared = ColumnTitle::read("PHQ-9/GAD-7 Date");
        assert!(shared.is_date_of(Instrument::PHQ9) && shared.is_date_of(Instrument::GAD7));
        let own = ColumnTitle::read("Last GAD-7 Date");
        assert!(own.is_date_of(Instrument::GAD7) && !own.is_date_of(Instrument::PHQ9));
        assert!(ColumnTitle::read("Visit 1 Date").is_date_of(Instrument::PHQ9));
        for title in ["Date of Birth", "Follow-up due date", "Discharge Date"] {
            assert!(!ColumnTitle::read(title).is_date_of(Instrument::PHQ9), "{title}");
        }
    }
}
