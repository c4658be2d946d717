//! Everything that needs IO, in one binary.

mod listener;
mod tokens;
