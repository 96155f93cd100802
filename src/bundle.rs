//! The application as bytes: built, checked, zipped, embedded.
