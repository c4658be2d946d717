//! What a chart's codes, canonicals, linkIds and words mean to us: the instruments' files, and what an operator adds per
//! connection.
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
mod questionnaires;
pub(super) mod lexicon;
pub(super) mod names;
pub(super) mod words;

pub use config::{AnswerConfig, MappingConfig, Meaning, QuestionnaireMapping};
pub use questionnaires::KnownQuestionnaires;

use std::borrow::Cow;
use std::collections::HashMap;

use self::lexicon::lexicon;
use crate::domain::instrument::words::normal;
use crate::domain::instrument::{Instrument, Scale};

/// What the words of a question say, as a suggestion for whoever maps it.
pub fn suggestion(question: &str) -> Option<Meaning> {
    lexicon().question(&normal(question)).first().copied()
}

/// The value of an answer that somebody configured.
#[derive(Clone, Debug)]
struct CodeValue {
    system: Option<String>,
    instrument: Option<Instrument>,
    value: u8,
}

/// One connection's configuration over the lexicon, made ready for looking up.
#[derive(Clone, Debug, Default)]
pub struct CodeMapping {
    forms: Vec<(String, QuestionnaireMapping)>,
    configured: HashMap<String, Meaning>,
    coded: HashMap<String, Vec<CodeValue>>,
    worded: HashMap<String, Vec<CodeValue>>,
    questionnaires: KnownQuestionnaires,
}

impl CodeMapping {
    /// A connection's configuration.
    pub fn from_config(config: &MappingConfig) -> Self {
        let mut mapping = Self {
            forms: config.questionnaires.iter().map(|(name, form)| (name.clone(), form.clone())).collect(),
            configured: config.items.iter().map(|(code, meaning)| (code.clone(), *meaning)).collect(),
            ..Self::default()
        };
        for answer in &config.answers {
            let known = CodeValue { system: answer.system.clone(), instrument: answer.instrument, value: answer.value };
            if let Some(code) = &answer.code {
                mapping.coded.entry(code.clone()).or_default().push(known.clone());
            }
            if let Some(text) = &answer.text {
                mapping.worded.entry(normal(text)).or_default().push(CodeValue { system: None, ..known });
            }
        }
        mapping
    }

    /// What the EHR answered when it was asked for the Questionnaires that its forms name.
    pub fn questionnaires(&self) -> &KnownQuestionnaires {
        &self.questionnaires
    }

    /// The codes of Observations that mean something here, in order: what to search for.
    pub fn observation_codes(&self) -> Vec<&str> {
        let configured = self.configured.iter().filter(|(_, meaning)| meaning.instrument().is_some());
        let mut codes: Vec<&str> = lexicon().observed().collect();
        codes.extend(configured.map(|(code, _)| code.as_str()));
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

    /// What a code of a panel, an item or a total means; several instruments may share an item.
    pub(super) fn code(&self, code: &str) -> Cow<'static, [Meaning]> {
        match self.configured(code) {
            Some(meaning) => Cow::Owned(vec![meaning]),
            None => Cow::Borrowed(lexicon().code(code)),
        }
    }

    /// The value of a coded answer on a scale of an instrument.
    pub(super) fn coded(&self, system: Option<&str>, code: &str, instrument: Instrument, scale: &Scale) -> Option<u8> {
        let fits = |known: &&CodeValue| {
            known.instrument.is_none_or(|only| only == instrument)
                && (known.system.is_none() || system.is_none() || known.system.as_deref() == system)
        };
        let configured = self.coded.get(code).and_then(|all| all.iter().find(fits)).map(|known| known.value);
        configured.or_else(|| scale.coded(code))
    }

    /// The value of an answer in words, in any language that we know.
    pub(super) fn worded(&self, text: &str, instrument: Instrument, scale: &Scale) -> Option<u8> {
        let normal = normal(text);
        let value = |text: &str| {
            let fits = |known: &&CodeValue| known.instrument.is_none_or(|only| only == instrument);
            let configured = self.worded.get(text).and_then(|all| all.iter().find(fits)).map(|known| known.value);
            configured.or_else(|| scale.worded(text))
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

#[cfg(test)]
mod tests;
