//! Words of ours and of others, for a card that somebody else's program shows.

/// The longest summary, in UTF-16 units as browsers count: the specification says less than 140 characters.
const LONGEST_SUMMARY: usize = 139;

/// One line of plain text that fits into a summary. Programs that take it for HTML find none in it.
pub fn summary(text: &str) -> String {
    let plain = one_line(text).replace('<', "‹").replace('>', "›").replace('&', "+");
    if units(&plain) <= LONGEST_SUMMARY {
        return plain;
    }
    let mut cut = String::new();
    for c in plain.chars() {
        if units(&cut) + c.len_utf16() >= LONGEST_SUMMARY {
            break;
        }
        cut.push(c);
    }
    let whole_words = cut.rfind(' ').filter(|at| *at > cut.len() / 2).map_or(cut.as_str(), |at| &cut[..at]);
    format!("{}…", whole_words.trim_end_matches([' ', ',', ';', ':', '.']))
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Somebody's words as one line of Markdown that means nothing but these words: no markup, no link, no HTML.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Schemes, addresses and `www.` become links by themselves.
            '.' if !matches!(before, 'w' | 'W') => escaped.push('.'),
            ',' | ';' | '-' | '\'' | '"' | '/' | '%' | '?' => escaped.push(c),
            c if c.is_ascii_punctuation() => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
        before = c;
    }
    escaped
}

/// Without control characters and those that turn the direction of writing; every space one space.
fn one_line(text: &str) -> String {
    let is_seen = |c: &char| {
        !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            && (!c.is_control() || c.is_whitespace())
    };
    let seen: String = text.chars().filter(is_seen).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{escaped, summary};

    proptest! {
        #[test]
        fn a_summary_is_short_and_holds_no_markup(text in "\\PC{0,400}|[ -~\u{1F600}-\u{1F64F}\n]{100,300}") {
            let said = summary(&text);
            prop_assert!(said.encode_utf16().count() < 140, "{said}");
            prop_assert!(!said.contains(['<', '>', '&', '\n']));
        }

        #[test]
        fn escaped_words_are_one_line_without_tags_and_links(text in "\\PC{0,60}|[ -~\n]{0,60}") {
            let said = escaped(&text);
            prop_assert!(!said.contains(['<', '>', '\n', '\r']), "{said}");
            prop_assert!(!said.contains("://") && !said.to_lowercase().contains("www."), "{said}");
            prop_assert!(!said.contains("](") && !said.contains("!["), "{said}");
        }
    }

    #[test]
    fn words_stay_readable() {
        let reason = "PHQ-9 16 on 2026-02-16, day 42: 11% below the baseline of 18.";
        assert_eq!(escaped(reason), "PHQ-9 16 on 2026-02-16, day 42\\: 11% below the baseline of 18.");
        assert_eq!(escaped("<b>Kim</b> & *Lee* [x](y)"), "&lt;b&gt;Kim&lt;/b&gt; &amp; \\*Lee\\* \\[x\\]\\(y\\)");
        assert_eq!(summary("Short, and whole."), "Short, and whole.");
        let long = "word, ".repeat(40);
        assert!(summary(&long).ends_with("word…"), "{}", summary(&long));
    }
}
