//! The door out: our HTTP client to one FHIR server.
//!
//! The transport is our own because repeating a write must be a decision (see [`retry`]), never a default.

pub mod client;
pub mod failure;
pub mod http;
pub mod retry;
pub mod write;

pub use client::{Answer, Ehr, EhrConfig};
pub use failure::Failure;
pub use write::{Delivered, Effect, Ledger, LeftAlone, deliver, reconcile};
