//! Meaning of a chart's codes, canonicals, linkIds and words: defaults, and an operator's additions per connection.
//!
//! ```toml
//! [mapping.questionnaires]
//! "https://ehr.example/forms/dep-7*" = "phq9"     # a canonical; `*` at either end; or a bare name
//! "Questionnaire/42" = "phq9+gad7"                # one form with two instruments
//! "phq9-consent" = "ignore"                       # is named like ours, and is not
//!
//! [mapping.items]                                  # linkIds of forms and codes of Observations
//! "FLO-301" = "phq9/1"
//! "FLO-310" = "phq9/total"
//! "FLO-311" = "difficulty"
//!
//! [[mapping.answers]]
//! system = "urn:ehr:choices"
//! code = "B"
//! value = 1
//!
//! [[mapping.answers]]
//! text = "alcuni giorni"
//! value = 1
//! ```

mod config;
pub(super) mod names;
pub(super) mod words;

pub use config::{AnswerConfig, MappingConfig, Meaning, QuestionnaireMapping};

use std::collections::HashMap;

use crate::domain::instrument::Instrument;

/// A code's value, on the instruments that use this scale.
#[derive(Clone, Debug)]
struct CodeValue {
    system: Option<String>,
    scale: AnswerScale,
    value: u8,
}

/// Instruments that an answer belongs to: "not at all" is on every scale, "quite a bit" is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerScale {
    Any,
    /// How often: PHQ and GAD.
    Frequency,
    Amount,
    Only(Instrument),
}

impl AnswerScale {
    fn covers(self, instrument: Instrument) -> bool {
        match self {
            Self::Any => true,
            Self::Frequency => instrument != Instrument::Pcl5,
            Self::Amount => instrument == Instrument::Pcl5,
            Self::Only(only) => only == instrument,
        }
    }
}

/// The defaults and one connection's configuration, made ready for looking up.
#[derive(Clone, Debug)]
pub struct CodeMapping {
    forms: Vec<(String, QuestionnaireMapping)>,
    configured: HashMap<String, Meaning>,
    codes: HashMap<&'static str, Meaning>,
    coded: HashMap<String, Vec<CodeValue>>,
    worded: HashMap<String, Vec<CodeValue>>,
}

impl Default for CodeMapping {
    fn default() -> Self {
        Self::from_config(&MappingConfig::default())
    }
}

impl CodeMapping {
    /// The defaults, with a connection's configuration over them.
    pub fn from_config(config: &MappingConfig) -> Self {
        let mut mapping = Self {
            forms: config.questionnaires.iter().map(|(name, form)| (name.clone(), form.clone())).collect(),
            configured: config.items.iter().map(|(code, meaning)| (code.clone(), *meaning)).collect(),
            codes: default_codes(),
            coded: HashMap::new(),
            worded: HashMap::new(),
        };
        // The first that fits wins, so what is configured goes in first.
        for answer in &config.answers {
            let scale = answer.instrument.map_or(AnswerScale::Any, AnswerScale::Only);
            let known = CodeValue { system: answer.system.clone(), scale, value: answer.value };
            if let Some(code) = &answer.code {
                mapping.coded.entry(code.clone()).or_default().push(known.clone());
            }
            if let Some(text) = &answer.text {
                mapping.worded.entry(words::normal(text)).or_default().push(CodeValue { system: None, ..known });
            }
        }
        for (code, value) in words::CODES {
            // LOINC's answer codes are unique, so the system says nothing more (real ones come without, or with a typo).
            let scale = if value == 0 { AnswerScale::Any } else { AnswerScale::Frequency };
            mapping.coded.entry(code.to_owned()).or_default().push(CodeValue { system: None, scale, value });
        }
        for (scale, table) in
            [(AnswerScale::Frequency, &words::FREQUENCY[..]), (AnswerScale::Amount, &words::AMOUNT[..])]
        {
            for (value, texts) in (0..).zip(table) {
                for text in *texts {
                    let known = CodeValue { system: None, scale, value };
                    mapping.worded.entry((*text).to_owned()).or_default().push(known);
                }
            }
        }
        mapping
    }

    /// The codes of Observations that mean something here, in order: what to search for.
    pub fn observation_codes(&self) -> Vec<&str> {
        let ours = |meaning: &Meaning| matches!(meaning, Meaning::Panel(_) | Meaning::Item(..) | Meaning::Total(_));
        let known = self.codes.iter().map(|(code, meaning)| (*code, meaning));
        let configured = self.configured.iter().map(|(code, meaning)| (code.as_str(), meaning));
        let mut codes: Vec<&str> =
            known.chain(configured).filter(|(_, meaning)| ours(meaning)).map(|(code, _)| code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// Configured mapping of a canonical, a name or a relative reference.
    pub(super) fn form(&self, canonical: &str) -> Option<&QuestionnaireMapping> {
        let plain = canonical.split('|').next().unwrap_or(canonical);
        let name = plain.trim_end_matches('/').rsplit('/').next().unwrap_or(plain);
        let fits = |pattern: &str, text: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(_), Some(_)) => text.contains(pattern.trim_matches('*')),
            (Some(end), None) => text.ends_with(end),
            (None, Some(start)) => text.starts_with(start),
            (None, None) => text.eq_ignore_ascii_case(pattern),
        };
        // An exact entry is meant more than a pattern.
        let is_exact = |pattern: &str| !pattern.starts_with('*') && !pattern.ends_with('*');
        let find = |exact: bool| {
            self.forms.iter().find(|(pattern, _)| {
                is_exact(pattern) == exact
                    && (fits(pattern, canonical) || fits(pattern, plain) || (exact && fits(pattern, name)))
            })
        };
        find(true).or_else(|| find(false)).map(|(_, form)| form)
    }

    /// Configured meaning of a linkId or a local code.
    pub(super) fn configured(&self, code: &str) -> Option<Meaning> {
        if self.configured.is_empty() { None } else { self.configured.get(code).copied() }
    }

    /// Meaning of a LOINC or SNOMED CT code of a panel, an item or a total.
    pub(super) fn code(&self, code: &str) -> Option<Meaning> {
        self.configured(code).or_else(|| self.codes.get(code).copied())
    }

    /// The value of a coded answer.
    pub(super) fn coded(&self, system: Option<&str>, code: &str, instrument: Instrument) -> Option<u8> {
        let fits = |known: &&CodeValue| {
            known.scale.covers(instrument)
                && (known.system.is_none() || system.is_none() || known.system.as_deref() == system)
        };
        self.coded.get(code)?.iter().find(fits).map(|known| known.value)
    }

    /// The value of an answer in words, in any language that we know.
    pub(super) fn worded(&self, text: &str, instrument: Instrument) -> Option<u8> {
        let normal = words::normal(text);
        let value = |text: &str| {
            self.worded.get(text)?.iter().find(|known| known.scale.covers(instrument)).map(|known| known.value)
        };
        // "2 - More than half the days", "More than half the days (2)": the figure must agree.
        let figured = || {
            let (words, figure) = match (normal.split_once(' '), normal.rsplit_once(' ')) {
                (Some((figure, words)), _) if figure.parse::<u8>().is_ok() => (words, figure),
                (_, Some((words, figure))) => (words, figure),
                _ => return None,
            };
            let figure: u8 = figure.parse().ok()?;
            value(words).filter(|value| *value == figure)
        };
        value(&normal).or_else(figured)
    }
}

/// LOINC's panels, items and totals; the items that PHQ-2 and PHQ-9 share are the PHQ-9's.
fn default_codes() -> HashMap<&'static str, Meaning> {
    let mut codes = HashMap::new();
    for instrument in Instrument::ALL {
        let definition = instrument.definition();
        codes.insert(definition.panel, Meaning::Panel(instrument));
        codes.extend(definition.totals.iter().map(|code| (*code, Meaning::Total(instrument))));
        codes.extend(definition.never_summed.iter().map(|code| (*code, Meaning::Difficulty)));
        for (position, code) in definition.items.iter().enumerate() {
            codes.entry(*code).or_insert(Meaning::Item(instrument, position));
        }
    }
    codes.extend(names::FOREIGN_CODES.map(|code| (code, Meaning::Foreign)));
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(toml: &str) -> CodeMapping {
        CodeMapping::from_config(&toml::from_str(toml).unwrap())
    }

    #[test]
    fn a_questionnaire_is_found_by_canonical_name_or_pattern() {
        let mapping = mapping(
            r#"[questionnaires]
            "https://ehr.example/dep*" = "phq9"
            "https://ehr.example/deposit" = "ignore"
            "*/anx" = "gad7"
            "mood" = "phq9+gad7""#,
        );
        let found = |canonical: &str| mapping.form(canonical).cloned();
        assert_eq!(found("https://ehr.example/dep-7|3"), Some(QuestionnaireMapping::Ours(vec![Instrument::Phq9])));
        assert_eq!(found("https://ehr.example/deposit|1"), Some(QuestionnaireMapping::Ignore));
        assert_eq!(found("Questionnaire/anx"), Some(QuestionnaireMapping::Ours(vec![Instrument::Gad7])));
        assert_eq!(
            found("Questionnaire/Mood"),
            Some(QuestionnaireMapping::Ours(vec![Instrument::Phq9, Instrument::Gad7]))
        );
        assert_eq!(found("https://other.example/x"), None);
    }

    #[test]
    fn answers_are_known_by_code_and_in_four_languages() {
        let mapping = CodeMapping::default();
        let phq9 = Instrument::Phq9;
        assert_eq!(mapping.coded(None, "LA6571-9", phq9), Some(3));
        assert_eq!(mapping.coded(Some("http://loinc.org"), "LA6569-3", phq9), Some(1));
        for (text, value) in [
            ("Not at all", 0),
            ("  MORE than half the days. ", 2),
            ("Nearly-every-day", 3),
            ("Varios días", 1),
            ("MÁS DE LA MITAD DE LOS DIAS", 2),
            ("Überhaupt nicht", 0),
            ("An mehr als der Hälfte der Tage", 2),
            ("Presque tous les jours", 3),
            ("2 - More than half the days", 2),
            ("More than half the days (2)", 2),
        ] {
            assert_eq!(mapping.worded(text, phq9), Some(value), "{text}");
        }
        for text in ["Quite a bit", "3 - Several days", "Somewhat difficult", "", "Yes", "1"] {
            assert_eq!(mapping.worded(text, phq9), None, "{text}");
        }
        assert_eq!(mapping.worded("Quite a bit", Instrument::Pcl5), Some(3));
        assert_eq!(mapping.worded("Several days", Instrument::Pcl5), None);
    }

    #[test]
    fn configuration_adds_to_the_defaults_and_overrides_them() {
        let mapping = mapping(
            r#"items = { FLO-1 = "phq9/1", "44261-6" = "ignore" }
            answers = [{ system = "urn:x", code = "B", value = 1 }, { code = "LA6569-3", instrument = "gad7", value = 2 },
                       { text = "Alcuni giorni", value = 1 }]"#,
        );
        assert_eq!(mapping.configured("FLO-1"), Some(Meaning::Item(Instrument::Phq9, 0)));
        assert_eq!(mapping.code("44261-6"), Some(Meaning::Ignore));
        assert_eq!(mapping.coded(Some("urn:x"), "B", Instrument::Phq9), Some(1));
        assert_eq!(mapping.coded(None, "B", Instrument::Phq9), Some(1));
        assert_eq!(mapping.coded(Some("urn:y"), "B", Instrument::Phq9), None);
        assert_eq!(mapping.coded(None, "LA6569-3", Instrument::Gad7), Some(2));
        assert_eq!(mapping.coded(None, "LA6569-3", Instrument::Phq9), Some(1));
        assert_eq!(mapping.worded("alcuni  GIORNI", Instrument::Phq9), Some(1));
    }

    #[test]
    fn a_configured_meaning_must_exist() {
        for wrong in [r#"items = { a = "phq9/10" }"#, r#"items = { a = "phq9/0" }"#, r#"items = { a = "phq7/1" }"#] {
            assert!(toml::from_str::<MappingConfig>(wrong).is_err(), "{wrong}");
        }
        assert!(toml::from_str::<MappingConfig>(r#"questionnaires = { a = "phq99" }"#).is_err());
        assert!(toml::from_str::<MappingConfig>(r#"questionaires = { a = "phq9" }"#).is_err());
    }
}
