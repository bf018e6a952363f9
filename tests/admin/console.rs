//! The page over the API, as a browser without scripts uses it.

use crate::office::{BEARER, TOKEN, ask, is_in, proxy, signed_in, toml};
use crate::support::{App, Browser, Cloakroom, Mongod, Page};

const AS_A_FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn browser(proxy: &Cloakroom) -> Browser {
    Browser::new(proxy.admin_addr()).header("Sec-Fetch-Site", "same-origin")
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// An operator who has typed the token.
async fn operator(proxy: &Cloakroom) -> Browser {
    let mut browser = browser(proxy);
    let answer = browser.post("/console/sign-in", form(&[("token", TOKEN)])).await;
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/console")), "{}", answer.text());
    browser
}

/// What the page's own forms prove.
fn proof(page: &Page) -> String {
    let html = page.text();
    let (_, rest) = html.split_once("name=\"proof\" value=\"").expect("a form of the page");
    rest.split('"').next().expect("a value").to_owned()
}

async fn end(operator: &mut Browser, fields: &[(&str, &str)]) -> Page {
    let proof = proof(&operator.get("/console").await);
    operator.post("/console/end", form(&[&[("proof", proof.as_str())], fields].concat())).await
}

#[tokio::test]
async fn the_token_is_typed_once_and_is_in_no_cookie_and_no_address() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let mut operator = browser(&proxy);
    assert_eq!(operator.get("/").await.header("Location"), Some("/console"));

    let door = operator.get("/console").await;
    let wrong = operator.post("/console/sign-in", form(&[("token", "a token of more than thirty-two bytez")])).await;
    let right = operator.post("/console/sign-in", form(&[("token", TOKEN)])).await;
    let page = operator.get("/console").await;

    assert!(door.status == 200 && door.text().contains("name=\"token\"") && !door.text().contains("Sessions begun"), "{}", door.text());
    assert_eq!((wrong.status, wrong.set_cookies().len()), (403, 0));
    assert!(wrong.text().contains("That is not the token"), "{}", wrong.text());
    let cookie = right.set_cookie("cloakroom-admin").expect("a cookie");
    let said = ["path", "samesite", "httponly"].map(|name| cookie.attribute(name));
    assert_eq!((right.status, right.header("Location"), said), (303, Some("/console"), [Some("/console"), Some("Strict"), Some("")]));
    assert!(!cookie.value.contains("token") && cookie.attribute("max-age") == Some("28800"), "{cookie:?}");
    assert!(page.status == 200 && page.text().contains("Sessions begun") && page.text().contains("<svg class=\"plot\""), "{}", page.text());
    assert!(!page.text().contains(TOKEN) && page.header("Cache-Control") == Some("no-store"));
    let policy = page.header("Content-Security-Policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn whatever_the_page_is_made_of_comes_from_the_same_listener() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let mut operator = operator(&proxy).await;

    let html = operator.get("/console").await.text();

    let named = html.split(['"', ' ']).filter(|part| part.starts_with("/.cloakroom/") || part.ends_with(".js"));
    let named: Vec<String> = named.map(str::to_owned).collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for path in named {
        let file = browser(&proxy).get(&path).await;
        assert_eq!((file.status, file.header("Cache-Control")), (200, Some("public, max-age=31536000, immutable")), "{path}");
    }
    let live = operator.get("/console/live").await;
    assert!(live.status == 200 && live.text().contains("Sessions begun") && !live.text().contains("<html"), "{}", live.text());
}

#[tokio::test]
async fn an_operator_finds_a_users_sessions_and_ends_one_or_all() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let (mut phone, mut laptop, mut tablet) =
        (signed_in(&proxy, "ada").await, signed_in(&proxy, "ada").await, signed_in(&proxy, "ada").await);
    let mut bob = signed_in(&proxy, "bob").await;
    let handle = phone.get("/echo").await.received("X-Session-Handle").remove(0);
    let mut operator = operator(&proxy).await;

    let found = operator.get("/console?user=ada").await.text();
    assert_eq!((found.matches(">End</button>").count(), found.contains(&handle)), (3, true), "{found}");
    assert!(!found.contains("topsecret"));

    let one = end(&mut operator, &[("user", "ada"), ("handle", &handle)]).await;
    assert_eq!((one.status, one.header("Location")), (303, Some("/console?user=ada&told=one#find")));
    assert!(operator.get("/console?user=ada&told=one").await.text().contains("The session is ended."));
    assert_eq!((is_in(&mut phone).await, is_in(&mut laptop).await, is_in(&mut tablet).await), (false, true, true));

    assert_eq!(
        end(&mut operator, &[("user", "ada"), ("handle", &handle)]).await.header("Location"),
        Some("/console?user=ada&told=gone#find")
    );
    assert_eq!(end(&mut operator, &[("user", "ada")]).await.header("Location"), Some("/console?user=ada&told=all#find"));
    assert_eq!((is_in(&mut laptop).await, is_in(&mut tablet).await, is_in(&mut bob).await), (false, false, true));
    assert!(operator.get("/console?user=ada").await.text().contains("has no sessions"));
}

#[tokio::test]
async fn a_long_list_is_leafed_through_on_the_page() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    for _ in 0..26 {
        Browser::new(proxy.addr()).get("/login-as?user=a%26b").await;
    }
    let mut operator = operator(&proxy).await;

    let first = operator.get("/console?user=a%26b").await.text();
    let (_, rest) = first.split_once("<p><a href=\"").expect("there is more");
    let next = rest.split('"').next().expect("an address").replace("&#38;", "&").replace("#find", "");
    let second = operator.get(&next).await.text();

    let count = |html: &str| html.matches(">End</button>").count();
    assert_eq!((count(&first), count(&second), second.contains("The next ones")), (25, 1, false), "{next}");
}

#[tokio::test]
async fn nobody_elses_form_ends_a_session() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let mut ada = signed_in(&proxy, "ada").await;
    let mut operator = operator(&proxy).await;
    let own = proof(&operator.get("/console").await);
    let others = {
        let mut other = self::operator(&proxy).await;
        proof(&other.get("/console").await)
    };
    let body = |proof: &str| form(&[("proof", proof), ("user", "ada")]);

    for (proof, headers) in [
        ("", &[AS_A_FORM][..]),
        (others.as_str(), &[AS_A_FORM]),
        (own.as_str(), &[AS_A_FORM, ("Origin", "http://evil.example")]),
        (own.as_str(), &[AS_A_FORM, ("Origin", "null")]),
    ] {
        let answer = operator.send("POST", "/console/end", headers, body(proof).as_bytes()).await;
        assert_eq!((answer.status, is_in(&mut ada).await), (403, true), "{headers:?}");
    }
    // Named elsewhere, with the cookie and everything: a name of somebody else's that leads to this machine.
    let answer = operator.clone().host("evil.example").send("POST", "/console/end", &[AS_A_FORM], body(&own).as_bytes()).await;
    assert_eq!((answer.status, is_in(&mut ada).await), (403, true));
    let answer = browser(&proxy).send("POST", "/console/end", &[AS_A_FORM], body(&own).as_bytes()).await;
    assert_eq!((answer.status, is_in(&mut ada).await), (403, true), "without the cookie");
    for site in ["cross-site", "same-site"] {
        let mut foreign = Browser::new(proxy.admin_addr()).header("Sec-Fetch-Site", site);
        foreign.jar = operator.jar.clone();
        assert!(foreign.get("/console").await.text().contains("That came from somewhere else"), "{site}");
        assert_eq!((foreign.post("/console/end", body(&own)).await.status, is_in(&mut ada).await), (403, true), "{site}");
    }
    assert_eq!(operator.post("/console/end", body(&own)).await.status, 303, "its own form does");
    assert!(!is_in(&mut ada).await);
}

#[tokio::test]
async fn a_cookie_of_the_page_is_worth_nothing_to_the_api_or_after_signing_out() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let mut operator = operator(&proxy).await;
    let mut copied = operator.clone();
    assert_eq!(operator.get("/sessions?user=ada").await.status, 401);
    let proof = proof(&operator.get("/console").await);

    let left = operator.post("/console/sign-out", form(&[("proof", &proof)])).await;

    assert_eq!((left.status, operator.cookie("cloakroom-admin")), (303, None));
    assert!(copied.get("/console").await.text().contains("name=\"token\""));
    assert_eq!(copied.get("/console/live").await.status, 403);
    assert_eq!(ask(&proxy, "GET", "/console", &[BEARER]).await.text().matches("name=\"token\"").count(), 1, "nor the token as a bearer");
}

#[tokio::test]
async fn without_a_token_the_page_says_how_to_have_one() {
    let app = App::start().await;
    let proxy = Cloakroom::start(&toml(&app, "kind = \"memory\"", "")).await;

    let page = browser(&proxy).get("/console").await;
    let typed = browser(&proxy).post("/console/sign-in", form(&[("token", "")])).await;

    assert!(page.status == 403 && page.text().contains("env:CLOAKROOM_ADMIN_TOKEN"), "{}", page.text());
    assert_eq!((typed.status, typed.set_cookies().len()), (403, 0));
}

#[tokio::test]
async fn the_page_tells_that_the_store_is_down_and_that_nothing_was_ended() {
    let (mut mongod, app) = (Mongod::start().await, App::start().await);
    let store = format!("kind = \"mongodb\"\nuri = \"{}\"\nread_timeout = \"500ms\"\nwrite_timeout = \"500ms\"", mongod.uri());
    let proxy = Cloakroom::with(&toml(&app, &store, "token = \"env:ADMIN\"\n")).env("ADMIN", TOKEN).start().await;
    let ada = signed_in(&proxy, "ada").await;
    let mut operator = operator(&proxy).await;
    let up = operator.get("/console?user=ada").await.text();
    assert!(up.contains("answers in") && up.matches(">End</button>").count() == 1, "{up}");

    mongod.kill();
    let down = operator.get("/console?user=ada").await;
    let ended = end(&mut operator, &[("user", "ada"), ("handle", "8c1f0e5d7b2a49c6830d5e9f1a7b3c24")]).await;

    assert!(down.status == 200 && down.text().contains("does not answer"), "{}", down.text());
    assert!(ended.status == 503 && ended.text().contains("nothing was ended"), "{}", ended.text());
    drop(ada);
}

#[tokio::test]
async fn the_cookie_of_the_page_never_reaches_an_app() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let operator = operator(&proxy).await;
    let mut visitor = Browser::new(proxy.addr());
    visitor.jar = operator.jar.clone();
    visitor.jar.push(("own".to_owned(), "1".to_owned()));

    let seen = visitor.get("/echo").await.received("Cookie");

    assert_eq!((operator.jar.len(), seen), (1, vec!["own=1".to_owned()]));
}
