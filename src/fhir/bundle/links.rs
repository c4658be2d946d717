//! References between the entries of a Bundle: `urn:uuid:…` means nothing outside of it.

use std::collections::HashMap;

/// References between the entries of a Bundle, and the ids they are stored under.
#[derive(Clone, Debug, Default)]
pub struct BundleLinks(HashMap<String, String>);

impl BundleLinks {
    /// Whether nothing has to be rewritten.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Remembers that `full_url` is stored as `reference` (`Patient/1`).
    pub fn add(&mut self, full_url: &str, reference: String) {
        // An address that ends like this is understood as it stands.
        if !full_url.ends_with(&format!("/{reference}")) {
            self.0.insert(full_url.to_owned(), reference);
        }
    }

    /// A resource with its references to other entries replaced; `None` where there are none.
    ///
    /// Only strings that stand behind `"reference":` are looked at, and everything else stays to the letter.
    pub fn resolve(&self, raw: &str) -> Option<String> {
        const MEMBER: &str = "\"reference\"";
        if self.is_empty() {
            return None;
        }
        let mut resolved = String::new();
        let mut done = 0;
        for (at, _) in raw.match_indices(MEMBER) {
            let Some((start, end)) = string_behind(raw, at + MEMBER.len()) else { continue };
            if let Some(reference) = self.0.get(&raw[start..end]) {
                resolved.push_str(&raw[done..start]);
                resolved.push_str(reference);
                done = end;
            }
        }
        if done == 0 {
            return None;
        }
        resolved.push_str(&raw[done..]);
        Some(resolved)
    }
}

/// Where the string behind a member's name begins and ends, if it is one. Strings with escapes are no references.
fn string_behind(raw: &str, at: usize) -> Option<(usize, usize)> {
    let rest = raw[at..].trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let start = raw.len() - rest.len();
    Some((start, start + rest.find('"')?))
}

#[cfg(test)]
mod tests {
    use super::BundleLinks;

    #[test]
    fn references_are_replaced_and_nothing_else() {
        let mut links = BundleLinks::default();
        links.add("urn:uuid:1", "Patient/a".into());
        links.add("https://ehr/Patient/7", "Patient/7".into());
        let raw = r#"{"text":"urn:uuid:1","code":"reference","identifier":{"value":"urn:uuid:1"},
            "subject":{"reference" : "urn:uuid:1"},"source":{"reference":"urn:uuid:1"},
            "author":{"reference":"https://ehr/Patient/7"},"x":{"reference":7},"note":"\"reference\":\"urn:uuid:1\""}"#;
        let resolved = links.resolve(raw).unwrap();
        assert_eq!(resolved.matches("Patient/a").count(), 2);
        assert_eq!(resolved.replace("Patient/a", "urn:uuid:1"), raw);
        assert_eq!(links.resolve(r#"{"subject":{"reference":"urn:uuid:2"}}"#), None);
        assert_eq!(links.resolve("\"reference\""), None);
    }
}
