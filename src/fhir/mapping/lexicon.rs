//! What codes, names and words mean by themselves, in every form of every chart: made of the instruments' files.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::config::Meaning;
use crate::domain::instrument::Instrument;
use crate::domain::instrument::words::{holds, normal, tokens};

/// Instruments that a name mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::fhir) struct NamedInstruments {
    /// Our instruments, in the order named.
    pub(in crate::fhir) ours: Vec<Instrument>,
    /// It names what calls itself like one of ours and is scored otherwise.
    pub(in crate::fhir) is_stranger: bool,
    /// It names a family, like the PHQ, without saying which of its instruments.
    pub(in crate::fhir) family: Option<Instrument>,
}

/// What a sequence of tokens names.
#[derive(Clone, Copy, Debug)]
enum Naming {
    Ours(Instrument),
    Family(Instrument),
    Stranger,
}

#[derive(Debug, Default)]
pub(in crate::fhir) struct Lexicon {
    codes: HashMap<&'static str, Vec<Meaning>>,
    /// By their first token.
    names: HashMap<String, Vec<(Vec<String>, Naming)>>,
    /// By their first word.
    phrases: HashMap<&'static str, Vec<(&'static str, Meaning)>>,
    /// In languages that write no spaces.
    unspaced: Vec<(&'static str, Meaning)>,
    stranger_answers: Vec<(&'static str, u8)>,
    aside_answers: HashSet<&'static str>,
    aside_words: Vec<&'static str>,
    asides: Vec<String>,
}

/// Words before the number of an item.
const ITEM_WORDS: [&str; 9] = ["q", "item", "items", "question", "no", "nr", "number", "frage", "pregunta"];

pub(in crate::fhir) fn lexicon() -> &'static Lexicon {
    static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::new);
    &LEXICON
}

impl Lexicon {
    fn new() -> Self {
        let mut lexicon = Self::default();
        for instrument in Instrument::all() {
            lexicon.add(*instrument);
        }
        for names in lexicon.names.values_mut() {
            // The longest fits first: PHQ-9 modified is not the PHQ-9.
            names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        }
        // The owner of a shared item first: alone, it is an item of the PHQ-9 rather than of the PHQ-2.
        for meanings in lexicon.codes.values_mut() {
            meanings.sort_by_key(|meaning| is_borrowed(*meaning));
        }
        lexicon
    }

    fn add(&mut self, instrument: Instrument) {
        let definition = instrument.definition();
        definition.panels.iter().for_each(|panel| self.add_code(panel, Meaning::Panel(instrument)));
        definition.totals.iter().for_each(|total| self.add_code(total, Meaning::Total(instrument)));
        for (position, item) in definition.items.iter().enumerate() {
            let meaning = Meaning::Item(instrument, position);
            item.code.iter().for_each(|code| self.add_code(code, meaning));
            item.phrases.iter().for_each(|phrase| self.add_phrase(phrase, meaning));
        }
        for question in &definition.safety_questions {
            let meaning = Meaning::Safety(instrument, question.supplement);
            question.code.iter().for_each(|code| self.add_code(code, meaning));
            question.phrases.iter().for_each(|phrase| self.add_phrase(phrase, meaning));
        }
        for aside in &definition.asides {
            aside.codes.iter().for_each(|code| self.add_code(code, Meaning::Difficulty));
            self.aside_answers.extend(aside.answers.iter().map(String::as_str));
            self.aside_words.extend(aside.words.iter().map(String::as_str));
            self.asides.extend(aside.phrases.iter().map(|phrase| normal(phrase)));
        }
        definition.names.iter().for_each(|name| self.add_name(name, Naming::Ours(instrument)));
        definition.family_names.iter().for_each(|name| self.add_name(name, Naming::Family(instrument)));
        let strangers = &definition.strangers;
        strangers.codes.iter().for_each(|code| self.add_code(code, Meaning::Foreign));
        strangers.names.iter().for_each(|name| self.add_name(name, Naming::Stranger));
        self.stranger_answers.extend(strangers.answers.iter().map(|answer| (answer.code.as_str(), answer.value)));
    }

    fn add_code(&mut self, code: &'static str, meaning: Meaning) {
        let meanings = self.codes.entry(code).or_default();
        if !meanings.contains(&meaning) {
            meanings.push(meaning);
        }
    }

    fn add_phrase(&mut self, phrase: &'static str, meaning: Meaning) {
        if !phrase.is_ascii() && !phrase.contains(' ') {
            self.unspaced.push((phrase, meaning));
        } else if let Some(first) = phrase.split(' ').next() {
            self.phrases.entry(first).or_default().push((phrase, meaning));
        }
    }

    fn add_name(&mut self, name: &str, naming: Naming) {
        let name = tokens(name);
        if let Some(first) = name.first() {
            self.names.entry(first.clone()).or_default().push((name, naming));
        }
    }

    /// What a LOINC or SNOMED CT code means; several instruments may share an item.
    pub(in crate::fhir) fn code(&self, code: &str) -> &[Meaning] {
        self.codes.get(code).map_or(&[], Vec::as_slice)
    }

    /// Every code that is searched for in Observations.
    pub(in crate::fhir) fn observed(&self) -> impl Iterator<Item = &'static str> {
        let is_ours = |meaning: &Meaning| {
            matches!(meaning, Meaning::Panel(_) | Meaning::Item(..) | Meaning::Total(_) | Meaning::Safety(..))
        };
        self.codes.iter().filter(move |(_, meanings)| meanings.iter().any(is_ours)).map(|(code, _)| *code)
    }

    /// What a question asks, by whole phrases. A text that asks for several items of one instrument is none of them; a
    /// question about self-harm is that, whatever else it asks.
    pub(in crate::fhir) fn question(&self, text: &str) -> Vec<Meaning> {
        if self.asides.iter().any(|phrase| holds(text, phrase)) {
            return vec![Meaning::Difficulty];
        }
        let mut found: Vec<Meaning> = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let rest = &text[start..];
            let word = rest.split(' ').next().unwrap_or_default();
            for (phrase, meaning) in self.phrases.get(word).into_iter().flatten() {
                let is_whole =
                    rest.strip_prefix(phrase).is_some_and(|after| after.is_empty() || after.starts_with(' '));
                if is_whole && !found.contains(meaning) {
                    found.push(*meaning);
                }
            }
            start += word.len() + 1;
        }
        if !text.is_ascii() {
            for (_, meaning) in self.unspaced.iter().filter(|(phrase, _)| text.contains(phrase)) {
                if !found.contains(meaning) {
                    found.push(*meaning);
                }
            }
        }
        unambiguous(found)
    }

    /// The instruments in a name: `CIRG-GAD7`, `phq-9-example`, `PHQ-A`, `Patient Health Questionnaire 9`.
    pub(in crate::fhir) fn names(&self, text: &str) -> NamedInstruments {
        let tokens = tokens(text);
        let mut names = NamedInstruments::default();
        for (_, naming) in self.namings(&tokens) {
            match naming {
                Naming::Ours(instrument) if !names.ours.contains(&instrument) => names.ours.push(instrument),
                Naming::Ours(_) => {}
                Naming::Family(instrument) => names.family = Some(instrument),
                Naming::Stranger => names.is_stranger = true,
            }
        }
        names
    }

    /// What the tokens name, each with the token behind it.
    fn namings(&self, tokens: &[String]) -> Vec<(usize, Naming)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let mut known = self.names.get(&tokens[at]).into_iter().flatten();
            match known.find(|(name, _)| tokens[at..].starts_with(name)) {
                Some((name, naming)) => {
                    at += name.len();
                    found.push((at, *naming));
                }
                None => at += 1,
            }
        }
        found
    }

    /// The item that a text only numbers: `PHQ-9 Q9`, `EPDS item 10`. Too little to score by, for some count from 0.
    pub(in crate::fhir) fn numbered(&self, text: &str) -> Option<Meaning> {
        if !text.bytes().any(|b| b.is_ascii_digit()) {
            return None;
        }
        let tokens = tokens(text);
        self.namings(&tokens).into_iter().find_map(|(behind, naming)| {
            let Naming::Ours(instrument) = naming else { return None };
            let rest = &tokens[behind..];
            let is_item = |token: &&String| ITEM_WORDS.contains(&token.as_str());
            let number = rest.get(rest.iter().take_while(is_item).count().max(1))?.parse::<usize>().ok()?;
            (1..=instrument.item_count()).contains(&number).then(|| Meaning::Item(instrument, number - 1))
        })
    }

    /// What an answer of a stranger's own counts there.
    pub(in crate::fhir) fn stranger_answer(&self, code: &str) -> Option<u8> {
        self.stranger_answers.iter().find(|(start, _)| code.starts_with(start)).map(|(_, value)| *value)
    }

    /// An answer that only a question beside the items has.
    pub(in crate::fhir) fn is_aside_answer(&self, code: Option<&str>, text: Option<&str>) -> bool {
        code.is_some_and(|code| self.aside_answers.contains(code))
            || text.map(normal).is_some_and(|text| self.aside_words.iter().any(|word| holds(&text, word)))
    }
}

fn is_borrowed(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Item(instrument, position) if instrument.definition().items[position].is_borrowed)
}

fn unambiguous(found: Vec<Meaning>) -> Vec<Meaning> {
    let is_safety = |meaning: &Meaning| meaning.is_about_safety();
    if found.iter().any(is_safety) {
        return found.into_iter().filter(is_safety).collect();
    }
    let count = |of: &Meaning| found.iter().filter(|other| other.instrument() == of.instrument()).count();
    found.iter().filter(|meaning| count(meaning) == 1).copied().collect()
}

#[cfg(test)]
mod tests;
