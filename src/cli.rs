//! The commands: from settings to an exit code.

mod confine;
mod descriptors;
mod doctor;
pub mod exit;
mod failure;
mod fill;
mod progress;
mod reconcile;
mod serve;
mod verify;

use std::{env, process::ExitCode};

use crate::{
    settings::{self, Command, Refusal},
    source::Location,
    telemetry,
};
use confine::confine;
use exit::{Exit, report};
use failure::Failure;

/// Runs the program with its own arguments and environment.
#[must_use]
pub fn run() -> ExitCode {
    // Whatever a program that we start has on its file, setuid or capabilities, gives it nothing. A kernel that is too old for
    // this runs no container either.
    let _ = rustix::thread::set_no_new_privs(true);
    let check_source = |text: &str| text.parse::<Location>().map(drop).map_err(|error| error.to_string());
    let settings = match settings::read(env::args_os(), env::vars_os(), check_source) {
        Ok(settings) => settings,
        Err(Refusal::Told(text)) => text.exit(),
        Err(Refusal::Mistakes(mistakes)) => {
            let hint = mistakes.hint();
            report(&mistakes.into(), Some(&hint));
            return Exit::Usage.into();
        }
    };
    let done = telemetry::start(&settings.log).map_err(|error| Failure::other(error.into())).and_then(|()| {
        let how = settings.sandbox;
        match settings.command {
            Command::Fill(fill) => confine(how, &fill).and_then(|()| fill::run(&fill)),
            // It confines itself once it listens.
            Command::Serve(serve) => serve::run(*serve, how),
            Command::Verify(verify) => confine(how, &verify).and_then(|()| verify::run(&verify)),
            Command::Doctor(doctor) => doctor::run(&doctor),
            Command::Reconcile(reconcile) => confine(how, &reconcile).and_then(|()| reconcile::run(&reconcile)),
        }
    });
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            report(&failure.error, failure.hint.as_deref());
            failure.exit.into()
        }
    }
}

/// The sources in `texts`, which the settings have checked.
fn locations(texts: &[String]) -> Result<Vec<Location>, Failure> {
    texts.iter().map(|text| text.parse().map_err(|error| Failure::other(anyhow::Error::new(error)))).collect()
}
