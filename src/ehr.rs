//! The door out: our HTTP client to one FHIR server.
//!
//! The transport is our own because repeating a write must be a decision (see [`retry`]), never a default.

pub mod failure;
pub mod retry;
mod response_body;
pub mod auth;
pub mod http;
pub mod client;
pub mod page;
pub mod bulk;
mod capability_statement;
pub mod ladder;
pub mod offers;
pub mod delivery;
pub mod write;
pub mod probe;

pub use client::{EhrAuth, EhrClient, EhrConfig, EhrResponse};
pub use delivery::{DeliveryEffect, DeliveryResult, Ledger, ManualChange};
pub use failure::Failure;
pub use ladder::{Ladder, Provenance, Route};
pub use offers::Offers;
pub use write::{deliver, reconcile};
