//! A Patient, read leniently: whatever is odd is left out, never refused.

use super::content::{PatientDetails, ReadingContext, Subject};
use super::date::FhirDate;
use super::json::JsonNode;
use super::reference;

/// Reads what the registry shows and matches on.
pub(super) fn read(resource: &JsonNode<'_>, context: &ReadingContext<'_>) -> PatientDetails {
    let deceased_at = resource.text("deceasedDateTime");
    let deceased_on =
        deceased_at.and_then(FhirDate::parse).and_then(|when| when.taken(context.zone)).map(|taken| taken.on);
    let name = best_name(resource);
    PatientDetails {
        display_name: name.and_then(display),
        family: name.and_then(|name| name.text("family")).map(str::to_owned),
        birth_date: resource.text("birthDate").filter(|date| FhirDate::parse(date).is_some()).map(str::to_owned),
        gender: gender(resource),
        language: language(resource),
        inactive: matches!(resource.get("active"), Some(JsonNode::Bool(false))),
        deceased: deceased_at.is_some() || resource.is_true("deceasedBoolean"),
        deceased_on,
        replaced_by: linked(resource, "replaced-by"),
        replaces: linked(resource, "replaces"),
    }
}

/// The official name, else the usual one, else the first that is still in use.
fn best_name<'n, 'a>(resource: &'n JsonNode<'a>) -> Option<&'n JsonNode<'a>> {
    let names = || resource.list("name").iter().filter(|name| display(name).is_some());
    let with_use = |which: &str| names().find(|name| name.text("use") == Some(which));
    with_use("official")
        .or_else(|| with_use("usual"))
        .or_else(|| names().find(|name| !matches!(name.text("use"), Some("old" | "maiden"))))
}

/// The name as it is shown: given names and family, else the text.
fn display(name: &JsonNode<'_>) -> Option<String> {
    let given = name.list("given").iter().filter_map(JsonNode::as_text);
    let parts: Vec<&str> = given.chain(name.text("family")).collect();
    if parts.is_empty() { name.text("text").map(str::to_owned) } else { Some(parts.join(" ")) }
}

fn gender(resource: &JsonNode<'_>) -> Option<String> {
    let gender = resource.text("gender")?.to_ascii_lowercase();
    matches!(gender.as_str(), "male" | "female" | "other" | "unknown").then_some(gender)
}

/// The preferred language, else the only one.
fn language(resource: &JsonNode<'_>) -> Option<String> {
    let spoken = resource.list("communication");
    let preferred =
        spoken.iter().find(|c| c.is_true("preferred")).or(if let [only] = spoken { Some(only) } else { None });
    let code = preferred?.get("language")?.list("coding").iter().find_map(|coding| coding.text("code"))?;
    Some(code.to_owned())
}

fn linked(resource: &JsonNode<'_>, kind: &str) -> Vec<Subject> {
    let links = resource.list("link").iter().filter(|link| link.text("type") == Some(kind));
    links
        .filter_map(|link| reference::patient(resource, link.get("other"), "Patient.link.other").ok()?.subject)
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::fhir::mapping::CodeMapping;

    fn person(raw: &str) -> PatientDetails {
        let mapping = CodeMapping::default();
        let context =
            ReadingContext { zone: chrono_tz::America::New_York, now: DateTime::default(), mapping: &mapping };
        read(&JsonNode::read(raw).unwrap(), &context)
    }

    #[test]
    fn the_official_name_comes_before_the_usual_one() {
        let names = r#"{"name":[{"use":"maiden","family":"Old"},{"use":"usual","given":["Jim"]},
            {"use":"official","given":["Peter","James"],"family":"Chalmers"}]}"#;
        let person = person(names);
        assert_eq!(person.display_name.as_deref(), Some("Peter James Chalmers"));
        assert_eq!(person.family.as_deref(), Some("Chalmers"));
    }

    #[test]
    fn a_name_that_is_only_text_is_shown_and_an_old_one_is_not() {
        let given = person(r#"{"name":[{"use":"old","family":"Before"},{"text":"张无忌"}]}"#);
        assert_eq!((given.display_name.as_deref(), given.family), (Some("张无忌"), None));
        assert_eq!(person(r#"{"name":[{"use":"old","family":"Before"}]}"#).display_name, None);
        assert_eq!(person("{}"), PatientDetails::default());
    }

    #[test]
    fn death_is_read_as_a_flag_or_as_a_time_in_the_clinics_zone() {
        assert!(person(r#"{"deceasedBoolean":true}"#).deceased);
        assert!(!person(r#"{"deceasedBoolean":false}"#).deceased);
        let dead = person(r#"{"deceasedDateTime":"2026-07-01T02:00:00Z"}"#);
        assert_eq!((dead.deceased, dead.deceased_on.unwrap().to_string().as_str()), (true, "2026-06-30"));
        let sometime = person(r#"{"deceasedDateTime":"2026"}"#);
        assert_eq!((sometime.deceased, sometime.deceased_on), (true, None));
    }

    #[test]
    fn merged_patients_name_each_other() {
        let merged = person(
            r#"{"active":false,"link":[{"type":"replaced-by","other":{"reference":"Patient/new"}},
            {"type":"replaces","other":{"reference":"Patient/older"}},{"type":"replaces","other":"rubbish"},
            {"type":"seealso","other":{"reference":"Patient/x"}}]}"#,
        );
        assert!(merged.inactive);
        assert_eq!(merged.replaced_by, [Subject::Reference { id: "new".into(), base: None }]);
        assert_eq!(merged.replaces, [Subject::Reference { id: "older".into(), base: None }]);
    }

    #[test]
    fn odd_elements_are_left_out_and_the_rest_is_read() {
        let odd = person(
            r#"{"name":"Jane","birthDate":"1980-02-30","gender":"F","active":"no","communication":[
            {"language":{"coding":[{"code":"en"}]}},{"language":{"coding":[{"code":"es"}]},"preferred":true}]}"#,
        );
        assert_eq!(odd, PatientDetails { language: Some("es".into()), ..PatientDetails::default() });
        assert_eq!(person(r#"{"birthDate":"1980-02"}"#).birth_date.as_deref(), Some("1980-02"));
    }
}
