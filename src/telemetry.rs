//! What a person or a monitor can see of a running process: log lines and metrics.
//!
//! Known to `main`, `api` and `follow`. The rooms below them only emit `tracing` events.

use std::io::IsTerminal;

use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt, util::TryInitError};

mod bounds;
mod callers;
mod certificate;
mod connections;
mod metrics;

pub use bounds::{Bounds, Heights, Limit};
pub use callers::{Met, Way};
pub use certificate::{Certificate, Reload};
pub use connections::{Closed, Connections};
pub use metrics::{CONTENT_TYPE, Metrics, Outcome, Route, Told, Uploading};

use crate::settings::{Log, LogFormat};

/// Starts the log on stderr: as text on a terminal, as one JSON object a line elsewhere, or as `log` wishes.
///
/// `RUST_LOG` has no say: it would be a second, undocumented way to set the same thing.
///
/// # Errors
/// When a log was started before in this process.
pub fn start(log: &Log) -> Result<(), TryInitError> {
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    let format = log.format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let lines = match format {
        LogFormat::Text => lines.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none()).boxed(),
        // Fields beside the message, where a collector's query finds them without a path.
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(log.filter.clone())).try_init()
}
