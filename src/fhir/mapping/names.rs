//! What stands in canonicals and linkIds.

/// The part of a canonical or a reference that names the form: not the host, not the version.
pub(in crate::fhir) fn name_in_canonical(canonical: &str) -> &str {
    let path = canonical.split('|').next().unwrap_or(canonical).trim_end_matches('/');
    let path = path.split_once("://").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let is_version = |segment: &str| {
        let segment = segment.strip_prefix('v').unwrap_or(segment);
        segment.starts_with(|c: char| c.is_ascii_digit()) && segment.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    path.rsplit('/').find(|segment| !is_version(segment)).unwrap_or(path)
}

/// The last code shaped like LOINC's in a linkId, a canonical or a definition: `/44250-9`, `…/q/44249-1`, `LOINC:44250-9`.
pub(in crate::fhir) fn loinc_in(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut end = text.len();
    // The dash is found first: most linkIds have none.
    while let Some(dash) = text[..end].rfind('-') {
        let start = bytes[..dash].iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |at| at + 1);
        let has_check_digit = bytes.get(dash + 1).is_some_and(u8::is_ascii_digit);
        let ends = bytes.get(dash + 2).is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'-');
        let starts = start == 0 || !(bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'-');
        if (4..=6).contains(&(dash - start)) && has_check_digit && ends && starts {
            return Some(&text[start..dash + 2]);
        }
        end = dash;
    }
    None
}

/// Whether codes of a system are LOINC's or SNOMED CT's. Real ones come without a system too, and as an OID.
pub(in crate::fhir) fn is_of_terminology(system: Option<&str>) -> bool {
    let known = ["loinc", "snomed", "2.16.840.1.113883.6.1", "2.16.840.1.113883.6.96"];
    system.is_none_or(|system| known.iter().any(|name| system.to_ascii_lowercase().contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonicals_name_is_neither_its_host_nor_its_version() {
        for (canonical, name) in [
            ("https://phq9.example.org/Questionnaire/intake", "intake"),
            ("https://x.example/phq-9/1.0.2", "phq-9"),
            ("https://x.example/phq-9/v2/|3", "phq-9"),
            ("Questionnaire/phq-9|2.0", "phq-9"),
            ("phq-9", "phq-9"),
            ("https://phq9.example.org", ""),
        ] {
            assert_eq!(name_in_canonical(canonical), name, "{canonical}");
        }
    }

    #[test]
    fn loinc_codes_are_found_where_forms_hide_them() {
        for (text, code) in [
            ("/44250-9", Some("44250-9")),
            ("44250-9", Some("44250-9")),
            ("/44249-1/44250-9", Some("44250-9")),
            ("http://loinc.org/q/44249-1", Some("44249-1")),
            ("LOINC:44250-9.value", Some("44250-9")),
            ("phq9-1", None),
            ("LA6568-5", None),
            ("1-2-3", None),
            ("2026-03-04", None),
            ("", None),
        ] {
            assert_eq!(loinc_in(text), code, "{text}");
        }
    }
}
