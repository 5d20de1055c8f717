//! Logs on stderr: ids, counts and durations; never names, values, free text or keys.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. `METACLINIC_LOG` sets the filter (`tracing` directives); the default is `default_level` for
/// metaclinic's own crates and warnings of others. `json` writes one JSON object a line.
pub(crate) fn start(default_level: &str, json: bool) {
    let own = ["metaclinic", "metaclinic_store", "metaclinic_net"].map(|c| format!("{c}={default_level}"));
    let fallback = format!("error,{}", own.join(","));
    let filter = EnvFilter::try_from_env("METACLINIC_LOG").unwrap_or_else(|_| EnvFilter::new(fallback));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Without this a closed stderr makes the logger itself print, which panics.
        .log_internal_errors(false);
    // A second start in one process (tests) is harmless: the first stays.
    let _ = if json {
        builder.json().finish().try_init()
    } else {
        builder
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .finish()
            .try_init()
    };
}
