//! Finding a person by what somebody types: parts of the name in any order and without accents, or a number of the record.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words of a search that are looked for one by one; the last takes what is typed beyond.
pub const MOST_WORDS: usize = 3;

/// A name as it is compared: lower case, without accents, one space between words.
pub fn folded(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for c in name.nfkd().flat_map(char::to_lowercase).filter(|c| !is_combining_mark(*c)) {
        match c {
            // Letters that Unicode does not take apart.
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ı' => folded.push('i'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            // O’Brien is found as obrien.
            '\'' | '’' | 'ʼ' => {}
            c if !separates(c) => folded.push(c),
            _ if folded.is_empty() || folded.ends_with(' ') => {}
            _ => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// Whether a character stands between two words of a name.
fn separates(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '.' | '-' | '‐' | '‑' | '–' | '—' | '/' | '(' | ')' | '"')
}

/// What somebody typed to find a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonSearch {
    /// Folded words that the name contains, each anywhere.
    pub words: Vec<String>,
    /// Text that a record number or chart id contains; only where a digit was typed.
    pub number: Option<String>,
}

impl PersonSearch {
    /// Reads what was typed. `None` where nothing was: then everybody is meant.
    pub fn of(typed: &str) -> Option<Self> {
        let typed = typed.trim();
        if typed.is_empty() {
            return None;
        }
        let folded = folded(typed);
        let words = folded.splitn(MOST_WORDS, ' ').map(str::to_owned).collect();
        let number = typed.contains(|c: char| c.is_ascii_digit()).then(|| typed.to_lowercase());
        Some(Self { words, number })
    }

    /// Whether a person of this name and these keys (`Patient/123`, `system|value`) is meant.
    pub fn finds(&self, name: &str, keys: &[&str]) -> bool {
        let name = folded(name);
        let is_named = !self.finds_nobody() && self.words.iter().all(|word| name.contains(word.as_str()));
        let value = |key: &str| key.rsplit(['|', '/']).next().unwrap_or_default().to_lowercase();
        is_named || self.number.as_ref().is_some_and(|number| keys.iter().any(|key| value(key).contains(number)))
    }

    /// Nothing but signs was typed: no name contains them.
    fn finds_nobody(&self) -> bool {
        self.words.iter().all(String::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::{PersonSearch, folded};

    #[test]
    fn names_are_compared_without_accents_case_and_punctuation() {
        for (name, same) in [
            ("Åsa Bergström", "asa bergstrom"),
            ("  Siobhán O’Brien-Núñez ", "siobhan obrien nunez"),
            ("Łukasz Großmann", "lukasz grossmann"),
            ("Đỗ Thị Hằng", "do thi hang"),
            ("İpek Işık", "ipek isik"),
            ("张无忌", "张无忌"),
            ("—", ""),
        ] {
            assert_eq!(folded(name), same);
            assert_eq!(folded(&folded(name)), same, "folded twice it stays");
        }
    }

    #[test]
    fn any_part_in_any_order_finds_a_person() {
        let finds = |typed: &str| PersonSearch::of(typed).unwrap().finds("Carmen Okafor Díaz", &["Patient/demo-003"]);
        for typed in ["okafor, carmen", "OKA", "diaz", "men okafor", "carmen okafor díaz", "demo-003", "o-003", "003"]
        {
            assert!(finds(typed), "{typed}");
        }
        for typed in ["okafor, carla", "demo-004", "%", "O_afor", "—", "okafor carmen diaz x"] {
            assert!(!finds(typed), "{typed}");
        }
        assert_eq!(PersonSearch::of("  "), None);
    }

    #[test]
    fn a_number_is_looked_for_in_values_and_not_in_namespaces() {
        let keys = ["https://ehr2.example/mrn|M41003", "Patient/a1"];
        let finds = |typed: &str| PersonSearch::of(typed).unwrap().finds("Ann Lee", &keys);
        assert!(finds("m41003") && finds("41003") && finds("a1"));
        assert!(!finds("ehr2"));
    }
}
