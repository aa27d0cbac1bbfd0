//! Longshore fills an empty Kubernetes volume and takes uploads to it over HTTP.
pub mod digest;
pub mod disk;
pub mod entry;
pub mod manifest;
pub mod path;
pub mod store;
pub mod volume;
