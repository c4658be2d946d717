//! Limit on listeners per clinic.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many a clinic may have.
const MOST: usize = 64;

/// The listeners by clinic. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<String, usize>>>);

/// A listener's place; given back when dropped.
pub struct Listener {
    clinic: String,
    all: Listeners,
}

impl Listeners {
    pub(super) fn enter(&self, clinic: &str) -> Option<Listener> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(clinic.to_owned()).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        metrics::gauge!("cocm_event_streams").increment(1);
        Some(Listener { clinic: clinic.to_owned(), all: self.clone() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.clinic) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.clinic);
            }
        }
        metrics::gauge!("cocm_event_streams").decrement(1);
    }
}
