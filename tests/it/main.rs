//! Everything that needs IO, in one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corpus;
mod fhir_door;
mod fhir_world;
mod listener;
mod sandbox;
mod tokens;
