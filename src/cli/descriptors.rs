//! Descriptors: as many as connections and uploads may need, if the system lets us.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files, folders and sockets that one upload may have open at once.
const OF_AN_UPLOAD: u64 = 4;
/// What else is open: the volume, the store, sources, probes.
const OTHERS: u64 = 512;

/// Raises the soft limit as far as it may be, and says so when that is too low for so many.
///
/// It is low by default for programs that use select(2), which we do not.
pub(super) fn raise(connections: usize, uploads: usize) {
    let needed = connections as u64 + OF_AN_UPLOAD * uploads as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    // None: without end.
    let Some(current) = limit.current else { return };
    if current >= needed {
        return;
    }
    let wanted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    let has = if raised.is_ok() { wanted } else { current };
    if has < needed {
        tracing::warn!(
            has,
            needed,
            "too few file descriptors for --max-connections and --max-uploads: raise the limit (ulimit -n, LimitNOFILE), \
             or lower those; idle connections are closed when they run out"
        );
    }
}
