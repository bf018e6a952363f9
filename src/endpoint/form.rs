//! What was sent by one of our forms: read strictly, because no browser sends anything else.

use super::Question;
use crate::rejection::Rejection;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

/// The names that our forms use. Others are left alone: extensions of browsers add their own.
const NAMES: [&str; 8] = ["username", "password", "remember", "return_to", "token", "fresh", "everywhere", "end"];

/// Every field at most once, and text; wiped when dropped, for one may be a password.
#[derive(Default)]
pub struct Form(Vec<(&'static str, Zeroizing<String>)>);

impl Form {
    /// The body of a POST: `application/x-www-form-urlencoded` in UTF-8, no field twice (ASVS 15.3.7). An empty body needs no type.
    pub fn read(question: &Question<'_>) -> Result<Self, Rejection> {
        let mut types = question.headers.get_all(CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (None, None) if question.form.is_empty() => return Ok(Form::default()),
            (Some(only), None) if only.to_str().is_ok_and(is_form) => {}
            _ => return Err(Rejection::FormType),
        }
        Form::parse(question.form).ok_or(Rejection::FormMalformed)
    }

    fn parse(body: &[u8]) -> Option<Self> {
        // The library puts a mark for bytes that are no UTF-8: a password that is not exactly what was typed must not be compared.
        percent_decode(body).decode_utf8().ok()?;
        let mut form = Form::default();
        for (name, value) in form_urlencoded::parse(body) {
            let Some(name) = NAMES.into_iter().find(|own| *own == name) else { continue };
            if form.get(name).is_some() {
                return None;
            }
            form.0.push((name, Zeroizing::new(value.into_owned())));
        }
        Some(form)
    }

    /// The field's text; `None` if it was not sent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// Whether a box was ticked.
    pub fn ticked(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }
}

/// The form's type, and no charset but UTF-8.
fn is_form(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_type = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => value.trim_matches('"').eq_ignore_ascii_case("utf-8"),
        _ => true,
    };
    is_type && parts.all(is_utf8)
}

/// The first value of a name in a query.
pub fn in_query(query: Option<&str>, name: &str) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(body: &[u8], name: &str) -> Option<String> {
        Form::parse(body)?.get(name).map(str::to_owned)
    }

    #[test]
    fn a_password_is_exactly_what_was_typed() {
        for (body, password) in [
            (&b"password=a+b%2B%20"[..], "a b+ "),
            (b"username=x&password=%E5%AF%86%E7%A0%81", "密码"),
            (b"password=a=b", "a=b"),
            (b"password=%zz%", "%zz%"),
            (b"p%61ssword=x", "x"),
            (b"password=", ""),
            (b"password", ""),
        ] {
            assert_eq!(field(body, "password").as_deref(), Some(password));
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for body in [&b"username=alice&username=admin"[..], b"password=x&p%61ssword=y", b"password=%ff%fe", b"password=\xff"] {
            assert!(Form::parse(body).is_none());
        }
    }

    #[test]
    fn names_that_are_not_ours_are_nobodys() {
        assert!(Form::parse(b"username[$ne]=x&password[$ne]=x&other=1&other=2").unwrap().0.is_empty());
    }

    #[test]
    fn only_a_form_in_utf_8_is_a_form() {
        for good in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=UTF-8"] {
            assert!(is_form(good), "{good}");
        }
        for bad in
            ["text/plain", "application/json", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencoded;charset=utf-7"]
        {
            assert!(!is_form(bad), "{bad}");
        }
    }

    #[test]
    fn a_query_gives_its_first_value() {
        assert_eq!(in_query(Some("a=1&return_to=%2Fx%3Fy&return_to=z"), "return_to").as_deref(), Some("/x?y"));
        assert_eq!(in_query(None, "return_to"), None);
    }
}
