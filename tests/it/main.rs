//! Everything that needs sockets or a database, in one binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod sandbox;
