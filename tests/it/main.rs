//! Everything that needs sockets or a database, in one binary.

mod sandbox;
