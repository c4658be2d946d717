//! The few search parameters that the sandbox knows. An unknown one is refused, not ignored: a test must notice.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// A search, read from a URL's query.
#[derive(Clone, Debug, Default)]
pub struct SandboxQuery {
    filters: Vec<(String, String)>,
    sort: Option<(String, bool)>,
    /// How many on a page.
    pub(super) count: usize,
    /// Where the page starts.
    pub(super) offset: usize,
}

const TOKENS: [&str; 7] = ["identifier", "status", "code", "category", "intent", "priority", "gender"];
const SUBJECTS: [&str; 2] = ["patient", "subject"];
const DATES: [(&str, &str); 4] = [
    ("_lastUpdated", "/meta/lastUpdated"),
    ("authored", "/authored"),
    ("authored-on", "/authoredOn"),
    ("date", "/effectiveDateTime"),
];
const COUNT_DEFAULT: usize = 50;
const COUNT_MAX: usize = 1_000;

impl SandboxQuery {
    /// Reads the parameters of a URL's query.
    pub(super) fn read(query: &str) -> Result<Self, String> {
        let mut read = Self { count: COUNT_DEFAULT, ..Self::default() };
        for (name, value) in pairs(query) {
            let number = || value.parse::<usize>().map_err(|_| format!("{name} must be a number"));
            match name.as_str() {
                "_count" => read.count = number()?.clamp(1, COUNT_MAX),
                "_offset" => read.offset = number()?,
                "_sort" => {
                    let field = value.trim_start_matches('-');
                    if !DATES.iter().any(|(known, _)| *known == field) && field != "_id" {
                        return Err(format!("cannot sort by {field}"));
                    }
                    read.sort = Some((field.to_owned(), value.starts_with('-')));
                }
                "_format" | "_total" | "_pretty" => {}
                known if is_known(known) => read.filters.push((name, value)),
                unknown => return Err(format!("unknown search parameter {unknown}")),
            }
        }
        Ok(read)
    }

    pub(super) fn matches(&self, resource: &Value) -> bool {
        self.filters.iter().all(|(name, value)| value.split(',').any(|value| matches(resource, name, value)))
    }

    pub(super) fn sort(&self, found: &mut [&Value]) {
        let Some((field, descending)) = &self.sort else { return };
        let pointer = DATES.iter().find(|(name, _)| name == field).map_or("/id", |(_, pointer)| pointer);
        found.sort_by_key(|one| one.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned());
        if *descending {
            found.reverse();
        }
    }

    /// The query of another page.
    pub(super) fn at(query: &str, offset: usize) -> String {
        let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("_offset="));
        others.map(str::to_owned).chain([format!("_offset={offset}")]).collect::<Vec<_>>().join("&")
    }
}

fn is_known(name: &str) -> bool {
    TOKENS.contains(&name)
        || SUBJECTS.contains(&name)
        || DATES.iter().any(|(known, _)| *known == name)
        || matches!(name, "_id" | "for" | "owner" | "focus" | "questionnaire" | "url")
}

fn matches(resource: &Value, name: &str, value: &str) -> bool {
    let is_reference = |to: &Value| {
        let reference = to["reference"].as_str().unwrap_or_default();
        reference == value || reference.strip_suffix(value).is_some_and(|before| before.ends_with('/'))
    };
    match name {
        "_id" => resource["id"] == value,
        "url" => resource["url"] == value || resource["channel"]["endpoint"] == value,
        "identifier" => identifiers(resource).any(|(system, one)| is_token(value, system, one)),
        "patient" | "subject" => ["subject", "for", "patient"].iter().any(|field| is_reference(&resource[*field])),
        "for" | "owner" | "focus" => is_reference(&resource[name]),
        "questionnaire" => {
            resource["questionnaire"].as_str().is_some_and(|one| one.split('|').next() == value.split('|').next())
        }
        _ if DATES.iter().any(|(known, _)| *known == name) => {
            let pointer = DATES.iter().find(|(known, _)| *known == name).map_or("", |(_, pointer)| pointer);
            resource.pointer(pointer).and_then(Value::as_str).is_some_and(|at| is_in(value, at))
        }
        _ => codes(&resource[name]).any(|(system, code)| is_token(value, system, code)),
    }
}

/// System and value of every identifier.
pub(super) fn identifiers(resource: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = resource["identifier"].as_array().into_iter().flatten();
    all.map(|one| (one["system"].as_str().unwrap_or_default(), one["value"].as_str().unwrap_or_default()))
}

/// System and code of a code, a `CodeableConcept` or a list of them.
fn codes(value: &Value) -> Box<dyn Iterator<Item = (&str, &str)> + '_> {
    match value {
        Value::String(code) => Box::new(std::iter::once(("", code.as_str()))),
        Value::Array(all) => Box::new(all.iter().flat_map(codes)),
        concept => {
            let codings = concept["coding"].as_array().into_iter().flatten();
            Box::new(
                codings
                    .map(|one| (one["system"].as_str().unwrap_or_default(), one["code"].as_str().unwrap_or_default())),
            )
        }
    }
}

/// `code`, `system|code`, `|code` or `system|`.
fn is_token(wanted: &str, system: &str, code: &str) -> bool {
    match wanted.rsplit_once('|') {
        None => wanted == code,
        Some((of, "")) => of == system,
        Some((of, one)) => of == system && one == code,
    }
}

/// `ge2026-03-01T…`: instants as instants, dates as the beginning of their day.
fn is_in(wanted: &str, at: &str) -> bool {
    let (prefix, bound) = match wanted.get(..2) {
        Some(prefix @ ("ge" | "gt" | "le" | "lt" | "eq" | "sa" | "eb")) => (prefix, &wanted[2..]),
        _ => ("eq", wanted),
    };
    let (Some(bound_at), Some(at_instant)) = (instant(bound), instant(at)) else { return false };
    match prefix {
        "ge" => at_instant >= bound_at,
        "gt" | "sa" => at_instant > bound_at,
        "le" => at_instant <= bound_at,
        "lt" | "eb" => at_instant < bound_at,
        _ => at.starts_with(bound) || at_instant == bound_at,
    }
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc())
}

/// The pairs of a query, decoded.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    // `reqwest::Url` is the decoder that is here anyway.
    let url = reqwest::Url::parse(&format!("http://sandbox/?{query}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("identifier=urn:a%7C7", true)]
    #[case("identifier=7", true)]
    #[case("identifier=urn:b|7", false)]
    #[case("identifier=|7", false)]
    #[case("identifier=urn:a|", true)]
    #[case("patient=Patient/1", true)]
    #[case("subject=1", true)]
    #[case("patient=Patient/11", false)]
    #[case("for=Patient/1", true)]
    #[case("status=completed,requested", true)]
    #[case("status=completed", false)]
    #[case("code=urn:c|measure", true)]
    #[case("code=other", false)]
    #[case("_lastUpdated=ge2026-03-02T09:00:00Z", true)]
    #[case("_lastUpdated=gt2026-03-02T09:00:00Z", false)]
    #[case("_lastUpdated=ge2026-03-02T10:30:00%2B01:00", false)]
    #[case("_lastUpdated=ge2026-03-01&_lastUpdated=lt2026-03-03", true)]
    #[case("_id=5&status=requested", true)]
    fn a_query_finds_what_fhir_says(#[case] query: &str, #[case] found: bool) {
        let task = json!({
            "resourceType": "Task", "id": "5", "status": "requested", "for": {"reference": "Patient/1"},
            "identifier": [{"system": "urn:x", "value": "0"}, {"system": "urn:a", "value": "7"}],
            "code": {"coding": [{"system": "urn:c", "code": "measure"}]},
            "meta": {"lastUpdated": "2026-03-02T09:00:00.000Z"},
        });
        assert_eq!(SandboxQuery::read(query).unwrap().matches(&task), found);
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        assert!(SandboxQuery::read("colour=red").is_err());
    }
}
