//! The layers of `src/README.md`, kept: imports point down, foreign types stay in their rooms, files stay readable.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the bottom up. A file may import from its own layer and from those below.
const LAYERS: [&[&str]; 7] = [
    &["clock", "random", "secret", "mongo"],
    &["session", "route", "inbound", "rejection", "reply", "telemetry", "pages"],
    &["auth", "header"],
    &["endpoint", "access"],
    &["edge"],
    &["proxy", "config"],
    &["main", "cli", "server", "demo", "lib"],
];

/// Crates and the only places (path prefixes below `src/`) that may name them.
const ROOMS: [(&str, &[&str]); 7] = [
    ("pingora", &["proxy/", "server/"]),
    ("mongodb", &["mongo.rs", "session/store/mongo/", "auth/mongo_users/"]),
    ("rusqlite", &["session/store/embedded/"]),
    ("toml", &["config/"]),
    ("clap", &["cli/", "main.rs"]),
    ("axum", &["demo", "server/admin/"]),
    ("annotate_snippets", &["config/"]),
];

const LONGEST: usize = 450;

struct Source {
    path: String,
    /// Without the tests at its end.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &mut found);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        let path = path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
        Source { path, code, lines: text.lines().count() }
    };
    let sources: Vec<Source> = found.into_iter().map(read).filter(|source| !source.path.ends_with("tests.rs")).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first word of a path: `session/store/mod.rs` and `session` are in the room `session`.
fn room(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap_or_default()
}

fn layer(room: &str) -> usize {
    LAYERS
        .iter()
        .position(|rooms| rooms.contains(&room))
        .unwrap_or_else(|| panic!("`{room}` is in no layer: add it to LAYERS and to src/README.md"))
}

/// Code lines, comments left out.
fn code_lines(source: &Source) -> impl Iterator<Item = &str> {
    source.code.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

#[test]
fn imports_point_down() {
    let mut upward = Vec::new();
    for source in sources() {
        let own = layer(room(&source.path));
        for line in code_lines(&source) {
            for named in line.split("crate::").skip(1) {
                let target: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if named.starts_with('{') {
                    upward.push(format!("{}: {line} (name each room on a line of its own: this test reads lines)", source.path));
                }
                if !target.is_empty() && layer(&target) > own {
                    upward.push(format!("{}: {line}", source.path));
                }
            }
        }
    }

    assert_eq!(upward, Vec::<String>::new());
}

#[test]
fn foreign_types_stay_in_their_rooms() {
    let mut strays = Vec::new();
    for source in sources() {
        for (name, rooms) in ROOMS {
            let uses = |line: &&str| line.contains(&format!("{name}::")) && !line.contains(&format!("_{name}::"));
            if !rooms.iter().any(|room| source.path.starts_with(room)) && code_lines(&source).any(|line| uses(&line)) {
                strays.push(format!("{} names {name}", source.path));
            }
        }
    }

    assert_eq!(strays, Vec::<String>::new());
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> =
        sources().iter().filter(|source| source.lines > LONGEST).map(|source| format!("{}: {}", source.path, source.lines)).collect();

    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn no_module_is_a_drawer_for_leftovers() {
    let drawers = ["util", "utils", "common", "helpers", "types", "models", "misc"];
    let found: Vec<String> =
        sources().into_iter().map(|source| source.path).filter(|path| path.split(['/', '.']).any(|part| drawers.contains(&part))).collect();

    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn nothing_outside_tests_panics_on_purpose() {
    let panics = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    let mut found = Vec::new();
    for source in sources() {
        found.extend(
            code_lines(&source)
                .filter(|line| panics.iter().any(|panic| line.contains(panic)))
                .map(|line| format!("{}: {line}", source.path)),
        );
    }

    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn time_and_randomness_come_from_their_seams() {
    let (clocks, generators) = (["SystemTime::now()"], ["getrandom::"]);
    let mut found = Vec::new();
    for source in sources() {
        let names = |words: &[&str]| code_lines(&source).any(|line| words.iter().any(|word| line.contains(word)));
        if (names(&clocks) && source.path != "clock.rs") || (names(&generators) && source.path != "random.rs") {
            found.push(source.path.clone());
        }
    }

    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_invariant_has_the_test_that_the_tour_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (tour, tests) = (
        fs::read_to_string(root.join("src/README.md")).expect("the tour"),
        fs::read_to_string(root.join("tests/invariants.rs")).expect("the tests"),
    );
    let invariants = tour.split("## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the invariants");
    let named: Vec<&str> = invariants.split('`').skip(1).step_by(2).filter(|name| !name.contains('/')).collect();

    assert_eq!(named.len(), 8);
    let missing: Vec<&&str> = named.iter().filter(|name| !tests.contains(&format!("fn {name}("))).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}
