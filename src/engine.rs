//! The engine, without AWS.
