//! Redirect or 401: decided by who asks, and never a redirect for a script.

use super::bench::*;

const PRIVATE: &str = "[[routes]]\nupstream = \"http://127.0.0.1:1\"\nsession = \"required\"\n";

/// What a sign says about who asks; `None`: nothing.
type Says = Option<bool>;

const PERSON: Says = Some(true);
const MACHINE: Says = Some(false);

/// Fetch Metadata as browsers send it (W3C Fetch Metadata), and as nobody does.
const FETCH: [(&[(&str, &str)], Says); 18] = [
    (&[], None),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Site", "none"), ("Sec-Fetch-User", "?1")], PERSON),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Site", "cross-site")], PERSON),
    (&[("Sec-Fetch-Mode", "navigate")], PERSON),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "empty")], PERSON),
    (&[("Sec-Fetch-Dest", "document")], PERSON),
    (&[("Sec-Fetch-Dest", "empty")], MACHINE),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")], MACHINE),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "embed")], MACHINE),
    (&[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")], MACHINE),
    (&[("Sec-Fetch-Mode", "same-origin"), ("Sec-Fetch-Dest", "empty")], MACHINE),
    (&[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")], MACHINE),
    (&[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")], MACHINE),
    (&[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "serviceworker")], MACHINE),
    (&[("Sec-Fetch-Mode", "websocket"), ("Sec-Fetch-Dest", "websocket")], MACHINE),
    (&[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "document")], MACHINE),
    (&[("Sec-Fetch-Mode", "NAVIGATE")], MACHINE),
    (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Mode", "navigate")], MACHINE),
];

/// The second value: it says that a machine asks, whatever Fetch Metadata says. The first: it asks for a page.
const ACCEPT: [(Option<&str>, bool, bool); 11] = [
    (None, false, false),
    (Some("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"), true, false),
    (Some("text/html"), true, false),
    (Some("TEXT/HTML ; q=0.1"), true, false),
    (Some("*/*"), false, false),
    (Some("image/avif,image/webp,*/*;q=0.8"), false, false),
    (Some("text/html;q=0, text/plain"), false, false),
    (Some("application/json"), false, true),
    (Some("application/json, text/html;q=0.9, */*"), true, true),
    (Some("application/vnd.api+json"), false, true),
    (Some("text/event-stream"), false, true),
];

/// Android's web views name their app with every navigation.
const REQUESTED_WITH: [(Option<&str>, bool); 4] =
    [(None, false), (Some("XMLHttpRequest"), true), (Some("xmlhttprequest"), true), (Some("com.example.browser"), false)];

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

#[tokio::test]
async fn pages_are_sent_to_the_login_and_scripts_get_401_for_every_combination_of_signs() {
    let bench = Bench::new(&format!("{PRIVATE}{LOGIN}"));
    let mut seen = std::collections::BTreeMap::new();
    for (fetch, fetch_says) in FETCH {
        for (accept, wants_page, wants_data) in ACCEPT {
            for (requested_with, is_xhr) in REQUESTED_WITH {
                for method in METHODS {
                    let mut headers = fetch.to_vec();
                    headers.extend(accept.map(|accept| ("Accept", accept)));
                    headers.extend(requested_with.map(|with| ("X-Requested-With", with)));
                    let is_page = !is_xhr && !wants_data && fetch_says.unwrap_or(wants_page);

                    let met = bench.ask(method, "/report?year=2026", &headers).await;

                    let expected = match (is_page, method) {
                        (true, "GET" | "HEAD") => "303 /login?return_to=/report%3Fyear%3D2026",
                        (true, _) => "401 page",
                        (false, _) => "401 json",
                    };
                    assert_eq!(met.short(), expected, "{method} {headers:?}");
                    assert_eq!((met.header("cache-control"), met.header("www-authenticate")), (Some("no-store"), None), "{headers:?}");
                    *seen.entry(expected).or_insert(0) += 1;
                }
            }
        }
    }
    assert_eq!(seen.values().sum::<usize>(), 18 * 11 * 4 * 6, "{seen:?}");
}

#[tokio::test]
async fn a_websocket_is_never_redirected() {
    let handshake = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", "http://app.example.com"),
        ("Accept", "text/html"),
    ];
    for unauthenticated in ["auto", "redirect"] {
        let bench = Bench::new(&format!("{PRIVATE}unauthenticated = \"{unauthenticated}\"\n{LOGIN}"));

        assert_eq!(bench.ask("GET", "/live", &handshake).await.short(), "401 json", "{unauthenticated}");
    }
}

#[tokio::test]
async fn a_cors_preflight_passes_and_other_options_do_not() {
    let bench = Bench::new(&format!("{PRIVATE}{LOGIN}"));
    let preflight = [("Origin", "https://other.example.com"), ("Access-Control-Request-Method", "POST")];

    assert!(bench.ask("OPTIONS", "/api", &preflight).await.passed());
    assert!(!bench.ask("OPTIONS", "/api", &preflight[..1]).await.passed());
    assert!(!bench.ask("GET", "/api", &preflight).await.passed());
}

#[tokio::test]
async fn each_word_has_its_answer() {
    let to = "303 /login?return_to=/a";
    for (word, login, page, script) in [
        ("auto", LOGIN, to, "401 json"),
        ("auto", "", "401 page", "401 json"),
        ("redirect", LOGIN, to, to),
        ("401", LOGIN, "401 page", "401 json"),
        ("401", "", "401 page", "401 json"),
        ("403", LOGIN, "403 page", "403 json"),
        ("403", "", "403 page", "403 json"),
    ] {
        let bench = Bench::new(&format!("{PRIVATE}unauthenticated = \"{word}\"\n{login}"));

        let met = (bench.get("/a").await.short(), bench.ask("GET", "/a", &[SCRIPT]).await.short());

        assert_eq!(met, (page.to_owned(), script.to_owned()), "{word} {login}");
    }
    let number = Bench::new(&format!("{PRIVATE}unauthenticated = 403\n"));
    assert_eq!(number.get("/a").await.short(), "403 page");
}

#[tokio::test]
async fn a_script_is_told_why_and_where_the_login_is() {
    let bench = Bench::new(&format!("{PRIVATE}{LOGIN}"));
    let from_page = [SCRIPT, ("Referer", "http://app.example.com/cart?x=1")];

    let met = bench.ask("GET", "/api/cart", &from_page).await.json();

    assert_eq!((met["reason"].as_str(), met["status"].as_u64()), (Some("not-signed-in"), Some(401)));
    assert_eq!(met["login"], "/login?return_to=/cart%3Fx%3D1", "back to the page, not to what its script loads");
    assert_eq!(bench.ask("GET", "/api/cart", &[SCRIPT]).await.json()["login"], "/login");
}

#[tokio::test]
async fn the_reason_why_a_session_ended_is_told() {
    let mut bench = Bench::new(
        "[session]\nidle_timeout = \"30m\"\n[[routes]]\nmatch = { path = \"/app\" }\nupstream = \"http://127.0.0.1:1\"\nlogin = true\nwrite = \"all\"\n[[routes]]\nupstream = \"http://127.0.0.1:1\"\nsession = \"required\"\n",
    );
    bench.sign_in("alice", "{}").await;
    assert!(bench.get("/a").await.passed());

    bench.wait(std::time::Duration::from_secs(1801));

    let page = bench.get("/a").await;
    assert!(page.short() == "401 page" && page.text().contains("You were away for a while"), "{}", page.text());
    assert_eq!(bench.ask("GET", "/a", &[SCRIPT]).await.json()["session"], "idle");
}

#[tokio::test]
async fn no_spelling_of_a_guarded_path_gets_past_it_to_a_wider_route() {
    let bench = Bench::new(&format!(
        "[[routes]]\nmatch = {{ path = \"/admin/*\" }}\nupstream = \"http://127.0.0.1:1\"\nsession = \"required\"\n[[routes]]\nupstream = \"http://127.0.0.1:1\"\n{LOGIN}"
    ));
    for path in ["/admin", "/admin/x", "/ADMIN/x", "/Admin/X", "/%41dmin/x", "/aDMIN/"] {
        assert!(!bench.get(path).await.passed(), "{path}");
    }
    for path in ["/", "/administrator", "/Administrator"] {
        assert!(bench.get(path).await.passed(), "{path}");
    }
}
