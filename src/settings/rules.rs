//! From raw flags to complete settings: each value by itself, then what must hold between them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    CheckSource, Command, Crowd, Doctor, Fill, Hosts, Keep, Layout, Limits, Log, Origins, Reconcile, Serve, Settings,
    Verify, When, access,
    flags::{
        DoctorFlags, FillFlags, Flags, KeepFlags, LayoutFlags, LimitFlags, ReconcileFlags, ServeFlags, Verb,
        VerifyFlags,
    },
    reading::{Known, Reading},
    values,
};

use crate::api::{
    listener::{CONNECTIONS, share},
    tls,
};

const SEED: &str = "/seed";
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const PROBES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9090);
const EVERY: Duration = Duration::from_secs(30);
const PRE_PUBLISH: Duration = Duration::from_secs(30);
const POST_PUBLISH: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(25);
const VOLUME_EXAMPLE: &str = "/usr/share/nginx/html";

/// Settings, or `None` when `reading` has the mistakes.
pub(super) fn settings(flags: Flags, check_source: CheckSource, reading: &mut Reading<'_>) -> Option<Settings> {
    let filter = reading.value("log", flags.log, values::filter);
    let format = reading.value("log-format", flags.log_format, values::log_format);
    let sandbox = reading.value("sandbox", flags.sandbox, values::confine);
    let command = match flags.verb {
        Verb::Fill(flags) => fill(flags, check_source, reading).map(Command::Fill),
        Verb::Serve(flags) => serve(*flags, check_source, reading).map(|serve| Command::Serve(Box::new(serve))),
        Verb::Verify(flags) => verify(flags, check_source, reading).map(Command::Verify),
        Verb::Doctor(flags) => doctor(flags, reading).map(Command::Doctor),
        Verb::Reconcile(flags) => reconcile(flags, reading).map(Command::Reconcile),
    };
    let log = Log { filter: filter.ok()?.unwrap_or_else(values::default_filter), format: format.ok()? };
    Some(Settings { log, sandbox: sandbox.ok()?.unwrap_or_default(), command: command.ok()? })
}

fn fill(flags: FillFlags, check_source: CheckSource, reading: &mut Reading<'_>) -> Result<Fill, Known> {
    let volume = reading.required("volume", flags.volume, VOLUME_EXAMPLE, values::path);
    let from = reading.list("from", &flags.from, check_source);
    let when = reading.value("when", flags.when, values::when);
    let layout = layout(flags.layout, reading);
    let keep = keep(flags.keep, reading);
    let mut from = from?;
    if from.is_empty() {
        from.push(SEED.to_owned());
    }
    Ok(Fill { volume: volume?, from, when: when?.unwrap_or_default(), layout: layout?, keep: keep? })
}

fn verify(flags: VerifyFlags, check_source: CheckSource, reading: &mut Reading<'_>) -> Result<Verify, Known> {
    let volume = reading.required("volume", flags.volume, VOLUME_EXAMPLE, values::path);
    let repair = reading.switch("repair", flags.repair);
    let from = reading.list("from", &flags.from, check_source);
    if !flags.from.is_empty() && matches!(repair, Ok(false)) {
        reading.mistake("--from without --repair: nothing would be taken from it");
    }
    let mut from = from?;
    if from.is_empty() {
        from.push(SEED.to_owned());
    }
    Ok(Verify { volume: volume?, repair: repair?, from })
}

fn doctor(flags: DoctorFlags, reading: &mut Reading<'_>) -> Result<Doctor, Known> {
    Ok(Doctor { volume: reading.required("volume", flags.volume, VOLUME_EXAMPLE, values::path)? })
}

fn reconcile(flags: ReconcileFlags, reading: &mut Reading<'_>) -> Result<Reconcile, Known> {
    let volume = reading.required("volume", flags.volume, VOLUME_EXAMPLE, values::path);
    let keep = reading.required("keep", flags.keep, "store", values::side);
    Ok(Reconcile { volume: volume?, keep: keep? })
}

/// `--link NAME` alone means the layout `link`.
fn layout(flags: LayoutFlags, reading: &mut Reading<'_>) -> Result<Option<Layout>, Known> {
    let link = reading.value("link", flags.link, values::link);
    let is_link = flags.layout.as_deref().map(|layout| layout == "link");
    if let (Ok(Some(_)), Some(true)) = (&link, is_link) {
        return link;
    }
    let layout = reading.value("layout", flags.layout, values::layout);
    match (layout?, link?) {
        (Some(layout), Some(_)) => {
            reading.mistake(format!("--layout {layout} and --link exclude each other: leave one of them out"));
            Err(Known)
        }
        (layout, link) => Ok(layout.or(link)),
    }
}

fn keep(flags: KeepFlags, reading: &mut Reading<'_>) -> Result<Keep, Known> {
    let releases = reading.value("keep-releases", flags.keep_releases, values::count);
    let time = reading.value("keep-for", flags.keep_for, values::duration);
    let linger = reading.value("linger", flags.linger, values::duration);
    let default = Keep::default();
    Ok(Keep {
        releases: releases?.unwrap_or(default.releases),
        time: time?.unwrap_or(default.time),
        linger: linger?.unwrap_or(default.linger),
    })
}

fn limits(flags: LimitFlags, reading: &mut Reading<'_>) -> Result<(Limits, Crowd), Known> {
    let file = reading.value("max-file", flags.max_file, values::size);
    let site = reading.value("max-site", flags.max_site, values::size);
    let files = reading.value("max-files", flags.max_files, values::count);
    let uploads = reading.value("max-uploads", flags.max_uploads, values::uploads);
    let upload_age = reading.value("upload-age", flags.upload_age, values::age);
    let min_free = reading.value("min-free", flags.min_free, values::min_free);
    let client_uploads = reading.value("max-client-uploads", flags.max_client_uploads, values::count);
    let connections = reading.value("max-connections", flags.max_connections, values::connections);
    let client_connections = reading.value("max-client-connections", flags.max_client_connections, values::count);
    let default = Limits::default();
    let limits = Limits {
        file: file?.unwrap_or(default.file),
        site: site?.unwrap_or(default.site),
        files: files?.map_or(default.files, |files| files as u64),
        uploads: uploads?.unwrap_or(default.uploads),
        upload_age: upload_age?.unwrap_or(default.upload_age),
        min_free: min_free?.unwrap_or(default.min_free),
    };
    let connections = connections?.unwrap_or(CONNECTIONS);
    let crowd = Crowd {
        connections,
        client_connections: client_connections?.unwrap_or(share(connections)),
        client_uploads: client_uploads?.unwrap_or(share(limits.uploads)),
    };
    Ok((limits, crowd))
}

fn serve(flags: ServeFlags, check_source: CheckSource, reading: &mut Reading<'_>) -> Result<Serve, Known> {
    // Each value first, all of them, so that one mistake hides no other; `?` comes when the list is complete.
    let volume = reading.required("volume", flags.volume, VOLUME_EXAMPLE, values::path);
    let listen = reading.value("listen", flags.listen, values::address).map(|given| given.unwrap_or(LISTEN));
    let probes = reading.value("probes", flags.probes, values::address).map(|given| given.unwrap_or(PROBES));
    let token_file = reading.value("token-file", flags.token_file, values::path);
    let no_auth = reading.switch("no-auth", flags.no_auth);
    let others = access::others(flags.access, reading);
    let tls_cert = reading.value("tls-cert", flags.tls_cert, values::path);
    let tls_key = reading.value("tls-key", flags.tls_key, values::path);
    let tls_client_ca = reading.value("tls-client-ca", flags.tls_client_ca, values::path);
    let public_read = reading.switch("public-read", flags.public_read);
    let hosts = reading.list("host", &flags.host, |name| Hosts::parse([name]).map(drop));
    let origins = reading.list("origin", &flags.origin, |origin| Origins::parse([origin]).map(drop));
    let from = reading.list("from", &flags.from, check_source);
    let every = reading.value("every", flags.every, values::interval);
    let when = reading.value("when", flags.when, values::when);
    let grace = reading.value("grace", flags.grace, values::duration);
    let addresses_file = reading.value("addresses-file", flags.addresses_file, values::path);
    let adopt_changes = reading.switch("adopt-changes", flags.adopt_changes);
    let pre_publish = reading.value("pre-publish", flags.pre_publish, values::hook);
    let pre_publish_timeout = reading.value("pre-publish-timeout", flags.pre_publish_timeout, values::interval);
    let post_publish = reading.value("post-publish", flags.post_publish, values::hook);
    let post_publish_timeout = reading.value("post-publish-timeout", flags.post_publish_timeout, values::interval);
    let layout = layout(flags.layout, reading);
    let keep = keep(flags.keep, reading);
    let limits = limits(flags.limits, reading);

    let tls = tls(tls_cert, tls_key, tls_client_ca, reading);
    let access = access::access(token_file, no_auth, others, listen, reading);
    if let (Ok(listen), Ok(probes)) = (listen, probes)
        && listen == probes
        && listen.port() != 0
    {
        reading.mistake(format!("--listen and --probes are both {listen}: they need an address each"));
    }
    if let (Ok(from), Ok(Some(_))) = (&from, every)
        && from.is_empty()
    {
        reading.mistake("--every without --from: there is nothing to look at; name a SOURCE or leave it out");
    }
    let (limits, crowd) = limits?;
    Ok(Serve {
        volume: volume?,
        listen: listen?,
        probes: probes?,
        access: access?,
        public_read: public_read?,
        hosts: Hosts::parse(hosts?.iter().map(String::as_str)).map_err(|_| Known)?,
        origins: Origins::parse(origins?.iter().map(String::as_str)).map_err(|_| Known)?,
        from: from?,
        every: every?.unwrap_or(EVERY),
        // To follow a source by the rule `empty` would be to follow nothing once it is there.
        when: when?.unwrap_or(When::Unmodified),
        grace: grace?.unwrap_or(GRACE),
        addresses_file: addresses_file?,
        pre_publish: pre_publish?,
        pre_publish_timeout: pre_publish_timeout?.unwrap_or(PRE_PUBLISH),
        post_publish: post_publish?,
        post_publish_timeout: post_publish_timeout?.unwrap_or(POST_PUBLISH),
        adopt_changes: adopt_changes?,
        layout: layout?,
        keep: keep?,
        limits,
        crowd,
        tls: tls?,
    })
}

/// All of it or nothing: half of it must not mean that there is none.
fn tls(
    certificate: Result<Option<PathBuf>, Known>,
    key: Result<Option<PathBuf>, Known>,
    client_authority: Result<Option<PathBuf>, Known>,
    reading: &mut Reading<'_>,
) -> Result<Option<tls::Files>, Known> {
    match (certificate?, key?, client_authority?) {
        (Some(certificate), Some(key), client_authority) => Ok(Some(tls::Files { certificate, key, client_authority })),
        (None, None, None) => Ok(None),
        (certificate, ..) => {
            let missing = if certificate.is_some() { "--tls-key" } else { "--tls-cert" };
            reading.mistake(format!("{missing} is missing: TLS takes a certificate and its key"));
            Err(Known)
        }
    }
}
