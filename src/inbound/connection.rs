//! What a `Connection` field nominates (RFC 9110 section 7.6.1).

use http::HeaderMap;
use http::header::{CONNECTION, HeaderName};

/// Names that nobody takes away by nominating them: they frame a request, or place it, or are ours to write.
const KEPT: [&str; 4] = ["host", "content-length", "transfer-encoding", "forwarded"];

/// The options of all `Connection` fields.
#[derive(Clone, Debug, Default)]
pub struct Nominated {
    pub close: bool,
    pub upgrade: bool,
    /// Fields that go no further.
    pub names: Vec<HeaderName>,
}

impl Nominated {
    /// What is no token is ignored: nothing of the field is passed on.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut nominated = Nominated::default();
        for option in headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')) {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                nominated.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                nominated.upgrade = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") || option.is_empty() {
            } else if let Ok(name) = HeaderName::from_bytes(option)
                && !KEPT.contains(&name.as_str())
                && !name.as_str().starts_with("x-forwarded-")
            {
                nominated.names.push(name);
            }
        }
        nominated
    }
}
