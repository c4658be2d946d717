//! Everything that needs IO, in one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api_doors;
mod api_lists;
mod api_story;
mod api_world;
mod corpus;
mod listener;
mod sandbox;
mod tokens;
