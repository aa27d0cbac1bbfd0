//! The real parts that tests need, found or reported missing.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Finds the part `name`, a program or an ability of this machine; a missing one is reported by [`skip`].
pub(crate) fn part(name: &str) -> Option<PathBuf> {
    let found = match name {
        "root" => rustix::process::geteuid().is_root().then(PathBuf::new),
        "weed" => std::env::var_os("TEST_WEED").map(PathBuf::from).or_else(|| installed(name)),
        "schemathesis" | "openapi-spec-validator" => installed(name),
        "tus-js-client" => kept("node/node_modules/tus-js-client/package.json").and_then(|_| on_path("node")),
        "tuspy" => kept("venv/tuspy==1.1.0").and_then(|_| kept("venv/bin/python")),
        "ptrace" => may_trace().then(PathBuf::new),
        "pyjwt" => kept("venv/pyjwt[crypto]==2.15.1").and_then(|_| kept("venv/bin/python")),
        program => on_path(program),
    };
    if found.is_none() {
        let cure = match name {
            "root" => "run the tests as root",
            "ptrace" => "allow ptrace, on x86-64 or ARM64",
            _ => "scripts/test-parts.sh installs it",
        };
        skip(&format!("no {name} ({cure})"));
    }
    found
}

/// Says that the running test is skipped, or fails it where `CI=true`: a pipeline has every part.
pub(crate) fn skip(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot be skipped where CI=true: {why}");
    // Straight to the stream: what the print macros write in a passing test is never shown.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Whether a child may be traced here: some sandboxes forbid it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn may_trace() -> bool {
    use nix::{sys::ptrace, unistd::Pid};
    let Ok(mut child) = std::process::Command::new("sleep").arg("60").spawn() else { return false };
    let seized = ptrace::seize(Pid::from_raw(child.id().cast_signed()), ptrace::Options::empty()).is_ok();
    let _ = child.kill();
    let _ = child.wait();
    seized
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn may_trace() -> bool {
    false
}

/// A program that scripts/test-parts.sh keeps for the tests, or else one on `PATH`.
fn installed(program: &str) -> Option<PathBuf> {
    kept(&format!("venv/bin/{program}")).or_else(|| on_path(program))
}

/// A file of what scripts/test-parts.sh keeps for the tests.
fn kept(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/parts").join(name);
    path.exists().then_some(path)
}

/// A program on `PATH`, or where Debian puts those for root, which a user's `PATH` lacks.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The path of a part; a test that lacks it returns.
macro_rules! need {
    ($name:literal) => {
        match crate::part::part($name) {
            Some(path) => path,
            None => return,
        }
    };
}
pub(crate) use need;
