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

/// Escapes free text into one line of Markdown that contains only these words: no markup, no link, no HTML.
pub fn escaped(text: &str) -> String {
    let line = one_line(text);
    let mut escaped = String::with_capacity(line.len() + 8);
    let mut before = ' ';
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let is_number = !escaped.is_empty() && escaped.bytes().all(|b| b.is_ascii_digit());
        let means_itself = match c {
            // Addresses become links by themselves, with a scheme or without.
            ':' => rest.peek() != Some(&'/'),
            '.' => !matches!(before, 'w' | 'W') && !is_number,
            // A list begins with these.
            ')' => !is_number,
            '-' => !escaped.is_empty(),
            c => ",;'\"/%?(!=".contains(c) || !c.is_ascii_punctuation(),
        };
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c if means_itself => escaped.push(c),
            c => escaped.extend(['\\', c]),
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
            prop_assert!(!said.replace("\\:", "·").contains(":/") && !said.to_lowercase().contains("www."), "{said}");
            prop_assert!(!said.replace("\\]", "").contains(']') && !said.replace("\\[", "").contains('['), "{said}");
            prop_assert!(!said.starts_with(['#', '-', '+', '*', '`']) , "{said}");
        }
    }

    #[test]
    fn words_stay_readable() {
        let reason = "PHQ-9 16 on 2026-02-16, day 42: 11% below the baseline of 18.";
        assert_eq!(escaped(reason), reason);
        assert_eq!(escaped("<b>Kim</b> & *Lee* [x](y)"), "&lt;b&gt;Kim&lt;/b&gt; &amp; \\*Lee\\* \\[x\\](y)");
        assert_eq!(
            escaped("1. www.evil.example https://evil.example"),
            "1\\. www\\.evil.example https\\://evil.example"
        );
        assert_eq!((escaped("- a").as_str(), escaped("# b").as_str()), ("\\- a", "\\# b"));
        assert_eq!(summary("Short, and whole."), "Short, and whole.");
        let long = "word, ".repeat(40);
        assert!(summary(&long).ends_with("word…"), "{}", summary(&long));
    }
}
