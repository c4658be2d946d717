//! `cocm-registry` keeps the Collaborative Care registry between an EHR and a care team.
//!
//! ```text
//!                  ┌────────────── one transaction ──────────────┐
//!  EHR ─► intake ─►│ record ─► domain (pure) ─► registry + outbox│─► dispatch ─► ehr ─► EHR
//!  clinic ─► api ─►│   ▲ writes                                  │
//!            api ◄─────────── registry (reads)                   │
//!                  └─────────────────────────────────────────────┘
//! ```
//!
//! The order of the modules below is the order of dependence: a module uses only what stands above it.
//! `tests/it/architecture.rs` fails on an arrow that points the other way.

pub mod id;
pub mod hex;
pub mod domain;

pub mod clock;
pub mod problem;
pub mod http_client;
pub mod limits;
pub mod config;
pub mod telemetry;
pub mod identity;
pub mod listener;

pub mod fhir;
pub mod store;
pub mod record;
pub mod journal;
pub mod backup;
pub mod ehr;
pub mod intake;
pub mod dispatch;
pub mod webhook;
pub mod upkeep;
pub mod api;
pub mod pages;
#[cfg(feature = "demo")]
pub mod sandbox;
pub mod service;
pub mod doctor;
#[cfg(feature = "demo")]
pub mod demo;
