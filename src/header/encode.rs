//! Text into header values, four ways; JSON into ASCII. Whatever comes in, a value holds no control character and splits no header.

use crate::route::Encoding;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::io::Write as _;

/// Writes text as a header value. `false`: the encoding cannot carry it as it is, and what it could would name something else.
pub fn text(text: &str, encoding: Encoding, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    match encoding {
        // The common case: nothing to encode.
        Encoding::Percent if is_plain(text) => {
            out.extend_from_slice(text.as_bytes());
            return true;
        }
        Encoding::Percent => percent(text, out),
        Encoding::Base64Url => out.extend_from_slice(URL_SAFE_NO_PAD.encode(text).as_bytes()),
        Encoding::Latin1 => match text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>() {
            Some(bytes) => out.extend_from_slice(&bytes),
            None => return false,
        },
        Encoding::Raw => out.extend_from_slice(text.as_bytes()),
    }
    let written = out.get(start..).unwrap_or_default();
    // Control characters have no place in a header, and receivers trim blanks.
    !written.iter().any(|byte| is_control(*byte)) && written.trim_ascii().len() == written.len()
}

/// Whether percent-encoding leaves the text as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'%') && !text.starts_with(' ') && !text.ends_with(' ')
}

/// Every byte outside 0x20 to 0x7E, `%`, and a leading or trailing space as `%XX` of UTF-8.
fn percent(text: &str, out: &mut Vec<u8>) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        let edge = byte == b' ' && (at == 0 || at == last);
        if matches!(byte, 0x20..=0x7e) && byte != b'%' && !edge {
            out.push(byte);
        } else {
            // Writing to memory cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// Writes JSON text in ASCII: other characters as `\uXXXX`, blank control characters between tokens as spaces. There is no JSON that it
/// cannot write.
pub fn json(json: &str, out: &mut Vec<u8>) -> bool {
    if json.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
        out.extend_from_slice(json.as_bytes());
        return true;
    }
    for c in json.chars() {
        match c {
            '\u{20}'..='\u{7e}' => out.push(c as u8),
            // Strings hold no raw control characters (RFC 8259 section 7), so these stand between tokens.
            '\0'..='\u{1f}' => out.push(b' '),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        super::text(text, encoding, &mut out).then_some(out)
    }

    fn json(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(super::json(json, &mut out));
        out
    }

    #[test]
    fn the_four_encodings_write_what_they_promise() {
        let written = |text_of: &str, encoding| text(text_of, encoding);

        assert_eq!(written(" 你é%\r\n ", Encoding::Percent), Some(b"%20%E4%BD%A0%C3%A9%25%0D%0A%20".to_vec()));
        assert_eq!(written(" 你é%\r\n ", Encoding::Base64Url), Some(b"IOS9oMOpJQ0KIA".to_vec()));
        assert_eq!(written("é %", Encoding::Latin1), Some(b"\xe9 %".to_vec()));
        assert_eq!(written("你é %", Encoding::Raw), Some("你é %".as_bytes().to_vec()));
    }

    #[test]
    fn what_an_encoding_cannot_carry_unchanged_is_not_written() {
        let written = |text_of: &str| [Encoding::Latin1, Encoding::Raw].map(|encoding| text(text_of, encoding).is_some());

        assert_eq!(written("你"), [false, true]);
        for folded in ["adm\u{1}in", "admin\r\nX: y", " admin", "admin ", "\tadmin", "a\u{7f}"] {
            assert_eq!(written(folded), [false; 2], "{folded:?}");
        }
        assert_eq!(written(""), [true; 2]);
    }

    #[test]
    fn json_is_escaped_to_ascii() {
        assert_eq!(json("{\"a\":\n\"你😀\u{7f}\"}"), br#"{"a": "\u4f60\ud83d\ude00\u007f"}"#);
    }

    proptest! {
        #[test]
        fn percent_is_visible_ascii_and_decodes_back(original in any::<String>()) {
            let value = text(&original, Encoding::Percent).unwrap();
            prop_assert!(value.iter().all(|b| matches!(b, 0x20..=0x7e)));
            prop_assert!(!value.starts_with(b" ") && !value.ends_with(b" "));
            let decoded = percent_encoding::percent_decode(&value).decode_utf8().unwrap();
            prop_assert_eq!(decoded, original);
        }

        #[test]
        fn ascii_json_means_the_same(original in any::<String>()) {
            let value = json(&serde_json::to_string(&original).unwrap());
            prop_assert!(value.iter().all(|b| matches!(b, 0x20..=0x7e)));
            prop_assert_eq!(serde_json::from_slice::<String>(&value).unwrap(), original);
        }

        #[test]
        fn no_encoding_lets_a_control_character_through(original in any::<String>()) {
            for encoding in [Encoding::Percent, Encoding::Base64Url, Encoding::Latin1, Encoding::Raw] {
                prop_assert!(text(&original, encoding).is_none_or(|value| !value.iter().any(|b| is_control(*b))));
            }
        }
    }
}
