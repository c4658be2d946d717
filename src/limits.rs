//! What a request may cost, in one place. The numbers stand in the OpenAPI document ([`in_words`]).
//!
//! JSON is measured before anything is built from it: one pass over the bytes, without an allocation. A tree takes up
//! to a hundred times the memory of its text, so a bound on bytes alone bounds nothing.

use std::time::Duration;

use crate::problem::{Category, Problem};

/// Largest ordinary body, after decompression, unless the operator sets another.
pub const BODY_BYTES: usize = 1 << 20;
/// Largest Bundle, notification or file, after decompression, unless the operator sets another.
pub const BUNDLE_BYTES: usize = 8 << 20;
/// Most entries of one Bundle.
pub const BUNDLE_ENTRIES: usize = 1000;
/// Most resources that a notification names one by one. One that names more is taken as "look again": the sweep
/// finds what it would have named.
pub const NOTIFICATION_NAMES: usize = 2000;

/// A body must keep coming: so long a pause is allowed at its beginning…
pub const BODY_PATIENCE: Duration = Duration::from_secs(5);
/// …and each second more has to bring so much.
pub const BODY_BYTES_PER_SECOND: u64 = 8 << 10;
/// Most connections from one address.
pub const PEER_CONNECTIONS: usize = 768;
/// Most requests in work at once, of all clients together.
pub const REQUESTS: usize = 512;
/// Most requests in work at once, of one client.
pub const CLIENT_REQUESTS: usize = 128;
/// Most requests that one client begins in a second.
pub const CLIENT_REQUESTS_PER_SECOND: u32 = 2000;

/// Most event streams of one person, or one program, in a clinic.
pub const PERSON_STREAMS: usize = 8;
/// Most event streams of a clinic.
pub const CLINIC_STREAMS: usize = 256;

/// Levels that a Bundle adds around its resources.
const BUNDLE_LEVELS: usize = 4;
/// No level may be deeper than this, whatever the budget.
const DEEPEST: usize = 96;

/// How large a JSON document may be, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonBudget {
    /// Levels of nesting.
    pub depth: usize,
    /// Values in all: objects, lists, strings, numbers.
    pub values: usize,
    /// Elements of one list, or members of one object.
    pub width: usize,
}

impl JsonBudget {
    /// The body of an API request.
    pub const REQUEST: Self = Self { depth: 64, values: 10_000, width: 1000 };
    pub const RESOURCE: Self = Self { depth: 64, values: 32_768, width: 32_768 };
    /// A notification: read whole, though only ids are taken from it.
    pub const NOTIFICATION: Self = Self { depth: 64 + BUNDLE_LEVELS, values: 100_000, width: 100_000 };
    /// A Bundle, or a page of search results: its resources are read one by one.
    pub const BUNDLE: Self = Self { depth: 64 + BUNDLE_LEVELS, values: 500_000, width: 100_000 };

    /// Fails if the document is larger, or a string holds U+0000 (FHIR forbids it, and PostgreSQL cannot keep it).
    /// Looks at bytes only: what is not JSON passes and is the parser's to refuse.
    pub fn check(self, json: &[u8]) -> Result<(), Problem> {
        let (mut depth, mut values) = (0, 1);
        // How many elements the list or object at each level has so far.
        let mut width = [0_usize; DEEPEST + 1];
        let mut bytes = json.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'[' | b'{' => {
                    depth += 1;
                    values += 1;
                    at_most(depth, self.depth.min(DEEPEST), "levels of nesting")?;
                    width[depth] = 1;
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' => {
                    values += 1;
                    width[depth] += 1;
                    at_most(width[depth], self.width, "elements in one list")?;
                }
                b'"' => skip_string(&mut bytes)?,
                _ => {}
            }
            at_most(values, self.values, "values in all")?;
        }
        Ok(())
    }
}

/// The bounds, for the reader of the API's document.
pub fn in_words() -> String {
    let JsonBudget { depth, values, width } = JsonBudget::REQUEST;
    let (resource, bundle) = (JsonBudget::RESOURCE.values, JsonBudget::BUNDLE.values);
    format!(
        "Bounds (413 beyond them): a body has up to {BODY_BYTES} bytes after decompression, a Bundle, notification or \
         file {BUNDLE_BYTES}, unless the operator sets other sizes. JSON nests up to {depth} levels. A request to \
         `/api/v1` has up to {values} values in all and {width} elements in one list; a \
         FHIR resource has up to {resource} values, a Bundle {bundle} in {BUNDLE_ENTRIES} entries. A notification that \
         names more than {NOTIFICATION_NAMES} resources is taken as \"look again\". One person has up to {PERSON_STREAMS} \
         event streams, a clinic {CLINIC_STREAMS}, and one client (whoever a token or cookie stands for) \
         {CLIENT_REQUESTS} requests in work and {CLIENT_REQUESTS_PER_SECOND} a second (429 with `Retry-After` beyond \
         them). A body that brings less than {BODY_BYTES_PER_SECOND} bytes a second is refused: 408."
    )
}

fn at_most(found: usize, most: usize, what: &str) -> Result<(), Problem> {
    if found <= most {
        Ok(())
    } else {
        Err(Problem::new(Category::TooLarge, format!("the JSON may have at most {most} {what}")))
    }
}

/// Goes behind the end of a string.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) -> Result<(), Problem> {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => {
                let escaped = bytes.next();
                if escaped == Some(&b'u') && bytes.as_slice().starts_with(b"0000") {
                    return Err(Problem::malformed("text cannot contain U+0000"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(json: &str, budget: JsonBudget) -> bool {
        budget.check(json.as_bytes()).is_ok()
    }

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let depth = |depth| JsonBudget { depth, ..JsonBudget::RESOURCE };
        assert!(holds(r#"[{"a":[]}]"#, depth(3)));
        assert!(!holds(r#"[{"a":[]}]"#, depth(2)));
        assert!(holds(r#"["[[[[\"[[[[\\"]"#, depth(1)));
        assert!(!holds(r#"["\\", [[]]]"#, depth(2)));
        assert!(holds("[],[],[],{},{}", depth(1)));
        assert!(holds(r#""unfinished [[["#, depth(1)));
        assert!(holds("]]]]]][[", depth(2)));
        assert!(!holds(&"[".repeat(1 << 20), JsonBudget::RESOURCE));
        assert!(!holds(&"[".repeat(200), depth(usize::MAX)), "whatever the budget, the pass has an end");
    }

    #[test]
    fn values_and_the_elements_of_one_list_are_counted() {
        let values = |values| JsonBudget { values, ..JsonBudget::RESOURCE };
        assert!(holds(r#"{"a":[1,2],"b":"x,y,[z"}"#, values(5)));
        assert!(!holds(r#"{"a":[1,2],"b":"x,y,[z"}"#, values(4)));
        let width = |width| JsonBudget { width, ..JsonBudget::RESOURCE };
        assert!(holds("[[1,2],[3,4],[5,6]]", width(3)));
        assert!(!holds("[[1,2],[3,4],[5,6]]", width(2)));
        assert!(!holds("[[[]],[[]],[]]", width(2)), "a list goes on after the lists within it");
        assert!(holds(&format!("[{}0]", "0,".repeat(999)), JsonBudget::REQUEST));
        assert!(!holds(&format!("[{}0]", "0,".repeat(1000)), JsonBudget::REQUEST));
        assert!(!holds(&format!("[{}{{}}]", "{},".repeat(16_384)), JsonBudget::RESOURCE));
    }

    #[test]
    fn strings_hold_no_null_character() {
        assert!(holds(r#"["a\\u0000b"]"#, JsonBudget::RESOURCE));
        assert!(!holds(r#"["a\u0000b"]"#, JsonBudget::RESOURCE));
        assert!(!holds(r#"["a\\\u0000b"]"#, JsonBudget::RESOURCE));
    }
}
