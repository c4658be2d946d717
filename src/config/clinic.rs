//! The name of a clinic, the wall between one practice's data and another's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A clinic's name: `[a-z0-9][a-z0-9-_]{0,62}`. It leads every key in the database and is in every log line, so it
/// is short, plain and never a person's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClinicId(String);

impl ClinicId {
    /// Reads a name; the error says what is allowed.
    pub fn new(name: impl Into<String>) -> Result<Self, String> {
        let name = name.into();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts_well = name.bytes().next().is_some_and(plain);
        if starts_well && name.len() <= 63 && name.bytes().all(|b| plain(b) || b == b'-' || b == b'_') {
            Ok(Self(name))
        } else {
            Err("must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit".into())
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClinicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ClinicId {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::new(s)
    }
}

impl TryFrom<String> for ClinicId {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        Self::new(s)
    }
}

impl From<ClinicId> for String {
    fn from(id: ClinicId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::ClinicId;

    #[test]
    fn names_are_plain() {
        for good in ["demo", "a", "0", "north-side_2", &"a".repeat(63)] {
            assert!(ClinicId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "é", "a b", "a/b", "a\n", &"a".repeat(64)] {
            assert!(ClinicId::new(bad).is_err(), "{bad}");
        }
    }
}
