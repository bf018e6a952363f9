//! Judges the bytes that reached the app: is the framing unambiguous, does any reading of a path mean `/private`?
use super::{find, latin1};
use std::collections::HashSet;

const GUARDED: &str = "/private";

/// At most the allowed number of requests, each framed in exactly one way.
pub fn framing(streams: &[Vec<u8>], allowed: usize) -> Vec<String> {
    let (mut problems, mut count) = (Vec::new(), 0);
    for stream in streams {
        let (heads, found) = heads_and_problems(stream);
        problems.extend(found);
        count += heads.len();
    }
    if count > allowed {
        problems.push(format!("{count} requests reached the app, at most {allowed} may"));
    }
    problems
}

/// The request lines that a strict reader finds.
pub fn request_lines(streams: &[Vec<u8>]) -> Vec<String> {
    streams.iter().flat_map(|s| heads_and_problems(s).0).map(|head| first_line(&head).to_owned()).collect()
}

/// Request lines of which some common normaliser makes the guarded path.
pub fn paths(streams: &[Vec<u8>]) -> Vec<String> {
    let lines = request_lines(streams).into_iter().filter(|line| reaches_guarded(line));
    lines.map(|line| format!("the app could read {line:.80?} as {GUARDED}")).collect()
}

fn first_line(head: &str) -> &str {
    head.split("\r\n").next().unwrap_or_default()
}

/// Reads one connection strictly (RFC 9112).
fn heads_and_problems(stream: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut heads, mut problems, mut rest) = (Vec::new(), Vec::new(), stream);
    while !rest.is_empty() {
        let Some(end) = find(rest, b"\r\n\r\n") else {
            let text = latin1(rest);
            let method = text.split(' ').next().unwrap_or_default();
            if !(3..=10).contains(&method.len()) || !method.bytes().all(|b| b.is_ascii_uppercase()) || !text.contains(' ') {
                problems.push(format!("stray bytes {text:.40?}"));
            }
            break;
        };
        let head = latin1(&rest[..end]);
        rest = &rest[end + 4..];
        let (framing, found) = read_framing(&head);
        problems.extend(found);
        heads.push(head);
        match framing {
            Framing::Chunked => {
                let (after, found) = skip_chunks(rest);
                problems.extend(found);
                rest = after;
            }
            Framing::Length(n) => rest = rest.get(n..).unwrap_or_default(),
        }
    }
    (heads, problems)
}

enum Framing {
    Length(usize),
    Chunked,
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_length(value: &str) -> bool {
    (1..=18).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
}

/// The body's framing, with every reason why another server could read it otherwise.
fn read_framing(head: &str) -> (Framing, Vec<String>) {
    let mut problems = Vec::new();
    let line = first_line(head);
    let parts: Vec<&str> = line.split(' ').collect();
    if !matches!(parts[..], [method, target, "HTTP/1.0" | "HTTP/1.1"] if !method.is_empty() && !target.is_empty()) {
        problems.push(format!("request line {line:.60?}"));
    }
    if head.replace("\r\n", "").contains(['\r', '\n']) {
        problems.push("bare CR or LF in the head".to_owned());
    }
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for item in head.split("\r\n").skip(1) {
        let (name, value) = item.split_once(':').unwrap_or(("", item));
        if !is_token(name) {
            problems.push(format!("field line {item:.40?}"));
        }
        let lower = name.to_lowercase();
        let plain: String = lower.chars().map(|c| if c.is_ascii_lowercase() { c } else { '-' }).collect();
        if matches!(plain.as_str(), "content-length" | "transfer-encoding") && plain != lower {
            problems.push(format!("look-alike field {name:?}"));
        }
        match lower.as_str() {
            "content-length" => lengths.push(value.trim_matches([' ', '\t'])),
            "transfer-encoding" => codings.push(value.trim_matches([' ', '\t']).to_lowercase()),
            _ => {}
        }
    }
    if !lengths.is_empty() && !codings.is_empty() {
        problems.push("both Content-Length and Transfer-Encoding".to_owned());
    }
    if lengths.len() > 1 || !lengths.iter().all(|v| is_length(v)) {
        problems.push(format!("Content-Length {lengths:?}"));
    }
    if !codings.is_empty() && codings != ["chunked"] {
        problems.push(format!("Transfer-Encoding {codings:?}"));
    }
    if !codings.is_empty() && line.ends_with("HTTP/1.0") {
        problems.push("Transfer-Encoding in HTTP/1.0".to_owned());
    }
    if codings.iter().any(|c| c.contains("chunked")) {
        return (Framing::Chunked, problems);
    }
    let length = lengths.into_iter().find(|v| is_length(v)).and_then(|v| v.parse().ok()).unwrap_or(0);
    (Framing::Length(length), problems)
}

fn line_of(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    find(rest, b"\r\n").map(|n| (&rest[..n], &rest[n + 2..]))
}

/// What follows a chunked body; an unfinished one is no problem, a malformed one is.
fn skip_chunks(mut rest: &[u8]) -> (&[u8], Option<String>) {
    while let Some((line, after)) = line_of(rest) {
        let digits = (1..=16).contains(&line.len()) && line.iter().all(u8::is_ascii_hexdigit);
        let Some(size) = digits.then(|| usize::from_str_radix(&latin1(line), 16).ok()).flatten() else {
            return (b"", Some(format!("chunk size line {:.40?}", latin1(line))));
        };
        if size == 0 {
            return (skip_trailers(after), None);
        }
        if after.len() < size.saturating_add(2) {
            return (b"", None);
        }
        if &after[size..size + 2] != b"\r\n" {
            return (b"", Some("chunk data not followed by CRLF".to_owned()));
        }
        rest = &after[size + 2..];
    }
    (b"", None)
}

fn skip_trailers(mut rest: &[u8]) -> &[u8] {
    while let Some((line, after)) = line_of(rest) {
        rest = after;
        if line.is_empty() {
            return rest;
        }
    }
    b""
}

fn reaches_guarded(line: &str) -> bool {
    let target = line.split_once(' ').map_or(line, |(_, rest)| rest);
    let target = ["HTTP/1.0", "HTTP/1.1"].iter().find_map(|v| target.strip_suffix(v)).map_or(target, |t| t.strip_suffix(' ').unwrap_or(t));
    if target.contains(' ') {
        return target.contains(GUARDED);
    }
    let target = match target.split_once("://") {
        Some((scheme, rest)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && !scheme.contains('/') => {
            rest.find(['/', '?', '#']).map_or("", |n| &rest[n..])
        }
        _ => target,
    };
    let path = target.split(['?', '#']).next().unwrap_or_default();
    readings(path).iter().any(|r| r == GUARDED || r.starts_with("/private/"))
}

/// Every path that up to seven normalising steps, in any order, can make of this one.
fn readings(path: &str) -> HashSet<String> {
    let mut seen = HashSet::from([path.to_owned()]);
    let mut fresh = seen.clone();
    for _ in 0..7 {
        fresh = fresh.iter().flat_map(|p| STEPS.map(|step| step(p))).filter(|p| !seen.contains(p)).collect();
        if fresh.is_empty() || seen.len() > 20_000 {
            break;
        }
        seen.extend(fresh.iter().cloned());
    }
    seen
}

const STEPS: [fn(&str) -> String; 8] = [
    |p| percent_encoding::percent_decode_str(p).map(char::from).collect(),
    dot_segments,
    |p| {
        p.split('/').enumerate().filter(|(i, s)| *i == 0 || !s.is_empty()).map(|(_, s)| s).collect::<Vec<_>>().join("/")
            + if p.len() > 1 && p.ends_with('/') { "/" } else { "" }
    },
    |p| p.split('/').map(|s| s.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/"),
    |p| p.replace('\\', "/"),
    |p| p.to_lowercase(),
    |p| p.split(['\0', '?', '#']).next().unwrap_or_default().to_owned(),
    |p| p.trim_end_matches([' ', '\t', '\r', '\n']).to_owned(),
];

fn dot_segments(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            ".." if out.len() > 1 => drop(out.pop()),
            "." | ".." => {}
            _ => out.push(segment),
        }
    }
    out.join("/")
}
