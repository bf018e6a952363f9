//! Log lines as JSON, one object a line. The logging library's own writer sorts fields into maps first: that took a sixth of a request.

use crate::clock::{Clock as _, SystemClock, Timestamp};
use std::cell::RefCell;
use std::fmt::{self, Debug};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Time, level, the event's own fields, target.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        to.write_str("{\"timestamp\":\"")?;
        write_now(&mut to)?;
        to.write_str("\",\"level\":\"")?;
        to.write_str(event.metadata().level().as_str())?;
        to.write_char('"')?;
        let mut fields = Fields { to, target: None, outcome: Ok(()) };
        event.record(&mut fields);
        let Fields { mut to, target, outcome } = fields;
        outcome?;
        to.write_str(",\"target\":")?;
        write_text(&mut to, target.as_deref().unwrap_or(event.metadata().target()))?;
        to.write_str("}\n")
    }
}

/// Writes fields as they come.
struct Fields<'a> {
    to: Writer<'a>,
    /// Lines that come through the `log` facade say here where from.
    target: Option<String>,
    outcome: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            self.outcome = self.to.write_char(',').and_then(|()| write_text(&mut self.to, field.name()));
            self.outcome = self.outcome.and_then(|()| self.to.write_char(':')).and_then(|()| value(&mut self.to));
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.write(field, |to| write_text(to, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |to| write!(to, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |to| write!(to, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for the others.
        self.write(field, |to| if value.is_finite() { write!(to, "{value}") } else { to.write_str("null") });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, |to| write!(to, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |to| write_text(to, &format!("{value:?}")));
    }
}

fn write_text(to: &mut Writer<'_>, text: &str) -> fmt::Result {
    if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
        to.write_char('"')?;
        to.write_str(text)?;
        return to.write_char('"');
    }
    to.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

/// `2026-11-24T00:40:53.123Z`. The date is worked out once a second on each thread.
fn write_now(to: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemClock.now();
    let (second, millis) = (now.0.div_euclid(1000), now.0.rem_euclid(1000));
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second || text.is_empty() {
            let iso = Timestamp(second * 1000).to_iso().unwrap_or_default();
            (*known, *text) = (second, iso.trim_end_matches("000Z").to_owned());
        }
        write!(to, "{text}{millis:03}Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_the_fields_hold() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).event_format(Json);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(target: "here", quote = "a\"b\\c\n", number = -1, part = 0.25, none = f64::NAN, yes = true, debug = ?["é"], "said {}", 1);
        });

        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
        let wanted = serde_json::json!({
            "timestamp": line["timestamp"], "level": "WARN", "message": "said 1", "quote": "a\"b\\c\n", "number": -1, "part": 0.25,
            "none": null, "yes": true, "debug": "[\"é\"]", "target": "here",
        });
        assert_eq!(line, wanted);
        assert!(crate::clock::Timestamp::from_iso(line["timestamp"].as_str().unwrap()).is_some_and(|at| at.0 > 0), "{line}");
    }
}
