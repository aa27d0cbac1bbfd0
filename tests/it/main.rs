//! Longshore from outside, on real parts: the binary as a child process, stock nginx, an S3 server, file systems that
//! are full, read-only or somebody else's.
//!
//! A test knows nothing of the source: it speaks HTTP, reads the volume, and looks at exit codes. A real part that is
//! missing skips its test with a line that cannot be overlooked, and fails it where `CI=true`.

#![expect(clippy::disallowed_methods, reason = "the ban is for the product: tests stand outside of its room for disks")]

mod abilities;
mod adoption;
mod archive;
mod authority;
mod cluster;
mod contract;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod crash;
mod crowd;
mod deploys;
mod divergence;
mod doctor;
mod dry_run;
mod etags;
mod faults;
mod fill;
mod fills;
mod follow;
mod forms;
mod gate;
mod guards;
mod heavy_bodies;
mod hooks;
mod hostile;
mod hostile_archives;
mod hosts;
mod http;
mod image;
mod interleavings;
mod issuer;
mod journal;
mod kubernetes;
mod large_manifests;
mod layouts;
mod limits;
mod linger;
mod listener;
mod listing;
mod main_job;
mod mount;
mod nginx;
mod oddities;
mod oidc;
mod origins;
mod part;
mod permissions;
mod pins;
mod planted;
mod pod;
mod power;
mod preconditions;
mod processes;
mod proxy;
mod publish_atomic;
mod reading;
mod retention;
mod run;
mod s3;
mod sandbox;
mod scopes;
mod secrets;
mod served;
mod settings;
mod sources;
mod stopping;
mod stored;
mod sync;
mod tls;
mod tls_server;
mod tokens;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tracer;
mod tus;
mod tus_clients;
mod uploads;
mod verify;
mod vetoes;
mod weed;
mod wire;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn the_crash_harness_knows_the_registers_of_this_processor() {
    part::skip("the tracer knows x86-64 and ARM64 only");
}
