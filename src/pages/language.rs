//! Which language a visitor reads (`Accept-Language`, RFC 9110 section 12.5.4).

use super::words::{self, Words};
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// Nobody reads more languages than this; the rest of a long list is not looked at.
const MOST_RANGES: usize = 32;

/// A language that our pages speak. Each is one file in `pages/words/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Spoken where nothing better is known.
    #[default]
    English,
    Chinese,
}

impl Language {
    /// All of them, in the order of our own preference.
    pub const ALL: [Language; 2] = [Language::English, Language::Chinese];

    /// The one that the visitor likes best: the highest quality wins, the first named among equals.
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        let mut ranges: Vec<(&str, u16)> = lines.flat_map(|line| line.split(',')).take(MOST_RANGES).filter_map(range).collect();
        // Stable: equals stay in the visitor's order.
        ranges.sort_by_key(|(_, quality)| std::cmp::Reverse(*quality));
        let refused = |language: Language| ranges.iter().any(|(tag, quality)| *quality == 0 && language.is(tag));
        let wanted = ranges.iter().filter(|(_, quality)| *quality > 0);
        let found = wanted.flat_map(|(tag, _)| Language::ALL.into_iter().filter(move |language| language.is(tag) || *tag == "*"));
        found.into_iter().find(|language| !refused(*language)).unwrap_or_default()
    }

    /// What our pages say in it.
    pub fn words(self) -> &'static Words {
        match self {
            Language::English => &words::en::WORDS,
            Language::Chinese => &words::zh::WORDS,
        }
    }

    /// Whether a range such as `zh-Hant-TW` names this language, in any script and country.
    fn is(self, range: &str) -> bool {
        let own = match self {
            Language::English => "en",
            Language::Chinese => "zh",
        };
        range.split('-').next().is_some_and(|primary| primary.eq_ignore_ascii_case(own))
    }
}

/// A language range and its quality in thousandths; `None` if it is malformed.
fn range(text: &str) -> Option<(&str, u16)> {
    let (tag, quality) = text.split_once(';').unwrap_or((text, "q=1"));
    let quality = quality.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    let quality: f32 = quality.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
    // In range, so this neither overflows nor loses a sign.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let thousandths = (quality * 1000.0) as u16;
    Some((tag.trim(), thousandths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn chosen(line: &[u8]) -> Language {
        Language::of(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_bytes(line).unwrap())]))
    }

    #[test]
    fn the_visitor_is_spoken_to_in_the_language_they_like_best() {
        for (line, language) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en;q=0.8, zh-Hant-TW", Language::Chinese),
            ("en-GB,zh;q=0.9", Language::English),
            ("de, zh;q=0.5, en;q=0.4", Language::Chinese),
            ("de,fr;q=0.3", Language::English),
            ("ZH", Language::Chinese),
            ("en;q=0.5, zh;q=0.5", Language::English),
            ("zh;q=0.5, en;q=0.5", Language::Chinese),
            ("*", Language::English),
            ("*;q=0.5, en;q=0", Language::Chinese),
            ("zh;q=0", Language::English),
            ("zha, zhx", Language::English),
        ] {
            assert_eq!(chosen(line.as_bytes()), language, "{line}");
        }
    }

    #[test]
    fn whoever_says_nothing_sensible_reads_english() {
        for line in ["", ",;,", "zh;q=", "zh;q=2", "zh;q=-1", "zh;q=NaN", "zh;level=1", ";;;;"] {
            assert_eq!(chosen(line.as_bytes()), Language::English, "{line}");
        }
        assert_eq!(chosen(b"\xff\xfe"), Language::English);
        assert_eq!(Language::of(&HeaderMap::new()), Language::English);
    }

    #[test]
    fn a_long_list_is_read_only_so_far() {
        let line = format!("{}zh", "de,".repeat(MOST_RANGES));

        assert_eq!(chosen(line.as_bytes()), Language::English);
    }
}
