//! Inside every room: modules beside each other use each other in one direction only.
//!
//! A module is its file and its folder. What a module and its own submodules take from each other does not count: they
//! are one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::architecture::{code, files, relative, source};

type ModulePath = Vec<String>;

fn module_of(path: &Path) -> ModulePath {
    relative(path).trim_end_matches(".rs").split('/').map(str::to_owned).collect()
}

/// The code in front of the tests in a file.
fn product_code(path: &Path) -> String {
    let code = code(path);
    code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// Every path that begins with `crate`, `self` or `super`, groups in braces opened up.
fn paths(code: &str) -> Vec<ModulePath> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let continues = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if !continues {
                open_up(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one tree of a path; gives back what stands behind it.
fn open_up<'a>(text: &'a str, prefix: &mut ModulePath, found: &mut Vec<ModulePath>) -> &'a str {
    let depth = prefix.len();
    let mut rest = text.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let behind = open_up(rest, prefix, found).trim_start();
                // Whatever is no path, as an alias, is passed over.
                rest = behind.trim_start_matches(|c| c != ',' && c != '}');
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
            rest = rest.strip_prefix('}').unwrap_or(rest);
            break;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        prefix.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(next) = rest.strip_prefix("::") else {
            found.push(prefix.clone());
            break;
        };
        rest = next;
    }
    prefix.truncate(depth);
    rest
}

/// The module that a path leads into, seen from another.
fn target(path: &[String], from: &[String], modules: &BTreeSet<ModulePath>) -> Option<ModulePath> {
    let mut full: ModulePath = Vec::new();
    for (n, part) in path.iter().enumerate() {
        match part.as_str() {
            "crate" => {}
            "self" if n == 0 => full = from.to_vec(),
            "super" if n == 0 => full = from[..from.len() - 1].to_vec(),
            "super" => {
                full.pop();
            }
            part => full.push(part.to_owned()),
        }
    }
    while !full.is_empty() && !modules.contains(&full) {
        full.pop();
    }
    (!full.is_empty()).then_some(full)
}

/// By parent module: which child uses which, and the files as a witness.
fn arrows() -> BTreeMap<ModulePath, BTreeMap<String, BTreeMap<String, String>>> {
    let is_test = |path: &Path| relative(path).split('/').any(|part| part == "tests" || part == "tests.rs");
    let all: Vec<_> = files(&source()).into_iter().filter(|path| !is_test(path)).collect();
    let modules: BTreeSet<ModulePath> = all.iter().map(|path| module_of(path)).collect();
    let mut arrows: BTreeMap<ModulePath, BTreeMap<String, BTreeMap<String, String>>> = BTreeMap::new();
    for file in &all {
        let from = module_of(file);
        for path in paths(&product_code(file)) {
            let Some(to) = target(&path, &from, &modules) else { continue };
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if common == from.len() || common == to.len() {
                continue;
            }
            let of_parent = arrows.entry(from[..common].to_vec()).or_default();
            let witness = format!("{} uses {}", relative(file), path.join("::"));
            of_parent.entry(from[common].clone()).or_default().entry(to[common].clone()).or_insert(witness);
        }
    }
    arrows
}

/// What is left after taking away, again and again, what uses nothing that is left.
fn circle(mut uses: BTreeMap<String, BTreeMap<String, String>>) -> BTreeMap<String, BTreeMap<String, String>> {
    loop {
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        let before = left.len();
        for used in uses.values_mut() {
            used.retain(|name, _| left.contains(name));
        }
        uses.retain(|_, used| !used.is_empty());
        if uses.len() == before {
            return uses;
        }
    }
}

#[test]
fn groups_and_aliases_are_opened_up() {
    let found = paths("use super::{a::{self, B}, c::D as E, f};\nfn g(x: crate::h::I) {}");
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::h::I", "super::a::self", "super::a::B", "super::c::D", "super::f"]);
}

#[test]
fn modules_beside_each_other_form_no_circle() {
    let mut circles = Vec::new();
    for (parent, uses) in arrows() {
        let circle = circle(uses);
        if !circle.is_empty() {
            let witnesses: Vec<&str> = circle.values().flat_map(BTreeMap::values).map(String::as_str).collect();
            circles.push(format!("in {}:\n  {}", parent.join("::"), witnesses.join("\n  ")));
        }
    }
    assert!(circles.is_empty(), "modules that use each other:\n{}", circles.join("\n"));
}
