//! `longshore serve`: stays beside the application, takes uploads, and perhaps follows a source.

use std::{
    fs,
    io::Write as _,
    net::{self, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use tokio::{net::TcpListener, runtime, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::{Failure, confine::confine, descriptors, exit::Exit, locations};
use crate::{
    api::{
        self, App,
        identity::{Identity, Kubernetes, Oidc},
        listener::{self, Limits},
        places::Places,
        probes::{self, Health},
        tls::Tls,
        tokens::Tokens,
    },
    depot::{Depot, Gate, Options},
    follow::{self, Follow},
    hooks::{Post, Pre},
    inspect::Inspect,
    settings::{Access, Confine, Serve, Ways},
    shutdown::Shutdown,
    telemetry::{Connections, Heights, Metrics},
    upkeep::Upkeep,
};

/// Threads for bodies and disk work: each upload keeps one while it comes, so there are more than connections.
const BLOCKING: usize = 2_048;
/// How long a request waits for another process that writes to the volume, before it is asked to come again.
const PATIENCE: Duration = Duration::from_secs(10);
/// What it takes to answer those who wait for a hook.
const TELLING: Duration = Duration::from_secs(1);
/// What blocking work may still take when everything else has ended.
const LAST: Duration = Duration::from_secs(2);

pub(super) fn run(settings: Serve, sandbox: Confine) -> Result<(), Failure> {
    descriptors::raise(settings.crowd.connections, settings.limits.uploads);
    check_hooks(&settings)?;
    let options =
        Options { patience: PATIENCE, layout: settings.layout.clone(), keep: settings.keep, limits: settings.limits };
    let depot = Depot::open(&settings.volume, options)?;
    let tls = open_tls(&settings)?;
    let bound = Bound::by(&settings)?;
    // Before there is a second thread.
    confine(sandbox, &settings)?;
    let runtime = runtime::Builder::new_multi_thread().max_blocking_threads(BLOCKING).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(error.into()))?;
    let done = runtime.block_on(serve(settings, depot, bound, tls));
    runtime.shutdown_timeout(LAST);
    done
}

async fn serve(settings: Serve, depot: Depot, bound: Bound, tls: Option<Tls>) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals(settings.grace).map_err(|error| Failure::other(error.into()))?;
    let metrics = Arc::new(Metrics::new());
    let from = locations(&settings.from)?;
    // From when on nobody waits for what a hook says.
    let asking_end = Shutdown::new(Duration::ZERO);
    let gate = gate(&settings, &metrics, &asking_end)?;
    let depot = Arc::new(depot.adopting(settings.adopt_changes).asking(gate));
    let (listen, probes_at) = (bound.uploads.address, bound.probes.address);
    let (uploads, probes) = (bound.uploads.listener()?, bound.probes.listener()?);
    let health = Arc::new(Health::new(shutdown.clone()));
    // Probes answer from here on, and until everything else has ended.
    let probe_end = Shutdown::new(Duration::ZERO);
    let probing = tokio::spawn(listener::serve(
        probes,
        probes::router(health.clone(), metrics.clone()),
        Limits::default(),
        None,
        Connections::default(),
        probe_end.clone(),
    ));
    let identity = match &settings.access {
        Access::Known(ways) => Some(identity(ways, &metrics).await?),
        Access::Anybody => None,
    };
    let watching = identity.as_ref().and_then(|identity| identity.tokens.as_ref()).map(Tokens::watch).transpose();
    let _watching = watching.map_err(|error| Failure::other(error.into()))?;
    recover(&depot, &metrics).await?;
    metrics.bounds.set(&heights(&depot)?);

    let (asker, asks) = follow::asking();
    let app = Arc::new(App {
        asker: (!from.is_empty()).then_some(asker),
        depot: depot.clone(),
        identity,
        public_read: settings.public_read,
        hosts: settings.hosts,
        origins: settings.origins,
        places: Places::new(settings.limits.uploads, settings.crowd.client_uploads),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    });
    tracing::info!(%listen, tls = tls.is_some(), probes = %probes_at, "serving");
    let tending = tokio::spawn(Upkeep { depot: depot.clone(), metrics: metrics.clone() }.run(shutdown.clone()));
    let inspect = Inspect { depot: depot.clone(), volume: settings.volume, metrics: metrics.clone() };
    let inspecting = tokio::spawn(inspect.run(shutdown.clone()));
    let following = (!from.is_empty()).then(|| {
        let follow =
            Follow { depot: depot.clone(), from, every: settings.every, when: settings.when, metrics: metrics.clone() };
        tokio::spawn(follow.run(asks, shutdown.clone()))
    });
    let telling = settings.post_publish.map(|to| {
        let (depot, timeout) = (depot.clone(), settings.post_publish_timeout);
        tokio::spawn(Post { depot, to, timeout, metrics: metrics.clone() }.run(shutdown.clone()))
    });
    let _renewing = tls.clone().map(|tls| AbortOnDropHandle::new(tokio::spawn(tls.watch(metrics.certificate.clone()))));
    health.set_started();
    let ending = tokio::spawn(end_asking(shutdown.clone(), settings.grace, asking_end.clone()));
    let limits = Limits {
        connections: settings.crowd.connections,
        client_connections: settings.crowd.client_connections,
        ..Limits::default()
    };
    let numbers = metrics.connections.clone();
    let cut = listener::serve(uploads, api::router(app), limits, tls, numbers, shutdown.clone()).await;
    ending.abort();
    asking_end.begin();
    if cut > 0 {
        tracing::warn!(connections = cut, "cut at the end of the grace");
    }
    finish([Some(tending), Some(inspecting), following, telling], &shutdown).await;
    probe_end.begin();
    drop(probing.await);
    if depot.is_adrift() {
        let error = anyhow!("the outcome of an operation is unknown");
        return Err(Failure::new(Exit::Failed, error, Some("start again: recovery applies what the journal has")));
    }
    tracing::info!("ended");
    Ok(())
}

/// Stops waiting for what a hook says a moment before connections are cut, so that who waits is told.
async fn end_asking(shutdown: Shutdown, grace: Duration, asking_end: Shutdown) {
    shutdown.recv().await;
    tokio::time::sleep(grace.saturating_sub(TELLING.min(grace / 2))).await;
    asking_end.begin();
}

/// Certificates that make no sense are told now, too.
fn open_tls(settings: &Serve) -> Result<Option<Tls>, Failure> {
    let opened = settings.tls.clone().map(Tls::open).transpose();
    opened.map_err(|error| {
        Failure::new(Exit::Usage, error.into(), Some("--tls-cert, --tls-key and --tls-client-ca name PEM files"))
    })
}

/// A program that is not there is told now, not when it is needed.
fn check_hooks(settings: &Serve) -> Result<(), Failure> {
    for (flag, hook) in [("--pre-publish", &settings.pre_publish), ("--post-publish", &settings.post_publish)] {
        if let Some(hook) = hook {
            hook.check().map_err(|why| Failure::new(Exit::Usage, anyhow!("{flag} {hook}: {why}"), None))?;
        }
    }
    Ok(())
}

/// The ways to know who sends a request.
async fn identity(ways: &Ways, metrics: &Arc<Metrics>) -> Result<Identity, Failure> {
    let tokens = ways.token_file.as_ref().map(|file| Tokens::open(file, metrics.clone()));
    let oidc = ways.oidc.clone().map(Oidc::new).transpose().map_err(|error| Failure::other(error.into()))?;
    let kubernetes = match ways.kubernetes.clone() {
        Some(rules) => Some(Kubernetes::new(rules).await.map_err(|error| {
            let hint = "in a Pod, mount the account's token (automountServiceAccountToken); elsewhere, set KUBECONFIG";
            Failure::new(Exit::Usage, error.context("--auth kubernetes"), Some(hint))
        })?),
        None => None,
    };
    Ok(Identity { tokens, oidc, kubernetes, metrics: metrics.clone() })
}

/// Who is asked before each release.
fn gate(settings: &Serve, metrics: &Arc<Metrics>, end: &Shutdown) -> Result<Option<Arc<dyn Gate>>, Failure> {
    let Some(hook) = settings.pre_publish.clone() else { return Ok(None) };
    let pre = Pre::new(hook, settings.pre_publish_timeout, metrics.clone(), end.clone());
    Ok(Some(Arc::new(pre.map_err(|error| Failure::other(error.into()))?)))
}

/// The addresses that are ours.
struct Bound {
    uploads: Port,
    probes: Port,
}

impl Bound {
    fn by(settings: &Serve) -> Result<Self, Failure> {
        let bound = Self { uploads: Port::bind(settings.listen)?, probes: Port::bind(settings.probes)? };
        if let Some(file) = &settings.addresses_file {
            announce(file, &bound).map_err(Failure::other)?;
        }
        Ok(bound)
    }
}

/// One of them.
struct Port {
    listener: net::TcpListener,
    address: SocketAddr,
}

impl Port {
    fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let listener = net::TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"));
        let listener = listener.map_err(Failure::other)?;
        let address = listener.local_addr().map_err(|error| Failure::other(error.into()))?;
        Ok(Self { listener, address })
    }

    /// For the runtime in which this is called.
    fn listener(self) -> Result<TcpListener, Failure> {
        let listener = self.listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(self.listener));
        listener.map_err(|error| Failure::other(error.into()))
    }
}

/// Tells whoever started us with port 0 which ports they are. The file appears whole.
#[expect(clippy::disallowed_methods, reason = "the operator's own file, not on the volume")]
fn announce(file: &Path, Bound { uploads, probes }: &Bound) -> anyhow::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = directory.join(format!(".addresses-{}", std::process::id()));
    let write = || {
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
        write!(out, "listen={}\nprobes={}\n", uploads.address, probes.address)?;
        fs::rename(&temporary, file)
    };
    write().with_context(|| format!("cannot write the addresses to {}", file.display()))
}

async fn recover(depot: &Arc<Depot>, metrics: &Metrics) -> Result<(), Failure> {
    let at_work = depot.clone();
    let recovered = tokio::task::spawn_blocking(move || {
        let recovered = at_work.recover()?;
        Ok::<_, Failure>((recovered, at_work.served()?, at_work.size().unwrap_or_default()))
    });
    let (recovered, head, live) = recovered.await.map_err(|error| Failure::other(error.into()))??;
    if !recovered.is_nothing() {
        tracing::info!(?recovered, "finished what an earlier run left");
    }
    metrics.diverges(depot.is_diverged());
    metrics.pins(!matches!(depot.pin(), Ok(None)));
    metrics.bounds.lives(live.files, live.bytes);
    match head {
        Some((seq, release)) => {
            metrics.shows(seq);
            tracing::info!(seq, release = %release.manifest, "live");
        }
        None => tracing::info!("the volume has no release yet: the first upload makes one"),
    }
    Ok(())
}

/// The limits as numbers.
fn heights(depot: &Depot) -> Result<Heights, Failure> {
    let limits = depot.limits();
    Ok(Heights {
        file_bytes: limits.file,
        site_bytes: limits.site,
        site_files: limits.files,
        uploads: limits.uploads as u64,
        upload_age: limits.upload_age.as_secs(),
        free_bytes: depot.min_free()?,
    })
}

/// Waits for tasks that end by themselves, until the grace is over.
async fn finish(tasks: [Option<JoinHandle<()>>; 4], shutdown: &Shutdown) {
    for mut task in tasks.into_iter().flatten() {
        tokio::select! {
            _ = &mut task => {}
            () = shutdown.deadline() => task.abort(),
        }
    }
}
