//! Everything that is tested from outside the library.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod rules_corpus;
mod rules_golden;
mod rules_planner;
mod rules_properties;
mod rules_safety;
mod rules_story;
