//! How a care team names and reaches a patient: the record number and the phone of a stored Patient.

use super::json::JsonNode;

/// Of a stored Patient, as far as it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactDetails {
    /// The medical record number; where none is marked as one, the first identifier that is no social security number.
    pub record_number: Option<String>,
    /// A phone that is in use, a mobile one first.
    pub phone: Option<String>,
}

impl ContactDetails {
    /// Reads them from a resource as it was stored. One that cannot be read says nothing.
    pub fn of(raw: &str) -> Self {
        let Ok(patient) = JsonNode::read(raw) else { return Self::default() };
        Self { record_number: record_number(&patient), phone: phone(&patient) }
    }
}

fn record_number(patient: &JsonNode<'_>) -> Option<String> {
    let in_use = || patient.list("identifier").iter().filter(|one| one.text("use") != Some("old"));
    let marked = in_use().find(|one| has_type(one, "MR"));
    let other = || in_use().find(|one| !has_type(one, "SS") && !one.text("system").unwrap_or("").contains("ssn"));
    marked.or_else(other)?.text("value").map(str::to_owned)
}

/// Whether an identifier has this code of HL7's table of identifier types.
fn has_type(identifier: &JsonNode<'_>, code: &str) -> bool {
    let coded = identifier.get("type").map_or(&[][..], |kind| kind.list("coding"));
    coded.iter().any(|coding| coding.text("code") == Some(code))
}

fn phone(patient: &JsonNode<'_>) -> Option<String> {
    let phones = || {
        let all = patient.list("telecom").iter();
        all.filter(|one| matches!(one.text("system"), Some("phone" | "sms")) && one.text("use") != Some("old"))
    };
    let mobile = phones().find(|one| one.text("use") == Some("mobile"));
    mobile.or_else(|| phones().next())?.text("value").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::ContactDetails;

    #[test]
    fn the_record_number_and_the_mobile_phone_come_first() {
        let patient = r#"{"resourceType": "Patient", "identifier": [
            {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-12-3456"},
            {"type": {"coding": [{"code": "MR"}]}, "value": "M41003"}],
          "telecom": [{"system": "phone", "use": "old", "value": "1"}, {"system": "email", "value": "a@example.org"},
            {"system": "phone", "use": "home", "value": "555-0100"}, {"system": "phone", "use": "mobile", "value": "555-0101"}]}"#;
        let details = ContactDetails::of(patient);
        assert_eq!(details.record_number.as_deref(), Some("M41003"));
        assert_eq!(details.phone.as_deref(), Some("555-0101"));
    }

    #[test]
    fn a_social_security_number_is_no_record_number() {
        let patient = r#"{"identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-12-3456"}]}"#;
        assert_eq!(ContactDetails::of(patient), ContactDetails::default());
        assert_eq!(ContactDetails::of("not JSON"), ContactDetails::default());
    }
}
