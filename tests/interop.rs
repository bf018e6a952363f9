//! An Express app with express-session and connect-mongo, and Cloakroom: one collection, one cookie, either may begin.
mod support;

use mongodb::Collection;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{App, Browser, Cloakroom, Mongod, Page, Script};

const SECRET: &str = "keyboard cat";
const COOKIE: &str = "connect.sid";

struct Scene {
    mongod: Mongod,
    express: Script,
    _app: App,
    proxy: Cloakroom,
}

impl Scene {
    async fn start(session: &str) -> Self {
        let (mongod, app) = (Mongod::start().await, App::start().await);
        let env = [("MONGODB_URI", mongod.uri()), ("SESSION_SECRET", SECRET.to_owned())];
        let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
        let express = Script::start(&["node", "node/shop.mjs"], &env).await;
        let proxy = Cloakroom::start(&format!(
            "[store]\nkind = \"mongodb\"\nuri = \"{}\"\nread_timeout = \"5s\"\nwrite_timeout = \"5s\"\ncache = \"off\"\n\
             [session]\nsecrets = \"{SECRET}\"\nid_hash = \"none\"\n{session}\n[session.cookie]\nname = \"{COOKIE}\"\n\
             [[routes]]\nupstream = \"{}\"\nwrite = [\"a\", \"b\", \"userinfo\"]\nlogin = true\n",
            mongod.uri(),
            app.url()
        ))
        .await;
        Scene { mongod, express, _app: app, proxy }
    }

    /// The visitor asks the Express app directly.
    async fn express(&self, visitor: &mut Browser, path: &str) -> Page {
        *visitor = visitor.clone().at(self.express.addr());
        visitor.get(path).await
    }

    /// The visitor asks the echo app through Cloakroom.
    async fn cloakroom(&self, visitor: &mut Browser, path: &str) -> Page {
        *visitor = visitor.clone().at(self.proxy.addr());
        visitor.get(path).await
    }

    async fn log_out(&self, visitor: &mut Browser) -> u16 {
        *visitor = visitor.clone().at(self.proxy.addr());
        visitor.send("POST", "/.cloakroom/logout", &[("Sec-Fetch-Site", "same-origin")], b"").await.status
    }

    fn visitor(&self) -> Browser {
        Browser::new(self.express.addr())
    }

    async fn documents(&self) -> Collection<Document> {
        self.mongod.client().await.database("cloakroom").collection("sessions")
    }

    async fn document(&self) -> Document {
        self.documents().await.find_one(doc! {}).await.expect("found").expect("one session")
    }
}

/// JavaScript's `toISOString`.
fn iso(text: &str) -> DateTime {
    DateTime::parse_rfc3339_str(text).expect("an ISO date")
}

fn data(page: &Page) -> Value {
    page.received("X-Session-Data").first().map_or(Value::Null, |json| serde_json::from_str(json).expect("JSON"))
}

#[tokio::test]
async fn a_session_that_express_began_is_known_in_cloakroom() {
    let scene = Scene::start("user_from = \"userinfo\"").await;
    let mut visitor = scene.visitor();
    scene.express(&mut visitor, "/set?userinfo=admin&n=1").await;

    let page = scene.cloakroom(&mut visitor, "/").await;

    assert_eq!(data(&page), json!({ "userinfo": "admin", "n": "1" }));
    assert_eq!(page.received("X-Session-User"), ["admin"]);
}

#[tokio::test]
async fn a_session_that_cloakroom_began_is_known_in_express() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();
    scene.cloakroom(&mut visitor, "/set?json=%7B%22a%22:%5B1,%22%E4%BD%A0%22%5D%7D").await;

    let told = scene.express(&mut visitor, "/get").await.json();

    assert_eq!(told["data"], json!({ "a": [1, "你"] }));
    assert!(visitor.cookie(COOKIE).expect("a cookie").starts_with(&format!("s%3A{}.", told["id"].as_str().expect("an id"))));
}

#[tokio::test]
async fn a_change_in_either_is_seen_in_the_other() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();

    scene.express(&mut visitor, "/set?c=1").await;
    scene.cloakroom(&mut visitor, "/set?json=%7B%22a%22:2%7D").await;
    scene.express(&mut visitor, "/set?d=3").await;
    scene.cloakroom(&mut visitor, "/set?json=%7B%22b%22:4%7D").await;

    let all = json!({ "c": "1", "a": 2, "d": "3", "b": 4 });
    assert_eq!(scene.express(&mut visitor, "/get").await.json()["data"], all);
    assert_eq!(data(&scene.cloakroom(&mut visitor, "/").await), all);
}

#[tokio::test]
async fn fields_of_ours_beside_the_session_survive_a_save_of_express() {
    let scene = Scene::start("user_from = \"userinfo\"").await;
    let mut visitor = scene.visitor();
    scene.cloakroom(&mut visitor, "/set?json=%7B%22userinfo%22:%22admin%22%7D").await;
    let before = scene.document().await;

    scene.express(&mut visitor, "/set?c=1").await;

    let after = scene.document().await;
    assert_ne!(after.get("session"), before.get("session"));
    for name in ["userId", "createdAt", "loginAt", "handle", "revision", "lastWrite", "client"] {
        assert!(before.contains_key(name), "{name} is not in {before}");
        assert_eq!(after.get(name), before.get(name), "{name}");
    }
}

/// Express sends its cookie again from this object: what it finds there must be what the visitor has.
#[tokio::test]
async fn the_stored_cookie_describes_the_one_that_the_visitor_was_sent() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();
    scene.express(&mut visitor, "/set?c=1").await;

    let sent = scene.cloakroom(&mut visitor, "/set?json=%7B%22a%22:2%7D").await.set_cookie(COOKIE).expect("a cookie");

    let session: Value = serde_json::from_str(scene.document().await.get_str("session").expect("text")).expect("JSON");
    let mut stored = session["cookie"].clone();
    let expires = stored.as_object_mut().expect("a cookie").remove("expires").expect("a date");
    assert_eq!(stored, json!({ "originalMaxAge": 1_209_600_000, "httpOnly": true, "path": "/", "sameSite": "lax" }));
    assert_eq!(sent.attribute("max-age"), Some("1209600"));
    let until = iso(expires.as_str().expect("text"));
    let told = httpdate::parse_http_date(sent.attribute("expires").expect("a date")).expect("an HTTP date");
    assert_eq!(until.timestamp_millis() / 1000 * 1000, DateTime::from(told).timestamp_millis());
}

#[tokio::test]
async fn a_session_of_express_keeps_its_handle_through_our_first_write() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();
    scene.express(&mut visitor, "/set?c=1").await;

    let derived = scene.cloakroom(&mut visitor, "/").await.received("X-Session-Handle");
    scene.cloakroom(&mut visitor, "/set?json=%7B%22a%22:2%7D").await;
    let stored = scene.cloakroom(&mut visitor, "/").await.received("X-Session-Handle");

    assert_eq!((derived.len(), &derived), (1, &stored));
    assert_eq!(scene.document().await.get_str("handle").ok(), derived.first().map(String::as_str));
}

#[tokio::test]
async fn a_login_in_cloakroom_gives_express_a_new_id_and_the_data() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();
    scene.express(&mut visitor, "/set?c=1").await;
    let mut thief = visitor.clone();

    scene.cloakroom(&mut visitor, "/login-as?user=alice").await;

    assert_eq!(scene.express(&mut visitor, "/get").await.json()["data"], json!({ "c": "1" }));
    assert_eq!(scene.express(&mut thief, "/get").await.json()["data"], json!({}));
}

#[tokio::test]
async fn a_login_in_express_is_a_user_in_cloakroom_under_a_new_id() {
    let scene = Scene::start("user_from = \"userinfo\"").await;
    let mut visitor = scene.visitor();
    scene.cloakroom(&mut visitor, "/set?json=%7B%22a%22:1%7D").await;
    let mut thief = visitor.clone();

    scene.express(&mut visitor, "/login?user=bob").await;

    assert_eq!(scene.cloakroom(&mut visitor, "/").await.received("X-Session-User"), ["bob"]);
    assert_eq!(scene.cloakroom(&mut thief, "/").await.received("X-Session-Handle"), [""; 0]);
}

#[tokio::test]
async fn a_logout_in_cloakroom_is_final_for_both() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();
    scene.express(&mut visitor, "/set?c=1").await;
    let mut thief = visitor.clone();

    assert_eq!(scene.log_out(&mut visitor).await, 303);

    assert_eq!(visitor.cookie(COOKIE), None);
    assert_eq!(scene.express(&mut thief, "/get").await.json()["data"], json!({}));
    assert_eq!(data(&scene.cloakroom(&mut thief, "/").await), Value::Null);
    assert_eq!(scene.documents().await.count_documents(doc! {}).await.expect("counted"), 0);
}

#[tokio::test]
async fn a_logout_in_express_is_final_for_both() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();
    scene.cloakroom(&mut visitor, "/set?json=%7B%22a%22:1%7D").await;
    let mut thief = visitor.clone();

    scene.express(&mut visitor, "/logout").await;

    assert_eq!(data(&scene.cloakroom(&mut thief, "/").await), Value::Null);
    assert_eq!(scene.express(&mut thief, "/get").await.json()["data"], json!({}));
}

/// What `src/README.md` warns of: connect-mongo saves by upsert, which no filter of ours can stop.
#[tokio::test]
async fn only_a_save_of_express_that_is_under_way_brings_an_ended_session_back() {
    let scene = Scene::start("").await;
    let mut visitor = scene.visitor();
    scene.express(&mut visitor, "/set?c=1").await;
    let (mut slow, mut thief, mut gate) = (visitor.clone(), visitor.clone(), scene.visitor());
    let saving = tokio::spawn(async move { slow.get("/hold?d=2").await });
    let deadline = Instant::now() + Duration::from_secs(20);
    while scene.express(&mut gate, "/held").await.json() != json!(1) {
        assert!(Instant::now() < deadline, "the request does not arrive");
    }

    scene.log_out(&mut visitor).await;
    let ended = scene.cloakroom(&mut thief, "/").await;
    scene.express(&mut gate, "/release").await;
    saving.await.expect("answered");

    assert_eq!(data(&ended), Value::Null);
    assert_eq!(data(&scene.cloakroom(&mut thief, "/").await), json!({ "c": "1", "d": "2" }));
}
