//! Texts of statements about several rows, in a few fixed sizes so that each is prepared once.

use std::fmt::Write as _;

/// The numbers of rows that one statement writes, largest first.
const WRITTEN: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// The numbers of values that a list in one statement holds, smallest first.
const LISTED: [usize; 4] = [1, 8, 64, 256];

/// One text for each size.
pub struct Texts(Vec<(usize, String)>);

impl Texts {
    /// `{head} VALUES ($1, $2, …), ($1, …) {tail}`. `$1` is the clinic; each row has so many places after it.
    pub fn values(head: &str, places: usize, tail: &str) -> Self {
        Self::written(|rows| {
            let mut text = format!("{head} VALUES");
            for row in 0..rows {
                text.push_str(if row == 0 { " ($1" } else { ", ($1" });
                for place in 0..places {
                    let _ = write!(text, ", ${}", 2 + row * places + place);
                }
                text.push(')');
            }
            text + " " + tail
        })
    }

    /// `UPDATE {table} SET … FROM (VALUES …) WHERE …`: of each row, the columns of its key, then those that change.
    pub fn update(table: &str, key: &[&str], columns: &[&str]) -> Self {
        let places = key.len() + columns.len();
        let change = |(n, column): (usize, &&str)| format!("{column} = v.column{}", key.len() + n + 1);
        let changes: Vec<String> = columns.iter().enumerate().map(change).collect();
        let is_row = |(n, column): (usize, &&str)| format!("{table}.{column} = v.column{}", n + 1);
        let matches: Vec<String> = key.iter().enumerate().map(is_row).collect();
        Self::written(|rows| {
            let row = |row: usize| {
                let places: Vec<String> = (0..places).map(|place| format!("${}", 2 + row * places + place)).collect();
                format!("({})", places.join(", "))
            };
            let rows: Vec<String> = (0..rows).map(row).collect();
            format!(
                "UPDATE {table} SET {} FROM (VALUES {}) AS v WHERE {table}.clinic_id = $1 AND {}",
                changes.join(", "),
                rows.join(", "),
                matches.join(" AND ")
            )
        })
    }

    fn written(text: impl Fn(usize) -> String) -> Self {
        Self(WRITTEN.into_iter().map(|rows| (rows, text(rows))).collect())
    }

    /// `{head} ($2, $3, …) {tail}`: a list from place `first` on.
    pub fn list(head: &str, first: usize, tail: &str) -> Self {
        let text = |values: usize| {
            let places: Vec<String> = (first..first + values).map(|place| format!("${place}")).collect();
            format!("{head} ({}) {tail}", places.join(", "))
        };
        Self(LISTED.into_iter().map(|values| (values, text(values))).collect())
    }

    /// `SELECT * FROM ({one with $2 and $3}) UNION ALL …`: the answers to several questions of two values each.
    pub fn pairs(one: impl Fn(usize, usize) -> String) -> Self {
        let text = |pairs: usize| {
            let each: Vec<String> = (1..=pairs)
                .map(|pair| format!("SELECT * FROM ({}) AS of_{pair}", one(2 * pair, 2 * pair + 1)))
                .collect();
            each.join(" UNION ALL ")
        };
        Self(LISTED.into_iter().map(|values| (values, text(values))).collect())
    }

    /// Rows in pieces that have a text of exactly their size.
    pub fn pieces<'r, T>(&'static self, mut rows: &'r [T]) -> impl Iterator<Item = (&'static str, &'r [T])> {
        std::iter::from_fn(move || {
            let (size, text) = self.0.iter().find(|(size, _)| *size <= rows.len() && *size > 0)?;
            let (piece, rest) = rows.split_at(*size);
            rows = rest;
            Some((text.as_str(), piece))
        })
    }

    /// Values in pieces, each with a text that has room for it, and with that room: what is left of it repeats a value.
    pub fn lists<'r, T>(&'static self, values: &'r [T]) -> impl Iterator<Item = (&'static str, usize, &'r [T])> {
        values.chunks(LISTED[LISTED.len() - 1]).filter_map(|piece| {
            let (size, text) = self.0.iter().find(|(size, _)| *size >= piece.len())?;
            Some((text.as_str(), *size, piece))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    #[test]
    fn each_row_has_places_of_its_own_and_all_have_the_clinics() {
        static TEXTS: LazyLock<Texts> =
            LazyLock::new(|| Texts::values("INSERT INTO t (clinic_id, a, b)", 2, "ON CONFLICT DO NOTHING"));
        let rows = [0; 100];
        let pieces: Vec<(&str, usize)> = TEXTS.pieces(&rows).map(|(text, piece)| (text, piece.len())).collect();
        assert_eq!(pieces.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [64, 32, 4]);
        assert!(pieces[2].0.ends_with("($1, $6, $7), ($1, $8, $9) ON CONFLICT DO NOTHING"), "{}", pieces[2].0);
    }

    #[test]
    fn an_update_names_its_rows_by_their_key() {
        static TEXTS: LazyLock<Texts> = LazyLock::new(|| Texts::update("t", &["id"], &["a", "b"]));
        let two = TEXTS.pieces(&[0; 2]).next().map(|(text, _)| text);
        let expected = "UPDATE t SET a = v.column2, b = v.column3 FROM (VALUES ($2, $3, $4), ($5, $6, $7)) AS v \
            WHERE t.clinic_id = $1 AND t.id = v.column1";
        assert_eq!(two, Some(expected));
    }

    #[test]
    fn a_list_has_room_for_its_values() {
        static TEXTS: LazyLock<Texts> = LazyLock::new(|| Texts::list("a = $1 AND b IN", 2, "ORDER BY b"));
        let sizes = |values: &[i32]| TEXTS.lists(values).map(|(_, room, some)| (room, some.len())).collect::<Vec<_>>();
        assert_eq!(sizes(&[0; 300]), [(256, 256), (64, 44)]);
        assert_eq!(sizes(&[]), []);
        assert_eq!(TEXTS.lists(&[0]).next().map(|(text, ..)| text), Some("a = $1 AND b IN ($2) ORDER BY b"));
    }
}
