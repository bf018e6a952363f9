//! A session's contents as JSON text: fields that nobody changes stay byte-identical (lone surrogates, `1.0`, key order).

mod cuts;
mod field;
mod once;

pub use field::Field;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The deepest nesting of a value that a patch may carry. Deeper ones are refused as malformed.
const MAX_DEPTH: usize = 64;

/// The top-level fields of a session, in stored order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data(Vec<Field>);

/// Why JSON text is no session data or no patch.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Not JSON, or JSON but not an object.
    #[error("not a JSON object: {0}")]
    NotAnObject(#[from] serde_json::Error),
    /// Nested deeper than 64 levels.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl Data {
    /// Reads a JSON object. As in `JSON.parse`, the last of several equal keys wins and keeps the first one's place.
    pub fn parse(json: &str) -> Result<Self, DataError> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let fields = (&mut reader).deserialize_map(Fields)?;
        reader.end()?;
        Ok(fields.into_iter().collect())
    }

    /// The fields in stored order.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// Whether there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON text of a top-level field.
    pub fn json_of(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|f| f.name() == Some(name)).map(Field::json)
    }

    /// The text or number at a dotted path (`passport.user`); `None` for anything else.
    pub fn text_at(&self, path: &[String]) -> Option<String> {
        let (first, rest) = path.split_first()?;
        let json = self.json_of(first)?;
        if !rest.is_empty() {
            return Data::parse(json).ok()?.text_at(rest);
        }
        match serde_json::from_str(json).ok()? {
            serde_json::Value::String(text) if !text.is_empty() => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Puts text at a dotted path, making objects on the way.
    pub fn put_text_at(&mut self, path: &[String], text: &str) {
        let Some((last, before)) = path.split_last() else { return };
        let Ok(mut patch) = serde_json::to_string(&[(last, text)].into_iter().collect::<std::collections::BTreeMap<_, _>>()) else {
            return;
        };
        for name in before.iter().rev() {
            let Ok(key) = serde_json::to_string(name) else { return };
            patch = format!("{{{key}:{patch}}}");
        }
        if let Ok(patch) = Data::parse_patch(&patch) {
            self.merge(&patch);
        }
    }

    /// Removes a top-level field and returns its JSON text.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|f| f.name() == Some(name))?;
        Some(self.0.remove(at).json().to_owned())
    }

    /// Keeps only the named fields.
    pub fn retain_named(&mut self, names: &[String]) {
        self.0.retain(|f| f.name().is_some_and(|name| names.iter().any(|n| n == name)));
    }

    /// Adds a field, or replaces the value of the one with the same name.
    pub fn put(&mut self, field: Field) {
        match self.0.iter_mut().find(|old| old.is_called_as(&field)) {
            Some(old) => old.set(field.json()),
            None => self.0.push(field),
        }
    }

    /// Reads a patch: a JSON object, nested at most 64 levels deep.
    pub fn parse_patch(json: &str) -> Result<Self, DataError> {
        if depth(json) > MAX_DEPTH {
            return Err(DataError::TooDeep);
        }
        Data::parse(json)
    }

    /// Applies a JSON Merge Patch (RFC 7396): `null` removes, objects merge, anything else replaces.
    pub fn merge(&mut self, patch: &Data) {
        for change in &patch.0 {
            let at = self.0.iter().position(|field| field.is_called_as(change));
            let old = at.and_then(|at| self.0.get(at)).map(Field::json);
            match (merged(old, change.json()), at) {
                (Some(value), Some(at)) => {
                    if let Some(field) = self.0.get_mut(at) {
                        field.set(&value);
                    }
                }
                (Some(value), None) => {
                    let mut field = change.clone();
                    field.set(&value);
                    self.0.push(field);
                }
                (None, Some(at)) => drop(self.0.remove(at)),
                (None, None) => {}
            }
        }
    }

    /// Appends the object's members (`"a":1,"b":2`) to `out`, without braces.
    pub fn write_members(&self, out: &mut String) {
        for (number, field) in self.0.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            out.push_str(field.text());
        }
    }

    /// The whole object as JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.size() + 2);
        out.push('{');
        self.write_members(&mut out);
        out.push('}');
        out
    }

    /// Bytes of the object's members as JSON.
    pub fn size(&self) -> usize {
        self.0.iter().map(|field| field.text().len() + 1).sum()
    }
}

/// RFC 7396's `MergePatch(Target, Patch)`, over JSON text; `None`: the member goes.
fn merged(old: Option<&str>, patch: &str) -> Option<String> {
    match patch.as_bytes().first() {
        Some(b'n') => None,
        Some(b'{') => {
            let mut target = old.and_then(|old| Data::parse(old).ok()).unwrap_or_default();
            target.merge(&Data::parse(patch).ok()?);
            Some(target.to_json())
        }
        _ => Some(patch.to_owned()),
    }
}

/// The deepest nesting of brackets in JSON text.
fn depth(json: &str) -> usize {
    let (mut deepest, mut now, mut in_string, mut escaped) = (0, 0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(raw_name) = map.next_key_seed(RawText)? {
            fields.push(Field::raw(raw_name.get(), &map.next_value_seed(RawText)?));
        }
        Ok(fields)
    }
}

struct RawText;

impl<'de> DeserializeSeed<'de> for RawText {
    type Value = Box<RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        serde::Deserialize::deserialize(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(json: &str) -> Data {
        Data::parse(json).unwrap()
    }

    #[test]
    fn fields_that_nobody_changes_stay_byte_identical() {
        let text = r#"{"10":1.0,"2":1e2,"s":"\ud83d","\udead":[ 1 , 2 ],"é":{"x":0.10}}"#;
        let mut changed = data(text);

        changed.merge(&data(r#"{"new":true}"#));

        assert_eq!(changed.to_json(), format!("{},\"new\":true}}", &text[..text.len() - 1]));
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        assert_eq!(data(r#"{"k":1,"a":2,"k":3}"#).to_json(), r#"{"k":3,"a":2}"#);
    }

    #[test]
    fn a_patch_merges_objects_and_removes_nulls() {
        let mut target = data(r#"{"a":"b","c":{"d":"e","f":"g"},"l":[1]}"#);

        target.merge(&data(r#"{"a":"z","c":{"f":null},"l":{"x":null,"y":1},"n":null}"#));

        assert_eq!(target.to_json(), r#"{"a":"z","c":{"d":"e"},"l":{"y":1}}"#);
    }

    #[test]
    fn a_patch_finds_a_field_in_any_spelling_of_its_name() {
        let mut target = data(r#"{"\u0061":1}"#);

        target.merge(&data(r#"{"a":2}"#));

        assert_eq!(target.to_json(), r#"{"\u0061":2}"#);
    }

    #[test]
    fn a_patch_nested_too_deep_is_refused() {
        let deep = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));

        assert!(matches!(Data::parse_patch(&deep), Err(DataError::TooDeep)));
    }

    #[test]
    fn only_objects_are_data() {
        for json in ["null", "[1]", "\"x\"", "{bad", "{} x", ""] {
            assert!(Data::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_user_is_found_by_a_dotted_path() {
        let passport = data(r#"{"passport":{"user":"5f2"},"n":7}"#);

        let found = |path: &str| passport.text_at(&path.split('.').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((found("passport.user"), found("n"), found("passport")), (Some("5f2".into()), Some("7".into()), None));
    }

    #[test]
    fn a_user_is_put_at_a_dotted_path() {
        let mut session = data(r#"{"passport":{"x":1}}"#);

        session.put_text_at(&["passport".into(), "user".into()], "a\"b");

        assert_eq!(session.to_json(), r#"{"passport":{"x":1,"user":"a\"b"}}"#);
    }

    proptest::proptest! {
        #[test]
        fn a_merge_gives_what_rfc_7396_says(target in json_object(), patch in json_object()) {
            let mut ours = Data::parse(&target.to_string()).unwrap();
            ours.merge(&Data::parse(&patch.to_string()).unwrap());

            let ours: serde_json::Value = serde_json::from_str(&ours.to_json()).unwrap();
            proptest::prop_assert_eq!(ours, rfc_7396(target, &patch));
        }
    }

    fn rfc_7396(mut target: serde_json::Value, patch: &serde_json::Value) -> serde_json::Value {
        let Some(changes) = patch.as_object() else { return patch.clone() };
        if !target.is_object() {
            target = serde_json::json!({});
        }
        for (name, value) in changes {
            let members = target.as_object_mut().unwrap();
            match value {
                serde_json::Value::Null => drop(members.remove(name)),
                _ => {
                    let old = members.remove(name).unwrap_or(serde_json::Value::Null);
                    members.insert(name.clone(), rfc_7396(old, value));
                }
            }
        }
        target
    }

    fn json_object() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            "[a-z\u{e9}\"]{0,3}".prop_map(Into::into)
        ];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                prop::collection::hash_map("[ab]{1,2}", inner, 0..4).prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into())
            ]
        });
        prop::collection::hash_map("[ab]{1,2}", value, 0..4).prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into())
    }
}
