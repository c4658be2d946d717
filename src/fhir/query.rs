//! The small languages of FHIR's URLs and headers: queries, conditions, version tags.

use std::fmt::Write;

use crate::problem::{Category, Problem};

/// The pairs of a query or a form, decoded.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// Undoes percent-encoding, and `+` for a space. What is not encoded stays.
fn decoded(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], digit(i + 1), digit(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                i += 3;
            }
            (b'+', ..) => {
                plain.push(b' ');
                i += 1;
            }
            (byte, ..) => {
                plain.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// A value, so that it can stand in a query.
pub fn encoded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

/// The parts of a list with commas; `\,` and `\|` and `\$` are no separators.
pub fn listed(value: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        let escaped = if c == '\\' { characters.next() } else { None };
        match (c, escaped, parts.last_mut()) {
            (',', None, _) => parts.push(String::new()),
            (_, None, Some(part)) => part.push(c),
            (_, Some(c), Some(part)) => part.push(c),
            (.., None) => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The one `system|value` of a condition: `If-None-Exist`, or the query of a conditional update.
pub fn condition(query: &str) -> Result<String, Problem> {
    let unclear = || Problem::malformed("a condition must be `identifier=system|value`, and nothing else");
    match pairs(query.trim().trim_start_matches('?')).as_slice() {
        [(name, value)] if name == "identifier" && !value.contains('\0') => match value.split_once('|') {
            Some((_, id)) if !id.is_empty() && listed(value).len() == 1 => Ok(value.clone()),
            _ => Err(unclear()),
        },
        _ => Err(unclear()),
    }
}

/// The value of an entity tag, without its quotes.
pub fn tagged(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// The version of an `If-Match`: `W/"3"`, also without the `W/` or the quotes.
pub fn version(tag: &str) -> Result<i64, Problem> {
    tagged(tag).parse().map_err(|_| {
        Problem::new(Category::PreconditionFailed, "no version of ours is called that: If-Match must be W/\"number\"")
    })
}

/// Whether an `If-None-Match` names this version.
pub fn names_version(tags: &str, version: i64) -> bool {
    tags.split(',').any(|tag| tag.trim() == "*" || self::version(tag).is_ok_and(|named| named == version))
}

/// The tag (`ETag`) of a version.
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_once() {
        let expected = [("identifier".to_owned(), "http://s|a b".to_owned()), ("x".to_owned(), "100%".to_owned())];
        assert_eq!(pairs("identifier=http%3A%2F%2Fs%7Ca+b&&x=100%"), expected);
        assert_eq!(pairs("_id=%2541"), [("_id".to_owned(), "%41".to_owned())]);
        assert_eq!(decoded("%ff%C3%A9"), "\u{fffd}é");
        assert_eq!(encoded("a|b é,Patient/1"), "a%7Cb%20%C3%A9,Patient/1");
    }

    #[test]
    fn a_list_knows_escapes() {
        assert_eq!(listed(r"a,b\,c,,d\|e"), ["a", "b,c", "d|e"]);
        assert_eq!(listed("\\"), ["\\"]);
    }

    #[test]
    fn a_condition_names_one_identifier() {
        for good in ["identifier=s|1", "identifier=s%7C1", "?identifier=s|1", "identifier=|1"] {
            assert!(condition(good).is_ok(), "{good}");
        }
        for bad in
            ["", "identifier=1", "identifier=s|", "name=x", "identifier=s|1&identifier=s|2", "identifier=s|1,s|2"]
        {
            assert!(condition(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn version_tags_are_read_in_every_usual_form() {
        for tag in ["W/\"3\"", "\"3\"", "3", " W/\"3\" "] {
            assert_eq!(version(tag), Ok(3), "{tag}");
        }
        assert!(version("W/\"abc\"").is_err());
        assert!(names_version("W/\"1\", W/\"3\"", 3) && names_version("*", 3) && !names_version("x", 3));
    }
}
