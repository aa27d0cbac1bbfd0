//! Keeps tokens as fresh as their file.
//!
//! The directory is watched, not the file: a rename puts another file in its place, and for a Secret kubelet swaps the
//! `..data` link beside it, of which the file's own name gets no event. Whatever happens there, the file is read
//! again. An event is only a hint: NFS, SMB and FUSE send none, and the path may lead elsewhere through links, so the
//! file is also read every few seconds.

use std::{
    io,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Tokens;

/// Time between two readings when nothing seems to happen.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Time that a change gets to be complete before the file is read.
const SETTLE: Duration = Duration::from_millis(20);

/// Owns the thread that reads the file again; dropping it ends the thread.
#[derive(Debug)]
pub struct Watch {
    /// Holds a sender too, so it is dropped before the thread is waited for.
    watcher: Option<RecommendedWatcher>,
    /// With no sender left, the thread ends.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts to watch, and to read the file at least once in `every`.
    pub(super) fn start(tokens: Tokens, every: Duration) -> io::Result<Self> {
        // One waiting wake-up is enough: the file is read after it.
        let (wake, woken) = sync_channel(1);
        let watcher = match watch_directory(&tokens.0.path, wake.clone()) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, ?every, "the token file is not watched, only read again at intervals");
                None
            }
        };
        let thread = std::thread::Builder::new().name("tokens".into()).spawn(move || run(&tokens, &woken, every))?;
        Ok(Self { watcher, wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watcher = None;
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there was printed over there.
            let _ = thread.join();
        }
    }
}

fn watch_directory(path: &Path, wake: SyncSender<()>) -> notify::Result<RecommendedWatcher> {
    let directory = if path.is_dir() { Some(path) } else { path.parent() };
    let directory = directory.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an `Access`, and would wake us for ever.
        if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
            // Full: it will be read anyway. Disconnected: we are ending.
            let _ = wake.try_send(());
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn run(tokens: &Tokens, woken: &Receiver<()>, every: Duration) {
    loop {
        match woken.recv_timeout(every) {
            Ok(()) => std::thread::sleep(SETTLE),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        tokens.refresh();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf, sync::Arc, time::Instant};

    use super::*;
    use crate::telemetry::Metrics;

    /// So long that only an event can have been the cause.
    const NEVER: Duration = Duration::from_secs(3_600);
    const OLD: &str = "Bearer old-old-old-old-old";
    const NEW: &str = "Bearer new-new-new-new-new";

    struct Place {
        directory: tempfile::TempDir,
        tokens: Tokens,
        _watch: Watch,
    }

    impl Place {
        /// A directory in which `make` puts a file `token` with the old token.
        fn new(every: Duration, make: impl FnOnce(&Path)) -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            make(directory.path());
            let tokens = Tokens::open(&directory.path().join("token"), Arc::new(Metrics::new()));
            let watch = Watch::start(tokens.clone(), every).expect("a watch");
            assert!(tokens.check(OLD.as_bytes()).is_some());
            Self { directory, tokens, _watch: watch }
        }

        fn plain(every: Duration) -> Self {
            Self::new(every, |directory| write(directory.join("token"), OLD))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        /// Waits until the old token is bad and the new one as good as `new` says.
        fn becomes(&self, new: bool) {
            let start = Instant::now();
            let good = |token: &str| self.tokens.check(token.as_bytes()).is_some();
            while good(OLD) || good(NEW) != new {
                assert!(start.elapsed() < Duration::from_secs(5), "old {}, new {}", good(OLD), good(NEW));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn write(path: PathBuf, authorization: &str) {
        fs::write(path, authorization.trim_start_matches("Bearer ")).expect("a file");
    }

    #[test]
    fn rotated_by_a_rename() {
        let place = Place::plain(NEVER);
        write(place.path("next"), NEW);
        fs::rename(place.path("next"), place.path("token")).expect("a rename");
        place.becomes(true);
    }

    #[test]
    fn rotated_in_place() {
        let place = Place::plain(NEVER);
        write(place.path("token"), NEW);
        place.becomes(true);
    }

    #[test]
    fn rotated_as_kubelet_does() {
        let place = Place::new(NEVER, |directory| {
            fs::create_dir(directory.join("..1")).expect("a directory");
            write(directory.join("..1/token"), OLD);
            symlink("..1", directory.join("..data")).expect("a link");
            symlink("..data/token", directory.join("token")).expect("a link");
        });
        fs::create_dir(place.path("..2")).expect("a directory");
        write(place.path("..2/token"), NEW);
        symlink("..2", place.path("..data_tmp")).expect("a link");
        fs::rename(place.path("..data_tmp"), place.path("..data")).expect("a rename");
        fs::remove_dir_all(place.path("..1")).expect("a removal");
        place.becomes(true);
    }

    #[test]
    fn rotated_where_no_event_comes_from() {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let real = elsewhere.path().join("real");
        write(real.clone(), OLD);
        let place = Place::new(Duration::from_millis(20), |directory| {
            symlink(&real, directory.join("token")).expect("a link");
        });
        write(real, NEW);
        place.becomes(true);
    }

    #[test]
    fn emptied_then_filled_again() {
        let place = Place::plain(NEVER);
        write(place.path("token"), "");
        place.becomes(false);
        write(place.path("token"), NEW);
        place.becomes(true);
    }

    #[test]
    fn deleted_then_made_again() {
        let place = Place::plain(NEVER);
        fs::remove_file(place.path("token")).expect("a removal");
        place.becomes(false);
        assert_eq!(place.tokens.0.metrics.tokens.get(), 0);
        write(place.path("token"), NEW);
        place.becomes(true);
    }

    #[test]
    fn dropping_the_watch_ends_its_thread() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path().join("token"), OLD);
        let tokens = Tokens::open(&directory.path().join("token"), Arc::new(Metrics::new()));
        let watch = Watch::start(tokens.clone(), NEVER).expect("a watch");
        let start = Instant::now();
        drop(watch);
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(Arc::strong_count(&tokens.0), 1, "the thread's share is gone");
    }
}
