//! Texts of statements that insert several rows at once: one for each number of rows, put together of literals when the
//! first of them is needed.

use std::fmt::Write as _;

/// The most rows of one statement.
pub const MOST: usize = 8;

/// `{head} VALUES ($1, $2, …), ($1, …) {tail}` for 1 to [`MOST`] rows. `$1` is the clinic; each row has so many places after it.
pub fn texts(head: &str, places: usize, tail: &str) -> Vec<String> {
    let text = |rows: usize| {
        let mut text = format!("{head} VALUES");
        for row in 0..rows {
            text.push_str(if row == 0 { " ($1" } else { ", ($1" });
            for place in 0..places {
                let _ = write!(text, ", ${}", 2 + row * places + place);
            }
            text.push(')');
        }
        text + " " + tail
    };
    (1..=MOST).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_places_of_its_own_and_all_have_the_clinics() {
        let texts = texts("INSERT INTO t (clinic_id, a, b)", 2, "ON CONFLICT DO NOTHING");
        assert_eq!(texts[0], "INSERT INTO t (clinic_id, a, b) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
        assert!(texts[2].contains("VALUES ($1, $2, $3), ($1, $4, $5), ($1, $6, $7) ON"), "{}", texts[2]);
        assert_eq!(texts.len(), MOST);
    }
}
