//! Texts in one normal form, so that a capital, an accent or a hyphen more or less does not matter.

/// Lower case, no accents, one space between words, no punctuation.
pub fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    // Most texts are ASCII, where lower case is one instruction away.
    if text.is_ascii() {
        for b in text.bytes() {
            if b.is_ascii_alphanumeric() {
                normal.push(char::from(b.to_ascii_lowercase()));
            } else if !normal.is_empty() && !normal.ends_with(' ') {
                normal.push(' ');
            }
        }
        normal.truncate(normal.trim_end().len());
        return normal;
    }
    for c in text.chars().flat_map(char::to_lowercase) {
        let plain = match c {
            'á' | 'à' | 'â' | 'ä' | 'ã' | 'å' => 'a',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'í' | 'ì' | 'î' | 'ï' => 'i',
            'ó' | 'ò' | 'ô' | 'ö' | 'õ' | 'ø' => 'o',
            'ú' | 'ù' | 'û' | 'ü' => 'u',
            'ñ' => 'n',
            'ç' => 'c',
            'ß' => {
                normal.push('s');
                's'
            }
            // A combining accent follows its letter.
            '\u{300}'..='\u{36f}' => continue,
            c if c.is_alphanumeric() => c,
            _ => ' ',
        };
        if plain != ' ' || !(normal.is_empty() || normal.ends_with(' ')) {
            normal.push(plain);
        }
    }
    normal.truncate(normal.trim_end().len());
    normal
}

/// Whether a text in normal form holds a phrase in normal form as whole words. Chinese writes no spaces.
pub fn holds(text: &str, phrase: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_none_or(|c| c == ' ') || !phrase.is_ascii() && !phrase.contains(' ');
    text.match_indices(phrase)
        .any(|(at, found)| is_edge(text[..at].chars().next_back()) && is_edge(text[at + found.len()..].chars().next()))
}

/// A name as its runs of letters and of digits: `PHQ-9A` and `phq_9 a` are both `phq`, `9`, `a`.
pub fn tokens(name: &str) -> Vec<String> {
    let normal = normal(name);
    let mut tokens: Vec<String> = Vec::new();
    let mut last: Option<bool> = None;
    for c in normal.chars() {
        let is_digit = c.is_ascii_digit();
        match tokens.last_mut() {
            _ if c == ' ' => last = None,
            Some(token) if last == Some(is_digit) => token.push(c),
            _ => tokens.push(c.to_string()),
        }
        if c != ' ' {
            last = Some(is_digit);
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_case_and_punctuation_do_not_matter() {
        for (text, plain) in [
            ("Más de la mitad de los DÍAS.", "mas de la mitad de los dias"),
            ("Mas\u{301} de", "mas de"),
            ("  2 -  Großes ", "2 grosses"),
            ("d'intérêt", "d interet"),
        ] {
            assert_eq!(normal(text), plain);
        }
    }

    #[test]
    fn a_phrase_is_found_as_whole_words_only() {
        assert!(holds("thoughts of hurting yourself in some way", "hurting yourself"));
        assert!(!holds("unhurting yourself", "hurting yourself") && !holds("hurting yourselves", "hurting yourself"));
        assert!(holds(&normal("有不如死掉或用某种方式伤害自己的念头"), "不如死掉"));
    }

    #[test]
    fn a_name_is_its_runs_of_letters_and_digits() {
        assert_eq!(tokens("CIRG-GAD7"), ["cirg", "gad", "7"]);
        assert_eq!(tokens("phq9_01"), ["phq", "9", "01"]);
        assert_eq!(tokens("PHQ-2/9"), ["phq", "2", "9"]);
    }
}
