//! BSON as Node's `JSON.stringify` would show it, and JSON as Node's driver would store it.

use crate::clock::Timestamp;
use crate::session::data::Data;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::{Bson, Document, RawArray, RawBsonRef, RawDocument, spec::BinarySubtype};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// MongoDB refuses documents nested more than 100 levels deep, and so do we, before a deep one can exhaust the stack.
const MAX_DEPTH: usize = 100;

/// Stored bytes that are no BSON.
#[derive(Debug, thiserror::Error)]
#[error("broken BSON: {0}")]
pub struct Broken(#[from] mongodb::bson::error::Error);

/// JSON that no document can hold.
#[derive(Debug, thiserror::Error)]
#[error("the value is nested too deep for a document")]
pub struct TooDeep;

/// The JSON text of a stored value.
pub fn to_json(value: RawBsonRef<'_>) -> Result<String, Broken> {
    Ok(match value {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => quoted(text),
        RawBsonRef::Boolean(flag) => flag.to_string(),
        RawBsonRef::Int32(number) => number.to_string(),
        RawBsonRef::Int64(number) => number.to_string(),
        RawBsonRef::Double(number) => number_text(number),
        RawBsonRef::Document(document) => object(document)?,
        RawBsonRef::Array(array) => list(array)?,
        RawBsonRef::DateTime(moment) => Timestamp(moment.timestamp_millis()).to_iso().map_or_else(|| "null".to_owned(), |t| quoted(&t)),
        RawBsonRef::ObjectId(id) => quoted(&id.to_hex()),
        RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Uuid => quoted(&uuid(binary.bytes)),
        RawBsonRef::Binary(binary) => quoted(&STANDARD.encode(binary.bytes)),
        RawBsonRef::Decimal128(number) => format!("{{\"$numberDecimal\":{}}}", quoted(&number.to_string())),
        RawBsonRef::RegularExpression(_) => "{}".to_owned(),
        _ => "null".to_owned(),
    })
}

fn object(document: &RawDocument) -> Result<String, Broken> {
    let mut text = String::from("{");
    for element in document {
        let (name, value) = element?;
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quoted(name.as_str()));
        text.push(':');
        text.push_str(&to_json(value)?);
    }
    text.push('}');
    Ok(text)
}

fn list(array: &RawArray) -> Result<String, Broken> {
    let items: Vec<String> = array.into_iter().map(|item| to_json(item?)).collect::<Result<_, Broken>>()?;
    Ok(format!("[{}]", items.join(",")))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A UUID as Node's driver shows it.
fn uuid(bytes: &[u8]) -> String {
    let hex = crate::session::id::hex(bytes);
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// JavaScript prints an integral double without a point, exponents with a sign, and what is no number as null.
fn number_text(number: f64) -> String {
    match number.abs() {
        _ if !number.is_finite() => "null".to_owned(),
        0.0 => "0".to_owned(),
        1e-6..1e21 => number.to_string(),
        size if size < 1.0 => format!("{number:e}"),
        _ => format!("{number:e}").replace('e', "e+"),
    }
}

/// The document that Node's driver makes of a JSON object. Every value, at any depth, whose JSON is that of its counterpart in `old` keeps
/// the stored BSON: dates stay dates. New integral numbers of 32 bits are int32, others double; a lone surrogate becomes U+FFFD.
pub fn document(json: &str, old: Option<&RawDocument>) -> Result<Document, TooDeep> {
    members(&without_lone_surrogates(json), old, 0)
}

/// The same for one value.
pub fn from_json(json: &str) -> Result<Bson, TooDeep> {
    build(&without_lone_surrogates(json), None, 0)
}

fn build(json: &str, old: Option<RawBsonRef<'_>>, depth: usize) -> Result<Bson, TooDeep> {
    if depth > MAX_DEPTH {
        return Err(TooDeep);
    }
    if let Some(old) = old
        && to_json(old).is_ok_and(|text| text == json)
        && let Ok(kept) = Bson::try_from(old)
    {
        return Ok(kept);
    }
    Ok(match json.as_bytes().first() {
        Some(b'{') => Bson::Document(members(json, old.and_then(RawBsonRef::as_document), depth)?),
        Some(b'[') => {
            let mut before = old.and_then(RawBsonRef::as_array).map(|old| old.into_iter());
            let items = serde_json::from_str::<Vec<&RawValue>>(json).unwrap_or_default();
            let build_item = |item: &RawValue| build(item.get(), before.as_mut().and_then(|b| b.next()?.ok()), depth + 1);
            Bson::Array(items.into_iter().map(build_item).collect::<Result<_, TooDeep>>()?)
        }
        Some(b'"') => serde_json::from_str::<String>(json).map_or(Bson::Null, Bson::String),
        Some(b't') => Bson::Boolean(true),
        Some(b'f') => Bson::Boolean(false),
        Some(b'n') | None => Bson::Null,
        Some(_) => json.parse::<f64>().map_or(Bson::Null, number),
    })
}

fn members(json: &str, old: Option<&RawDocument>, depth: usize) -> Result<Document, TooDeep> {
    let data = Data::parse(json).unwrap_or_default();
    let old = old.map(by_name).unwrap_or_default();
    let mut document = Document::new();
    for field in data.iter() {
        // BSON names end at a NUL.
        let name = field.name().unwrap_or("\u{fffd}").replace('\0', "\u{fffd}");
        let before = old.get(name.as_str()).copied();
        document.insert(name, build(field.json(), before, depth + 1)?);
    }
    Ok(document)
}

/// The values of a document, of which a look-up would read all that stand before.
fn by_name(document: &RawDocument) -> HashMap<&str, RawBsonRef<'_>> {
    let mut values = HashMap::new();
    for (name, value) in document.into_iter().map_while(Result::ok) {
        values.entry(name.as_str()).or_insert(value);
    }
    values
}

/// As in Node's driver, minus zero is a double.
fn number(number: f64) -> Bson {
    let small = number.fract() == 0.0 && number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX);
    if small && (number != 0.0 || number.is_sign_positive()) { Bson::Int32(number as i32) } else { Bson::Double(number) }
}

/// Replaces escapes of lone surrogates, which JavaScript strings may hold and UTF-8 may not.
fn without_lone_surrogates(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let taken = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push('\u{fffd}');
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
        out.push_str(escape.get(..taken).unwrap_or(escape));
        rest = escape.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The UTF-16 unit of a `\uXXXX` at the start of the text.
fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{RawDocumentBuf, doc, oid::ObjectId};

    fn shown(value: Bson) -> String {
        let document = RawDocumentBuf::try_from(&doc! { "v": value }).unwrap();
        to_json(document.get("v").unwrap().unwrap()).unwrap()
    }

    #[test]
    fn numbers_are_shown_as_javascript_shows_them() {
        let shown: Vec<String> = [3.0, -0.0, 0.5, f64::NAN, 1.234_567_890_123_456_7e20, -1e21, 1.5e300, 1e-6, -1.5e-7]
            .into_iter()
            .map(|number| shown(Bson::Double(number)))
            .chain([shown(Bson::Int64(1 << 40))])
            .collect();

        assert_eq!(shown, ["3", "0", "0.5", "null", "123456789012345670000", "-1e+21", "1.5e+300", "0.000001", "-1.5e-7", "1099511627776"]);
    }

    #[test]
    fn types_without_json_are_shown_as_node_shows_them() {
        let id = ObjectId::parse_str("507f1f77bcf86cd799439011").unwrap();

        assert_eq!(shown(Bson::ObjectId(id)), "\"507f1f77bcf86cd799439011\"");
        assert_eq!(shown(Bson::DateTime(mongodb::bson::DateTime::from_millis(0))), "\"1970-01-01T00:00:00.000Z\"");
    }

    #[test]
    fn json_becomes_what_nodes_driver_stores() {
        assert_eq!(
            from_json(r#"{"a":1,"b":2147483648,"c":[0.5,"x"],"d":null,"e":-0}"#).unwrap(),
            Bson::Document(doc! { "a": 1, "b": 2_147_483_648.0, "c": [0.5, "x"], "d": Bson::Null, "e": -0.0 })
        );
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        assert_eq!(from_json(r#""\ud83d x \ud83d\ude00 \\ud83d \udc00""#).unwrap(), Bson::String("\u{fffd} x 😀 \\ud83d \u{fffd}".into()));
    }

    #[test]
    fn a_name_with_a_lone_surrogate_or_a_nul_is_kept_in_another_spelling() {
        assert_eq!(document(r#"{"a\ud83d":1,"b\u0000":2}"#, None).unwrap(), doc! { "a\u{fffd}": 1, "b\u{fffd}": 2 });
    }

    #[test]
    fn what_did_not_change_keeps_its_type_at_any_depth() {
        let when = mongodb::bson::DateTime::from_millis(0);
        let old = doc! { "long": 5_i64, "deep": { "at": when, "list": [when, 2.0], "n": 1 } };
        let raw = RawDocumentBuf::try_from(&old).unwrap();
        let json = object(&raw).unwrap().replace("\"n\":1", "\"n\":2");

        let new = document(&json, Some(&raw)).unwrap();

        assert_eq!(new, doc! { "long": 5_i64, "deep": { "at": when, "list": [when, 2.0], "n": 2 } });
    }

    /// With a look-up for each it takes many minutes.
    #[test]
    fn a_session_of_very_many_fields_is_written_in_no_time() {
        let old: Document = (0..100_000).map(|n| (format!("{n:05x}"), Bson::Int64(n))).collect();
        let raw = RawDocumentBuf::try_from(&old).unwrap();
        let json = object(&raw).unwrap();
        let began = std::time::Instant::now();

        assert_eq!(document(&json, Some(&raw)).unwrap(), old);

        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));

        assert!(matches!(document(&deep, None), Err(TooDeep)));
    }
}
