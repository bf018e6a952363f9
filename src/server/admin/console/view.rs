//! From what is counted to what is said on the page: every number with its unit and its time.

use crate::clock::Timestamp;
use crate::endpoint::agent;
use crate::pages::Language;
use crate::pages::admin::{Curve, Fact, Figure, Live, OpenSession, Plot, State, grouped};
use crate::server::admin::figures::Figures;
use crate::session::Device;
use crate::session::store::health::{BreakerHealth, CacheHealth, StreamHealth};
use std::time::Duration;

/// The part of the page that changes by itself. `answers_in`: how long the store took to answer; `None`: it did not.
pub fn live(figures: &Figures, answers_in: Option<Duration>, now: Timestamp) -> Live {
    let at = now.to_iso().and_then(|iso| iso.get(11..19).map(str::to_owned)).unwrap_or_default();
    Live {
        about: format!("Cloakroom {}, up {}. What this proxy has seen, as of {at} UTC.", env!("CARGO_PKG_VERSION"), length(figures.uptime)),
        is_draining: figures.is_draining,
        figures: numbers(figures),
        plots: plots(figures),
        health: health(figures, answers_in),
    }
}

/// A session as an operator sees it; never what it holds.
pub fn open_session(device: &Device, now: Timestamp) -> OpenSession {
    let say = &Language::English.words().devices;
    let client = device.client.as_ref();
    let facts = [
        client.map(|client| client.address.clone()).filter(|address| !address.is_empty()),
        device.login_at.map(|at| (say.signed_in)(now.since(at))),
        device.updated_at.map(|at| (say.active)(now.since(at))),
        device.expires_at.map(|at| format!("ends in {} if unused", length(at.since(now)))),
    ];
    OpenSession {
        handle: device.handle.as_str().to_owned(),
        name: agent::name(client.map_or("", |client| &client.agent), say),
        facts: facts.into_iter().flatten().collect(),
    }
}

fn numbers(figures: &Figures) -> Vec<Figure> {
    let sum = |numbers: Vec<u64>| numbers.iter().sum::<u64>();
    let (begun, logins) = (sum(figures.by_minute(|minute| minute.sessions.begun)), sum(figures.by_minute(|minute| minute.sessions.logins)));
    let requests = figures.minutes.last().map_or(0, |minute| minute.requests);
    let over = match figures.minutes.len() {
        60 => "in the last hour".to_owned(),
        1 => "in the last minute".to_owned(),
        minutes => format!("in the last {minutes} minutes"),
    };
    let cached = figures.health.cache.as_ref().and_then(hit_rate);
    let of_cache =
        if figures.health.cache.is_some() { "of all look-ups since the start" } else { "nothing to cache: the store is in memory" };
    vec![
        Figure {
            name: "Sessions kept",
            value: figures.kept.map_or_else(|| "?".to_owned(), grouped),
            of: if figures.kept.is_some() { "about, in the whole store" } else { "the store does not say" }.to_owned(),
        },
        Figure { name: "Sessions begun", value: grouped(begun), of: format!("{over}, {} of them by a login", grouped(logins)) },
        Figure { name: "Requests", value: grouped(requests), of: format!("in the last minute; {} being answered", figures.under_way) },
        Figure {
            name: "Open connections",
            value: grouped(figures.open_connections as u64),
            of: "WebSockets, streams and long requests now".to_owned(),
        },
        Figure { name: "From the cache", value: cached.unwrap_or_else(|| "–".to_owned()), of: of_cache.to_owned() },
    ]
}

fn plots(figures: &Figures) -> Vec<Plot> {
    let ended = figures.by_minute(|minute| minute.sessions.left + minute.sessions.revoked);
    let begun = Curve { name: "begun", points: figures.by_minute(|minute| minute.sessions.begun) };
    let requests = Curve { name: "requests", points: figures.by_minute(|minute| minute.requests) };
    vec![
        Plot { title: "Sessions per minute, last hour", unit: "a minute", curves: vec![begun, Curve { name: "ended", points: ended }] },
        Plot { title: "Requests per minute, last hour", unit: "a minute", curves: vec![requests] },
    ]
}

fn health(figures: &Figures, answers_in: Option<Duration>) -> Vec<Fact> {
    let store = match answers_in {
        Some(took) => Fact { name: "Store", state: State::Good, word: format!("answers in {}", millis(took)), text: figures.store.clone() },
        None => Fact { name: "Store", state: State::Bad, word: "does not answer".to_owned(), text: figures.store.clone() },
    };
    let mut facts = vec![store];
    facts.extend(figures.health.breaker.as_ref().map(breaker));
    facts.extend(figures.health.cache.as_ref().map(cache));
    facts.extend(figures.health.cache.as_ref().map(|cache| stream(cache.stream)));
    let totals = figures.totals.sessions;
    let text = format!(
        "since the start: {} by their own visitor or app, {} by others (another device, an operator, a change of the users)",
        grouped(totals.left),
        grouped(totals.revoked)
    );
    facts.push(Fact {
        name: "Sessions ended",
        state: State::Plain,
        word: format!("{} in all", grouped(totals.left.saturating_add(totals.revoked))),
        text,
    });
    facts
}

fn breaker(breaker: &BreakerHealth) -> Fact {
    let opened = match breaker.trips {
        0 => "It has not opened since the start.".to_owned(),
        1 => "It has opened once since the start.".to_owned(),
        trips => format!("It has opened {} times since the start.", grouped(trips)),
    };
    let (state, word) = match breaker.open_for {
        None => (State::Good, "closed".to_owned()),
        Some(open) => (State::Bad, format!("open for {}", length(open))),
    };
    Fact { name: "Circuit breaker", state, word, text: opened }
}

fn cache(cache: &CacheHealth) -> Fact {
    let text = format!(
        "{}, and {} ids known to lead nowhere; {} look-ups answered and {} passed on since the start",
        bytes(cache.bytes),
        grouped(cache.gone),
        grouped(cache.hits),
        grouped(cache.misses)
    );
    Fact { name: "Cache", state: State::Plain, word: format!("{} sessions", grouped(cache.entries)), text }
}

fn stream(stream: StreamHealth) -> Fact {
    let late = "What another proxy ends is seen here after [store] cache.ttl.";
    let (state, word, text) = match stream {
        StreamHealth::Unknown => (State::Plain, "not heard of yet", late.to_owned()),
        StreamHealth::Absent => (State::Plain, "none", late.to_owned()),
        StreamHealth::Broken { .. } => (State::Bad, "silent", late.to_owned()),
        StreamHealth::Live { last_batch } => {
            (State::Good, "live", format!("Heard {} ago. What another proxy ends is seen here at once.", millis(last_batch)))
        }
    };
    Fact { name: "Change stream", state, word: word.to_owned(), text }
}

fn hit_rate(cache: &CacheHealth) -> Option<String> {
    let all = cache.hits.saturating_add(cache.misses);
    (all > 0).then(|| format!("{:.1}\u{202f}%", cache.hits as f64 * 100.0 / all as f64))
}

fn length(length: Duration) -> String {
    (Language::English.words().length)(length)
}

fn millis(length: Duration) -> String {
    let millis = length.as_secs_f64() * 1000.0;
    match millis {
        ..0.1 => "less than 0.1\u{202f}ms".to_owned(),
        ..10.0 => format!("{millis:.1}\u{202f}ms"),
        _ => format!("{millis:.0}\u{202f}ms"),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_does_not_answer_and_a_silent_stream_stand_out() {
        let open = breaker(&BreakerHealth { open_for: Some(Duration::from_secs(3)), trips: 2, failures: 5 });

        assert_eq!(
            (open.state, open.word.as_str(), open.text.as_str()),
            (State::Bad, "open for 3 seconds", "It has opened 2 times since the start.")
        );
        assert_eq!(stream(StreamHealth::Broken { last_batch: None }).state, State::Bad);
        assert_eq!(stream(StreamHealth::Live { last_batch: Duration::from_millis(4) }).state, State::Good);
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!([0, 1024, 2_400_000].map(bytes), ["0 bytes", "1.0 KiB", "2.3 MiB"]);
        assert_eq!(
            [9, 400, 12_000].map(|micros| millis(Duration::from_micros(micros))),
            ["less than 0.1\u{202f}ms", "0.4\u{202f}ms", "12\u{202f}ms"]
        );
    }
}
