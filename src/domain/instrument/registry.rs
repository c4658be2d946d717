//! Every instrument's file, read once.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::definition::{Definition, DefinitionFile, Known, Scale, ScaleFile};
use super::translation::TranslationFile;

static BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/instruments.rs"));
static SCALES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scales.rs"));

static REGISTRY: OnceLock<Registry> = OnceLock::new();

struct Registry {
    definitions: Vec<Definition>,
    yes_no: Scale,
}

#[expect(clippy::panic, reason = "the files are compiled in; a test reads them")]
fn registry() -> &'static Registry {
    REGISTRY.get_or_init(|| read(&[]).unwrap_or_else(|why| panic!("{why}")))
}

/// Every definition, in the order of lists.
pub(super) fn all() -> &'static [Definition] {
    &registry().definitions
}

/// Yes and no, in the languages that we know.
pub fn yes_no() -> &'static Scale {
    &registry().yes_no
}

/// Adds a clinic's own files, before anything has asked for an instrument. A file that says `translates` adds words to an
/// instrument; one with the id of a built-in instrument takes its place.
pub fn add(own: &[(String, String)]) -> Result<(), String> {
    let own: Vec<(&str, &str)> = own.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    REGISTRY.set(read(&own)?).map_err(|_| "the instruments are already in use".to_owned())
}

fn read(own: &[(&str, &str)]) -> Result<Registry, String> {
    let mut scales: HashMap<String, ScaleFile> = HashMap::new();
    for (name, text) in SCALES {
        scales.insert((*name).to_owned(), toml::from_str(text).map_err(|e| format!("scale {name}: {e}"))?);
    }
    let mut files: HashMap<String, DefinitionFile> = HashMap::new();
    let mut translations: Vec<(&str, TranslationFile)> = Vec::new();
    for (name, text) in BUILT_IN.iter().chain(own) {
        let wrong = |e: toml::de::Error| format!("instrument {name}: {}", e.message());
        if text.parse::<toml::Table>().map_err(wrong)?.contains_key("translates") {
            translations.push((name, toml::from_str(text).map_err(wrong)?));
            continue;
        }
        let file: DefinitionFile = toml::from_str(text).map_err(wrong)?;
        files.insert(file.id.clone(), file);
    }
    for (name, translation) in translations {
        translation.add_to(&mut files, &mut scales).map_err(|why| format!("instrument {name}: {why}"))?;
    }
    let known = Known { scales: &scales, files: &files };
    let mut definitions = Vec::with_capacity(files.len());
    for file in files.values() {
        definitions.push(file.resolve(&known).map_err(|why| format!("instrument {}: {why}", file.id))?);
    }
    definitions.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    unique_codes(&definitions)?;
    let yes_no = Scale::new(known.scale("yes_no")?, false);
    Ok(Registry { definitions, yes_no })
}

/// A code that two items own would be either.
fn unique_codes(definitions: &[Definition]) -> Result<(), String> {
    let mut taken = HashSet::new();
    for definition in definitions {
        let own = definition.items.iter().filter(|item| !item.is_borrowed).filter_map(|item| item.code.as_ref());
        for code in own.chain(&definition.panels).chain(&definition.totals) {
            if !taken.insert(code) {
                return Err(format!("instrument {}: the code {code} is taken", definition.id));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read;

    const OWN: &str = r#"
        id = "sds"
        title = "Sheehan"
        order = 900
        measures = "disability"
        sources = ["our own form"]
        license = "ours"
        names = ["sds"]
        keywords = ["sds"]
        scale = "frequency"
        bands = [{ from = 0, name = "any" }]
        items = [{ label = "Work" }, { label = "Family" }]
    "#;

    #[test]
    fn a_clinics_own_instrument_stands_beside_the_built_in_ones() {
        let registry = read(&[("sds", OWN)]).unwrap();
        let own = registry.definitions.iter().find(|definition| definition.id == "sds").unwrap();
        assert_eq!((own.items.len(), own.max_total()), (2, 6));
        assert!(registry.definitions.iter().any(|definition| definition.id == "phq9"));
    }

    #[test]
    fn a_translation_adds_words_and_takes_none_away() {
        let words = r#"
            translates = "phq9"
            names = ["kwestionariusz zdrowia pacjenta 9"]
            items = [{ item = 9, phrases = ["że lepiej byłoby umrzeć"] }]
            answers = [{ value = 3, words = ["niemal codziennie"] }]
        "#;
        let registry = read(&[("polish", words)]).unwrap();
        let phq9 = registry.definitions.iter().find(|definition| definition.id == "phq9").unwrap();
        let item = &phq9.items[8];
        assert!(item.phrases.iter().any(|phrase| phrase.contains("lepiej")) && item.phrases.len() > 10);
        assert_eq!((item.scale.worded("niemal codziennie"), item.scale.worded("nearly every day")), (Some(3), Some(3)));
    }

    #[test]
    fn a_wrong_file_is_named_with_what_is_wrong() {
        let replaced = |from: &str, to: &str| OWN.replace(from, to);
        for (text, why) in [
            (replaced("id = \"sds\"", "id = 4"), "invalid type"),
            (replaced("bands = [{ from = 0,", "bands = [{ from = 1,"), "bands ascend from 0"),
            (replaced("scale = \"frequency\"", "scale = \"sometimes\""), "there is no scale sometimes"),
            (replaced("names = [\"sds\"]", "names = [\"sds\"]\ntotals = [\"44261-6\"]"), "44261-6 is taken"),
            (replaced("keywords", "keyword"), "unknown field"),
            ("translates = \"phq99\"".to_owned(), "there is no instrument phq99"),
            ("translates = \"phq9\"\nitems = [{ item = 10, phrases = [] }]".to_owned(), "there is no item 10"),
            ("translates = \"epds\"\nanswers = [{ value = 1, words = [] }]".to_owned(), "do not share a scale"),
            ("translates".to_owned(), "instrument own:"),
        ] {
            let said = read(&[("own", &text)]).err().unwrap();
            assert!(said.contains(why), "{said}");
        }
    }
}
