//! What Cloakroom tells its operator: one line per exchange, and little else.

mod json;

pub use json::Json;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::time::Duration;
use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

/// Lines that wait to be written. If nobody reads standard error for so long, further ones are lost: no request waits for a log.
const MOST_WAITING: usize = 8192;

/// The log's thread rests for so long after each write: on a busy site it is woken, and writes, a hundred times a second instead of with
/// nearly every line.
const REST: Duration = Duration::from_millis(10);

/// Writes what still waits when it is dropped.
#[must_use]
pub struct Logging(#[allow(dead_code)] WorkerGuard);

/// Starts logging to standard error, from a thread of its own. Call once; a second call changes nothing.
///
/// The server library's own lines hold targets with query strings and, at debug level, heads with cookies: whatever the level, only its
/// warnings pass. The database driver's are capped likewise.
pub fn start(level: Level, format: Format) -> Logging {
    let library = LevelFilter::from_level(level).min(LevelFilter::WARN);
    let targets = Targets::new().with_default(library).with_target("cloakroom", level).with_target("access", level);
    let json = match format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Text => false,
        Format::Json => true,
    };
    // The buffer makes one write of all the lines that came while the thread rested.
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MOST_WAITING)
        .thread_name("log")
        .finish(Unhurried(BufWriter::with_capacity(32 << 10, io::stderr())));
    let registry = tracing_subscriber::registry().with(targets);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    // `try_init` also routes the `log` facade of the libraries here.
    let _ = if json {
        registry.with(layer.event_format(Json)).try_init()
    } else {
        registry.with(layer.with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()).compact()).try_init()
    };
    Logging(guard)
}

/// Rests after each flush, which the log's thread asks for whenever no line waits.
struct Unhurried<W>(W);

impl<W: Write> Write for Unhurried<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(REST);
        Ok(())
    }
}

/// An error and what caused it, in one line. What a message repeats of its cause is said once.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// One exchange, as it is remembered. Never a cookie, a query, a body or a session id.
#[derive(Debug)]
pub struct AccessLine<'a> {
    pub method: &'a str,
    pub host: &'a str,
    /// Without the query; visible ASCII, or `-` when it was refused unread.
    pub path: &'a str,
    /// 0: the client left without an answer.
    pub status: u16,
    pub time: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub client: &'a str,
    pub route: &'a str,
    pub upstream: &'a str,
    pub handle: &'a str,
    pub session: &'a str,
    /// Why the exchange did not go its usual way; empty if it did.
    pub reason: &'a str,
    /// What went wrong behind us, with its causes; empty if nothing did.
    pub cause: &'a str,
}

macro_rules! write_line {
    ($level:expr, $line:expr, $millis:expr) => {
        tracing::event!(
            target: "access",
            $level,
            method = $line.method,
            host = $line.host,
            path = $line.path,
            status = $line.status,
            ms = $millis,
            bytes_in = $line.bytes_in,
            bytes_out = $line.bytes_out,
            client = $line.client,
            route = $line.route,
            upstream = $line.upstream,
            handle = $line.handle,
            session = $line.session,
            reason = $line.reason,
            cause = Some($line.cause).filter(|cause| !cause.is_empty()),
        )
    };
}

impl AccessLine<'_> {
    /// Writes the line: as a warning if something went wrong behind us.
    pub fn write(&self) {
        let millis = self.time.as_micros() as f64 / 1000.0;
        if self.cause.is_empty() {
            write_line!(Level::INFO, self, millis);
        } else {
            write_line!(Level::WARN, self, millis);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn a_chain_tells_every_cause_once() {
        let refused = Told("connection refused", None);
        let inner = Told("could not connect: connection refused", Some(Box::new(refused)));

        assert_eq!(chain(&Told("no answer", Some(Box::new(inner)))), "no answer: could not connect: connection refused");
    }
}
