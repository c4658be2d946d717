//! Instruments in names: canonicals, linkIds, titles, and codes inside them.

use std::borrow::Cow;

use crate::domain::instrument::Instrument;

/// LOINC panels and totals that carry items of ours, or are called like ours, and are other instruments: PHQ-4 and the
/// MDS resident interview (D0200).
pub(super) const FOREIGN_CODES: [&str; 3] = ["69724-3", "70272-0", "54635-8"];

/// Answers of the MDS resident interview, without their check digits: it asks for the same, and counts otherwise.
pub(in crate::fhir) const MDS_ANSWERS: [&str; 4] = ["LA10997-", "LA10998-", "LA10999-", "LA11000-"];

/// Instruments that a name mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::fhir) struct NamedInstruments {
    /// Our instruments, in the order named.
    pub(in crate::fhir) ours: Vec<Instrument>,
    /// The name is of a related instrument that we do not score: PHQ-4, PHQ-8, PHQ-15.
    pub(in crate::fhir) other: bool,
    /// The name is of the MDS resident interview, which calls itself PHQ-9.
    pub(in crate::fhir) mds: bool,
}

impl NamedInstruments {
    fn add(&mut self, instrument: Instrument) {
        if !self.ours.contains(&instrument) {
            self.ours.push(instrument);
        }
    }
}

/// The instruments in a name: `CIRG-GAD7`, `phq-9-example`, `PHQ-A`, `Patient Health Questionnaire 9`.
pub(in crate::fhir) fn named(text: &str) -> NamedInstruments {
    let mut names = NamedInstruments::default();
    let text = text.to_ascii_lowercase();
    let text = long_names(&text);
    for (at, _) in text.match_indices("phq") {
        phq(&text[at + 3..], &mut names);
    }
    for (word, number, instrument) in [("gad", "7", Instrument::Gad7), ("pcl", "5", Instrument::Pcl5)] {
        if text.match_indices(word).any(|(at, _)| number_after(&text[at + 3..]).0 == number) {
            names.add(instrument);
        }
    }
    let words = || text.split(|c: char| !c.is_ascii_alphanumeric());
    names.mds = words().any(|word| matches!(word, "mds" | "mds3" | "d0200" | "d0150" | "d0160"));
    names
}

/// Reads the rest after `phq`.
fn phq(rest: &str, names: &mut NamedInstruments) {
    let (number, rest) = number_after(rest);
    match number {
        "9" | "" if is_for_teens(rest) => names.add(Instrument::Phq9Modified),
        "9" => names.add(Instrument::Phq9),
        // PHQ-2/9 is the PHQ-9 that stops after two negative answers.
        "2" if number_after(rest).0 == "9" => names.add(Instrument::Phq9),
        "2" => names.add(Instrument::Phq2),
        "" => {}
        _ => names.other = true,
    }
}

/// The number after at most a few separators, and what comes then.
fn number_after(rest: &str) -> (&str, &str) {
    let start = rest.trim_start_matches(['-', '_', '.', ' ', '/']);
    let end = start.find(|c: char| !c.is_ascii_digit()).unwrap_or(start.len());
    start.split_at(end)
}

/// `-A`, `a`, `modified`, `teen`, …
fn is_for_teens(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['-', '_', '.', ' ', '(']);
    let is_word =
        |word: &str| rest.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
    is_word("a") || is_word("m") || ["modif", "teen", "adolesc"].iter().any(|word| rest.starts_with(word))
}

/// Spelled-out names as their abbreviations.
fn long_names(text: &str) -> Cow<'_, str> {
    if !text.contains("questionnaire") && !text.contains("disorder") {
        return Cow::Borrowed(text);
    }
    let mut text = text.to_owned();
    for separator in ["-", "_", " ", ""] {
        for (words, short) in [
            (["patient", "health", "questionnaire"], "phq"),
            (["generalized", "anxiety", "disorder"], "gad"),
            (["generalised", "anxiety", "disorder"], "gad"),
        ] {
            text = text.replace(&words.join(separator), short);
        }
    }
    Cow::Owned(text)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_are_found_in_names() {
        use Instrument::{Gad7, Pcl5, Phq2, Phq9, Phq9Modified};
        for (name, ours) in [
            ("phq9", &[Phq9][..]),
            ("questionnaire-sdc-profile-example-PHQ9", &[Phq9]),
            ("mii-qst-pro-phq-9", &[Phq9]),
            ("Patient Health Questionnaire 9 item", &[Phq9]),
            ("patient-health-questionnaire-9", &[Phq9]),
            ("PHQ-2/9", &[Phq9]),
            ("PHQ 2", &[Phq2]),
            ("phq-9-modified", &[Phq9Modified]),
            ("PHQ-A", &[Phq9Modified]),
            ("phq9a", &[Phq9Modified]),
            ("PHQ-9 Adult", &[Phq9]),
            ("CIRG-GAD7", &[Gad7]),
            ("phq9-gad7", &[Phq9, Gad7]),
            ("pcl-5", &[Pcl5]),
            ("PHQ-15", &[]),
            ("phq-8", &[]),
            ("gadget-7", &[]),
            ("PHQ", &[]),
            ("AUDIT-C", &[]),
        ] {
            assert_eq!(named(name).ours, ours, "{name}");
        }
        assert!(named("phq-4").other && named("MDS D0200 PHQ-9").mds && !named("phq-9").other);
    }

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
