//! Answers and questions in words, as published translations print them.

use crate::domain::instrument::Instrument;

/// LOINC's answers of PHQ-9 and GAD-7, and the SDC example's local codes (CSPHQ9).
pub(super) const CODES: [(&str, u8); 10] = [
    ("LA6568-5", 0),
    ("LA6569-3", 1),
    ("LA6570-1", 2),
    ("LA6571-9", 3),
    ("Not-at-all", 0),
    ("Several-days", 1),
    ("More than half the days", 2),
    ("More-than-half-the-days", 2),
    ("Nearly every day", 3),
    ("Nearly-every-day", 3),
];

/// How often, in the normal form of [`normal`]: English, Spanish, German, French.
pub(super) const FREQUENCY: [&[&str]; 4] = [
    &["not at all", "ningun dia", "para nada", "en absoluto", "nunca", "uberhaupt nicht", "jamais", "pas du tout"],
    &["several days", "varios dias", "algunos dias", "an einzelnen tagen", "einzelne tage", "plusieurs jours"],
    &[
        "more than half the days",
        "more than half of the days",
        "over half the days",
        "more than half days",
        "mas de la mitad de los dias",
        "an mehr als der halfte der tage",
        "plus de la moitie du temps",
        "plus de la moitie des jours",
        "plus de sept jours",
        "plus de 7 jours",
    ],
    &[
        "nearly every day",
        "almost every day",
        "casi todos los dias",
        "beinahe jeden tag",
        "fast jeden tag",
        "presque tous les jours",
    ],
];

/// How much (PCL-5): English, Spanish, German, French.
pub(super) const AMOUNT: [&[&str]; 5] = [
    &["not at all", "nada", "para nada", "en absoluto", "uberhaupt nicht", "pas du tout"],
    &["a little bit", "un poco", "ein wenig", "un peu"],
    &["moderately", "moderadamente", "ziemlich", "moderement"],
    &["quite a bit", "bastante", "stark", "beaucoup"],
    &["extremely", "extremadamente", "sehr stark", "extremement"],
];

/// Lower case, no accents, one space between words, no punctuation.
pub(in crate::fhir) fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    // Most texts are ASCII, where lower case is one instruction away.
    if text.is_ascii() {
        for b in text.bytes() {
            if b.is_ascii_alphanumeric() {
                normal.push(char::from(b.to_ascii_lowercase()));
            } else if !normal.is_empty() && !normal.ends_with(' ') {
                normal.push(' ');
            }
        }
        normal.truncate(normal.trim_end().len());
        return normal;
    }
    for c in text.chars().flat_map(char::to_lowercase) {
        let plain = match c {
            'á' | 'à' | 'â' | 'ä' | 'ã' => 'a',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'í' | 'ì' | 'î' | 'ï' => 'i',
            'ó' | 'ò' | 'ô' | 'ö' | 'õ' => 'o',
            'ú' | 'ù' | 'û' | 'ü' => 'u',
            'ñ' => 'n',
            'ç' => 'c',
            // A combining accent follows its letter.
            '\u{300}'..='\u{36f}' => continue,
            c if c.is_alphanumeric() => c,
            _ => ' ',
        };
        if plain != ' ' || !(normal.is_empty() || normal.ends_with(' ')) {
            normal.push(plain);
        }
    }
    normal.truncate(normal.trim_end().len());
    normal
}

/// Phrases of the PHQ-9 items, in PHQ-9 order. Any of the phrases is enough.
const PHQ9: [&[&str]; 9] = [
    &["little interest", "interest or pleasure"],
    &["feeling down", "down depressed"],
    &["trouble falling", "sleeping too much"],
    &["feeling tired", "little energy"],
    &["poor appetite", "overeating"],
    &["bad about yourself", "you are a failure"],
    &["trouble concentrating", "concentrating on things"],
    &["moving or speaking", "fidgety or restless"],
    &["better off dead", "hurting yourself"],
];

const GAD7: [&[&str]; 7] = [
    &["feeling nervous", "nervous anxious"],
    &["stop or control worrying", "control worrying"],
    &["worrying too much"],
    &["trouble relaxing"],
    &["hard to sit still"],
    &["easily annoyed"],
    &["something awful"],
];

/// Where each PHQ-9 question stands in the teens' form: it asks for mood first, and for appetite before energy.
pub(in crate::fhir) const TEEN_ORDER: [usize; 9] = [1, 0, 2, 4, 3, 5, 6, 7, 8];

/// The item (0-based) that a question in English is; `text` is in normal form.
pub(in crate::fhir) fn question(text: &str, instrument: Instrument) -> Option<usize> {
    let find = |items: &[&[&str]]| items.iter().position(|phrases| phrases.iter().any(|phrase| text.contains(phrase)));
    match instrument {
        Instrument::Phq9 => find(&PHQ9),
        Instrument::Phq2 => find(&PHQ9[..2]),
        Instrument::Phq9Modified => find(&PHQ9).map(|position| TEEN_ORDER[position]),
        Instrument::Gad7 => find(&GAD7),
        Instrument::Pcl5 => None,
    }
}

/// Asks about suicide, in words that other forms use too.
pub(in crate::fhir) fn asks_about_suicide(text: &str) -> bool {
    ["better off dead", "hurting yourself", "harming yourself", "suicid"].iter().any(|phrase| text.contains(phrase))
}

/// Asks how difficult the problems made life.
pub(in crate::fhir) fn asks_about_difficulty(text: &str) -> bool {
    text.contains("how difficult")
}

/// Names a total score, and not one of another time or kind.
pub(in crate::fhir) fn names_a_total(text: &str) -> bool {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    says(&["score", "total"])
        && !says(&[
            "deviation",
            "percent",
            "t score",
            "z score",
            "previous",
            "last score",
            "baseline",
            "prior",
            "item score",
        ])
}
