//! The questionnaires we score, as data: items, codes, answers, bands.
//!
//! Codes are LOINC. Sources: LOINC 2.78 panels 44249-1, 69737-5, 55757-9, 89206-7 and 101697-1; bands from
//! Kroenke 2001 (PHQ-9), Spitzer 2006 (GAD-7), Kroenke 2003 (PHQ-2), Weathers 2013 (PCL-5).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A questionnaire that the registry scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Instrument {
    /// Patient Health Questionnaire, nine items, 0–27.
    Phq9,
    /// Generalized Anxiety Disorder scale, seven items, 0–21.
    Gad7,
    /// The first two items of the PHQ-9, 0–6: a screener.
    Phq2,
    /// PHQ-9 modified for teens, 0–27.
    Phq9Modified,
    /// PTSD checklist for DSM-5, twenty items, 0–80.
    Pcl5,
}

/// One band of severity: scores from `from` up to the next band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeverityBand {
    /// The lowest score of the band.
    pub from: u16,
    /// Clinical name.
    pub name: &'static str,
}

/// Definition of an instrument.
#[derive(Debug)]
pub struct Definition {
    /// Its name in the API.
    pub id: &'static str,
    /// Its name in print.
    pub title: &'static str,
    /// LOINC code of the panel.
    pub panel: &'static str,
    /// Codes of the total score: LOINC, and SNOMED CT where one is used in the wild.
    pub totals: &'static [&'static str],
    /// LOINC codes of the items in order; empty where LOINC's codes are not verified.
    pub items: &'static [&'static str],
    pub item_count: usize,
    /// The highest answer to one item; the lowest is 0.
    pub item_max: u8,
    /// How many items may be missing for a prorated total.
    pub may_miss: usize,
    /// Severity bands, ascending.
    pub bands: &'static [SeverityBand],
    /// The item (0-based) that asks about suicidal thoughts, where there is one.
    pub suicide_item: Option<usize>,
    /// Items that are asked beside it and never summed.
    pub never_summed: &'static [&'static str],
}

const PHQ9_ITEMS: [&str; 9] =
    ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"];

const PHQ9_BANDS: [SeverityBand; 5] = [
    SeverityBand { from: 0, name: "minimal" },
    SeverityBand { from: 5, name: "mild" },
    SeverityBand { from: 10, name: "moderate" },
    SeverityBand { from: 15, name: "moderately severe" },
    SeverityBand { from: 20, name: "severe" },
];

static PHQ9: Definition = Definition {
    id: "phq9",
    title: "PHQ-9",
    panel: "44249-1",
    totals: &["44261-6", "720433000"],
    items: &PHQ9_ITEMS,
    item_count: 9,
    item_max: 3,
    may_miss: 2,
    bands: &PHQ9_BANDS,
    suicide_item: Some(8),
    never_summed: &["69722-7"],
};

static GAD7: Definition = Definition {
    id: "gad7",
    title: "GAD-7",
    panel: "69737-5",
    totals: &["70274-6"],
    items: &["69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"],
    item_count: 7,
    item_max: 3,
    may_miss: 2,
    bands: &[
        SeverityBand { from: 0, name: "minimal" },
        SeverityBand { from: 5, name: "mild" },
        SeverityBand { from: 10, name: "moderate" },
        SeverityBand { from: 15, name: "severe" },
    ],
    suicide_item: None,
    never_summed: &["69722-7"],
};

static PHQ2: Definition = Definition {
    id: "phq2",
    title: "PHQ-2",
    panel: "55757-9",
    totals: &["55758-7"],
    items: &["44250-9", "44255-8"],
    item_count: 2,
    item_max: 3,
    may_miss: 0,
    bands: &[SeverityBand { from: 0, name: "negative screen" }, SeverityBand { from: 3, name: "positive screen" }],
    suicide_item: None,
    never_summed: &[],
};

static PHQ9_MODIFIED: Definition = Definition {
    id: "phq9_modified",
    title: "PHQ-9 modified for teens",
    panel: "89206-7",
    totals: &["89204-2"],
    items: &[],
    item_count: 9,
    item_max: 3,
    may_miss: 2,
    bands: &PHQ9_BANDS,
    suicide_item: Some(8),
    never_summed: &["69722-7"],
};

static PCL5: Definition = Definition {
    id: "pcl5",
    title: "PCL-5",
    panel: "101697-1",
    totals: &["101698-9"],
    items: &[],
    item_count: 20,
    item_max: 4,
    may_miss: 2,
    bands: &[SeverityBand { from: 0, name: "below the cut-off" }, SeverityBand { from: 33, name: "probable PTSD" }],
    suicide_item: None,
    never_summed: &[],
};

impl Instrument {
    /// Every instrument.
    pub const ALL: [Self; 5] = [Self::Phq9, Self::Gad7, Self::Phq2, Self::Phq9Modified, Self::Pcl5];

    /// Its definition.
    pub fn definition(self) -> &'static Definition {
        match self {
            Self::Phq9 => &PHQ9,
            Self::Gad7 => &GAD7,
            Self::Phq2 => &PHQ2,
            Self::Phq9Modified => &PHQ9_MODIFIED,
            Self::Pcl5 => &PCL5,
        }
    }

    /// Its name in the API.
    pub fn id(self) -> &'static str {
        self.definition().id
    }

    /// Whether it measures depression: these share a column of the caseload.
    pub fn measures_depression(self) -> bool {
        matches!(self, Self::Phq9 | Self::Phq9Modified | Self::Phq2)
    }

    /// The highest possible total.
    pub fn max_total(self) -> u16 {
        let definition = self.definition();
        u16::try_from(definition.item_count).unwrap_or(0) * u16::from(definition.item_max)
    }

    /// The severity band of a total.
    pub fn band(self, total: u16) -> &'static str {
        self.definition().bands.iter().rev().find(|band| total >= band.from).map_or("", |band| band.name)
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition().title)
    }
}

impl FromStr for Instrument {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|i| i.id() == s)
            .ok_or_else(|| format!("unknown instrument; known are {}", Self::ALL.map(Self::id).join(", ")))
    }
}

impl TryFrom<String> for Instrument {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Instrument::Phq9, &[(0, "minimal"), (4, "minimal"), (5, "mild"), (9, "mild"), (10, "moderate"), (14, "moderate"),
        (15, "moderately severe"), (19, "moderately severe"), (20, "severe"), (27, "severe")])]
    #[case(Instrument::Gad7, &[(0, "minimal"), (4, "minimal"), (5, "mild"), (9, "mild"), (10, "moderate"), (14, "moderate"),
        (15, "severe"), (21, "severe")])]
    #[case(Instrument::Phq2, &[(2, "negative screen"), (3, "positive screen")])]
    #[case(Instrument::Pcl5, &[(32, "below the cut-off"), (33, "probable PTSD")])]
    fn the_bands_begin_where_their_authors_say(#[case] instrument: Instrument, #[case] bands: &[(u16, &str)]) {
        for (total, name) in bands {
            assert_eq!(instrument.band(*total), *name, "{instrument} {total}");
        }
    }

    #[test]
    fn an_instrument_is_named_in_the_api_and_in_print_and_may_not_miss_all_its_items() {
        for (instrument, id, title, most) in [
            (Instrument::Phq9, "phq9", "PHQ-9", 27),
            (Instrument::Gad7, "gad7", "GAD-7", 21),
            (Instrument::Phq2, "phq2", "PHQ-2", 6),
            (Instrument::Phq9Modified, "phq9_modified", "PHQ-9 modified for teens", 27),
            (Instrument::Pcl5, "pcl5", "PCL-5", 80),
        ] {
            assert_eq!((instrument.id(), instrument.to_string().as_str(), instrument.max_total()), (id, title, most));
            assert_eq!(id.to_owned().try_into(), Ok(instrument));
            assert!(instrument.definition().may_miss < instrument.definition().item_count, "a mean needs an answer");
        }
        assert!("PHQ9".parse::<Instrument>().unwrap_err().contains("phq9"), "what is known is named");
    }
}
