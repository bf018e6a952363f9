//! What every reader of a section shares: the surroundings of the file, and the list of problems so far.

use super::report::{Problem, Report};
use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A value and its place in the file, in bytes.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> At<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At { value: change(self.value), span: self.span }
    }
}

/// Collects problems while the file is read, so that one run tells them all.
pub(super) struct Notes<'a> {
    directory: PathBuf,
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
    hidden: RefCell<Vec<Range<usize>>>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(file: &Path, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let directory = file.parent().map(Path::to_path_buf).unwrap_or_default();
        Notes { directory, env, problems: RefCell::default(), hidden: RefCell::default() }
    }

    /// Remembers a problem; the reader goes on.
    pub(super) fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// An environment variable; `None` if it is unset.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// Keeps a place of the file out of every report.
    pub(super) fn hide(&self, span: Range<usize>) {
        self.hidden.borrow_mut().push(span);
    }

    /// A path that the file names, seen from the file's own directory.
    pub(super) fn beside_file(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// All problems. Beside a syntax error the rest of its line is guesswork, so nothing else is said about it.
    pub(super) fn into_report(self, path: String, source: &str, syntax: Vec<Problem>) -> Report {
        let line_of = |position: usize| source.get(..position).unwrap_or(source).matches('\n').count();
        let broken: Vec<usize> = syntax.iter().filter_map(Problem::position).map(line_of).collect();
        let is_guesswork = |problem: &Problem| match problem.position() {
            // What could not be read at all has the place 0.
            Some(position) => !broken.is_empty() && (position == 0 || broken.contains(&line_of(position))),
            None => !broken.is_empty(),
        };
        // A value that was not understood may still be a secret.
        let mut start = 0;
        for (number, line) in source.split_inclusive('\n').enumerate() {
            let is_secret = ["secret", "token", "uri"].iter().any(|key| line.trim_start().starts_with(key) && line.contains('='));
            if let (true, true, Some(value)) = (is_secret, broken.contains(&number), line.find('=')) {
                self.hide(start + value + 1..start + line.len());
            }
            start += line.len();
        }
        let sound = self.problems.into_inner().into_iter().filter(|problem| !is_guesswork(problem));
        Report::new(path, source, &self.hidden.into_inner(), first_faults(syntax, line_of).into_iter().chain(sound).collect())
    }
}

/// One syntax error a line, and one for the lines that an unclosed list swallows: the others follow from it.
fn first_faults(mut syntax: Vec<Problem>, line_of: impl Fn(usize) -> usize) -> Vec<Problem> {
    syntax.sort_by_key(|problem| (problem.position(), !problem.title().contains("array")));
    let mut kept = Vec::new();
    let mut last: Option<(usize, bool)> = None;
    for problem in syntax {
        let line = problem.position().map_or(0, &line_of);
        let follows = last.is_some_and(|(before, in_list)| line == before || (in_list && line == before + 1));
        let in_list = problem.title().contains("array") || (follows && last.is_some_and(|(_, in_list)| in_list));
        last = Some((line, in_list));
        if !follows {
            kept.push(problem);
        }
    }
    kept
}
