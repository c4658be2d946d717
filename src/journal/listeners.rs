//! Limit on listeners per clinic.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::limits::{CLINIC_STREAMS, PERSON_STREAMS};

/// So long a person who comes back to the events is the same listener to the journal.
const SAME_LISTENER: TimeDelta = TimeDelta::hours(1);

/// The listeners by clinic and person. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<String, ClinicStreams>>>);

#[derive(Default)]
struct ClinicStreams {
    open: usize,
    people: HashMap<String, PersonStreams>,
}

#[derive(Default)]
struct PersonStreams {
    open: usize,
    /// When the journal last got a line about it.
    journaled: Option<DateTime<Utc>>,
}

/// A listener's place; given back when dropped.
pub struct Listener {
    clinic: String,
    person: String,
    all: Listeners,
}

/// Why nobody more can listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// They have as many streams as one person may.
    OfThePerson,
    /// Everybody in the clinic together has.
    OfTheClinic,
}

impl Listeners {
    fn with<T>(&self, clinic: &str, change: impl FnOnce(&mut ClinicStreams) -> T) -> T {
        let mut clinics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(clinics.entry(clinic.to_owned()).or_default())
    }

    pub(super) fn enter(&self, clinic: &str, person: &str) -> Result<Listener, TooMany> {
        self.with(clinic, |clinic| {
            let open = clinic.people.get(person).map_or(0, |person| person.open);
            if open >= PERSON_STREAMS {
                return Err(TooMany::OfThePerson);
            }
            if clinic.open >= CLINIC_STREAMS {
                return Err(TooMany::OfTheClinic);
            }
            clinic.open += 1;
            clinic.people.entry(person.to_owned()).or_default().open += 1;
            Ok(())
        })?;
        metrics::gauge!("cocm_event_streams").increment(1);
        Ok(Listener { clinic: clinic.to_owned(), person: person.to_owned(), all: self.clone() })
    }

    /// Whether this person's listening needs a line in the journal: a page that is left and opened, or a connection that
    /// breaks, is not news.
    pub(super) fn is_new(&self, clinic: &str, person: &str, now: DateTime<Utc>) -> bool {
        self.with(clinic, |clinic| {
            let is_recent = |at: DateTime<Utc>| now - at < SAME_LISTENER && now >= at;
            clinic.people.retain(|_, person| person.open > 0 || person.journaled.is_some_and(is_recent));
            let person = clinic.people.entry(person.to_owned()).or_default();
            let is_new = !person.journaled.is_some_and(is_recent);
            if is_new {
                person.journaled = Some(now);
            }
            is_new
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.all.with(&self.clinic, |clinic| {
            clinic.open = clinic.open.saturating_sub(1);
            if let Some(person) = clinic.people.get_mut(&self.person) {
                person.open = person.open.saturating_sub(1);
            }
        });
        metrics::gauge!("cocm_event_streams").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_persons_streams_keep_nobody_else_out() {
        let all = Listeners::default();
        let mut open: Vec<_> = (0..PERSON_STREAMS).map(|_| all.enter("a", "maria").ok().unwrap()).collect();
        assert_eq!(all.enter("a", "maria").err(), Some(TooMany::OfThePerson));
        assert!(all.enter("a", "jo").is_ok() && all.enter("b", "maria").is_ok());
        open.pop();
        assert!(all.enter("a", "maria").is_ok());
        let crowd: Vec<_> = (0..CLINIC_STREAMS).filter_map(|n| all.enter("a", &n.to_string()).ok()).collect();
        assert_eq!(crowd.len() + open.len(), CLINIC_STREAMS);
        assert_eq!(all.enter("a", "jo").err(), Some(TooMany::OfTheClinic));
    }

    #[test]
    fn the_journal_hears_of_a_listener_once_an_hour() {
        let (all, begin) = (Listeners::default(), DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let at = |minutes| begin + TimeDelta::minutes(minutes);
        let new: Vec<_> = [0, 1, 59, 60, 61].map(|minutes| all.is_new("a", "maria", at(minutes))).into();
        assert_eq!(new, [true, false, false, true, false]);
        assert!(all.is_new("a", "jo", at(61)) && all.is_new("b", "maria", at(61)));
    }
}
