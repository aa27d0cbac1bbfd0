//! Who may write: the ways to know callers, and what must hold between their flags.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Access, Ways,
    flags::AccessFlags,
    kubernetes_accounts, oidc,
    reading::{Known, Reading, variable},
    values,
};
use crate::{
    api::rights::{Scope, Scopes},
    telemetry::Way,
};

/// Whom tokens of a cluster must be for.
const AUDIENCE: &str = "longshore";
/// What roles call the site.
const SITE: &str = "site";

/// The ways but for the token file.
pub(super) fn others(flags: AccessFlags, reading: &mut Reading<'_>) -> Result<Ways, Known> {
    let ways = reading.value("auth", flags.auth.clone(), values::ways).map(Option::unwrap_or_default);
    let audience = reading.value("kubernetes-audience", flags.kubernetes_audience.clone(), values::exactly);
    let site = reading.value("kubernetes-site", flags.kubernetes_site.clone(), values::site);
    let kubernetes = kubernetes(audience, site, &ways, reading);
    let oidc = oidc(flags, &ways, reading);
    Ok(Ways { token_file: None, oidc: oidc?, kubernetes: kubernetes? })
}

fn kubernetes(
    audience: Result<Option<String>, Known>,
    site: Result<Option<String>, Known>,
    ways: &Result<Vec<Way>, Known>,
    reading: &mut Reading<'_>,
) -> Result<Option<kubernetes_accounts::Rules>, Known> {
    if !ways.as_ref().map_err(|known| *known)?.contains(&Way::Kubernetes) {
        let given =
            [("kubernetes-audience", !matches!(audience, Ok(None))), ("kubernetes-site", !matches!(site, Ok(None)))];
        return idle("kubernetes", &given, reading);
    }
    if !cfg!(feature = "kubernetes") {
        reading.mistake(
            "--auth kubernetes: this program was built without it; build it with the feature `kubernetes`, or leave it out",
        );
        return Err(Known);
    }
    let audience = audience?.unwrap_or_else(|| AUDIENCE.to_owned());
    Ok(Some(kubernetes_accounts::Rules { audience, site: site?.unwrap_or_else(|| SITE.to_owned()) }))
}

fn oidc(
    flags: AccessFlags,
    ways: &Result<Vec<Way>, Known>,
    reading: &mut Reading<'_>,
) -> Result<Option<oidc::Rules>, Known> {
    let issuer = reading.value("oidc-issuer", flags.oidc_issuer, values::issuer);
    let audience = reading.value("oidc-audience", flags.oidc_audience, values::exactly);
    let claims = reading.list("oidc-claim", &flags.oidc_claim, |claim| values::claim(claim).map(drop));
    let scopes = reading.value("oidc-scopes", flags.oidc_scopes, values::scopes);
    let within = reading.value("oidc-path", flags.oidc_path, values::folder);
    let given = [
        ("oidc-issuer", !matches!(issuer, Ok(None))),
        ("oidc-audience", !matches!(audience, Ok(None))),
        ("oidc-claim", !matches!(&claims, Ok(claims) if claims.is_empty())),
        ("oidc-scopes", !matches!(scopes, Ok(None))),
        ("oidc-path", !matches!(within, Ok(None))),
    ];
    if !ways.as_ref().map_err(|known| *known)?.contains(&Way::Oidc) {
        return idle("oidc", &given, reading);
    }
    let examples =
        ["https://token.actions.githubusercontent.com", "https://publish.example.com", "repository_id=123456"];
    let mut missing = false;
    for ((name, _), example) in given.iter().zip(examples).filter(|((_, is_given), _)| !is_given) {
        missing = true;
        let why = if *name == "oidc-claim" { ", since anybody can have a token of a public issuer" } else { "" };
        reading.mistake(format!("--auth oidc needs --{name}{why}: add `--{name} {example}` or set {}", variable(name)));
    }
    let (issuer, audience, claims) = (issuer?, audience?, claims?);
    let claims: Vec<_> = claims.iter().filter_map(|claim| values::claim(claim).ok()).collect();
    for (index, claim) in claims.iter().enumerate() {
        if claims[..index].iter().any(|other| other.name == claim.name) {
            reading.mistake(format!("--oidc-claim {} is there twice: all of them must hold", claim.name));
            missing = true;
        }
    }
    let (scopes, within) = (scopes?, within?);
    let (Some(issuer), Some(audience), false) = (issuer, audience, missing) else { return Err(Known) };
    let scopes = scopes.unwrap_or_else(|| Scopes::NONE.and(Scope::Read).and(Scope::Upload));
    Ok(Some(oidc::Rules { issuer, audience, claims, scopes, within }))
}

/// Flags of a way that is not taken: somebody thinks that it is.
fn idle<T>(way: &str, given: &[(&str, bool)], reading: &mut Reading<'_>) -> Result<Option<T>, Known> {
    let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given) else { return Ok(None) };
    reading.mistake(format!("--{name} without --auth {way}: nobody would be known by it; add that or leave it out"));
    Err(Known)
}

/// Nobody can be let in by forgetting a flag: one way must be there, and the open one reaches no network.
pub(super) fn access(
    token_file: Result<Option<PathBuf>, Known>,
    no_auth: Result<bool, Known>,
    others: Result<Ways, Known>,
    listen: Result<SocketAddr, Known>,
    reading: &mut Reading<'_>,
) -> Result<Access, Known> {
    let (token_file, no_auth, others) = (token_file?, no_auth?, others?);
    match (&token_file, no_auth) {
        (Some(_), true) => {
            reading.mistake("--token-file and --no-auth exclude each other: leave one of them out");
            Err(Known)
        }
        (None, true) if others != Ways::default() => {
            reading.mistake("--auth and --no-auth exclude each other: leave one of them out");
            Err(Known)
        }
        (None, true) => {
            let listen = listen?;
            if listen.ip().to_canonical().is_loopback() {
                return Ok(Access::Anybody);
            }
            reading.mistake(format!(
                "--no-auth with --listen {listen} would let the whole network write: listen on a loopback address, as \
                 in `--listen 127.0.0.1:8080`, or use --token-file"
            ));
            Err(Known)
        }
        (None, false) if others == Ways::default() => {
            reading.mistake(
                "--token-file is missing: name a file with one token a line (`openssl rand -hex 32` makes one), or, to \
                 try it out, use `--no-auth --listen 127.0.0.1:8080`",
            );
            Err(Known)
        }
        _ => Ok(Access::Known(Box::new(Ways { token_file, ..others }))),
    }
}
