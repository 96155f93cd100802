//! What the tests share: the binary, projects, emulators, the fault proxy, the world read back.

pub mod app;
pub mod canned;
pub mod cli;
pub mod http;
pub mod local;
pub mod local_project;
pub mod models;
pub mod project;
pub mod proxy;
pub mod python;
pub mod rig;
pub mod world;
