//! FHIR R4 in and out: translation only, no IO. Read leniently, entry by entry, and keep what came; write strictly.

pub(crate) mod json;
pub mod content;
pub mod date;
pub mod query;
pub mod reference;
pub mod mapping;
mod answer;
pub mod patient;
pub mod questionnaire_response;
pub mod observation;
pub mod arrival;
pub mod operation_outcome;
pub mod capability;
pub mod smart;
pub mod bundle;
pub mod searchset;
pub mod history;
pub mod topic;
pub mod notification;
pub mod write;
pub mod provenance;
pub mod chart_item;
pub mod care_plan;
pub mod measure_report;
pub mod audit_event;
