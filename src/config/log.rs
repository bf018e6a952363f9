//! `[log]`: what is written, and how.

use super::reader::Section;
pub use crate::telemetry::Format as LogFormat;
pub use tracing::Level;

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

/// Reads `[log]`.
pub(super) fn read(mut section: Section<'_, '_>) -> Log {
    let levels = [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG), ("trace", Level::TRACE)];
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = Log {
        level: section.choice("level", &levels).map_or(Level::INFO, |chosen| chosen.value),
        format: section.choice("format", &formats).map_or(LogFormat::Auto, |chosen| chosen.value),
        access: section.flag("access").is_none_or(|flag| flag.value),
    };
    section.finish();
    log
}
