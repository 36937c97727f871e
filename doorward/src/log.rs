//! Log lines: to standard error, as JSON where a machine reads them, as text where a person does.

use std::io;
use std::io::IsTerminal;
use std::panic;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Begins to write log lines. `DOORWARD_LOG` chooses which, such as `debug` or `admin_api=debug`.
///
/// pingora's own lines are left out: they quote whole requests.
pub(crate) fn start() {
    let chosen = kernel::secret::environment("DOORWARD_LOG").unwrap_or_default();
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(chosen);
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    // Not `init`: it would bring in the lines of libraries that use the older `log`.
    let started = if io::stderr().is_terminal() {
        tracing::subscriber::set_global_default(lines.compact().with_target(false).finish())
    } else {
        let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
        tracing::subscriber::set_global_default(lines.finish())
    };
    // A second call keeps the first one's lines.
    let _ = started;
    panic::set_hook(Box::new(|fault| {
        // Never the message: it may quote what a client sent.
        let place = fault.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a fault in this program; the request it happened in is lost");
    }));
}
