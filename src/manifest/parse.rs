//! Parsing and checking `advent.toml`, with errors that point at the line.
