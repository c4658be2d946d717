//! A clinic's own words for an instrument that is built in: another language, or the wording of its own forms. They are
//! added to what is there; nothing else of the instrument changes.

use std::collections::HashMap;

use serde::Deserialize;

use super::definition::{DefinitionFile, ScaleFile};

/// A translation's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TranslationFile {
    /// The id of the instrument.
    translates: String,
    /// What forms call it.
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    items: Vec<TranslatedItem>,
    #[serde(default)]
    answers: Vec<TranslatedAnswer>,
}

/// Words of one question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TranslatedItem {
    /// Its number, from 1.
    item: usize,
    phrases: Vec<String>,
}

/// Words of one answer, on the scale that the instrument's items share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TranslatedAnswer {
    value: u8,
    words: Vec<String>,
}

impl TranslationFile {
    /// Adds the words, or says what does not fit.
    pub(super) fn add_to(
        self,
        files: &mut HashMap<String, DefinitionFile>,
        scales: &mut HashMap<String, ScaleFile>,
    ) -> Result<(), String> {
        let file = files.get_mut(&self.translates);
        let file = file.ok_or_else(|| format!("there is no instrument {}", self.translates))?;
        file.names.extend(self.names);
        for words in self.items {
            let at = words.item.checked_sub(1);
            let item = at.and_then(|at| file.items.get_mut(at));
            item.ok_or_else(|| format!("there is no item {}", words.item))?.phrases.extend(words.phrases);
        }
        for words in self.answers {
            let scale = file.scale.as_ref().and_then(|name| scales.get_mut(name));
            let scale = scale.ok_or("its items do not share a scale: only questions can be translated")?;
            let answer = scale.answers.iter_mut().find(|answer| answer.value == words.value);
            answer.ok_or_else(|| format!("there is no answer {}", words.value))?.words.extend(words.words);
        }
        Ok(())
    }
}
