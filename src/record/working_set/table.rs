//! Rows of one table in memory: as they were gathered, as they are now, and how to take back what changed since a mark.

use std::collections::BTreeMap;

/// Rows by key, in order of key: whatever is written, is written in this order.
pub struct Table<K, V> {
    rows: BTreeMap<K, Row<V>>,
    /// What each change replaced, oldest first.
    replaced: Vec<(K, Option<Row<V>>)>,
}

struct Row<V> {
    /// Whether the database has it.
    is_stored: bool,
    /// `None` where there is none.
    now: Option<V>,
    differs: bool,
}

/// What has to be written.
#[derive(Debug, PartialEq, Eq)]
pub enum Difference<'a, V> {
    /// The database has none.
    New(&'a V),
    /// The database has another one.
    Other(&'a V),
}

impl<'a, V> Difference<'a, V> {
    /// The row as it is now.
    pub fn now(&self) -> &'a V {
        match self {
            Self::New(row) | Self::Other(row) => row,
        }
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), replaced: Vec::new() }
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// Whether a row was looked for.
    pub fn is_known(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    /// A row as it is now; `None` where there is none, or where none was looked for.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)?.now.as_ref()
    }

    /// The rows that there are now.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().filter_map(|(key, row)| Some((key, row.now.as_ref()?)))
    }

    /// The rows that there are now, from a key on.
    pub fn from(&self, first: K) -> impl Iterator<Item = (&K, &V)> {
        self.rows.range(first..).filter_map(|(key, row)| Some((key, row.now.as_ref()?)))
    }

    /// Takes in what the database has under a key. What was changed here already stays.
    pub fn gathered(&mut self, key: K, now: Option<V>) {
        if self.rows.get(&key).is_none_or(|row| !row.differs) {
            self.rows.insert(key, Row { is_stored: now.is_some(), now, differs: false });
        }
    }

    /// Puts a row in place of what there is, if there is one.
    pub fn set(&mut self, key: K, now: V) {
        let is_stored = self.rows.get(&key).is_some_and(|row| row.is_stored);
        self.replace(key, is_stored, now);
    }

    /// Changes a row that there is; where it was forgotten since it was read, the database has it.
    pub fn update(&mut self, key: K, now: V) {
        let is_stored = self.rows.get(&key).is_none_or(|row| row.is_stored);
        self.replace(key, is_stored, now);
    }

    fn replace(&mut self, key: K, is_stored: bool, now: V) {
        let before = self.rows.insert(key.clone(), Row { is_stored, now: Some(now), differs: true });
        self.replaced.push((key, before));
    }

    /// What has to be written, in order of key.
    pub fn differences(&self) -> impl Iterator<Item = (&K, Difference<'_, V>)> {
        self.rows.iter().filter(|(_, row)| row.differs).filter_map(|(key, row)| {
            let now = row.now.as_ref()?;
            Some((key, if row.is_stored { Difference::Other(now) } else { Difference::New(now) }))
        })
    }
}

/// Changes that can be taken back.
pub trait Undo {
    /// A point to return to.
    fn mark(&self) -> usize;

    /// Takes back every change since a mark.
    fn take_back(&mut self, mark: usize);
}

impl<K: Ord + Clone, V> Undo for Table<K, V> {
    fn mark(&self) -> usize {
        self.replaced.len()
    }

    fn take_back(&mut self, mark: usize) {
        for (key, before) in self.replaced.drain(mark..).rev() {
            match before {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &Table<u8, &'static str>) -> Vec<(u8, Difference<'static, &'static str>)> {
        let of = |(key, difference): (&u8, Difference<'_, &'static str>)| match difference {
            Difference::New(text) => (*key, Difference::New(leaked(text))),
            Difference::Other(text) => (*key, Difference::Other(leaked(text))),
        };
        table.differences().map(of).collect()
    }

    fn leaked(text: &&'static str) -> &'static &'static str {
        Box::leak(Box::new(*text))
    }

    #[test]
    fn each_row_that_differs_is_written_once_and_in_order() {
        let mut table = Table::default();
        table.gathered(2, Some("stored"));
        table.gathered(3, Some("unchanged"));
        table.set(2, "changed");
        table.set(1, "new");
        table.set(1, "newer");
        assert_eq!(written(&table), [(1, Difference::New(&"newer")), (2, Difference::Other(&"changed"))]);
    }

    #[test]
    fn what_was_forgotten_is_changed_where_it_is_stored() {
        let mut table = Table::default();
        table.set(1, "new");
        table.update(1, "newer");
        table.update(2, "changed");
        assert_eq!(written(&table), [(1, Difference::New(&"newer")), (2, Difference::Other(&"changed"))]);
    }

    #[test]
    fn what_is_taken_back_was_never_changed() {
        let mut table = Table::default();
        table.gathered(1, Some("stored"));
        table.set(1, "kept");
        let mark = table.mark();
        table.set(1, "taken back");
        table.set(2, "taken back");
        table.take_back(mark);
        assert_eq!(written(&table), [(1, Difference::Other(&"kept"))]);
        assert!(!table.is_known(&2));
    }

    #[test]
    fn what_is_gathered_late_replaces_no_change() {
        let mut table = Table::default();
        table.set(1, "changed");
        table.gathered(1, Some("stored"));
        assert_eq!(table.get(&1), Some(&"changed"));
    }
}
