//! A page of a type's history, as a server answers it: only what was deleted is taken from it.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bundle::RequestTarget;
use super::date::FhirDate;
use super::searchset::{Searchset, outside};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The ids of what was deleted, each once.
    pub deleted: Vec<String>,
    /// How many versions there are on it.
    pub versions: usize,
    /// When the last of them was made, where it is told.
    pub latest: Option<DateTime<Utc>>,
    /// The link to the next page.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct HistoryEnvelope<'a> {
    #[serde(borrow, default)]
    entry: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct HistoryEntry<'a> {
    request: HistoryRequest,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(default)]
    response: HistoryResponse,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HistoryResponse {
    last_modified: Option<String>,
}

#[derive(Deserialize)]
struct HistoryRequest {
    method: String,
    url: String,
}

impl HistoryPage {
    /// Reads a page; `None` where it is no Bundle. An odd entry hides no other.
    pub fn read(raw: &str) -> Option<Self> {
        let next = Searchset::read(raw).ok()?.next;
        let HistoryEnvelope { entry: entries } = serde_json::from_str(raw.trim_start_matches('\u{feff}')).ok()?;
        let mut page = Self { next, versions: entries.len(), ..Self::default() };
        for entry in entries {
            let Ok(HistoryEntry { request, resource, response }) = serde_json::from_str(entry.get()) else { continue };
            let told =
                response.last_modified.and_then(|text| FhirDate::parse(&text)).and_then(|when| when.taken(Tz::UTC));
            let updated = || resource.and_then(|resource| outside(resource.get())?.updated);
            page.latest = page.latest.max(told.map(|taken| taken.at).or_else(updated));
            let Ok(RequestTarget { id: Some(id), .. }) = RequestTarget::read(&request.url) else { continue };
            if request.method == "DELETE" && !page.deleted.iter().any(|one| one == id) {
                page.deleted.push(id.to_owned());
            }
        }
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_read_in_every_shape() {
        let raw = r#"{"resourceType":"Bundle","type":"history","link":[{"relation":"next","url":"n"}],"entry":[7,{},
            {"request":{"method":"DELETE","url":"Patient/1"},"response":{"lastModified":"2026-03-02T09:00:00+01:00"}},
            {"request":{"method":"DELETE","url":"Patient/1/_history/2"}},
            {"fullUrl":"x","request":{"method":"DELETE","url":"https://ehr.example/fhir/Patient/2/_history/9"}},
            {"resource":{"resourceType":"Patient","id":"3","meta":{"lastUpdated":"2026-03-02T08:30:00Z"}},"request":{"method":"PUT","url":"Patient/3"}},
            {"request":{"method":"DELETE","url":"Encounter/4"}},{"request":{"method":"DELETE"}}]}"#;
        let read = HistoryPage::read(raw).unwrap();
        assert_eq!((read.deleted, read.next.as_deref()), (vec!["1".to_owned(), "2".to_owned()], Some("n")));
        assert_eq!((read.versions, read.latest.unwrap().to_rfc3339().as_str()), (8, "2026-03-02T08:30:00+00:00"));
        assert_eq!(HistoryPage::read(r#"{"resourceType":"Bundle"}"#), Some(HistoryPage::default()));
        assert_eq!((HistoryPage::read("<html>"), HistoryPage::read(r#"{"resourceType":"Patient"}"#)), (None, None));
    }
}
