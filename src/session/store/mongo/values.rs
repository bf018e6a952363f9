//! BSON as Node's `JSON.stringify` would show it, and JSON as Node's driver would store it.

use crate::session::data::Data;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::{Array, Bson, Document, RawBsonRef, RawDocument};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The JSON text of a stored value.
pub fn to_json(value: RawBsonRef<'_>) -> String {
    match value {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => quoted(text),
        RawBsonRef::Boolean(flag) => flag.to_string(),
        RawBsonRef::Int32(number) => number.to_string(),
        RawBsonRef::Int64(number) => number.to_string(),
        RawBsonRef::Double(number) => number_text(number),
        RawBsonRef::Document(document) => object(document),
        RawBsonRef::Array(array) => {
            let items: Vec<String> = array.into_iter().filter_map(Result::ok).map(to_json).collect();
            format!("[{}]", items.join(","))
        }
        RawBsonRef::DateTime(moment) => {
            crate::clock::Timestamp(moment.timestamp_millis()).to_iso().map_or_else(|| "null".to_owned(), |text| quoted(&text))
        }
        RawBsonRef::ObjectId(id) => quoted(&id.to_hex()),
        RawBsonRef::Binary(binary) => quoted(&STANDARD.encode(binary.bytes)),
        RawBsonRef::Decimal128(number) => format!("{{\"$numberDecimal\":{}}}", quoted(&number.to_string())),
        RawBsonRef::RegularExpression(_) => "{}".to_owned(),
        _ => "null".to_owned(),
    }
}

fn object(document: &RawDocument) -> String {
    let members: Vec<String> =
        document.iter().filter_map(Result::ok).map(|(name, value)| format!("{}:{}", quoted(name.as_str()), to_json(value))).collect();
    format!("{{{}}}", members.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JavaScript prints an integral double without a point, and what is no number as null.
fn number_text(number: f64) -> String {
    if !number.is_finite() {
        return "null".to_owned();
    }
    if number.fract() == 0.0 && number.abs() < 1e21 { format!("{:.0}", number + 0.0) } else { serde_json::Value::from(number).to_string() }
}

/// The BSON that Node's driver makes of this JSON: integral numbers of 32 bits are int32, others double; a lone surrogate becomes U+FFFD.
pub fn from_json(json: &str) -> Bson {
    match json.as_bytes().first() {
        Some(b'{') => Data::parse(json).map_or(Bson::Null, |data| {
            let members =
                data.iter().map(|field| (field.name().map_or_else(|| "\u{fffd}".to_owned(), str::to_owned), from_json(field.json())));
            Bson::Document(members.collect::<Document>())
        }),
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(json)
            .map_or(Bson::Null, |items| Bson::Array(items.into_iter().map(|item| from_json(item.get())).collect::<Array>())),
        Some(b'"') => serde_json::from_str::<String>(&without_lone_surrogates(json)).map_or(Bson::Null, Bson::String),
        Some(b't') => Bson::Boolean(true),
        Some(b'f') => Bson::Boolean(false),
        Some(b'n') | None => Bson::Null,
        Some(_) => json.parse::<f64>().map_or(Bson::Null, number),
    }
}

fn number(number: f64) -> Bson {
    let small = number.fract() == 0.0 && number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX);
    if small { Bson::Int32(number as i32) } else { Bson::Double(number) }
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
        to_json(document.get("v").unwrap().unwrap())
    }

    #[test]
    fn numbers_are_shown_as_javascript_shows_them() {
        let shown: Vec<String> = [Bson::Double(3.0), Bson::Double(-0.0), Bson::Double(0.5), Bson::Double(f64::NAN), Bson::Int64(1 << 40)]
            .into_iter()
            .map(shown)
            .collect();

        assert_eq!(shown, ["3", "0", "0.5", "null", "1099511627776"]);
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
            from_json(r#"{"a":1,"b":2147483648,"c":[0.5,"x"],"d":null}"#),
            Bson::Document(doc! { "a": 1, "b": 2_147_483_648.0, "c": [0.5, "x"], "d": Bson::Null })
        );
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        assert_eq!(from_json(r#""\ud83d x \ud83d\ude00 \\ud83d \udc00""#), Bson::String("\u{fffd} x 😀 \\ud83d \u{fffd}".into()));
    }
}
