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

/// The numbers of values that a list in a statement holds, smallest first.
const LISTED: [usize; 4] = [1, 8, 64, 256];

/// Texts of statements about every row whose key is in a list: one for each length, so that each is prepared once.
pub struct Lists(Vec<(usize, String)>);

impl Lists {
    /// `{head} ($2, $3, …) {tail}`: a list from place 2 on.
    pub fn new(head: &str, tail: &str) -> Self {
        let text = |values: usize| {
            let places: Vec<String> = (2..2 + values).map(|place| format!("${place}")).collect();
            format!("{head} ({}) {tail}", places.join(", "))
        };
        Self(LISTED.into_iter().map(|values| (values, text(values))).collect())
    }

    /// Values in pieces, each with a text that has room for it, and with that room: what is left of it repeats a value.
    pub fn pieces<'v, T>(&'static self, values: &'v [T]) -> impl Iterator<Item = (&'static str, usize, &'v [T])> {
        values.chunks(LISTED[LISTED.len() - 1]).filter_map(|piece| {
            let (room, text) = self.0.iter().find(|(room, _)| *room >= piece.len())?;
            Some((text.as_str(), *room, piece))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    #[test]
    fn a_list_has_room_for_its_values() {
        static TEXTS: LazyLock<Lists> = LazyLock::new(|| Lists::new("a = $1 AND b IN", "ORDER BY b"));
        let sizes = |values: &[i32]| TEXTS.pieces(values).map(|(_, room, some)| (room, some.len())).collect::<Vec<_>>();
        assert_eq!(sizes(&[0; 300]), [(256, 256), (64, 44)]);
        assert_eq!(sizes(&[]), []);
        assert_eq!(TEXTS.pieces(&[0]).next().map(|(text, ..)| text), Some("a = $1 AND b IN ($2) ORDER BY b"));
    }

    #[test]
    fn each_row_has_places_of_its_own_and_all_have_the_clinics() {
        let texts = texts("INSERT INTO t (clinic_id, a, b)", 2, "ON CONFLICT DO NOTHING");
        assert_eq!(texts[0], "INSERT INTO t (clinic_id, a, b) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
        assert!(texts[2].contains("VALUES ($1, $2, $3), ($1, $4, $5), ($1, $6, $7) ON"), "{}", texts[2]);
        assert_eq!(texts.len(), MOST);
    }
}
