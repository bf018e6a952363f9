//! Secrets by reference: `env:NAME`, `file:PATH`, `hex:…`, `base64:…`, or the text itself.

use super::notes::{At, Notes};
use super::reader::Entry;
use super::report::{Problem, shown};
use crate::secret::Secret;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Fewer bytes than SHA-256 gives make the signature the weaker part.
const ENOUGH: usize = 32;

/// Padding may be there or not: the base64 of other tools comes both ways.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Reads a key or a token; plain text and few bytes are warned about.
pub(super) fn read(entry: Entry<'_, '_>) -> Option<Secret> {
    let (notes, name) = (entry.notes, entry.name.clone());
    let text = entry.text()?;
    hide(notes, &text);
    if is_plain(&text.value) && !text.value.is_empty() {
        let problem = Problem::warning(format!("a secret in `{name}` stands in the file as it is")).at(&text.span, "plain text");
        notes.add(problem.help("keep it elsewhere and write \"env:NAME\" or \"file:PATH\"; `cloakroom secret` prints a fresh one"));
    }
    let secret = resolve(notes, &name, &text)?;
    let length = secret.expose_secret().len();
    if length < ENOUGH {
        let problem = Problem::warning(format!("a secret in `{name}` is short")).at(&text.span, format!("{length} bytes"));
        notes.add(problem.help(format!("use {ENOUGH} bytes or more; `cloakroom secret` prints a fresh one")));
    }
    Some(secret)
}

/// Reads a MongoDB connection string; plain text is warned about only if it has a password.
pub(super) fn read_uri(entry: Entry<'_, '_>) -> Option<Secret> {
    let (notes, name) = (entry.notes, entry.name.clone());
    let text = entry.text()?;
    let has_password = is_plain(&text.value) && text.value.contains('@');
    if has_password {
        hide(notes, &text);
        let problem = Problem::warning(format!("the password in `{name}` stands in the file as it is")).at(&text.span, "plain text");
        notes.add(problem.help("keep it elsewhere and write \"env:NAME\" or \"file:PATH\""));
    }
    let secret = resolve(notes, &name, &text)?;
    let starts_well = ["mongodb://", "mongodb+srv://"].iter().any(|scheme| secret.expose_secret().starts_with(scheme.as_bytes()));
    if !starts_well {
        let problem = Problem::error(format!("`{name}` is no MongoDB connection string")).at(&text.span, "not a connection string");
        notes.add(problem.help("it begins with `mongodb://` or `mongodb+srv://`"));
        return None;
    }
    Some(secret)
}

fn is_plain(text: &str) -> bool {
    !["env:", "file:", "hex:", "base64:"].iter().any(|prefix| text.starts_with(prefix))
}

/// What is inside the quotes goes, but for a reference, which is no secret.
fn hide(notes: &Notes<'_>, text: &At<String>) {
    if !text.value.starts_with("env:") && !text.value.starts_with("file:") {
        notes.hide(text.span.start + 1..text.span.end.saturating_sub(1));
    }
}

fn resolve(notes: &Notes<'_>, name: &str, text: &At<String>) -> Option<Secret> {
    match bytes_of(notes, &text.value) {
        Ok(bytes) if bytes.is_empty() => {
            let problem = Problem::error(format!("a secret in `{name}` is empty")).at(&text.span, "nothing there");
            notes.add(problem.help("`cloakroom secret` prints a fresh one"));
            None
        }
        Ok(bytes) => Some(Secret::new(bytes)),
        Err((title, help)) => {
            notes.add(Problem::error(title).at(&text.span, format!("in `{name}`")).help(help));
            None
        }
    }
}

fn bytes_of(notes: &Notes<'_>, text: &str) -> Result<Vec<u8>, (String, String)> {
    if let Some(variable) = text.strip_prefix("env:") {
        let missing = || (format!("the environment variable `{}` is not set", shown(variable)), "set it before the start".to_owned());
        return notes.env(variable).map(String::into_bytes).ok_or_else(missing);
    }
    if let Some(path) = text.strip_prefix("file:") {
        let path = notes.beside_file(path);
        let unreadable = |error: std::io::Error| {
            let title = format!("could not read the secret in `{}`: {error}", shown(&path.display().to_string()));
            (title, "the path is relative to the directory of this file".to_owned())
        };
        return std::fs::read(&path).map(without_newline).map_err(unreadable);
    }
    if let Some(digits) = text.strip_prefix("hex:") {
        let malformed =
            || ("a secret is not hexadecimal".to_owned(), "write an even number of the digits 0-9 and a-f after `hex:`".to_owned());
        return from_hex(digits).ok_or_else(malformed);
    }
    if let Some(encoded) = text.strip_prefix("base64:") {
        let malformed = |_| ("a secret is not base64".to_owned(), "write standard base64, with or without `=`, after `base64:`".to_owned());
        return BASE64.decode(encoded).map_err(malformed);
    }
    Ok(text.as_bytes().to_vec())
}

fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> = digits.chars().map(|c| c.to_digit(16).and_then(|n| u8::try_from(n).ok())).collect::<Option<_>>()?;
    let pairs = nibbles.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_pairs() {
        assert_eq!(from_hex("00fFa5"), Some(vec![0, 255, 165]));
        assert_eq!([from_hex("0"), from_hex("0g"), from_hex("é0")], [None, None, None]);
    }

    #[test]
    fn one_trailing_newline_is_not_part_of_the_secret() {
        assert_eq!(without_newline(b"a\n\n".to_vec()), b"a\n");
        assert_eq!(without_newline(b"a\r\n".to_vec()), b"a");
        assert_eq!(without_newline(b"a ".to_vec()), b"a ");
    }

    #[test]
    fn base64_needs_no_padding() {
        assert_eq!(BASE64.decode("YQ").unwrap(), b"a");
        assert_eq!(BASE64.decode("YQ==").unwrap(), b"a");
    }
}
