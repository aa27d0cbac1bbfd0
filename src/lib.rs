//! Longshore fills an empty Kubernetes volume with content, then takes uploads to it over HTTP.
//!
//! Arrows point down only; siblings do not know each other.
//!
//! ```text
//! main → cli → settings
//!         ↓
//!    api  follow  upkeep  inspect  doctor   (telemetry, shutdown, sandbox: for cli, some for the first four)
//!       ↘   ↓      ↙     ↙       ↙
//!       depot              the one room that holds a store and a volume: commit and apply
//!    ↙    ↓    ↘
//! store volume source
//!    ↘    ↓
//!       disk               the one room that touches a volume's disk
//!         ↓
//! digest path manifest entry random planted   values
//! ```

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests look at the disk from outside"))]

pub mod api;
pub mod cli;
pub mod depot;
pub mod digest;
pub mod disk;
pub mod doctor;
pub mod entry;
pub mod follow;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod hooks;
pub mod inspect;
pub mod manifest;
pub mod path;
pub mod planted;
pub mod random;
pub mod sandbox;
pub mod settings;
pub mod shutdown;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod upkeep;
pub mod volume;
