//! The questionnaires that we score. Everything about one of them stands in its file, `instrument/*.toml`: names, codes,
//! items, answers, bands, sources. A new file is a new instrument.

mod definition;
mod registry;
mod translation;
pub mod words;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use definition::{Aside, Band, Definition, Item, SafetyQuestion, Scale, Strangers, Supplement};
pub use registry::{add, yes_no};

/// A questionnaire that the registry scores: the id of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "&'static str")]
pub struct Instrument(&'static str);

/// Those that rules and measures of others name. Everything else asks the registry.
impl Instrument {
    pub const PHQ9: Self = Self("phq9");
    pub const GAD7: Self = Self("gad7");
    pub const PHQ2: Self = Self("phq2");
    pub const PHQ9_MODIFIED: Self = Self("phq9_modified");
    pub const PCL5: Self = Self("pcl5");
}

impl Instrument {
    /// Every instrument, in the order of lists.
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<Instrument>> =
            LazyLock::new(|| registry::all().iter().map(|definition| Instrument(&definition.id)).collect());
        &ALL
    }

    /// What its file says.
    #[expect(
        clippy::expect_used,
        reason = "an instrument is made only from a definition, and a test reads the five above"
    )]
    pub fn definition(self) -> &'static Definition {
        registry::all().iter().find(|definition| definition.id == self.0).expect("an instrument has a definition")
    }

    /// Its name in the API.
    pub fn id(self) -> &'static str {
        self.0
    }

    /// Its name in print.
    pub fn title(self) -> &'static str {
        &self.definition().title
    }

    /// Whether it measures depression: these share a column of the caseload.
    pub fn measures_depression(self) -> bool {
        self.definition().measures == "depression"
    }

    /// How many items it has.
    pub fn item_count(self) -> usize {
        self.definition().items.len()
    }

    /// The item (0-based) that asks about thoughts of death or self-harm.
    pub fn self_harm_item(self) -> Option<usize> {
        self.definition().self_harm
    }

    /// The highest possible total.
    pub fn max_total(self) -> u16 {
        self.definition().max_total()
    }

    /// The severity band of a total.
    pub fn band(self, total: u16) -> &'static str {
        self.definition().bands.iter().rev().find(|band| total >= band.from).map_or("", |band| &band.name)
    }
}

impl Ord for Instrument {
    /// The order of lists.
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |one: &Self| (one.definition().order, one.0);
        if self == other { Ordering::Equal } else { place(self).cmp(&place(other)) }
    }
}

impl PartialOrd for Instrument {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// Not derived: that would borrow the id from what is read.
impl<'de> Deserialize<'de> for Instrument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl From<Instrument> for &'static str {
    fn from(instrument: Instrument) -> Self {
        instrument.0
    }
}

impl FromStr for Instrument {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = || Self::all().iter().map(|instrument| instrument.0).collect::<Vec<_>>().join(", ");
        let found = Self::all().iter().find(|instrument| instrument.0 == s);
        found.copied().ok_or_else(|| format!("unknown instrument; known are {}", known()))
    }
}

impl TryFrom<String> for Instrument {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

/// An instrument may come with a clinic's configuration, so the document does not list them: `GET instruments` does.
impl utoipa::PartialSchema for Instrument {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some("The id of an instrument, as `GET instruments` lists them: `phq9`, `gad7`, …"))
            .examples(["phq9"])
            .into()
    }
}

impl utoipa::ToSchema for Instrument {}

#[cfg(test)]
mod tests;
