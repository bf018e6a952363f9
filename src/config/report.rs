//! Everything that is wrong with a file, shown at the place where it is wrong.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// One mistake or doubt, at a place of the file if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    severity: Severity,
    title: String,
    at: Option<(Range<usize>, String)>,
    also: Option<(Range<usize>, String)>,
    help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Problem {
    /// Something that keeps the proxy from starting.
    pub(super) fn error(title: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, title: title.into(), at: None, also: None, help: None }
    }

    /// Something that works and that its writer probably did not want.
    pub(super) fn warning(title: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(title) }
    }

    /// Where, in bytes of the file, and a few words beside it.
    pub(super) fn at(self, span: &Range<usize>, label: impl Into<String>) -> Self {
        Problem { at: Some((span.clone(), label.into())), ..self }
    }

    /// A second place that the first one clashes with.
    pub(super) fn also(self, span: &Range<usize>, label: impl Into<String>) -> Self {
        Problem { also: Some((span.clone(), label.into())), ..self }
    }

    /// What to do about it.
    pub(super) fn help(self, text: impl Into<String>) -> Self {
        Problem { help: Some(text.into()), ..self }
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The first byte of its place; problems without one come first.
    pub(super) fn position(&self) -> Option<usize> {
        self.at.as_ref().map(|(span, _)| span.start)
    }
}

/// All problems of one file. Its text holds no secret: what was one is blotted out with `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    path: String,
    source: String,
    problems: Vec<Problem>,
}

impl Report {
    /// `hidden` are the places of secrets in `source`.
    pub(super) fn new(path: String, source: &str, hidden: &[Range<usize>], mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(Problem::position);
        Report { path, source: blot_out(source, hidden), problems }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems keep the proxy from starting.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.is_error()).count()
    }

    /// How many do not.
    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }

    /// One line per problem without source: `proxy.toml:3:1: unknown key …`, for a log.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|problem| match problem.position() {
            Some(position) => {
                let (line, column) = self.line_and_column(position);
                format!("{}:{line}:{column}: {}", self.path, problem.title)
            }
            None => format!("{}: {}", self.path, problem.title),
        })
    }

    /// The problems as `rustc` shows its own, in the order of the file; empty without problems, else it ends with a line feed.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let each = self.problems.iter().map(|problem| renderer.render(&[self.group(problem)]) + "\n");
        each.collect::<Vec<_>>().join("\n")
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(problem.title.as_str()));
        if let Some((span, label)) = &problem.at {
            let primary = AnnotationKind::Primary.span(self.inside(span)).label(label.as_str());
            let snippet = Snippet::source(self.source.as_str()).path(self.path.as_str()).annotation(primary);
            group = group.element(match &problem.also {
                Some((span, label)) => snippet.annotation(AnnotationKind::Context.span(self.inside(span)).label(label.as_str())),
                None => snippet,
            });
        }
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }

    /// The span without what lies beyond the end of the file, and at most its first line.
    fn inside(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.source.len());
        let end = span.end.clamp(start, self.source.len());
        let first_line = self.source.get(start..end).map_or(0, |text| text.lines().next().map_or(0, str::len));
        start..start + first_line
    }

    fn line_and_column(&self, position: usize) -> (usize, usize) {
        let before = self.source.get(..position).unwrap_or(&self.source);
        let line = before.rsplit('\n').next().unwrap_or(before);
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// Replaces each byte of the hidden places by `*`, so that every position stays.
fn blot_out(source: &str, hidden: &[Range<usize>]) -> String {
    let is_hidden = |at: usize| hidden.iter().any(|range| range.contains(&at));
    let blotted = source.char_indices().map(|(at, c)| match c {
        '\n' | '\r' => c.to_string(),
        _ if is_hidden(at) => "*".repeat(c.len_utf8()),
        _ => c.to_string(),
    });
    blotted.collect()
}

/// Text of the file as it may stand in a message: on one line, without control characters, at most 60 characters.
pub(super) fn shown(text: &str) -> String {
    let escaped: String = text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    match escaped.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", escaped.get(..end).unwrap_or_default()),
        None => escaped,
    }
}

/// The candidate that `text` was probably meant to be: few letters differ, or it begins so.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    let length = text.chars().count();
    let allowed = (length / 3).max(1);
    let measured = candidates.into_iter().map(|name| (strsim::damerau_levenshtein(&text, &name.to_lowercase()), name));
    let is_near = |distance: usize, name: &str| distance <= allowed || length >= 3 && name.to_lowercase().starts_with(&text);
    measured.filter(|(distance, name)| is_near(*distance, name)).min().map(|(_, name)| name)
}

/// `a`, `b` or `c`, in backquotes.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_blotted_out_byte_for_byte() {
        assert_eq!(blot_out("a = \"grün\"\nb", std::slice::from_ref(&(5..10))), "a = \"*****\"\nb");
    }

    #[test]
    fn positions_count_characters_from_one() {
        let report = Report::new("p".to_owned(), "a\nü b\n", &[], vec![Problem::error("wrong").at(&(5..6), "")]);

        assert_eq!(report.lines().collect::<Vec<_>>(), ["p:2:3: wrong"]);
    }

    #[test]
    fn a_place_beyond_the_end_is_shown_at_the_end() {
        let report = Report::new("p".to_owned(), "a = ", &[], vec![Problem::error("wrong").at(&(4..9), "here")]);

        assert!(report.render(false).contains("p:1:5"), "{}", report.render(false));
    }

    #[test]
    fn the_nearest_name_differs_in_few_letters() {
        assert_eq!(nearest("idel_timeout", ["idle_timeout", "absolute_timeout"]), Some("idle_timeout"));
        assert_eq!(nearest("colour", ["idle_timeout", "name"]), None);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
    }
}
