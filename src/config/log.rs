//! `[log]`: what is written, and how.

use super::reader::Section;

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe that is written.
    pub level: Level,
    /// How a line looks.
    pub format: LogFormat,
    /// Whether each exchange has a line.
    pub access: bool,
}

/// The least severe line that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Someone should act.
    Error,
    /// Carried on, degraded.
    Warn,
    /// Start, stop, exchange.
    Info,
    /// For the one looking.
    Debug,
    /// Everything.
    Trace,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads `[log]`.
pub(super) fn read(mut section: Section<'_, '_>) -> Log {
    let levels = [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug), ("trace", Level::Trace)];
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = Log {
        level: section.choice("level", &levels).map_or(Level::Info, |chosen| chosen.value),
        format: section.choice("format", &formats).map_or(LogFormat::Auto, |chosen| chosen.value),
        access: section.flag("access").is_none_or(|flag| flag.value),
    };
    section.finish();
    log
}
