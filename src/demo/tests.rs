//! The demo as Cloakroom sees it: raw requests in, raw answers out.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::serve;

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Sends one request to a demo of its own; `head` is the request line and further header lines.
async fn ask(head: &str, body: &str) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{head}\r\nhost: demo\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );

    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();

    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer { head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn a_stranger_is_asked_to_sign_in() {
    let answer = ask("GET / HTTP/1.1", "").await;

    assert_eq!(answer.status(), "200");
    assert!(answer.body.contains(r#"action="/sign-in""#));
    assert!(!answer.body.contains("/.cloakroom/logout"));
}

#[tokio::test]
async fn a_bare_visit_starts_no_session() {
    let answer = ask("GET / HTTP/1.1", "").await;

    assert_eq!(answer.header("x-session-set"), None);
}

#[tokio::test]
async fn signing_in_answers_with_the_name_to_remember() {
    let answer = ask("POST /sign-in HTTP/1.1", "name=+Zo%C3%AB+").await;

    assert_eq!(answer.status(), "303");
    assert_eq!(answer.header("location"), Some("/"));
    assert_eq!(answer.header("x-session-set"), Some(r#"{"name":"Zo\u00eb"}"#));
}

#[tokio::test]
async fn a_name_of_blanks_is_not_remembered() {
    let answer = ask("POST /sign-in HTTP/1.1", "name=+++").await;

    assert_eq!((answer.status(), answer.header("x-session-set")), ("303", None));
}

#[tokio::test]
async fn a_visit_of_a_signed_in_visitor_is_counted() {
    let answer = ask("GET / HTTP/1.1\r\nx-session-name: %E6%9D%8E\r\nx-session-visits: 21", "").await;

    assert_eq!(answer.header("x-session-set"), Some(r#"{"visits":22}"#));
    assert!(answer.body.contains("Welcome back, <bdi>李</bdi>"));
    assert!(answer.body.contains("<b>22nd</b>"));
}

#[tokio::test]
async fn a_user_is_greeted_whatever_name_they_have_typed() {
    let user = ask("GET /members/ HTTP/1.1\r\nx-session-user: al%C3%AFce", "").await;
    let both = ask("GET / HTTP/1.1\r\nx-session-user: alice\r\nx-session-name: Ada", "").await;

    assert_eq!((user.status(), user.header("x-session-set")), ("200", Some(r#"{"visits":1}"#)));
    assert!(user.body.contains("Welcome, <bdi>alïce</bdi>") && user.body.contains("for members"), "{}", user.body);
    assert!(both.body.contains("Welcome, <bdi>alice</bdi>") && !both.body.contains("for members"), "{}", both.body);
}

#[tokio::test]
async fn a_program_that_asks_with_head_is_not_counted() {
    let answer = ask("HEAD / HTTP/1.1\r\nx-session-name: Ada\r\nx-session-visits: 7", "").await;

    assert_eq!((answer.status(), answer.header("x-session-set")), ("200", None));
}

#[tokio::test]
async fn a_thing_is_added_to_the_cart_that_came_with_the_request() {
    let answer = ask("POST /cart HTTP/1.1\r\nx-session-cart: [\"umbrella\"]", "item=coat%2C+navy").await;

    assert_eq!(answer.status(), "303");
    assert_eq!(answer.header("x-session-set"), Some(r#"{"cart":["umbrella","coat, navy"]}"#));
}

#[tokio::test]
async fn a_thing_is_taken_out_of_the_cart() {
    let answer = ask("POST /cart/remove HTTP/1.1\r\nx-session-cart: [\"umbrella\",\"coat\"]", "index=0").await;

    assert_eq!(answer.header("x-session-set"), Some(r#"{"cart":["coat"]}"#));
}

#[tokio::test]
async fn taking_out_what_is_not_there_changes_nothing() {
    let answer = ask("POST /cart/remove HTTP/1.1\r\nx-session-cart: [\"umbrella\"]", "index=1").await;

    assert_eq!((answer.status(), answer.header("x-session-set")), ("303", None));
}

#[tokio::test]
async fn a_full_cart_takes_no_more() {
    let cart = serde_json::json!(vec!["sock"; 20]);

    let answer = ask(&format!("POST /cart HTTP/1.1\r\nx-session-cart: {cart}"), "item=hat").await;

    assert_eq!((answer.status(), answer.header("x-session-set")), ("303", None));
}

#[tokio::test]
async fn the_largest_cart_stays_within_what_an_answer_may_set() {
    let almost_full = serde_json::json!(["x".repeat(super::CART_BYTES - 5)]);
    let coats = "%F0%9F%A7%A5".repeat(super::ITEM_LENGTH + 1);

    let answer = ask(&format!("POST /cart HTTP/1.1\r\nx-session-cart: {almost_full}"), &format!("item={coats}")).await;

    let set = answer.header("x-session-set").unwrap();
    assert_eq!(set.matches("\\ud83e\\udde5").count(), super::ITEM_LENGTH);
    assert!(set.len() <= 8 * 1024, "{}", set.len());
}

#[tokio::test]
async fn markup_in_a_name_is_shown_as_text() {
    let answer = ask("GET / HTTP/1.1\r\nx-session-name: <script>alert(1)</script>\r\nreferer: <script>", "").await;

    assert!(answer.body.contains("Welcome"), "{}", answer.body);
    assert!(!answer.body.contains("<script"), "{}", answer.body);
}

#[tokio::test]
async fn a_newline_in_a_name_cannot_split_the_header() {
    let answer = ask("POST /sign-in HTTP/1.1", "name=Ada%0D%0AX-Session-Login:+root").await;

    assert_eq!(answer.header("x-session-set"), Some(r#"{"name":"Ada\r\nX-Session-Login: root"}"#));
    assert_eq!(answer.header("X-Session-Login"), None);
}

#[tokio::test]
async fn secrets_of_other_apps_are_not_shown() {
    let answer = ask("GET / HTTP/1.1\r\ncookie: other=hunter2\r\nauthorization: Basic hunter2", "").await;

    assert!(!answer.body.contains("hunter2"));
}

#[tokio::test]
async fn a_demo_without_a_proxy_says_that_it_cannot_remember() {
    let alone = ask("GET / HTTP/1.1", "").await;
    let behind = ask("GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.1", "").await;

    assert!(alone.body.contains("No Cloakroom is in front"));
    assert!(!behind.body.contains("No Cloakroom is in front"));
}
