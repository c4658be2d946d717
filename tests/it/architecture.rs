//! The order of the rooms: a module uses only what stands above it in `lib.rs`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file without comments; the tests inside it too, which look out of the same window.
pub fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The top-level module that a file belongs to: `src/store/outbox.rs` is in `store`.
fn room(path: &Path) -> String {
    let first = path.strip_prefix(source()).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

pub fn relative(path: &Path) -> String {
    path.strip_prefix(source()).unwrap().display().to_string()
}

/// The modules of `lib.rs` in their order.
fn order() -> Vec<String> {
    let lib = code(&source().join("lib.rs"));
    lib.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned)).collect()
}

/// Every top-level module named in `crate::…`, also inside `use crate::{a, b::{c}}`.
fn rooms_used(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        // `$crate::` in a macro is a path like any other; `some_crate::` is none of ours.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(first_names(group)),
            None => rooms.push(name(rest)),
        }
    }
    rooms
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The names at the first level of a brace group.
fn first_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut expecting) = (Vec::new(), 0_i32, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            c if expecting && c.is_alphabetic() => {
                names.push(name(&group[at..]));
                expecting = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn groups_are_read() {
    assert_eq!(rooms_used("use crate::{api::{self, App}, ehr, store::Db};"), ["api", "ehr", "store"]);
    assert_eq!(rooms_used("fn f(x: crate::domain::X) -> $crate::store::Y {}"), ["domain", "store"]);
    assert!(rooms_used("use cocm_crate::x;").is_empty());
}

#[test]
fn no_module_uses_one_below_it() {
    let order = order();
    assert!(order.len() > 10, "{order:?}");
    let place: HashMap<&str, usize> = order.iter().enumerate().map(|(n, name)| (name.as_str(), n)).collect();
    let mut upward = Vec::new();
    for path in files(&source()) {
        let Some(mine) = place.get(room(&path).as_str()) else { continue };
        for used in rooms_used(&code(&path)) {
            if place.get(used.as_str()).is_some_and(|theirs| theirs > mine) {
                upward.push(format!("{} uses crate::{used}", relative(&path)));
            }
        }
    }
    assert!(upward.is_empty(), "arrows that point the wrong way:\n{}", upward.join("\n"));
}

#[test]
fn the_domain_knows_no_io_no_clock_and_no_wire() {
    let forbidden = [
        "sqlx",
        "axum",
        "reqwest",
        "tokio",
        "fhir_sdk",
        "std::fs",
        "std::net",
        "std::time",
        "std::env",
        "tracing",
        "Utc::now",
        "Local::now",
        "rand::",
    ];
    let mut found = Vec::new();
    for path in files(&source()).into_iter().filter(|path| room(path) == "domain") {
        let code = code(&path);
        found.extend(forbidden.iter().filter(|word| code.contains(*word)).map(|w| format!("{}: {w}", relative(&path))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_the_store_knows_sql() {
    let words = ["sqlx::query", "SELECT ", "INSERT INTO ", "DELETE FROM "];
    let mut found = Vec::new();
    for path in files(&source()).into_iter().filter(|path| room(path) != "store") {
        let code = code(&path);
        found.extend(words.iter().filter(|word| code.contains(*word)).map(|w| format!("{}: {w}", relative(&path))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_registry_is_written_in_the_hallway_only() {
    // The tables of the story and of the plan. The outbox's own functions belong to the dispatcher, rule sets and
    // answers under a key to whoever takes them in.
    let writers = [
        "patient::insert",
        "patient::update",
        "patient::merge",
        "patient::add_key",
        "measurement::put",
        "episode::insert",
        "episode::update",
        "episode::settle",
        "event_log::append",
        "standing::put",
        "recommendation::put",
        "recommendation::remove",
        "review_session::insert",
        "review_session::put_item",
        "review_session::join",
        "review_session::defer",
        "review_session::close",
        "outbox::plan",
        "resource::insert",
        "resource::update",
        "quarantine::put",
        "closed_month::insert",
    ];
    let mut found = Vec::new();
    for path in files(&source()).into_iter().filter(|path| !["store", "record"].contains(&room(path).as_str())) {
        let code = code(&path);
        found.extend(writers.iter().filter(|word| code.contains(*word)).map(|w| format!("{}: {w}", relative(&path))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let mut long = Vec::new();
    for path in files(&source()) {
        let text = fs::read_to_string(&path).unwrap();
        let is_test = path.components().any(|part| part.as_os_str().to_str().is_some_and(|p| p.starts_with("tests")));
        let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        if !is_test && lines > 500 {
            long.push(format!("{}: {lines}", relative(&path)));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
