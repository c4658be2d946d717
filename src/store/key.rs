//! Shortens keys to what an index can hold. PostgreSQL refuses index rows beyond 2,704 bytes, and identifiers that
//! arrive have no such limit: a long one must not be lost.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The longest key that is kept as it is, in bytes: what PostgreSQL took before keys were shortened is found as before.
const LONGEST: usize = 2_000;
/// How much of a name a list shows, in characters.
const SHOWN: usize = 200;

/// A key as it is stored and looked for: a long one by its beginning and its SHA-256.
pub(super) fn indexed(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…sha256:{}", beginning(text, SHOWN), URL_SAFE_NO_PAD.encode(Sha256::digest(text))))
}

/// A name as it stands in a list.
pub(super) fn listed(text: &str) -> &str {
    beginning(text, SHOWN)
}

fn beginning(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_short_and_still_its_own() {
        let long = format!("urn:x|{}", "ü".repeat(5_000));
        assert_eq!(indexed("urn:x|1"), "urn:x|1");
        assert!(indexed(&long).starts_with("urn:x|ü") && indexed(&long).len() < 600);
        assert_eq!(indexed(&long), indexed(&long.clone()));
        assert_ne!(indexed(&long), indexed(&format!("{long}ü")));
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(listed("张无忌"), "张无忌");
        assert_eq!(listed(&"ü".repeat(300)), "ü".repeat(200));
    }
}
