//! The clinical rules. No IO, no clock, no randomness below this line.
//!
//! Same facts, same date, same rule set: same answer. `tests/it/architecture.rs` keeps it so.

/// An enum whose values have one name each, the same in JSON, in the database and in print.
macro_rules! named {
    ($(#[doc = $doc:literal])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),+ }

        // Not derived: utoipa does not see a name that comes from a macro, and would document the variants' own.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .description(Some(concat!($($doc),*).trim()))
                    .enum_values(Some([$($text),+]))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(s: &str) -> Result<Self, String> {
                match s {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("must be one of {}", [$($text),+].join(", "))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(s: String) -> Result<Self, String> {
                s.parse()
            }
        }
    };
}

pub mod day;
pub mod patient_match;
pub mod search;
pub mod instrument;
pub mod waiting;
pub mod task;
pub mod care;
pub mod measurement;
pub mod score;
pub mod rules;
pub mod episode;
pub mod story;
pub mod history;
pub mod rule;
pub mod conclusion;
pub mod sentence;
pub mod finding;
pub mod recommendation;
pub mod target;
pub mod checkpoint;
pub mod cadence;
pub mod read_back;
pub mod safety;
pub mod plan_clock;
pub mod contacts;
pub mod standing;
pub mod candidate;
pub mod attention;
pub mod chart_plan;
pub mod graduation;
pub mod caseload_row;
pub mod metrics;
pub mod timeliness;
pub mod minutes;
pub mod medication;
