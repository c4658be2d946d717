//! Everything that needs IO, or that is tested from outside the library, in one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::needless_pass_by_value, reason = "a test says `json!(…)` where it needs one")]

mod api_candidates;
mod api_doors;
mod api_episode_life;
mod api_lists;
mod api_metrics;
mod api_review;
mod api_safety;
mod api_shared_plan;
mod api_story;
mod api_world;
mod architecture;
mod corpus;
mod dispatch_chart;
mod fhir_door;
mod fhir_world;
mod kill;
mod listener;
mod pages_entry;
mod pages_security;
mod pages_sign_in;
mod pages_world;
mod postgres;
mod record_batch;
mod record_known;
mod record_order;
mod rules_corpus;
mod rules_golden;
mod rules_measures;
mod rules_metrics;
mod rules_metrics_properties;
mod rules_minutes;
mod rules_planner;
mod rules_properties;
mod rules_recommendations;
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
