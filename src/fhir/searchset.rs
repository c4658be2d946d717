//! A page of a search, as a server answers it: an envelope whose resources are only looked at from outside.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::date::FhirDate;
use crate::problem::Problem;

/// A page of what was found.
#[derive(Clone, Debug, Default)]
pub struct Searchset<'a> {
    /// Resources in the server's order, without outcomes.
    pub found: Vec<SearchsetResource<'a>>,
    /// The link to the next page.
    pub next: Option<String>,
    /// How many entries are none.
    pub odd: usize,
}

/// A resource that was found.
#[derive(Clone, Debug)]
pub struct SearchsetResource<'a> {
    pub kind: Cow<'a, str>,
    pub id: Option<Cow<'a, str>>,
    /// `meta.versionId`.
    pub version: Option<String>,
    /// `meta.lastUpdated`.
    pub updated: Option<DateTime<Utc>>,
    pub raw: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchsetEnvelope<'a> {
    #[serde(borrow)]
    resource_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    link: Option<&'a RawValue>,
    #[serde(borrow)]
    entry: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct BundleLink {
    relation: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct SearchsetEntry<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceHeader<'a> {
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMeta {
    version_id: Option<serde_json::Value>,
    last_updated: Option<String>,
}

impl<'a> Searchset<'a> {
    /// Reads a page.
    ///
    /// # Errors
    /// Where it is no Bundle.
    pub fn read(raw: &'a str) -> Result<Self, Problem> {
        let none = || Problem::malformed("what the server answers is no Bundle").at("Bundle");
        let envelope: SearchsetEnvelope<'a> =
            serde_json::from_str(raw.trim_start_matches('\u{feff}')).map_err(|_| none())?;
        if envelope.resource_type.as_deref() != Some("Bundle") {
            return Err(none());
        }
        let links: Vec<BundleLink> =
            envelope.link.and_then(|links| serde_json::from_str(links.get()).ok()).unwrap_or_default();
        let next = links.into_iter().find(|link| link.relation.as_deref() == Some("next")).and_then(|link| link.url);
        let mut page = Self { next, ..Self::default() };
        for entry in envelope.entry.into_iter().flatten() {
            match found(entry) {
                Some(found) if found.kind == "OperationOutcome" => {}
                Some(found) => page.found.push(found),
                None => page.odd += 1,
            }
        }
        Ok(page)
    }
}

fn found(entry: &RawValue) -> Option<SearchsetResource<'_>> {
    let raw = serde_json::from_str::<SearchsetEntry<'_>>(entry.get()).ok()?.resource?.get();
    outside(raw)
}

/// A resource, from outside.
pub fn outside(raw: &str) -> Option<SearchsetResource<'_>> {
    let outside: ResourceHeader<'_> = serde_json::from_str(raw).ok()?;
    let meta: Option<ResourceMeta> = outside.meta.and_then(|meta| serde_json::from_str(meta.get()).ok());
    let (version, updated) = meta.map_or((None, None), |meta| (meta.version_id, meta.last_updated));
    let version = version.map(|version| version.as_str().map_or_else(|| version.to_string(), str::to_owned));
    // The server's own clock, so a missing offset cannot be the clinic's.
    let updated =
        updated.and_then(|text| FhirDate::parse(&text)).and_then(|when| when.taken(Tz::UTC)).map(|taken| taken.at);
    Some(SearchsetResource { kind: outside.resource_type, id: outside.id, version, updated, raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_entry_hides_no_other() {
        let raw = r#"{"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"a"},
            {"relation":"next","url":"b"}],"entry":[7,{},{"resource":{"resourceType":"Patient","id":"1",
            "meta":{"versionId":3,"lastUpdated":"2026-03-02T09:00:00.123+01:00"}}},
            {"resource":{"resourceType":"OperationOutcome"}},{"resource":{"resourceType":"Patient","meta":"none"}}]}"#;
        let page = Searchset::read(raw).unwrap();
        assert_eq!((page.next.as_deref(), page.odd, page.found.len()), (Some("b"), 2, 2));
        let first = &page.found[0];
        assert_eq!((first.id.as_deref(), first.version.as_deref()), (Some("1"), Some("3")));
        assert_eq!(first.updated.unwrap().to_rfc3339(), "2026-03-02T08:00:00.123+00:00");
        assert_eq!((&page.found[1].id, &page.found[1].updated), (&None, &None));
        assert!(Searchset::read("<html>").is_err() && Searchset::read(r#"{"resourceType":"Patient"}"#).is_err());
    }
}
