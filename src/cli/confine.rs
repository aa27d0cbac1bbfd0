//! From settings to what the process may reach: the volume, and what they name.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::anyhow;

use super::{Failure, exit::Exit, locations};
use crate::{
    hooks::Hook,
    sandbox::{Confined, Sandbox},
    settings::{Access, Confine, Fill, Reconcile, Serve, Verify},
    source::Location,
};

/// Variables of others that may name files: credentials of clouds and clusters, certificates to trust.
const FOREIGN: [&str; 6] = ["AWS_", "AZURE_", "GOOGLE_", "SSL_CERT_", "KUBECONFIG", "KUBERNETES_"];
/// Where a Pod has the token of its account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Where Google's tools leave credentials, below the home.
const GOOGLE: &str = ".config/gcloud/application_default_credentials.json";

/// Something that works on one volume.
pub(super) trait Works {
    /// What it needs to reach.
    fn sandbox(&self) -> Result<Sandbox, Failure>;
}

impl Works for Fill {
    fn sandbox(&self) -> Result<Sandbox, Failure> {
        with_sources(Sandbox::of(&self.volume), &self.from)
    }
}

impl Works for Verify {
    fn sandbox(&self) -> Result<Sandbox, Failure> {
        with_sources(Sandbox::of(&self.volume), &self.from)
    }
}

impl Works for Reconcile {
    fn sandbox(&self) -> Result<Sandbox, Failure> {
        Ok(Sandbox::of(&self.volume))
    }
}

impl Works for Serve {
    fn sandbox(&self) -> Result<Sandbox, Failure> {
        let mut sandbox = with_sources(Sandbox::of(&self.volume), &self.from)?;
        if let Access::Known(ways) = &self.access
            && let Some(file) = &ways.token_file
        {
            sandbox = sandbox.reading(file);
        }
        if let Access::Known(ways) = &self.access
            && ways.kubernetes.is_some()
        {
            sandbox = sandbox.reading(Path::new(ACCOUNT));
        }
        if let Some(tls) = &self.tls {
            let files = [&tls.certificate, &tls.key].into_iter().chain(&tls.client_authority);
            sandbox = files.fold(sandbox, |sandbox, file| sandbox.reading(file));
        }
        let hooks = [&self.pre_publish, &self.post_publish];
        Ok(sandbox.running_programs(hooks.into_iter().flatten().any(|hook| matches!(hook, Hook::Program(_)))))
    }
}

fn with_sources(sandbox: Sandbox, from: &[String]) -> Result<Sandbox, Failure> {
    let local = locations(from)?.into_iter().filter_map(|from| match from {
        Location::Local(path) => Some(path),
        Location::Bucket(_) | Location::Archive(_) => None,
    });
    Ok(local.chain(named_by_environment()).fold(sandbox, |sandbox, path| sandbox.reading(&path)))
}

/// Files that variables name for libraries of ours.
fn named_by_environment() -> impl Iterator<Item = PathBuf> {
    let is_foreign = |name: &str| FOREIGN.iter().any(|prefix| name.starts_with(prefix));
    let named = env::vars_os().filter(move |(name, _)| name.to_str().is_some_and(is_foreign));
    let at_home = env::home_dir().map(|home| home.join(GOOGLE));
    named.map(|(_, value)| PathBuf::from(value)).chain(at_home).filter(|path| path.is_absolute() && exists(path))
}

fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// Confines this thread, and all that it starts, as far as the kernel can.
pub(super) fn confine(how: Confine, to: &impl Works) -> Result<(), Failure> {
    if how == Confine::Off {
        tracing::info!("not confined to the volume, as asked for");
        return Ok(());
    }
    let sandbox = to.sandbox()?;
    let reading =
        if sandbox.is_open_to_read() { "free, for the programs that are hooks" } else { "what the settings name" };
    match sandbox.close().map_err(|error| anyhow!(error)) {
        Ok(Confined::Wholly) => tracing::info!(reading, "confined to the volume by the kernel (landlock)"),
        Ok(Confined::Mostly) => {
            tracing::info!(reading, "confined to the volume by the kernel (landlock), as far as one of this age can");
        }
        Err(error) if how == Confine::Required => {
            let error = error.context("this process cannot be confined to the volume");
            return Err(Failure::new(
                Exit::Failed,
                error,
                Some("landlock takes Linux 5.19; `--sandbox auto` goes on without"),
            ));
        }
        Err(error) => tracing::info!(why = format!("{error:#}"), "not confined to the volume"),
    }
    Ok(())
}
