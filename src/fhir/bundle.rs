//! A Bundle as it arrives: an envelope of entries that are only read one by one, so that an odd one fails alone.

mod links;
mod target;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::problem::{Category, Problem};

pub use links::BundleLinks;
pub use target::RequestTarget;

/// How many entries a Bundle may have.
pub const MOST_ENTRIES: usize = 1000;

/// Purpose of a Bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundlePurpose {
    /// Each entry is a request of its own.
    Batch,
    /// The entries are requests: all or nothing.
    Transaction,
    /// The entries are resources: take what can be taken.
    Collection,
    /// A collection, newest first, with deletions; or a notification.
    History,
}

/// A Bundle whose entries have not been looked at.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    pub purpose: BundlePurpose,
    pub entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct BundleEnvelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
}

/// One entry of a Bundle.
#[derive(Clone, Debug, Default)]
pub struct BundleEntry<'a> {
    /// URL by which other entries refer to it.
    pub full_url: Option<Cow<'a, str>>,
    /// The resource, not looked at.
    pub resource: Option<&'a RawValue>,
    /// Request of the entry.
    pub request: Option<BundleRequest<'a>>,
}

/// Request of a Bundle entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleRequest<'a> {
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Relative to the base.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// `If-None-Exist`.
    #[serde(borrow, default)]
    pub if_none_exist: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub if_match: Option<Cow<'a, str>>,
    /// `If-None-Match`.
    #[serde(borrow, default)]
    pub if_none_match: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry<'a> {
    #[serde(borrow)]
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceName<'a> {
    #[serde(borrow)]
    resource_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

/// The type and the id that a document says it has.
pub fn name_of(raw: &str) -> Option<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    let named: ResourceName<'_> = serde_json::from_str(raw.trim_start_matches('\u{feff}')).ok()?;
    Some((named.resource_type?, named.id))
}

impl<'a> Bundle<'a> {
    /// Reads the envelope.
    ///
    /// # Errors
    /// With its place, what is wrong with the Bundle itself.
    pub fn read(raw: &'a str) -> Result<Self, Problem> {
        let envelope: BundleEnvelope<'a> = serde_json::from_str(raw).map_err(|e| {
            Problem::malformed(format!("not a Bundle: line {}, column {}", e.line(), e.column())).at("Bundle")
        })?;
        let kind: Option<Cow<'_, str>> = envelope.kind.and_then(|kind| serde_json::from_str(kind.get()).ok());
        let purpose = match kind.as_deref() {
            Some("batch") => BundlePurpose::Batch,
            Some("transaction") => BundlePurpose::Transaction,
            Some("collection" | "searchset") => BundlePurpose::Collection,
            // The last is R5's name, which backports use in the wild.
            Some("history" | "subscription-notification") => BundlePurpose::History,
            Some("document" | "message" | "batch-response" | "transaction-response") => {
                return Err(Problem::unprocessable("Bundles of this type are not taken in here").at("Bundle.type"));
            }
            _ => return Err(Problem::malformed("type is missing or no Bundle type").at("Bundle.type")),
        };
        let entries: Vec<&RawValue> = match envelope.entry {
            None => Vec::new(),
            Some(entries) => serde_json::from_str(entries.get())
                .map_err(|_| Problem::malformed("entry must be a list").at("Bundle.entry"))?,
        };
        if entries.len() > MOST_ENTRIES {
            let detail = format!("a Bundle may have {MOST_ENTRIES} entries here, this one has {}", entries.len());
            return Err(Problem::new(Category::TooLarge, detail).at("Bundle.entry"));
        }
        Ok(Self { purpose, entries })
    }
}

impl<'a> BundleEntry<'a> {
    /// Reads one entry; its resource stays unread.
    ///
    /// # Errors
    /// With the place within the entry.
    pub fn read(raw: &'a RawValue) -> Result<Self, Problem> {
        let entry: RawEntry<'a> =
            serde_json::from_str(raw.get()).map_err(|_| Problem::malformed("not a Bundle entry"))?;
        let request = match entry.request {
            None => None,
            Some(request) => Some(
                serde_json::from_str(request.get())
                    .map_err(|_| Problem::malformed("request needs method and url, as strings").at("request"))?,
            ),
        };
        Ok(Self { full_url: entry.full_url, resource: entry.resource, request })
    }
}

/// A problem inside of entry `index`, with its place seen from the Bundle.
pub fn inside(problem: Problem, index: usize) -> Problem {
    let entry = format!("Bundle.entry[{index}]");
    let place = match problem.expression.as_deref() {
        None => entry,
        Some(place) if place.starts_with("Bundle.") => place.to_owned(),
        Some(place) => match place.split_once('.') {
            _ if place == "Resource" => format!("{entry}.resource"),
            // `Patient.id` and the like speak of the resource, `request.url` of the entry.
            Some((kind, rest)) if kind.starts_with(|c: char| c.is_ascii_uppercase()) => {
                format!("{entry}.resource.{rest}")
            }
            _ => format!("{entry}.{place}"),
        },
    };
    problem.at(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_says_what_is_wrong_with_it() {
        for (raw, status, place) in [
            ("[]", 400, "Bundle"),
            ("{", 400, "Bundle"),
            (r#"{"resourceType":"Bundle"}"#, 400, "Bundle.type"),
            (r#"{"resourceType":"Bundle","type":7}"#, 400, "Bundle.type"),
            (r#"{"resourceType":"Bundle","type":"message"}"#, 422, "Bundle.type"),
            (r#"{"resourceType":"Bundle","type":"batch","entry":{}}"#, 400, "Bundle.entry"),
        ] {
            let problem = Bundle::read(raw).unwrap_err();
            assert_eq!((problem.category.status(), problem.expression.as_deref()), (status, Some(place)), "{raw}");
        }
        let many = format!(r#"{{"type":"batch","entry":[{}]}}"#, vec!["{}"; MOST_ENTRIES + 1].join(","));
        assert_eq!(Bundle::read(&many).unwrap_err().category, Category::TooLarge);
        assert!(Bundle::read(r#"{"type":"collection"}"#).unwrap().entries.is_empty());
    }

    #[test]
    fn an_odd_entry_fails_alone() {
        let raw =
            r#"{"type":"batch","entry":[7,{"request":{"method":"POST"}},{"resource":{"resourceType":"Patient"}}]}"#;
        let bundle = Bundle::read(raw).unwrap();
        let read: Vec<_> = bundle.entries.iter().map(|entry| BundleEntry::read(entry)).collect();
        assert!(read[0].is_err());
        assert_eq!(read[1].as_ref().unwrap_err().expression.as_deref(), Some("request"));
        assert_eq!(name_of(read[2].as_ref().unwrap().resource.unwrap().get()).unwrap().0, "Patient");
    }

    #[test]
    fn a_place_is_seen_from_the_bundle() {
        let seen = |place: &str| inside(Problem::malformed("x").at(place), 3).expression.unwrap();
        assert_eq!(seen("Resource"), "Bundle.entry[3].resource");
        assert_eq!(seen("Patient.id"), "Bundle.entry[3].resource.id");
        assert_eq!(seen("request.url"), "Bundle.entry[3].request.url");
        assert_eq!(inside(Problem::malformed("x"), 0).expression.as_deref(), Some("Bundle.entry[0]"));
    }
}
