//! FHIR R4 in and out: translation only, no IO. Read leniently, entry by entry, and keep what came; write strictly.

mod answer;
pub mod arrival;
pub mod date;
pub mod flag;
pub(crate) mod json;
pub mod mapping;
pub mod observation;
pub mod outcome;
pub mod patient;
pub mod questionnaire_response;
pub mod reference;
pub mod task;
