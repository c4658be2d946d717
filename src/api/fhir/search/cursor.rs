//! The place in a search's order where a page begins, as a text for its link.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

/// Where a page begins: after this place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchCursor {
    pub at: DateTime<Utc>,
    pub id: String,
}

impl SearchCursor {
    /// Reads one that we wrote.
    pub fn read(text: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (micros, id) = plain.split_once(' ')?;
        Some(Self { at: DateTime::from_timestamp_micros(micros.parse().ok()?)?, id: id.to_owned() })
    }

    pub(super) fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {}", self.at.timestamp_micros(), self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::SearchCursor;

    #[test]
    fn a_cursor_reads_as_it_is_written() {
        let cursor = SearchCursor { at: "2026-03-02T10:00:00.123456Z".parse().unwrap(), id: "a b".into() };
        assert_eq!(SearchCursor::read(&cursor.write()), Some(cursor));
        assert_eq!(SearchCursor::read("nonsense"), None);
    }
}
