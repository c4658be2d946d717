//! From page to page of a search by `_lastUpdated`, so that nothing is passed over. Pure.
//!
//! A server that counts pages by offset moves everything up by one place when something on an earlier page is changed,
//! because that goes to the end: whatever stood first on the next page is then on none. So where the order can be
//! relied upon, the next page is asked for by the last change that was seen ("from there on") instead of by the
//! server's link; the link is followed only within one instant that fills a whole page.

use std::collections::HashSet;

use chrono::{DateTime, SubsecRound, Utc};

/// Next step after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// Ask for what was changed from this instant on.
    From(DateTime<Utc>),
    /// Follow the server's link.
    Follow(String),
    Nothing,
}

#[derive(Clone, Debug)]
pub struct SweepWalk {
    /// Start of the search.
    from: Option<DateTime<Utc>>,
    /// The order can be relied upon.
    in_order: bool,
    /// The last change on the page before.
    last: Option<DateTime<Utc>>,
    followed: HashSet<String>,
}

impl SweepWalk {
    /// A walk from an instant on; `in_order` where the server was asked to sort.
    pub fn new(from: Option<DateTime<Utc>>, in_order: bool) -> Self {
        Self { from, in_order, last: None, followed: HashSet::new() }
    }

    /// Everything before this instant has been seen; `None` where the order does not tell.
    pub fn seen_before(&self) -> Option<DateTime<Utc>> {
        self.last.filter(|_| self.in_order)
    }

    /// Takes note of a page: when each of its resources was changed, and its link.
    ///
    /// # Errors
    /// When the server's links lead in a circle.
    pub fn after(&mut self, changes: &[Option<DateTime<Utc>>], link: Option<String>) -> Result<WalkStep, &'static str> {
        self.look(changes);
        let Some(link) = link else { return Ok(WalkStep::Nothing) };
        if let Some(last) = self.seen_before()
            && self.from.is_none_or(|from| last > from)
        {
            self.from = Some(last);
            // Another search, so its links are new, too.
            self.followed.clear();
            return Ok(WalkStep::From(last));
        }
        if !self.followed.insert(link.clone()) {
            return Err("its links to the next page lead in a circle");
        }
        Ok(WalkStep::Follow(link))
    }

    fn look(&mut self, changes: &[Option<DateTime<Utc>>]) {
        for change in changes {
            // Searches are sent with milliseconds, and some servers keep microseconds.
            let change = change.map(|change| change.trunc_subsecs(3));
            let before = self.last.max(self.from);
            match change {
                Some(change) if before.is_none_or(|before| change >= before) => self.last = Some(change),
                // Not sorted, or not even filtered: the links are all there is to go by.
                _ => self.in_order = false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(second, 0)
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a page says of its next one")]
    fn link(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn a_sorted_server_is_asked_from_the_last_change_on() {
        let mut walk = SweepWalk::new(at(10), true);
        assert_eq!(walk.after(&[at(10), at(11)], link("p2")), Ok(WalkStep::From(at(11).unwrap())));
        assert_eq!(walk.after(&[at(11), at(12)], link("p2")), Ok(WalkStep::From(at(12).unwrap())));
        assert_eq!(walk.after(&[at(12)], None), Ok(WalkStep::Nothing));
        assert_eq!(walk.seen_before(), at(12));
    }

    #[test]
    fn within_one_instant_the_links_are_followed() {
        let mut walk = SweepWalk::new(at(10), true);
        assert_eq!(walk.after(&[at(10), at(10)], link("a")), Ok(WalkStep::Follow("a".into())));
        assert_eq!(walk.after(&[at(10), at(10)], link("b")), Ok(WalkStep::Follow("b".into())));
        assert_eq!(walk.after(&[at(10), at(11)], link("c")), Ok(WalkStep::From(at(11).unwrap())));
    }

    #[test]
    fn microseconds_do_not_pretend_to_be_progress() {
        let close = |micros: i64| DateTime::from_timestamp_micros(10_000_000 + micros);
        let mut walk = SweepWalk::new(at(10), true);
        assert_eq!(walk.after(&[close(1), close(900)], link("a")), Ok(WalkStep::Follow("a".into())));
    }

    #[test]
    fn a_server_that_does_not_sort_or_filter_is_only_followed() {
        for page in [[at(12), at(11)], [at(3), at(12)], [at(11), None]] {
            let mut walk = SweepWalk::new(at(10), true);
            assert_eq!(walk.after(&page, link("a")), Ok(WalkStep::Follow("a".into())), "{page:?}");
            assert_eq!(walk.seen_before(), None);
        }
        let mut walk = SweepWalk::new(None, false);
        assert_eq!(walk.after(&[at(1), at(2)], link("a")), Ok(WalkStep::Follow("a".into())));
    }

    #[test]
    fn a_circle_is_noticed() {
        let mut walk = SweepWalk::new(None, false);
        assert!(walk.after(&[], link("a")).is_ok());
        assert!(walk.after(&[], link("b")).is_ok());
        assert!(walk.after(&[], link("a")).is_err());
    }
}
