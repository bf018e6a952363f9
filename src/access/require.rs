//! Whether a session has what a route's `require` asks for. What cannot be read is not there.

use crate::clock::Timestamp;
use crate::route::{Require, Wanted};
use crate::session::data::Data;
use serde_json::Value;

/// Whether this is a user that the route is for: all that `require` names must hold.
pub(super) fn is_met(require: &Require, user: &str, data: &Data) -> bool {
    let has = |wanted: &Wanted| has(data, wanted);
    require.user.as_ref().is_none_or(|users| users.contains(user))
        && (require.any.is_empty() || require.any.iter().any(has))
        && require.all.iter().all(has)
}

/// Whether the login is young enough. Renewals and uses do not move it; a session that nobody signed in through a login has none.
pub(super) fn is_fresh(require: &Require, login_at: Option<Timestamp>, now: Timestamp) -> bool {
    require.login_age.is_none_or(|most| login_at.is_some_and(|at| now.since(at) <= most))
}

/// The value itself, or one item of a list: text, or a number or boolean as JSON writes it. Never an object.
fn has(data: &Data, wanted: &Wanted) -> bool {
    let Some(value) = value_at(data, &wanted.path) else { return false };
    match &value {
        Value::Array(items) => items.iter().any(|item| is_one_of(item, wanted)),
        value => is_one_of(value, wanted),
    }
}

fn is_one_of(value: &Value, wanted: &Wanted) -> bool {
    match value {
        Value::String(text) => wanted.values.contains(text),
        Value::Number(_) | Value::Bool(_) => wanted.values.contains(&value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn value_at(data: &Data, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    let mut value: Value = serde_json::from_str(data.json_of(first)?).ok()?;
    for name in rest {
        value = value.get_mut(name)?.take();
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn wanted(path: &str, values: &[&str]) -> Wanted {
        Wanted { path: path.split('.').map(str::to_owned).collect(), values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    fn met(require: &Require, data: &str) -> bool {
        is_met(require, "alice", &Data::parse(data).unwrap())
    }

    #[test]
    fn a_field_is_text_a_number_a_boolean_or_a_list_of_them() {
        for (path, value, data) in [
            ("role", "admin", r#"{"role":"admin"}"#),
            ("role", "admin", r#"{"role":["staff","admin"]}"#),
            ("level", "3", r#"{"level":3}"#),
            ("level", "3", r#"{"level":[1,3]}"#),
            ("staff", "true", r#"{"staff":true}"#),
            ("user.role", "admin", r#"{"user":{"role":["admin"]}}"#),
            ("role", "größe", r#"{"role":"gr\u00f6\u00dfe"}"#),
        ] {
            assert!(met(&Require { all: vec![wanted(path, &["other", value])], ..Require::default() }, data), "{data}");
        }
    }

    #[test]
    fn nothing_else_counts_as_the_value() {
        for data in [
            "{}",
            r#"{"role":null}"#,
            r#"{"role":"Admin"}"#,
            r#"{"role":"admin "}"#,
            r#"{"role":"administrator"}"#,
            r#"{"role":"[\"admin\"]"}"#,
            r#"{"role":{"admin":true}}"#,
            r#"{"role":{"0":"admin"}}"#,
            r#"{"role":[["admin"]]}"#,
            r#"{"role":[{"name":"admin"}]}"#,
            r#"{"role":"admin\ud800"}"#,
            r#"{"Role":"admin","roles":"admin"}"#,
            r#"{"x":{"role":"admin"}}"#,
        ] {
            assert!(!met(&Require { all: vec![wanted("role", &["admin"])], ..Require::default() }, data), "{data}");
            assert!(!met(&Require { any: vec![wanted("role", &["admin"])], ..Require::default() }, data), "{data}");
        }
    }

    #[test]
    fn any_wants_one_field_and_all_wants_each_and_both_must_hold() {
        let fields = || vec![wanted("role", &["admin"]), wanted("groups", &["ops", "dev"])];
        let any = Require { any: fields(), ..Require::default() };
        let all = Require { all: fields(), ..Require::default() };
        let both = Require { any: fields(), all: vec![wanted("staff", &["true"])], ..Require::default() };
        let (role, groups, each) = (r#"{"role":"admin"}"#, r#"{"groups":["dev"]}"#, r#"{"role":"admin","groups":["ops"],"staff":true}"#);

        assert_eq!([role, groups, each].map(|data| met(&any, data)), [true, true, true]);
        assert_eq!([role, groups, each].map(|data| met(&all, data)), [false, false, true]);
        assert_eq!([role, groups, each].map(|data| met(&both, data)), [false, false, true]);
    }

    #[test]
    fn the_user_is_compared_whole_and_adds_to_the_rest() {
        let named = |user: &str| Require { user: Some([user.to_owned()].into()), ..Require::default() };
        let with_role = Require { all: vec![wanted("role", &["admin"])], ..named("alice") };

        assert_eq!(["alice", "Alice", "alic", "alice "].map(|user| met(&named(user), "{}")), [true, false, false, false]);
        assert_eq!(["{}", r#"{"role":"admin"}"#].map(|data| met(&with_role, data)), [false, true]);
    }

    #[test]
    fn a_login_is_fresh_up_to_its_age_and_without_a_time_it_is_not() {
        let require = Require { login_age: Some(Duration::from_secs(900)), ..Require::default() };
        let login = Timestamp(1_000_000);
        let after = |millis: u64| login.plus(Duration::from_millis(millis));

        assert_eq!([0, 900_000, 900_001].map(|millis| is_fresh(&require, Some(login), after(millis))), [true, true, false]);
        assert!(!is_fresh(&require, None, login));
        assert!(is_fresh(&Require::default(), None, login));
    }
}
