//! What an instrument's file says, and what follows from it.

use std::collections::HashMap;

use serde::Deserialize;

use super::words::normal;

named! {
    /// What an answer about suicide says besides its number, as on the PHQ-9 for teens and in the C-SSRS screener.
    pub enum Supplement {
        /// Serious thoughts of ending one's life in the past month.
        SeriousThoughts = "serious_thoughts",
        /// Some intention of acting on the thoughts.
        Intention = "intention",
        /// The details are worked out.
        Plan = "plan",
        /// A suicide attempt, ever.
        Attempt = "attempt",
        /// An attempt, or preparation for one, ever.
        Behavior = "behavior",
        /// An attempt, or preparation for one, within three months.
        RecentBehavior = "recent_behavior",
    }
}

impl Supplement {
    /// Whether it is about now: the assessment cannot wait.
    pub fn is_pressing(self) -> bool {
        !matches!(self, Self::Attempt | Self::Behavior)
    }
}

/// One band of severity: scores from `from` up to the next band.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    pub from: u16,
    pub name: String,
}

/// A question that is asked beside the items and never summed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aside {
    pub label: String,
    #[serde(default)]
    pub codes: Vec<String>,
    /// Codes of answers that only this question has.
    #[serde(default)]
    pub answers: Vec<String>,
    #[serde(default)]
    pub phrases: Vec<String>,
    /// Words that only its answers have.
    #[serde(default)]
    pub words: Vec<String>,
}

/// What calls itself like this instrument, or asks some of the same, and is scored otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Strangers {
    pub names: Vec<String>,
    pub codes: Vec<String>,
    /// Their own answers to what is asked here too.
    pub answers: Vec<StrangerAnswer>,
}

/// An answer of a stranger: it counts nothing here, and still says something about safety.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrangerAnswer {
    /// How its code begins.
    pub code: String,
    pub value: u8,
}

/// One answer: what it counts, and how it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleAnswer {
    pub(super) value: u8,
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    pub(super) words: Vec<String>,
    /// How a sentence about the patient says it.
    sentence: Option<String>,
}

/// A scale as its file says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleFile {
    #[serde(default)]
    telling: bool,
    /// "Yes, last week" is yes: the first word decides, unless it says no.
    #[serde(default)]
    first_word: bool,
    pub(super) answers: Vec<ScaleAnswer>,
}

/// The answers to one item.
#[derive(Clone, Debug, Default)]
pub struct Scale {
    /// The highest value; the lowest is 0.
    pub max: u8,
    /// Its answers alone say that a form resembles one of ours.
    pub telling: bool,
    first_word: bool,
    coded: HashMap<String, u8>,
    worded: HashMap<String, u8>,
    /// How each value is written first.
    labels: HashMap<u8, String>,
    sentences: HashMap<u8, String>,
}

impl Scale {
    pub(super) fn new(file: &ScaleFile, reversed: bool) -> Self {
        let max = file.answers.iter().map(|answer| answer.value).max().unwrap_or(0);
        let mut scale = Self { max, telling: file.telling, first_word: file.first_word, ..Self::default() };
        for answer in &file.answers {
            let value = if reversed { max - answer.value } else { answer.value };
            scale.coded.extend(answer.codes.iter().map(|code| (code.clone(), value)));
            scale.worded.extend(answer.words.iter().map(|words| (normal(words), value)));
            scale.sentences.extend(answer.sentence.iter().map(|words| (value, words.clone())));
            scale.labels.extend(answer.words.first().map(|words| (value, words.clone())));
        }
        scale
    }

    /// The value of an answer's code. LOINC's are unique, so the system says nothing more: real ones come without it.
    pub fn coded(&self, code: &str) -> Option<u8> {
        self.coded.get(code).copied()
    }

    /// A value in words, for people.
    pub fn label(&self, value: u8) -> Option<&str> {
        self.labels.get(&value).map(String::as_str)
    }

    /// How a sentence about the patient says a value, where it needs no quotation.
    pub fn sentence(&self, value: u8) -> Option<&str> {
        self.sentences.get(&value).map(String::as_str)
    }

    /// The value of an answer's words in normal form.
    pub fn worded(&self, normal: &str) -> Option<u8> {
        let first = || {
            let word = normal.split(' ').next().filter(|_| self.first_word)?;
            // "No answer" is not no.
            self.worded.get(word).filter(|value| **value > 0)
        };
        self.worded.get(normal).or_else(first).copied()
    }
}

/// An item as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemFile {
    /// `phq9/1`: asks what that item asks, with its code and its words.
    same_as: Option<String>,
    code: Option<String>,
    label: Option<String>,
    #[serde(default)]
    pub(super) phrases: Vec<String>,
    #[serde(default)]
    reversed: bool,
    scale: Option<String>,
    pub(super) answers: Option<Vec<ScaleAnswer>>,
    /// It counts, and an answer above 0 is a safety concern of its own.
    supplement: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub code: Option<String>,
    /// Its code belongs to another instrument that asks the same.
    pub is_borrowed: bool,
    /// A few words for people.
    pub label: String,
    /// Any of these words in a question, in normal form, make it this item.
    pub phrases: Vec<String>,
    pub scale: Scale,
    /// Besides counting, an answer above 0 is a safety concern of its own.
    pub supplement: Option<Supplement>,
}

/// A safety question as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SafetyQuestionFile {
    supplement: String,
    label: String,
    code: Option<String>,
    #[serde(default)]
    phrases: Vec<String>,
    scale: String,
}

/// A question about safety that is asked beside the items and never summed.
#[derive(Clone, Debug)]
pub struct SafetyQuestion {
    pub supplement: Supplement,
    pub label: String,
    pub code: Option<String>,
    pub phrases: Vec<String>,
    pub scale: Scale,
}

/// An instrument's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefinitionFile {
    pub(super) id: String,
    title: String,
    order: u16,
    measures: String,
    sources: Vec<String>,
    license: String,
    pub(super) names: Vec<String>,
    #[serde(default)]
    family_names: Vec<String>,
    keywords: Vec<String>,
    #[serde(default)]
    marks: Vec<String>,
    pub(super) variant_of: Option<String>,
    #[serde(default)]
    panels: Vec<String>,
    #[serde(default)]
    totals: Vec<String>,
    pub(super) scale: Option<String>,
    #[serde(default)]
    may_miss: usize,
    #[serde(default)]
    by_items: bool,
    #[serde(default = "yes")]
    by_number: bool,
    self_harm: Option<usize>,
    bands: Vec<Band>,
    #[serde(default)]
    strangers: Strangers,
    pub(super) items: Vec<ItemFile>,
    #[serde(default)]
    safety_questions: Vec<SafetyQuestionFile>,
    #[serde(default)]
    asides: Vec<Aside>,
}

fn yes() -> bool {
    true
}

/// Definition of an instrument.
#[derive(Debug)]
pub struct Definition {
    /// Its name in the API.
    pub id: String,
    /// Its name in print.
    pub title: String,
    /// Its place in lists.
    pub order: u16,
    /// `depression`, `anxiety`, …
    pub measures: String,
    pub sources: Vec<String>,
    pub license: String,
    /// What forms call it, as runs of letters and digits.
    pub names: Vec<String>,
    /// Names that it shares with its relatives: what is called so resembles one of them.
    pub family_names: Vec<String>,
    /// Words in a linkId or a question that speak of this instrument.
    pub keywords: Vec<String>,
    /// Words of a question that tell it from its relatives.
    pub marks: Vec<String>,
    /// The instrument that it varies: their totals are sent with either code.
    pub variant_of: Option<String>,
    /// Codes of the whole.
    pub panels: Vec<String>,
    /// Codes of the total score.
    pub totals: Vec<String>,
    /// How many items may be missing for a prorated total.
    pub may_miss: usize,
    /// Its items alone say what a form is.
    pub by_items: bool,
    /// The item (0-based) that asks about thoughts of death or self-harm.
    pub self_harm: Option<usize>,
    /// The numbers of its linkIds may say which item is which. Not where some items count from the other end, so that a
    /// bare figure may be either.
    pub by_number: bool,
    /// Severity bands, ascending.
    pub bands: Vec<Band>,
    pub strangers: Strangers,
    pub items: Vec<Item>,
    pub safety_questions: Vec<SafetyQuestion>,
    pub asides: Vec<Aside>,
}

impl Definition {
    /// The highest possible total.
    pub fn max_total(&self) -> u16 {
        self.items.iter().map(|item| u16::from(item.scale.max)).sum()
    }

    /// Whether an item (0-based) asks about thoughts of death or self-harm.
    pub fn is_about_safety(&self, item: usize) -> bool {
        self.self_harm == Some(item) || self.items.get(item).is_some_and(|item| item.supplement.is_some())
    }

    /// The highest answer to any item.
    pub fn item_max(&self) -> u8 {
        self.items.iter().map(|item| item.scale.max).max().unwrap_or(0)
    }
}

/// What a file may refer to.
pub(super) struct Known<'a> {
    pub(super) scales: &'a HashMap<String, ScaleFile>,
    pub(super) files: &'a HashMap<String, DefinitionFile>,
}

impl Known<'_> {
    pub(super) fn scale(&self, name: &str) -> Result<&ScaleFile, String> {
        self.scales.get(name).ok_or_else(|| format!("there is no scale {name}"))
    }

    fn item(&self, name: &str) -> Result<&ItemFile, String> {
        let found = name.split_once('/').and_then(|(id, item)| {
            let at = item.parse::<usize>().ok()?.checked_sub(1)?;
            self.files.get(id)?.items.get(at)
        });
        found.ok_or_else(|| format!("there is no item {name}"))
    }
}

impl DefinitionFile {
    /// The definition, or what is wrong with the file.
    pub(super) fn resolve(&self, known: &Known<'_>) -> Result<Definition, String> {
        let items: Vec<Item> = self.items.iter().map(|item| self.item(item, known)).collect::<Result<_, _>>()?;
        let safety_questions = self.safety_questions.iter().map(|one| {
            Ok(SafetyQuestion {
                supplement: one.supplement.parse()?,
                label: one.label.clone(),
                code: one.code.clone(),
                phrases: one.phrases.iter().map(|phrase| normal(phrase)).collect(),
                scale: Scale::new(known.scale(&one.scale)?, false),
            })
        });
        let definition = Definition {
            id: self.id.clone(),
            title: self.title.clone(),
            order: self.order,
            measures: self.measures.clone(),
            sources: self.sources.clone(),
            license: self.license.clone(),
            names: self.names.clone(),
            family_names: self.family_names.clone(),
            keywords: self.keywords.clone(),
            marks: self.marks.iter().map(|mark| normal(mark)).collect(),
            variant_of: self.variant_of.clone(),
            panels: self.panels.clone(),
            totals: self.totals.clone(),
            may_miss: self.may_miss,
            by_items: self.by_items,
            self_harm: self.self_harm.map(|item| item.saturating_sub(1)),
            by_number: self.by_number,
            bands: self.bands.clone(),
            strangers: self.strangers.clone(),
            safety_questions: safety_questions.collect::<Result<_, String>>()?,
            asides: self.asides.clone(),
            items,
        };
        check(&definition)?;
        Ok(definition)
    }

    fn item(&self, item: &ItemFile, known: &Known<'_>) -> Result<Item, String> {
        let base = item.same_as.as_deref().map(|name| known.item(name)).transpose()?;
        let label = item.label.as_ref().or_else(|| base?.label.as_ref()).ok_or("an item without a label")?;
        let phrases = base.iter().flat_map(|base| &base.phrases).chain(&item.phrases);
        let scale = match (&item.answers, item.scale.as_ref().or(self.scale.as_ref())) {
            (Some(answers), _) => {
                Scale::new(&ScaleFile { answers: answers.clone(), ..ScaleFile::default() }, item.reversed)
            }
            (None, Some(name)) => Scale::new(known.scale(name)?, item.reversed),
            (None, None) => return Err(format!("no scale for \"{label}\"")),
        };
        Ok(Item {
            code: item.code.clone().or_else(|| base?.code.clone()),
            is_borrowed: base.is_some() && item.code.is_none(),
            label: label.clone(),
            phrases: phrases.map(|phrase| normal(phrase)).collect(),
            supplement: item.supplement.as_deref().map(str::parse).transpose()?,
            scale,
        })
    }
}

fn check(definition: &Definition) -> Result<(), String> {
    let items = definition.items.len();
    let is_ascending = definition.bands.windows(2).all(|two| two[0].from < two[1].from);
    for (is_wrong, why) in [
        (definition.id.is_empty() || definition.title.is_empty(), "id and title must say something"),
        (items == 0 || items > 32, "an instrument has 1 to 32 items"),
        (definition.may_miss >= items, "a mean needs an answer: may_miss is below the number of items"),
        (definition.self_harm.is_some_and(|item| item >= items), "self_harm is one of the items"),
        (
            definition.self_harm.is_some_and(|item| definition.items.get(item).is_some_and(|item| item.scale.max > 3)),
            "the self-harm item is answered from 0 to 3",
        ),
        (definition.bands.first().is_none_or(|band| band.from != 0) || !is_ascending, "bands ascend from 0"),
        (definition.sources.is_empty(), "name the sources"),
    ] {
        if is_wrong {
            return Err(why.to_owned());
        }
    }
    Ok(())
}
