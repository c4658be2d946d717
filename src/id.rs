//! Ids that cannot be mixed up: a function that wants an episode does not accept a patient.
//!
//! On the wire, in columns and in stored JSON an id is its plain value, a UUID or a name. `build.rs` tells the OpenAPI
//! document the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[doc = $doc:literal])* $name:ident;)+) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A patient of one clinic.
    PatientId;
    /// One course of collaborative care of a patient.
    EpisodeId;
    /// One filled-in questionnaire or observed score.
    MeasurementId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_its_uuid_in_json_and_in_text() {
        let id = PatientId(Uuid::from_u128(7));
        let text = "00000000-0000-0000-0000-000000000007";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<PatientId>(&format!("\"{text}\"")).unwrap(), id);
        assert!("Patient/7".parse::<PatientId>().is_err());
    }
}
