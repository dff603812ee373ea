//! From nothing to serving. Whatever cannot be had is said at once, and the process ends with status 2.

use crate::{
    REVISION, VERSION, admin, certificates,
    check::REFUSED,
    control::{self, Control},
    state::State,
};
use anyhow::Context;
use evenkeel_admin::ConfigView;
use evenkeel_config::{Loaded, Watch, load};
use evenkeel_health::{Checker, ProbeTarget};
use evenkeel_model::{self as model, Address, Config, ListenerName, LogOutput};
use evenkeel_proxy::{Proxy, Snapshot};
use evenkeel_telemetry::{
    access_log::{AccessLog, Prepared},
    logging::Logging,
    panics,
};
use std::{
    io::{IsTerminal, Write, stderr, stdout},
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

/// How long the start waits for host names; one that takes longer is resolved later.
const RESOLVE_AT_START: Duration = Duration::from_secs(2);

/// `evenkeel run`.
pub(crate) fn run(path: &Path) -> ExitCode {
    run_until(path, announce, std::future::pending())
}

/// What serves now, and where in the end: port 0 has become a number.
pub(crate) struct Ready {
    pub(crate) listeners: Vec<(ListenerName, Address)>,
    pub(crate) admin: Option<Address>,
    pub(crate) workers: usize,
}

/// Calls `ready` once it serves; serves until a signal, or until `end` is over.
pub(crate) fn run_until(path: &Path, ready: impl FnOnce(&Ready), end: impl Future<Output = ()>) -> ExitCode {
    // Watched before it is loaded, so that no change falls in between.
    let mut watch = Watch::start(path);
    let loaded = match load(path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprint!("{}", problems.render(stderr().is_terminal()));
            eprintln!("{}: not started ({})", path.display(), problems.summary());
            return ExitCode::from(REFUSED);
        }
    };
    watch.seen(loaded.hash);
    watch.named(loaded.config.files().cloned().collect());
    let wrong = certificates::check(&loaded.config);
    if !wrong.is_empty() {
        let problems = certificates::placed(path, &loaded.source, &wrong);
        eprint!("{}", problems.render(stderr().is_terminal()));
        eprintln!("{}: not started ({})", path.display(), problems.summary());
        return ExitCode::from(REFUSED);
    }
    eprint!("{}", loaded.warnings.render(stderr().is_terminal()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let (control, at) = start(path, loaded, watch).await?;
            ready(&at);
            control::notify(&[sd_notify::NotifyState::Ready]);
            control.run(end).await;
            Ok(())
        }),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(REFUSED)
}

async fn start(path: &Path, loaded: Loaded, watch: Watch) -> anyhow::Result<(Control, Ready)> {
    let Loaded { config, hash, .. } = loaded;
    let logging = Logging::init(config.log)?;
    panics::install_hook();
    let descriptors = evenkeel_net::raise_limit();
    let workers = config.workers.or_else(|| available_parallelism().ok()).map_or(1, usize::from);
    let signals = control::Signals::install()?;

    let admin_socket = admin::bind(config.admin.as_ref())?;
    let access_log = Arc::new(AccessLog::start()?);
    access_log.apply(prepare_log(&access_log, config.access_log.as_ref())?);

    let configured = config.workers;
    let snapshot = Snapshot::build(config, workers, None)?;
    resolve(&snapshot).await;
    let checker = Checker::new(random_seed());
    checker.reconcile(targets(&snapshot));
    let builder = Proxy::builder(snapshot).access_log(Arc::clone(&access_log)).descriptors(descriptors);
    // It waits for its workers, and this thread has probes to make.
    let proxy = tokio::task::spawn_blocking(|| builder.run()).await??;

    let view = ConfigView {
        hash: hash.to_string(),
        generation: proxy.generation(),
        path: path.to_owned(),
        loaded_at: SystemTime::now(),
        last_reload: None,
    };
    let (reloads, reload_requests) = mpsc::channel(16);
    let state = Arc::new(State::new(proxy, checker, access_log, view, reloads));
    state.process.install()?;
    let admin = admin::Admin::serve(admin_socket, &state)?;
    let ready = Ready { listeners: state.proxy.addresses(), admin: admin.address().cloned(), workers };
    let path = path.to_owned();
    let control = Control { path, state, watch, logging, admin, signals, reload_requests, workers: configured };
    Ok((control, ready))
}

/// Opens what the file wants to be logged to.
pub(crate) fn prepare_log(log: &AccessLog, wanted: Option<&model::AccessLog>) -> anyhow::Result<Prepared> {
    let place = || match wanted.map(|wanted| &wanted.output) {
        Some(LogOutput::File(path)) => format!("[access_log] output = \"{}\"", path.display()),
        Some(LogOutput::Stdout) | None => "[access_log]".to_owned(),
    };
    log.prepare(wanted).with_context(place)
}

/// Gives host names a moment to be resolved, all at the same time.
pub(crate) async fn resolve(snapshot: &Snapshot) {
    let mut names = tokio::task::JoinSet::new();
    for part in snapshot.upstreams().iter().flat_map(|upstream| upstream.endpoints.iter()) {
        if !part.target.resolved() {
            let target = Arc::clone(&part.target);
            names.spawn(async move { target.resolve().await.map(|_| ()) });
        }
    }
    // What fails is said, and tried again, by the checker.
    let _ = tokio::time::timeout(RESOLVE_AT_START, names.join_all()).await;
}

/// What the checker watches: every endpoint of a snapshot.
pub(crate) fn targets(snapshot: &Snapshot) -> Vec<ProbeTarget> {
    let upstream = |upstream: &Arc<evenkeel_proxy::UpstreamPart>| {
        let settings = upstream.settings.clone();
        let tls = upstream.tls.clone();
        let parts: Vec<_> = upstream.endpoints.to_vec();
        parts.into_iter().map(move |part| ProbeTarget {
            upstream: settings.name.clone(),
            endpoint: Arc::clone(&part.endpoint),
            target: Arc::clone(&part.target),
            probe: settings.health.clone(),
            resolve_interval: settings.resolve_interval,
            tls: tls.clone(),
        })
    };
    snapshot.upstreams().iter().flat_map(upstream).collect()
}

/// One line for machines on standard output, and one for people in the log.
fn announce(ready: &Ready) {
    let Ready { listeners, admin, workers } = ready;
    let listeners: Vec<String> = listeners.iter().map(|(name, address)| format!("\"{name}\":\"{address}\"")).collect();
    let at = admin.as_ref().map_or_else(|| "null".to_owned(), |address| format!("\"{address}\""));
    let line = format!(
        "{{\"ready\":true,\"version\":\"{VERSION}\",\"listeners\":{{{}}},\"admin\":{at},\"workers\":{workers}}}\n",
        listeners.join(",")
    );
    // Nobody may be reading; that is no reason not to serve.
    let _ = stdout().write_all(line.as_bytes()).and_then(|()| stdout().flush());
    tracing::info!(version = VERSION, revision = REVISION, workers, "serving {}", listeners.join(" ").replace('"', ""));
    if admin.is_none() {
        tracing::info!("there is no [admin] section: no metrics, no readiness, no API");
    }
}

/// Another jitter for each start.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// Keys that take effect at restart only, and have another value now.
pub(crate) fn needs_restart(before: Option<std::num::NonZeroUsize>, config: &Config) -> bool {
    before != config.workers
}
