//! The names that become part of a URL: ids of resources and names of types.

/// The longest id we accept. FHIR allows 64 characters; Epic's ids are longer.
const LONGEST: usize = 255;

/// Whether a text can be a logical id: what FHIR allows, and the longer ids and `_` of real servers. It becomes part of
/// URLs, so `.`, `..` and everything that could end a path segment are refused.
pub fn is_logical_id(id: &str) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id != "."
        && id != ".."
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Whether a text can be the name of a resource type.
pub fn is_type_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    fn an_id_that_would_change_the_path_is_refused(
        #[values("", ".", "..", "a/b", "a?b", "a#b", "a b", "%2e%2e", "é")] id: &str,
    ) {
        assert!(!is_logical_id(id));
    }

    #[test]
    fn the_long_ids_of_real_servers_are_accepted() {
        assert!(is_logical_id(&"e_1-.".repeat(51)));
        assert!(!is_logical_id(&"x".repeat(256)));
    }
}
