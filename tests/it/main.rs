//! Everything that needs IO, in one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod corpus;
mod dispatch_chart;
mod listener;
mod postgres;
mod record_batch;
mod record_order;
mod sandbox;
mod store_db;
mod tokens;
mod world;
