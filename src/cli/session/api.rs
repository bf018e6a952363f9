//! The admin API of a Cloakroom that runs beside this configuration.

use super::super::healthcheck::reachable;
use super::{Ask, Failure};
use crate::config::Admin;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(2);

const ANSWER: Duration = Duration::from_secs(30);

/// Ending everybody's sessions takes longer: the store may look at them twice, for two minutes each time.
const END_OF_MANY: Duration = Duration::from_secs(300);

/// `None`: there is no token, or nobody listens.
pub fn answer(admin: &Admin, ask: &Ask) -> Option<Result<Value, Failure>> {
    let token = std::str::from_utf8(admin.token.as_ref()?.expose_secret()).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Some(Err(Failure::Refused("`[admin] token` cannot be sent in a header: use visible ASCII characters".to_owned())));
    }
    let address = reachable(admin.listen);
    let connection = TcpStream::connect_timeout(&address, CONNECT).ok()?;
    let asked = exchange(connection, address, token, ask);
    Some(match asked {
        Ok(answer) => understood(&answer, address),
        Err(error) => Err(Failure::Refused(format!("the running cloakroom at {address} does not answer: {error}"))),
    })
}

fn exchange(mut connection: TcpStream, address: SocketAddr, token: &str, ask: &Ask) -> std::io::Result<String> {
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (method, path) = match ask {
        Ask::List { user, cursor: None } => ("GET", format!("/sessions?user={}", escaped(user))),
        Ask::List { user, cursor: Some(cursor) } => ("GET", format!("/sessions?user={}&cursor={}", escaped(user), escaped(cursor))),
        Ask::Show(handle) => ("GET", format!("/sessions/{}", escaped(handle))),
        Ask::EndOne(handle) => ("DELETE", format!("/sessions/{}", escaped(handle))),
        Ask::EndUser(user) => ("DELETE", format!("/users/{}/sessions", escaped(user))),
        Ask::EndOlder(age) => ("DELETE", format!("/sessions?older_than={}ms", age.as_millis())),
        Ask::EndAll => ("DELETE", "/sessions?all=true".to_owned()),
    };
    let is_of_many = matches!(ask, Ask::EndOlder(_) | Ask::EndAll);
    connection.set_read_timeout(Some(if is_of_many { END_OF_MANY } else { ANSWER }))?;
    connection.set_write_timeout(Some(CONNECT))?;
    write!(connection, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

fn understood(answer: &str, address: SocketAddr) -> Result<Value, Failure> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match status {
        "200" | "202" => Ok(body),
        "404" => Err(Failure::NoSuchSession),
        "401" => Err(Failure::WrongToken(address)),
        _ => Err(Failure::Refused(body.get("error").and_then(Value::as_str).unwrap_or("the answer is none of cloakroom's").to_owned())),
    }
}
