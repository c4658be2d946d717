//! The time zone that decides what counts as a day.

use std::collections::HashMap;

use chrono_tz::Tz;

/// The time zone of each clinic.
#[derive(Clone, Debug)]
pub struct Zones {
    /// For a clinic that is not named.
    pub default: Tz,
    pub by_clinic: HashMap<String, Tz>,
}

impl Zones {
    /// The zone of a clinic.
    pub fn of(&self, clinic: &str) -> Tz {
        self.by_clinic.get(clinic).copied().unwrap_or(self.default)
    }
}
