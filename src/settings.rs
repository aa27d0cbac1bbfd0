//! Complete, checked settings, made from the command line and the environment.
//!
//! [`read`] is a pure function: it takes arguments and environment pairs and touches nothing else, so every rule can be
//! tested without a process. It gives settings that need no further check, or every mistake at once: somebody who
//! writes a Pod should not have to start it five times to learn five things.
//!
//! A flag on the command line wins over its variable. It does not promise that a path exists or that an address is free.

use std::{ffi::OsString, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use tracing_subscriber::filter::Targets;

mod access;
mod environment;
mod flags;
mod kubernetes;
mod reading;
mod rules;
#[cfg(test)]
mod tests;
mod values;

use crate::{
    api::{
        host::Hosts,
        identity::{kubernetes as kubernetes_accounts, oidc},
        origin::Origins,
        tls,
    },
    depot::{Keep, Layout, Limits, When},
    hooks::Hook,
};

/// Everything one run of the program needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What to log, and how.
    pub log: Log,
    /// Whether to be confined to the volume.
    pub sandbox: Confine,
    /// What to do.
    pub command: Command,
}

/// How much the process wants to be confined to the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confine {
    /// As far as the kernel can.
    #[default]
    Auto,
    /// Or not start.
    Required,
    /// Not at all.
    Off,
}

/// What to log, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Which events are printed.
    pub filter: Targets,
    /// How they are printed; without a wish, text on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Fill the volume and end.
    Fill(Fill),
    /// Stay, take uploads, and perhaps follow a source.
    Serve(Box<Serve>),
    /// Read everything again.
    Verify(Verify),
    /// Explain what is wrong.
    Doctor(Doctor),
    /// Decide between a volume and a journal.
    Reconcile(Reconcile),
}

/// Settings of `longshore fill`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// The volume's root directory.
    pub volume: PathBuf,
    /// Sources, in order of preference; at least one.
    pub from: Vec<String>,
    /// When content that is there may be replaced.
    pub when: When,
    /// How the volume shows a release; none: as it has it.
    pub layout: Option<Layout>,
    /// What stays of the past.
    pub keep: Keep,
}

/// Settings of `longshore verify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// The volume's root directory.
    pub volume: PathBuf,
    /// Whether to mend what can be mended.
    pub repair: bool,
    /// Where lost bytes may be found.
    pub from: Vec<String>,
}

/// Settings of `longshore doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doctor {
    /// The volume's root directory.
    pub volume: PathBuf,
}

/// Settings of `longshore reconcile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconcile {
    /// The volume's root directory.
    pub volume: PathBuf,
    /// What is right.
    pub keep: Side,
}

/// Of two that do not know each other, the one that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The journal.
    Store,
    /// What the volume shows.
    Volume,
}

/// Settings of `longshore serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The volume's root directory.
    pub volume: PathBuf,
    /// Where uploads are taken; port 0 means any free one.
    pub listen: SocketAddr,
    /// Where probes and metrics are answered; port 0 means any free one.
    pub probes: SocketAddr,
    /// Who may write.
    pub access: Access,
    /// Whether reading the site needs no token.
    pub public_read: bool,
    /// Names under which it may be asked for; none: every name.
    pub hosts: Hosts,
    /// Origins whose pages may ask, besides its own.
    pub origins: Origins,
    /// Sources to follow, in order of preference; none: nothing is followed.
    pub from: Vec<String>,
    /// Time between two looks at the sources.
    pub every: Duration,
    /// When content that is there may be replaced by a source's.
    pub when: When,
    /// Time that running requests get after a request to end.
    pub grace: Duration,
    /// Where to write the addresses once they are bound.
    pub addresses_file: Option<PathBuf>,
    /// Who is asked before each release.
    pub pre_publish: Option<Hook>,
    /// How long that may take to answer.
    pub pre_publish_timeout: Duration,
    /// Who is told of each release that is live.
    pub post_publish: Option<Hook>,
    /// How long that may take to answer.
    pub post_publish_timeout: Duration,
    /// Whether what somebody changes by hand is committed.
    pub adopt_changes: bool,
    /// How the volume shows a release; none: as it has it.
    pub layout: Option<Layout>,
    /// What stays of the past.
    pub keep: Keep,
    /// How much clients may bring.
    pub limits: Limits,
    /// How many may be connected.
    pub crowd: Crowd,
    /// Certificates; none: no TLS.
    pub tls: Option<tls::Files>,
}

/// How many may come at once, and how many of them from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// Connections.
    pub connections: usize,
    /// Connections of one client.
    pub client_connections: usize,
    /// Requests with a body of one client.
    pub client_uploads: usize,
}

/// Who may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Whoever sends a token that one of these ways knows.
    Known(Box<Ways>),
    /// Anybody who reaches the address, which is a loopback one.
    Anybody,
}

/// The ways to know who sends a request; at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// By the tokens in this file.
    pub token_file: Option<PathBuf>,
    /// By an issuer of tokens.
    pub oidc: Option<oidc::Rules>,
    /// By a Kubernetes cluster.
    pub kubernetes: Option<kubernetes_accounts::Rules>,
}

/// Why there are no settings.
#[derive(Debug)]
pub enum Refusal {
    /// Help or the version was asked for: print it and exit with its own code.
    Told(clap::Error),
    /// Mistakes were made, all of them listed.
    Mistakes(Mistakes),
}

/// Every mistake in the settings, in the order in which they were found; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    list: Vec<String>,
    help: &'static str,
}

impl Mistakes {
    /// The mistakes, each a sentence.
    #[must_use]
    pub fn list(&self) -> &[String] {
        &self.list
    }

    /// What a person can do next.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("`{}` explains every flag by example", self.help)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.list {
            [only] => out.write_str(only),
            many => {
                write!(out, "{} mistakes in the settings:", many.len())?;
                many.iter().try_for_each(|mistake| write!(out, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

/// Says whether a text names a source, or why not. Its message must not repeat a secret, such as a URL's query.
pub type CheckSource = fn(&str) -> Result<(), String>;

/// Makes settings from `arguments` (the program's name first) and `environment`.
///
/// # Errors
/// [`Refusal::Told`] when help or the version was asked for, [`Refusal::Mistakes`] with every mistake otherwise.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    check_source: CheckSource,
) -> Result<Settings, Refusal> {
    let environment = environment::Environment::of(environment);
    let mut reading = reading::Reading::new(&environment);
    let settings = match flags::parse(arguments) {
        Ok(flags) => {
            let help = flags.help();
            rules::settings(flags, check_source, &mut reading).ok_or(help)
        }
        Err(flags::Stop::Told(text)) => return Err(Refusal::Told(text)),
        Err(flags::Stop::Mistake(mistake)) => {
            reading.mistake(mistake);
            Err("longshore --help")
        }
    };
    environment.check(&flags::variables(), |mistake| reading.mistake(mistake));
    match (settings, reading.into_mistakes()) {
        (Ok(settings), list) if list.is_empty() => Ok(settings),
        (settings, list) => {
            let help = settings.map_or_else(
                |help| help,
                |settings| match settings.command {
                    Command::Fill(_) => flags::HELP_FILL,
                    Command::Serve(_) => flags::HELP_SERVE,
                    Command::Verify(_) => flags::HELP_VERIFY,
                    Command::Doctor(_) => flags::HELP_DOCTOR,
                    Command::Reconcile(_) => flags::HELP_RECONCILE,
                },
            );
            Err(Refusal::Mistakes(Mistakes { list, help }))
        }
    }
}
