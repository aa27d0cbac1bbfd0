//! Progress for whoever watches: a bar on a terminal, a log line every few seconds elsewhere.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use indicatif::{ProgressBar, ProgressStyle};

use crate::source::Progress;

/// Between two log lines.
const LINE: Duration = Duration::from_secs(5);
/// Between two looks.
const TICK: Duration = Duration::from_millis(100);

/// Shows some progress until it is dropped.
pub(super) struct Display {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    pub(super) fn of(progress: &Arc<Progress>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (over, progress) = (Arc::clone(&ends), Arc::clone(progress));
        let show =
            move || if std::io::stderr().is_terminal() { bar(&progress, &over) } else { lines(&progress, &over) };
        Self { ends, thread: Some(thread::spawn(show)) }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // A display that panicked has nothing more to show.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn bar(progress: &Progress, over: &AtomicBool) {
    let bar = ProgressBar::new(0);
    let style = "{spinner} {bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta} {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is tested by every run on a terminal"));
    while !over.load(Ordering::Relaxed) {
        // A downloaded archive is fetched first; what is in it is known only then.
        let done = progress.bytes().max(progress.fetched());
        bar.set_length(progress.totals().map_or(done, |(_, bytes)| bytes));
        bar.set_position(done);
        bar.set_message(format!("{} files", progress.files()));
        bar.tick();
        thread::sleep(TICK);
    }
    bar.finish_and_clear();
}

fn lines(progress: &Progress, over: &AtomicBool) {
    let mut last = Instant::now();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        if last.elapsed() >= LINE {
            last = Instant::now();
            let (files, bytes, fetched) = (progress.files(), progress.bytes(), progress.fetched());
            let of = progress.totals().map(|(files, bytes)| format!("{files} files, {}", ByteSize(bytes)));
            tracing::info!(files, bytes = %ByteSize(bytes), fetched = %ByteSize(fetched), of, "filling");
        }
    }
}
