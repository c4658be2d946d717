//! Everything that needs IO, or that is tested from outside the library, in one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::needless_pass_by_value, reason = "a test says `json!(…)` where it needs one")]

mod api_doors;
mod api_lists;
mod api_story;
mod api_world;
mod architecture;
mod connect_auth;
mod connect_bulk;
mod connect_notify;
mod connect_sweep;
mod connect_world;
mod corpus;
mod dispatch_chart;
mod fhir_door;
mod fhir_world;
mod kill;
mod listener;
mod postgres;
mod record_batch;
mod record_order;
mod rules_corpus;
mod rules_golden;
mod rules_metrics;
mod rules_planner;
mod rules_properties;
mod rules_safety;
mod rules_story;
mod sample_config;
mod sandbox;
mod store_db;
mod store_outbox;
mod store_patient;
mod store_rows;
mod tokens;
mod world;
