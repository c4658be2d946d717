//! A page of what was found, as a searchset.

use serde_json::{Value, json};
use uuid::Uuid;

use super::criteria::Criteria;
use super::find::SearchPage;
use crate::fhir::{operation_outcome, query};

/// The searchset. Resources are put in as they are stored.
pub fn searchset(base: &str, criteria: &Criteria, found: SearchPage) -> String {
    let mut links = vec![link("self", base, criteria, None)];
    links.extend(found.next.map(|next| link("next", base, criteria, Some(&next.write()))));
    let total = found.total.map_or_else(String::new, |total| format!(r#","total":{total}"#));
    let kind = criteria.kind.name();
    let mut entries: Vec<String> = found
        .rows
        .iter()
        .map(|row| {
            let full_url = Value::from(format!("{base}/{kind}/{}", row.id));
            format!(r#"{{"fullUrl":{full_url},"resource":{},"search":{{"mode":"match"}}}}"#, row.body)
        })
        .collect();
    if !criteria.ignored.is_empty() {
        let notes: Vec<String> =
            criteria.ignored.iter().map(|name| format!("{name} is not supported in a search here; ignored")).collect();
        // An entry has an identity (bdl-7), also one that is kept nowhere.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, notes.concat().as_bytes());
        let note = operation_outcome::left_out(&notes);
        entries.push(format!(r#"{{"fullUrl":"urn:uuid:{id}","resource":{note},"search":{{"mode":"outcome"}}}}"#));
    }
    // FHIR's JSON knows no empty lists.
    let entries = if entries.is_empty() { String::new() } else { format!(r#","entry":[{}]"#, entries.join(",")) };
    format!(r#"{{"resourceType":"Bundle","type":"searchset","link":{}{total}{entries}}}"#, Value::from(links))
}

/// A link to the search as it was understood.
fn link(relation: &str, base: &str, criteria: &Criteria, cursor: Option<&str>) -> Value {
    let asked = criteria.understood.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let query: Vec<String> = asked
        .chain(cursor.map(|cursor| ("_cursor", cursor)))
        .map(|(name, value)| format!("{}={}", query::encoded(name), query::encoded(value)))
        .collect();
    let separator = if query.is_empty() { "" } else { "?" };
    json!({ "relation": relation, "url": format!("{base}/{}{separator}{}", criteria.kind.name(), query.join("&")) })
}
