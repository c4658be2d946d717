//! A bound on nesting, before any parser recurses.

use crate::problem::{Category, Problem};

/// Deepest JSON read. FHIR's own resources stay below 20.
pub const DEEPEST: usize = 64;

/// Fails if arrays and objects nest deeper than `deepest`, or a string holds U+0000 (FHIR forbids it, and PostgreSQL
/// cannot keep it). Looks at bytes only, so whatever is not JSON passes and is
/// the parser's to refuse.
pub fn check_depth(json: &[u8], deepest: usize) -> Result<(), Problem> {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > deepest {
                    let detail = format!("nests deeper than {deepest} levels");
                    return Err(Problem::new(Category::TooLarge, detail));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes)?,
            _ => {}
        }
    }
    Ok(())
}

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
    use super::check_depth;

    #[test]
    fn depth_is_counted_outside_strings_only() {
        assert!(check_depth(br#"[{"a":[]}]"#, 3).is_ok());
        assert!(check_depth(br#"[{"a":[]}]"#, 2).is_err());
        assert!(check_depth(br#"["[[[[\"[[[[\\"]"#, 1).is_ok());
        assert!(check_depth(br#"["\\", [[]]]"#, 2).is_err());
        assert!(check_depth(br"[],[],[],{},{}", 1).is_ok());
        assert!(check_depth(br#""unfinished [[["#, 1).is_ok());
        assert!(check_depth(b"]]]]]][[", 2).is_ok());
        assert!(check_depth(br#"["a\\u0000b"]"#, 2).is_ok());
        assert!(check_depth(br#"["a\u0000b"]"#, 2).is_err());
        assert!(check_depth(br#"["a\\\u0000b"]"#, 2).is_err());
        assert!(check_depth("[".repeat(1 << 20).as_bytes(), 64).is_err());
    }
}
