//! The mapping as an operator writes it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::instrument::Instrument;
use crate::domain::measurement::Supplement;

/// Additions and overrides of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MappingConfig {
    /// Canonical, pattern (`*` at either end) or bare name → `phq9`, `phq9+gad7`, `ignore`.
    pub questionnaires: BTreeMap<String, QuestionnaireMapping>,
    /// linkId or Observation code → `phq9/1` (items count from 1), `phq9/total`, `difficulty`, `ignore`.
    /// A linkId without a letter (`1`, `2.1`) is believed only in a form known to be that instrument.
    pub items: BTreeMap<String, Meaning>,
    /// Answers by code or by words.
    pub answers: Vec<AnswerConfig>,
}

/// One answer: a code, words, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerConfig {
    /// The code's system; any where absent.
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub code: Option<String>,
    /// The words; case, accents, spaces and punctuation do not matter.
    #[serde(default)]
    pub text: Option<String>,
    /// Only for this instrument; any where absent.
    #[serde(default)]
    pub instrument: Option<Instrument>,
    pub value: u8,
}

/// Meaning of a questionnaire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum QuestionnaireMapping {
    /// One or several of our instruments.
    Ours(Vec<Instrument>),
    /// None of ours, whatever it looks like.
    Ignore,
}

/// Meaning of a code or a linkId.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Meaning {
    /// A whole instrument.
    Panel(Instrument),
    /// One item (0-based).
    Item(Instrument, usize),
    Total(Instrument),
    /// A question about safety beside the items.
    Safety(Instrument, Supplement),
    /// The question how difficult it all made life: never counts.
    Difficulty,
    /// Belongs to an instrument that shares items with ours and is none of them.
    Foreign,
    Ignore,
}

impl Meaning {
    /// The instrument that it belongs to.
    pub fn instrument(self) -> Option<Instrument> {
        match self {
            Self::Panel(instrument)
            | Self::Item(instrument, _)
            | Self::Total(instrument)
            | Self::Safety(instrument, _) => Some(instrument),
            Self::Difficulty | Self::Foreign | Self::Ignore => None,
        }
    }

    /// Asks about thoughts of death or self-harm.
    pub fn is_about_safety(&self) -> bool {
        match *self {
            Self::Safety(..) => true,
            Self::Item(instrument, position) => instrument.definition().is_about_safety(position),
            _ => false,
        }
    }
}

impl FromStr for QuestionnaireMapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "ignore" {
            return Ok(Self::Ignore);
        }
        text.split('+').map(|name| name.trim().parse()).collect::<Result<_, _>>().map(Self::Ours)
    }
}

impl FromStr for Meaning {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, part) = match (text, text.split_once('/')) {
            ("difficulty", _) => return Ok(Self::Difficulty),
            ("ignore", _) => return Ok(Self::Ignore),
            ("foreign", _) => return Ok(Self::Foreign),
            (_, Some(parts)) => parts,
            _ => return Err("must be like phq9/1, phq9/total, difficulty or ignore".to_owned()),
        };
        let instrument: Instrument = name.parse()?;
        let count = instrument.item_count();
        match (part, part.parse::<usize>(), part.parse::<Supplement>()) {
            ("total", ..) => Ok(Self::Total(instrument)),
            ("panel", ..) => Ok(Self::Panel(instrument)),
            (_, Ok(item), _) if (1..=count).contains(&item) => Ok(Self::Item(instrument, item - 1)),
            (_, _, Ok(supplement)) => Ok(Self::Safety(instrument, supplement)),
            _ => Err(format!("{instrument} has items 1 to {count}, and a total")),
        }
    }
}

impl fmt::Display for QuestionnaireMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(instruments) => {
                f.write_str(&instruments.iter().map(|instrument| instrument.id()).collect::<Vec<_>>().join("+"))
            }
            Self::Ignore => f.write_str("ignore"),
        }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panel(instrument) => write!(f, "{}/panel", instrument.id()),
            Self::Item(instrument, position) => write!(f, "{}/{}", instrument.id(), position + 1),
            Self::Total(instrument) => write!(f, "{}/total", instrument.id()),
            Self::Safety(instrument, supplement) => write!(f, "{}/{supplement}", instrument.id()),
            Self::Difficulty => f.write_str("difficulty"),
            Self::Foreign => f.write_str("foreign"),
            Self::Ignore => f.write_str("ignore"),
        }
    }
}

/// serde wants the text forms as conversions.
macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )+};
}

as_text!(QuestionnaireMapping, Meaning);
