//! A small reader over TOML with places: each key is taken by name, and what nobody took is unknown.

use super::notes::{At, Notes};
use super::report::{Problem, nearest, one_of, shown};
use super::units;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A misspelt key with such a word in its name has a value that no report may show.
const SECRETIVE: [&str; 6] = ["secr", "token", "uri", "url", "passw", "key"];

/// One table of the file while it is read. An absent table reads as an empty one.
pub(super) struct Section<'n, 'i> {
    pub(super) notes: &'n Notes<'n>,
    name: String,
    span: Option<Range<usize>>,
    table: DeTable<'i>,
    known: Vec<&'static str>,
}

/// A value that has not got its type yet, and how to call it in messages.
pub(super) struct Entry<'n, 'i> {
    pub(super) notes: &'n Notes<'n>,
    pub(super) name: String,
    pub(super) span: Range<usize>,
    value: DeValue<'i>,
}

/// Parses the text; what is sound beside syntax errors is read all the same.
pub(super) fn parse<'n, 'i>(source: &'i str, notes: &'n Notes<'n>) -> (Section<'n, 'i>, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(source);
    let problems = errors.iter().map(|error| {
        let title = format!("not TOML: {}", error.message().trim_end_matches(", expected nothing"));
        Problem::error(title).at(&error.span().unwrap_or(source.len()..source.len()), "")
    });
    let section = Section { notes, name: "the file".to_owned(), span: None, table: table.into_inner(), known: Vec::new() };
    (section, problems.collect())
}

impl<'n, 'i> Section<'n, 'i> {
    /// Takes a key's value; `None` if it is absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'n, 'i>> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        Some(Entry { notes: self.notes, name: key.to_owned(), span: value.span(), value: value.into_inner() })
    }

    /// Takes a table; an empty one if it is absent or no table.
    pub(super) fn section(&mut self, key: &'static str, name: &str) -> Section<'n, 'i> {
        let found = self.take(key).and_then(|entry| entry.section(name));
        found.unwrap_or_else(|| Section { notes: self.notes, name: name.to_owned(), span: None, table: DeTable::new(), known: Vec::new() })
    }

    /// Reads a misspelt table under its right name, so that a mistake in a title hides none of those below it.
    pub(super) fn forgive_titles(&mut self, known: &[&'static str]) {
        let is_table = |value: &DeValue<'_>| value.is_table() || value.is_array();
        let misspelt: Vec<String> = self
            .table
            .iter()
            .filter(|(key, value)| is_table(value.get_ref()) && !known.contains(&key.get_ref().as_ref()))
            .map(|(key, _)| key.get_ref().to_string())
            .collect();
        for name in misspelt {
            let free = known.iter().copied().filter(|right| !self.table.contains_key(*right));
            let Some(right) = nearest(&name, free) else { continue };
            let Some((key, value)) = self.table.remove_entry(name.as_str()) else { continue };
            let problem = Problem::error(format!("unknown key `{}` in {}", shown(&name), self.name)).at(&key.span(), "unknown");
            self.notes.add(problem.help(format!("did you mean `{right}`?")));
            self.table.insert(Spanned::new(key.span(), right.into()), value);
        }
    }

    /// Takes all that is left: tables whose names are the user's own.
    pub(super) fn take_rest(&mut self) -> Vec<(At<String>, Entry<'n, 'i>)> {
        let table = std::mem::take(&mut self.table);
        let rest = table.into_iter().map(|(key, value): (Spanned<_>, Spanned<_>)| {
            let key = At { span: key.span(), value: key.into_inner().into_owned() };
            let entry = Entry { notes: self.notes, name: key.value.clone(), span: value.span(), value: value.into_inner() };
            (key, entry)
        });
        rest.collect()
    }

    /// Where the table is; `None` if it is absent.
    pub(super) fn span(&self) -> Option<&Range<usize>> {
        self.span.as_ref()
    }

    /// Answers a key of a later version: recognised, and refused.
    pub(super) fn unavailable(&mut self, key: &str, called: &str) {
        if let Some((name, _)) = self.table.remove_entry(key) {
            self.notes.add(unavailable(called, &name.span()));
        }
    }

    /// Reports every key that nobody took.
    pub(super) fn finish(self) {
        for (key, value) in self.table {
            let name = key.get_ref();
            if SECRETIVE.iter().any(|word| name.to_lowercase().contains(word)) {
                self.notes.hide(value.span());
            }
            let problem = Problem::error(format!("unknown key `{}` in {}", shown(name), self.name));
            let problem = problem.at(&key.span(), "unknown");
            self.notes.add(problem.help(match nearest(name, self.known.iter().copied()) {
                Some(right) => format!("did you mean `{right}`?"),
                None => format!("the keys here are {}", one_of(self.known.iter().copied()).replace(" or ", " and ")),
            }));
        }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        self.take(key)?.text()
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        self.take(key)?.flag()
    }

    pub(super) fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.take(key)?.duration_in(range)
    }

    /// A duration that may be `"off"`, which is `Some(None)`.
    pub(super) fn limit(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Option<Duration>> {
        self.take(key)?.duration(&range, true)
    }

    pub(super) fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<usize> {
        let bytes = self.take(key)?.size(&range, false)??;
        usize::try_from(bytes).ok()
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<At<T>> {
        self.take(key)?.choice(choices)
    }

    pub(super) fn list(&mut self, key: &'static str) -> Option<At<Vec<Entry<'n, 'i>>>> {
        self.take(key)?.list()
    }
}

pub(super) fn unavailable(called: &str, span: &Range<usize>) -> Problem {
    Problem::error(format!("`{called}` is not available in this version")).at(span, "not available").help("remove it")
}

impl<'n, 'i> Entry<'n, 'i> {
    /// A problem with this value.
    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> Problem {
        let found = match &self.value {
            DeValue::String(text) => format!("`{}`", shown(text)),
            other => article(other.type_str()),
        };
        Problem::error(format!("`{}` cannot be {found}", self.name)).at(&self.span, why.to_string())
    }

    fn mistyped<T>(&self, wanted: &str, help: Option<String>) -> Option<T> {
        let problem = Problem::error(format!("`{}` must be {wanted}", self.name)).at(&self.span, article(self.value.type_str()));
        self.notes.add(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
        None
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// The text, if it is one; nothing is reported.
    pub(super) fn as_text(&self) -> Option<&str> {
        self.value.as_str()
    }

    pub(super) fn text(self) -> Option<At<String>> {
        match self.value {
            DeValue::String(text) => Some(At { value: text.into_owned(), span: self.span }),
            _ => self.mistyped("text in quotes", None),
        }
    }

    pub(super) fn flag(self) -> Option<At<bool>> {
        match &self.value {
            DeValue::Boolean(value) => Some(At { value: *value, span: self.span }),
            DeValue::String(text) if matches!(text.as_ref(), "true" | "false") => {
                self.mistyped("true or false", Some(format!("write {text} without quotes")))
            }
            _ => self.mistyped("true or false", None),
        }
    }

    pub(super) fn number(self, range: &RangeInclusive<u64>) -> Option<usize> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = &self.value else { return self.mistyped(&wanted, None) };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) if range.contains(&value) => usize::try_from(value).ok(),
            _ => {
                self.notes.add(Problem::error(format!("`{}` is out of range", self.name)).at(&self.span, format!("must be {wanted}")));
                None
            }
        }
    }

    /// A duration in the range.
    pub(super) fn duration_in(self, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.duration(&range, false).flatten()
    }

    fn duration(self, range: &RangeInclusive<Duration>, can_be_off: bool) -> Option<Option<Duration>> {
        let off = if can_be_off { ", or \"off\"" } else { "" };
        if let DeValue::Integer(number) = &self.value {
            return self.mistyped("a number and a unit, in quotes", Some(format!("did you mean \"{number}s\"?")));
        }
        let Some(text) = self.value.as_str() else { return self.mistyped("a number and a unit, in quotes", None) };
        if can_be_off && text == "off" {
            return Some(None);
        }
        let Some(length) = units::duration(text) else {
            let help = units::likely_duration(text).map(|likely| format!("did you mean \"{likely}\"?"));
            let problem = self.wrong("not a duration");
            self.notes.add(
                problem.help(help.unwrap_or_else(|| format!("write a whole number and `ms`, `s`, `m`, `h` or `d`, as in \"15m\"{off}"))),
            );
            return None;
        };
        if !range.contains(&length) {
            let (least, most) = (units::show_duration(*range.start()), units::show_duration(*range.end()));
            self.notes.add(self.wrong("out of range").help(format!("from \"{least}\" to \"{most}\"{off}")));
            return None;
        }
        Some(Some(length))
    }

    /// A size in bytes; `Some(None)` is `"off"`.
    pub(super) fn size(self, range: &RangeInclusive<u64>, can_be_off: bool) -> Option<Option<u64>> {
        let off = if can_be_off { ", or \"off\"" } else { "" };
        if let DeValue::Integer(number) = &self.value {
            return self.mistyped("a number and a unit, in quotes", Some(format!("did you mean \"{number}B\"?")));
        }
        let Some(text) = self.value.as_str() else { return self.mistyped("a number and a unit, in quotes", None) };
        if can_be_off && text == "off" {
            return Some(None);
        }
        let Some(bytes) = units::size(text) else {
            let help = units::likely_size(text).map(|likely| format!("did you mean \"{likely}\"?"));
            let problem = self.wrong("not a size");
            self.notes.add(
                problem.help(help.unwrap_or_else(|| format!("write a whole number and `B`, `KiB`, `MiB` or `GiB`, as in \"64KiB\"{off}"))),
            );
            return None;
        };
        if !range.contains(&bytes) {
            let (least, most) = (units::show_size(*range.start()), units::show_size(*range.end()));
            self.notes.add(self.wrong("out of range").help(format!("from \"{least}\" to \"{most}\"{off}")));
            return None;
        }
        Some(Some(bytes))
    }

    /// One of a few words; `true`, `false` and numbers are words too.
    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Option<At<T>> {
        let word = match &self.value {
            DeValue::String(text) => text.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Integer(number) => number.to_string(),
            _ => return self.mistyped(&one_of(choices.iter().map(|(name, _)| *name)), None),
        };
        let quoted_flag = self.value.is_str() && matches!(word.as_str(), "true" | "false");
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word) && !quoted_flag);
        if let Some((_, value)) = found {
            return Some(At { value: *value, span: self.span });
        }
        let names = choices.iter().map(|(name, _)| *name);
        let problem = Problem::error(format!("`{}` cannot be `{}`", self.name, shown(&word)));
        let problem = problem.at(&self.span, format!("must be {}", one_of(names.clone())));
        self.notes.add(match nearest(&word, names) {
            Some(name) if quoted_flag && name == word => problem.help(format!("write {word} without quotes")),
            Some(name) => problem.help(format!("did you mean `{name}`?")),
            None => problem,
        });
        None
    }

    pub(super) fn list(self) -> Option<At<Vec<Entry<'n, 'i>>>> {
        let DeValue::Array(items) = self.value else {
            let help = self.value.as_str().map(|text| format!("did you mean [\"{}\"]?", shown(text)));
            return self.mistyped("a list in [ ]", help);
        };
        let (notes, name) = (self.notes, self.name);
        let entries = items.into_iter().map(|item| Entry { notes, name: name.clone(), span: item.span(), value: item.into_inner() });
        Some(At { value: entries.collect(), span: self.span })
    }

    /// A list of texts; items that are none are reported and left out.
    pub(super) fn texts(self) -> Option<At<Vec<At<String>>>> {
        Some(self.list()?.map(|items| items.into_iter().filter_map(Entry::text).collect()))
    }

    /// A table, called `name` in messages.
    pub(super) fn section(self, name: &str) -> Option<Section<'n, 'i>> {
        let DeValue::Table(table) = self.value else { return self.mistyped("a table", None) };
        Some(Section { notes: self.notes, name: name.to_owned(), span: Some(self.span), table, known: Vec::new() })
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}
