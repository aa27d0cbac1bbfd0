//! Longshore fills an empty Kubernetes volume and takes uploads to it over HTTP.
pub mod digest;
pub mod disk;
pub mod manifest;
pub mod path;
