//! Every instrument's file, read once.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::definition::{Definition, DefinitionFile, Known, Scale, ScaleFile};

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

/// Adds a clinic's own files, before anything has asked for an instrument. A file with the id of a built-in instrument
/// takes its place: a translation.
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
    for (name, text) in BUILT_IN.iter().chain(own) {
        let file: DefinitionFile = toml::from_str(text).map_err(|e| format!("instrument {name}: {e}"))?;
        files.insert(file.id.clone(), file);
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
