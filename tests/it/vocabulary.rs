//! One word, one thing: a type's name stands in one file, in two at the most.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::architecture::{files, relative, source};

/// Names that may stand in more files, and why.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// The name of the type that a line defines. Associated types are indented, and are named by their trait.
fn type_name(line: &str) -> Option<String> {
    let item = line.trim_start();
    let item = match item.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => item.strip_prefix("pub ").unwrap_or(item),
    };
    let (keyword, name) = item.split_once(' ')?;
    let is_type = matches!(keyword, "struct" | "enum" | "trait") || keyword == "type" && !line.starts_with(' ');
    let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (is_type && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

#[test]
fn definitions_of_types_are_found() {
    assert_eq!(type_name("pub(in crate::fhir) struct Node<'a> {").as_deref(), Some("Node"));
    assert_eq!(type_name("    pub enum Code {").as_deref(), Some("Code"));
    assert_eq!(type_name("pub type Interval = (u8, u8);").as_deref(), Some("Interval"));
    assert_eq!(type_name("    type Err = String;"), None);
    assert_eq!(type_name("/// The struct Node"), None);
}

#[test]
fn a_type_name_stands_in_two_files_at_the_most() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(&source()) {
        for name in fs::read_to_string(&path).unwrap().lines().filter_map(type_name) {
            places.entry(name).or_default().insert(relative(&path));
        }
    }
    assert!(places.len() > 500, "{} types", places.len());
    let is_exception = |name: &str| EXCEPTIONS.iter().any(|(exception, _)| *exception == name);
    let repeated = places.iter().filter(|(name, files)| files.len() > 2 && !is_exception(name));
    let repeated: Vec<String> = repeated.map(|(name, files)| format!("{name}: {files:?}")).collect();
    assert!(repeated.is_empty(), "one name for several things:\n{}", repeated.join("\n"));

    let shared = places.values().filter(|files| files.len() > 1).count();
    assert!(shared * 100 <= places.len() * 2, "{shared} of {} type names stand in two files", places.len());
}
