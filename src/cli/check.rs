//! `cloakroom check`: every problem of the configuration at once.

use super::{FINE, WRONG};
use crate::config;
use std::io::Write;
use std::path::Path;

/// Where a command writes.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Everything else.
    pub err: &'a mut dyn Write,
    /// Whether `err` is a terminal that shows colours.
    pub color: bool,
}

/// Writes the report to `err` and, if nothing is wrong, one line to `out`. Returns the exit code: 0 or 2; an error is one of writing.
pub fn check(path: &Path, env: &dyn Fn(&str) -> Option<String>, to: Output<'_>) -> std::io::Result<u8> {
    match config::load(path, env) {
        Ok((config, warnings)) => {
            to.err.write_all(warnings.render(to.color).as_bytes())?;
            let more = match warnings.warnings() {
                0 => String::new(),
                count => format!(", {}", counted(count, "warning")),
            };
            writeln!(to.out, "{}: fine, {}{more}", path.display(), counted(config.routes.len(), "route"))?;
            Ok(FINE)
        }
        Err(report) => {
            to.err.write_all(report.render(to.color).as_bytes())?;
            writeln!(to.err, "\n{}: {}", path.display(), counted(report.errors(), "error"))?;
            Ok(WRONG)
        }
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (u8, String, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy.toml");
        std::fs::write(&path, text).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());

        let code = check(&path, &|_| None, Output { out: &mut out, err: &mut err, color: false }).unwrap();

        let here = format!("{}/", directory.path().display());
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&here, "");
        (code, text(out), text(err))
    }

    #[test]
    fn a_sound_file_is_one_line_on_stdout() {
        let seen = checked("[[routes]]\nupstream = \"demo\"\n");

        assert_eq!(seen, (0, "proxy.toml: fine, 1 route\n".to_owned(), String::new()));
    }

    #[test]
    fn a_warning_is_told_beside_it() {
        let (code, out, err) = checked("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n[[routes]]\nupstream = \"demo\"\n");

        assert_eq!((code, out.as_str()), (0, "proxy.toml: fine, 1 route, 1 warning\n"));
        assert!(err.starts_with("warning: every machine is a trusted proxy\n"), "{err}");
    }

    #[test]
    fn a_wrong_file_says_nothing_on_stdout() {
        let (code, out, err) = checked("routes = []\nstor = 1\n");

        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.ends_with("\nproxy.toml: 2 errors\n"), "{err}");
    }
}
