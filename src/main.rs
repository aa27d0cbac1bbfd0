//! The program. What it does stands in [`longshore::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // Modes of what we make are explicit: the umask that we were started with must not change them.
    rustix::process::umask(rustix::fs::Mode::empty());
    // Every TLS client here is built without a provider of its own; only a second call could fail.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    longshore::cli::run()
}
