//! Common parts of everything that is written into the chart: names, titles, small builders, and the rules for changing
//! a resource that a person may have changed meanwhile.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use fhir_sdk::DateTime as FhirDateTime;
use fhir_sdk::r4b::codes::RequestPriority;
use fhir_sdk::r4b::types::{CodeableConcept, Coding, Identifier, Meta, Reference};
use serde_json::{Map, Value, json};

use crate::domain::task::{Code, Posture, Priority};

/// Author, for people who read the chart.
pub const AUTHOR: &str = "cocm-registry";
/// Our code system: what a Task is about.
pub const TASK_CODES: &str = "https://cocm-registry.dev/fhir/CodeSystem/task";
/// Our code system: what a Flag is about.
pub const FLAG_CODES: &str = "https://cocm-registry.dev/fhir/CodeSystem/flag";
/// Our code system: why we closed a Task ([`Posture`]'s names). By it we know our own closing again, even when the
/// ledger was restored from a backup older than the chart.
pub const CLOSING_CODES: &str = "https://cocm-registry.dev/fhir/CodeSystem/closing";
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// Title of a code in the chart. Texts on Flags stay generic: a Flag is visible across the whole chart.
pub fn title(code: Code) -> &'static str {
    match code {
        Code::PsychiatricCaseReview => "Psychiatric case review",
        Code::Measure => "Repeat the measurement",
        Code::Reassess => "Reassess and set a new baseline",
        Code::SafetyAssessment => "Suicide risk assessment",
        Code::SafetyEscalation => "Suicide risk assessment past due",
        Code::AskItem9 => "Ask PHQ-9 item 9 (not answered)",
        Code::Contact => "Care manager contact due",
        Code::RelapsePreventionPlan => "Write the relapse prevention plan",
        Code::Recommendation => "Recommendation of the case review",
        Code::DischargeReview => "Decide on discharge from Collaborative Care",
        Code::CocmNotAtTarget => "CoCM: not at target",
        Code::CocmSafety => "CoCM: see care manager",
    }
}

/// State of a resource in the chart, from our point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartState {
    /// Only we have changed it.
    Ours,
    /// A person is working on it.
    InProgress,
    /// A person closed it in the chart.
    ClosedThere,
}

/// The postures that we wrote, or may have written: the confirmed one, and those sent since without an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenPostures(pub Vec<Posture>);

impl WrittenPostures {
    /// Whether any of them matches.
    pub fn any(&self, is_it: impl Fn(Posture) -> bool) -> bool {
        self.0.iter().any(|posture| is_it(*posture))
    }
}

/// Change to a resource that is in the chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// State in the chart.
    pub state: ChartState,
    /// The body to send; `None` where the chart needs no change.
    pub body: Option<Value>,
    /// The closing was left out because a person works on it: a note tells them instead.
    pub only_noted: bool,
}

impl Merge {
    /// Keeps `body` only where it changes something besides the moment of the change.
    pub(in crate::fhir) fn of(state: ChartState, current: &Value, body: Value) -> Self {
        let changed = without_moment(current) != without_moment(&body);
        Self { state, body: changed.then_some(body), only_noted: false }
    }
}

fn without_moment(resource: &Value) -> Value {
    let mut copy = resource.clone();
    if let Some(fields) = copy.as_object_mut() {
        fields.remove("lastModified");
    }
    copy
}

/// A second resource for the same cause, marked as an error; the first stays.
pub fn as_duplicate(current: &Value, first: &str) -> Value {
    let mut body = current.clone();
    body["status"] = json!(Posture::EnteredInError.as_str());
    if body["resourceType"] == "Task" || body["resourceType"] == "Communication" {
        body["statusReason"] = json!({
            "coding": [{"system": CLOSING_CODES, "code": Posture::EnteredInError.as_str()}],
            "text": format!("Duplicate of {first}"),
        });
    }
    forget_narrative(&mut body);
    body
}

/// Whether a resource carries our identifier: servers that do not know a search parameter answer with everything.
pub fn carries(resource: &Value, system: &str, value: &str) -> bool {
    resource["identifier"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["system"] == system && one["value"] == value))
}

/// `Type/id` as the chart names it; our own ids and anything else are not references there.
pub fn is_reference(text: &str) -> bool {
    let Some((kind, id)) = text.split_once('/') else { return false };
    let is_type = kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphabetic());
    let is_id = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    is_type && is_id
}

// ── building ────────────────────────────────────────────────────────────────────────────────────────────────────

pub(in crate::fhir) const COMPLETE: &str = "every element that the builder requires is set";

pub(in crate::fhir) fn identifier(system: &str, value: &str) -> Identifier {
    Identifier::builder().system(system.to_owned()).value(value.to_owned()).build().expect(COMPLETE)
}

pub(in crate::fhir) fn coding(system: &str, code: &str, display: Option<&str>) -> Coding {
    let mut coding = Coding::builder().system(system.to_owned()).code(code.to_owned());
    if let Some(display) = display {
        coding = coding.display(display.to_owned());
    }
    coding.build().expect(COMPLETE)
}

pub(in crate::fhir) fn concept(coding: Option<Coding>, text: &str) -> CodeableConcept {
    let concept = CodeableConcept::builder().coding(coding.into_iter().map(Some).collect());
    let text = text.trim();
    // An empty string is not a FHIR string.
    if text.is_empty() { concept } else { concept.text(text.to_owned()) }.build().expect(COMPLETE)
}

pub(in crate::fhir) fn reference(to: &str) -> Reference {
    Reference::builder().reference(to.to_owned()).build().expect(COMPLETE)
}

/// The patient, as the chart names them; a person of whom only a business identifier is known is named by that.
pub(in crate::fhir) fn person(name: &str) -> Reference {
    match name.split_once('|') {
        Some((system, value)) if !name.starts_with("Patient/") => {
            let mut identifier = Identifier::builder().value(value.to_owned());
            if !system.is_empty() {
                identifier = identifier.system(system.to_owned());
            }
            Reference::builder().identifier(identifier.build().expect(COMPLETE)).build().expect(COMPLETE)
        }
        _ => reference(name),
    }
}

/// Whether the chart knows the person by a reference: before that the person is ours to name.
fn is_known_person(named: &Value) -> bool {
    named["reference"].as_str().is_some_and(|reference| !reference.starts_with("urn:"))
}

pub(in crate::fhir) fn named(display: &str) -> Reference {
    Reference::builder().display(display.to_owned()).build().expect(COMPLETE)
}

/// This program, as a requester and author.
pub(in crate::fhir) fn ourselves() -> Reference {
    Reference::builder().r#type("Device".to_owned()).display(AUTHOR.to_owned()).build().expect(COMPLETE)
}

pub(in crate::fhir) fn instant_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Marks what not everybody who opens the chart should read.
pub(in crate::fhir) fn restricted() -> Meta {
    let label = coding(CONFIDENTIALITY, "R", Some("restricted"));
    Meta::builder().security(vec![Some(label)]).build().expect(COMPLETE)
}

/// `None` only for years that FHIR cannot write.
pub(in crate::fhir) fn fhir_instant(at: DateTime<Utc>) -> Option<FhirDateTime> {
    instant_text(at).parse().ok()
}

/// `None` only for years that FHIR cannot write.
pub(in crate::fhir) fn fhir_date(on: NaiveDate) -> Option<FhirDateTime> {
    on.to_string().parse().ok()
}

// ── merging ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// Takes `field` from `from`, or removes it where `from` has none.
pub(in crate::fhir) fn take(body: &mut Value, from: &Value, field: &str) {
    let Some(fields) = body.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// Sets or removes `body.outer.inner…`, and leaves no empty object behind: R4 has none.
pub(in crate::fhir) fn put(body: &mut Value, path: &[&str], value: Option<Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(fields) = body.as_object_mut() else { return };
    if rest.is_empty() {
        match value {
            Some(value) => fields.insert((*first).to_owned(), value),
            None => fields.remove(*first),
        };
        return;
    }
    let inner = fields.entry(*first).or_insert_with(|| Value::Object(Map::new()));
    put(inner, rest, value);
    if inner.as_object().is_some_and(Map::is_empty) {
        fields.remove(*first);
    }
}

/// Adds our identifier where the chart lost it; the chart's own stay.
pub(in crate::fhir) fn keep_identifier(body: &mut Value, system: &str, value: &str) {
    if carries(body, system, value) {
        return;
    }
    let ours = json!({"system": system, "value": value});
    match body.get_mut("identifier").and_then(Value::as_array_mut) {
        Some(all) => all.push(ours),
        None => body["identifier"] = json!([ours]),
    }
}

/// Adds the security labels that `wanted` has; the chart's own stay.
fn keep_labels(body: &mut Value, wanted: &Value) {
    for label in wanted["meta"]["security"].as_array().into_iter().flatten() {
        let labels = body["meta"]["security"].as_array().cloned().unwrap_or_default();
        if !labels.iter().any(|one| one["system"] == label["system"] && one["code"] == label["code"]) {
            put(body, &["meta", "security"], Some(json!([labels, vec![label.clone()]].concat())));
        }
    }
}

/// Puts in again what the chart has lost of ours and leaves what it has: whom it is about (`who`), these fields, our labels
/// and our identifier. What a server made of the old content goes.
pub(in crate::fhir) fn mend(body: &mut Value, wanted: &Value, who: &str, fields: &[&str]) {
    if !is_known_person(&body[who]) {
        take(body, wanted, who);
    }
    for field in fields {
        if body.get(*field).is_none() {
            take(body, wanted, field);
        }
    }
    keep_labels(body, wanted);
    let ours = &wanted["identifier"][0];
    if let (Some(system), Some(value)) = (ours["system"].as_str(), ours["value"].as_str()) {
        keep_identifier(body, system, value);
    }
    forget_narrative(body);
}

/// A priority in R4's words.
pub(in crate::fhir) fn priority(priority: Priority) -> RequestPriority {
    match priority {
        Priority::Routine => RequestPriority::Routine,
        Priority::Urgent => RequestPriority::Urgent,
        Priority::Stat => RequestPriority::Stat,
    }
}

/// A generated narrative repeats the old content, and people read it: the server makes a new one.
pub(in crate::fhir) fn forget_narrative(body: &mut Value) {
    if body["text"]["status"] == "generated" {
        put(body, &["text"], None);
    }
}
