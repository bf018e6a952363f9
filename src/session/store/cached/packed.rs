//! A record and its version as bytes: a third of what they take in memory when they are open.
//!
//! They are compressed with texts that many sessions have in common as a dictionary. So a browser's name and a cookie's attributes cost a
//! few bytes, and so does the text of a record that MongoDB keeps as text, which is in its version once more.

use super::super::Version;
use super::desk::Opened;
use crate::clock::Timestamp;
use crate::session::data::Data;
use crate::session::id::{Handle, SessionKey, hex, unhex};
use crate::session::lifecycle::Lapse;
use crate::session::record::{Client, Credential, Epoch, Moved, Record, StoredCookie, WriteToken};
use lz4_flex::block;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Found in the sessions of most visitors: names of browsers, and a cookie's attributes as a document and as text.
const COMMON: &[u8] = concat!(
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15\n",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1\n",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\n",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36\n",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0\n",
    "\x03session\0\0\x02\0\0\x03cookie\0\0\0\0\0\x10originalMaxAge\0\0\x5c\x26\x05\x0apartitioned\0\x0apriority\0\x09expires\0",
    "\0\0\0\0\x01\0\0\x08secure\0\x01\x08httpOnly\0\x01\x0adomain\0\x02path\0\x02\0\0\0/\0\x02sameSite\0\x04\0\0\0lax\0\0",
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"originalMaxAge":86400000,"expires":"2026-01-01T00:00:00.000Z","#,
    r#""secure":true,"httpOnly":true,"path":"/","sameSite":"lax"},""#,
)
.as_bytes();

/// A [`Label`], and compressed a [`Head`], the version's `session` and the data's members.
pub struct Packed(Box<[u8]>);

/// What whoever ends many looks at, readable on its own.
#[derive(Serialize, Deserialize)]
pub struct Label<'a> {
    pub user: Option<&'a str>,
    pub created_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    cookie: Cow<'a, StoredCookie>,
    max_age: Option<Duration>,
    updated_at: Option<Timestamp>,
    login_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    revision: u64,
    #[serde(borrow)]
    last_write: Option<Digits<'a>>,
    #[serde(borrow)]
    handle: Option<Digits<'a>>,
    #[serde(borrow)]
    client: Option<(&'a str, &'a str)>,
    #[serde(borrow)]
    moved: Option<(&'a str, Option<Timestamp>)>,
    ended: Option<Lapse>,
    epoch: Option<Epoch>,
    credential: Option<Credential>,
    seen_revision: Option<u64>,
    /// Bytes of the version's `session`.
    seen: Option<usize>,
    cuts: Vec<(usize, usize)>,
}

/// 32 hex digits, or what stands where they are expected.
#[derive(Serialize, Deserialize)]
enum Digits<'a> {
    Hex([u8; 16]),
    Other(&'a str),
}

impl<'a> Digits<'a> {
    fn of(text: &'a str) -> Self {
        unhex(text).map_or(Digits::Other(text), Digits::Hex)
    }

    fn text(&self) -> String {
        match self {
            Digits::Hex(bytes) => hex(bytes),
            Digits::Other(text) => (*text).to_owned(),
        }
    }
}

impl Packed {
    /// `None` only if the codec refuses: then it is not cached.
    pub fn of(record: &Record, version: &Version) -> Option<Self> {
        let label = Label { user: record.user.as_deref(), created_at: record.created_at };
        let seen = version.session.as_deref();
        let head = Head {
            cookie: Cow::Borrowed(&record.cookie),
            max_age: record.max_age,
            updated_at: record.updated_at,
            login_at: record.login_at,
            expires_at: record.expires_at,
            revision: record.revision,
            last_write: record.last_write.as_ref().map(|mark| Digits::of(&mark.0)),
            handle: record.handle.as_ref().map(|handle| Digits::of(handle.as_str())),
            client: record.client.as_ref().map(|client| (client.agent.as_str(), client.address.as_str())),
            moved: record.moved.as_ref().map(|moved| (moved.to.as_str(), moved.at)),
            ended: record.ended,
            epoch: record.epoch,
            credential: record.credential,
            seen_revision: version.revision,
            seen: seen.map(<[u8]>::len),
            cuts: record.data.cuts(),
        };
        let open = [&postcard::to_allocvec(&head).ok()?, seen.unwrap_or_default(), record.data.members().as_bytes()].concat();
        let label = postcard::to_allocvec(&label).ok()?;
        // Joined at once, so that it takes no more room than it needs.
        Some(Packed([label, block::compress_prepend_size_with_dict(&open, COMMON)].concat().into_boxed_slice()))
    }

    /// What was packed.
    pub fn unpack(&self) -> Option<Opened> {
        let (label, packed) = postcard::take_from_bytes::<Label<'_>>(&self.0).ok()?;
        let open = block::decompress_size_prepended_with_dict(packed, COMMON).ok()?;
        let (head, rest) = postcard::take_from_bytes::<Head<'_>>(&open).ok()?;
        let (session, members) = rest.split_at_checked(head.seen.unwrap_or_default())?;
        let record = Record {
            data: Data::from_members(std::str::from_utf8(members).ok()?, &head.cuts)?,
            cookie: head.cookie.into_owned(),
            max_age: head.max_age,
            user: label.user.map(str::to_owned),
            created_at: label.created_at,
            updated_at: head.updated_at,
            login_at: head.login_at,
            expires_at: head.expires_at,
            revision: head.revision,
            last_write: head.last_write.map(|mark| WriteToken(mark.text())),
            handle: head.handle.map(|handle| Handle::stored(handle.text())),
            client: head.client.map(|(agent, address)| Client { agent: agent.to_owned(), address: address.to_owned() }),
            moved: head.moved.map(|(to, at)| Moved { to: SessionKey::stored(to.to_owned()), at }),
            ended: head.ended,
            epoch: head.epoch,
            credential: head.credential,
        };
        Some((Arc::new(record), Version { revision: head.seen_revision, session: head.seen.map(|_| session.into()) }))
    }

    /// Whose record it is, and since when.
    pub fn label(&self) -> Option<Label<'_>> {
        postcard::take_from_bytes(&self.0).ok().map(|(label, _)| label)
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::cookie::{Attributes, Priority, SameSite};
    use crate::session::store::json;
    use proptest::option;
    use proptest::prelude::*;

    const TEXT: &str = "[ -~\u{e9}\u{1f600}]{0,20}";

    fn data() -> impl Strategy<Value = Data> {
        let name = prop_oneof!["\"[a-z:,]{0,4}\"", Just(r#""\ud83d""#.to_owned()), Just(r#""\u0061""#.to_owned()), "\"\u{e9}\\\\n[a-c]\""];
        let value = prop_oneof![
            Just("1.0".to_owned()),
            Just(r#""\udead,""#.to_owned()),
            Just("[ 1 , {\"a\" : null} ]".to_owned()),
            "\"[a-z\u{e9}]{0,300}\""
        ];
        prop::collection::vec((name, value), 0..6).prop_map(|members| {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            Data::parse(&format!("{{{}}}", members.join(","))).unwrap()
        })
    }

    fn moment() -> impl Strategy<Value = Option<Timestamp>> {
        option::of(any::<i64>().prop_map(Timestamp))
    }

    fn digits() -> impl Strategy<Value = Option<String>> {
        option::of(prop_oneof!["[0-9a-f]{32}", "[0-9A-F]{32}", "[0-9a-f]{31}", TEXT])
    }

    fn cookie() -> impl Strategy<Value = StoredCookie> {
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        let priority = option::of(prop::sample::select(vec![Priority::Low, Priority::Medium, Priority::High]));
        let same_site = option::of(prop::sample::select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]));
        let attributes = (option::of(TEXT), TEXT, flags, priority, same_site).prop_map(|(domain, path, flags, priority, same_site)| {
            let (http_only, secure, partitioned) = flags;
            Attributes { domain, path, http_only, secure, partitioned, priority, same_site }
        });
        (option::of(any::<i64>()), moment(), attributes).prop_map(|(original_max_age, expires, attributes)| StoredCookie {
            original_max_age,
            expires,
            attributes,
        })
    }

    fn ends() -> impl Strategy<Value = (Option<Moved>, Option<Lapse>)> {
        let moved = (TEXT, moment()).prop_map(|(to, at)| Moved { to: SessionKey::stored(to), at });
        let why = vec![Lapse::Idle, Lapse::Absolute, Lapse::Ended, Lapse::Revoked, Lapse::Replaced, Lapse::Unknown];
        (option::of(moved), option::of(prop::sample::select(why)))
    }

    fn record() -> impl Strategy<Value = Record> {
        let times = (moment(), moment(), moment(), moment());
        let marks = (digits(), digits(), option::of((TEXT, TEXT)), option::of(TEXT));
        let numbers = (any::<u64>(), option::of(any::<u64>()), option::of((any::<u64>(), 0..1_000_000_000u32)));
        (data(), cookie(), times, marks, numbers, ends()).prop_map(|(data, cookie, times, marks, numbers, (moved, ended))| Record {
            data,
            cookie,
            max_age: numbers.2.map(|(seconds, nanos)| Duration::new(seconds, nanos)),
            user: marks.3,
            created_at: times.0,
            updated_at: times.1,
            login_at: times.2,
            expires_at: times.3,
            revision: numbers.0,
            last_write: marks.0.map(WriteToken),
            handle: marks.1.map(Handle::stored),
            client: marks.2.map(|(agent, address)| Client { agent, address }),
            moved,
            ended,
            epoch: numbers.1.map(Epoch),
            credential: numbers.1.map(|number| Credential(u128::from(number).to_be_bytes())),
        })
    }

    /// As MongoDB keeps it as text, as something else, or not at all.
    fn seen(record: &Record, kind: u8, other: &[u8]) -> Option<Arc<[u8]>> {
        let text = json::write(&record.cookie, &record.data);
        match kind {
            0 => None,
            1 => Some(other.into()),
            _ => Some([b"\xff\0session\0", text.as_bytes(), b"\0\xff", other].concat().into()),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_packed_is_unpacked_the_same(
            record in record(),
            revision in option::of(any::<u64>()),
            kind in 0..3u8,
            other in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let version = Version { revision, session: seen(&record, kind, &other) };

            let packed = Packed::of(&record, &version).unwrap();

            let label = packed.label().unwrap();
            prop_assert_eq!((label.user, label.created_at), (record.user.as_deref(), record.created_at));
            prop_assert_eq!(packed.unpack().unwrap(), (Arc::new(record), version));
        }
    }

    #[test]
    fn text_that_the_version_holds_too_and_a_common_browser_cost_little() {
        let unique: Vec<String> = (0..60_u64).map(|n| format!("{:08x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)).collect();
        let data = Data::parse(&format!(r#"{{"a":"{}","b":[1]}}"#, unique.concat())).unwrap();
        let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
        let client = Client { agent: agent.to_owned(), address: "192.0.2.1".to_owned() };
        let record = Record { data, client: Some(client), ..crate::session::store::cached::desk::bare(1) };

        let packed = Packed::of(&record, &Version { revision: Some(1), session: seen(&record, 2, &[]) }).unwrap();

        assert!(packed.len() < record.data.size() + 130, "{} of {}", packed.len(), record.data.size());
    }

    #[test]
    fn bytes_that_are_none_of_ours_are_not_unpacked() {
        for bytes in [&[][..], &[1], &[0xff; 40], &[0; 40]] {
            assert!(Packed(bytes.into()).unpack().is_none_or(|(record, _)| record.data.is_empty()), "{bytes:?}");
        }
    }
}
