//! The scenario that the product grew out of: an app of ten lines without a session library, in three languages, on three stores.
mod support;

use support::{Browser, Cloakroom, Mongod, Script};

const STORED: &str = "存储成功";
const STRANGER: &str = "请登录";
const WELCOME: &str = "欢迎admin回来";

const NODE: &[&str] = &["node", "node/seed.mjs"];
const PYTHON: &[&str] = &["python3", "seed.py"];
const SHELL: &[&str] = &["python3", "cgi.py", "seed.cgi.sh"];

fn proxy_toml(store: &str, app: &Script) -> String {
    format!(
        "[store]\n{store}\n[session]\nsecrets = \"hex:{}\"\n[[routes]]\nupstream = \"{}\"\nwrite = \"all\"\n",
        "5a".repeat(32),
        app.url()
    )
}

fn mongo(mongod: &Mongod) -> String {
    format!("kind = \"mongodb\"\nuri = \"{}\"\nread_timeout = \"5s\"\nwrite_timeout = \"5s\"", mongod.uri())
}

/// A stranger is asked to log in, logs in, and is greeted from then on.
async fn plays(proxy: &Cloakroom) -> Browser {
    let mut browser = Browser::new(proxy.addr());
    assert_eq!(browser.get("/").await.text(), STRANGER);
    assert!(browser.jar.is_empty(), "looking starts no session");
    assert_eq!(browser.get("/login").await.text(), STORED);
    assert_eq!(browser.get("/").await.text(), WELCOME);
    browser
}

#[tokio::test]
async fn it_plays_in_memory_in_three_languages() {
    for language in [NODE, PYTHON, SHELL] {
        let app = Script::start(language, &[]).await;
        let proxy = Cloakroom::start(&proxy_toml("kind = \"memory\"", &app)).await;

        plays(&proxy).await;
    }
}

#[tokio::test]
async fn it_plays_on_the_embedded_file_and_survives_a_restart() {
    for language in [NODE, PYTHON, SHELL] {
        let app = Script::start(language, &[]).await;
        let mut proxy = Cloakroom::start(&proxy_toml("kind = \"embedded\"", &app)).await;
        let browser = plays(&proxy).await;

        proxy.stop().await;
        proxy.restart().await;

        assert_eq!(browser.at(proxy.addr()).get("/").await.text(), WELCOME);
    }
}

#[tokio::test]
async fn it_plays_on_mongo_and_survives_a_restart() {
    let mongod = Mongod::start().await;
    for language in [NODE, PYTHON, SHELL] {
        let app = Script::start(language, &[]).await;
        let mut proxy = Cloakroom::start(&proxy_toml(&mongo(&mongod), &app)).await;
        let browser = plays(&proxy).await;

        proxy.stop().await;
        proxy.restart().await;

        assert_eq!(browser.at(proxy.addr()).get("/").await.text(), WELCOME);
    }
}

#[tokio::test]
async fn two_cloakrooms_on_one_mongo_share_it_behind_a_round_robin_client() {
    let (mongod, app) = (Mongod::start().await, Script::start(NODE, &[]).await);
    let toml = proxy_toml(&mongo(&mongod), &app);
    let proxies = [Cloakroom::start(&toml).await, Cloakroom::start(&toml).await];
    let mut browser = Browser::new(proxies[0].addr());
    browser.get("/login").await;

    for turn in 0..10 {
        browser = browser.at(proxies[turn % 2].addr());
        assert_eq!(browser.get("/").await.text(), WELCOME, "turn {turn}");
    }
}

#[tokio::test]
async fn a_required_route_refuses_before_the_login_and_lets_pass_after_it() {
    let app = Script::start(NODE, &[]).await;
    let toml = format!(
        "[store]\nkind = \"memory\"\n[session]\nuser_from = \"userinfo\"\n
         [[routes]]\nmatch = {{ path = \"/private/*\" }}\nupstream = \"{0}\"\nsession = \"required\"\n
         [[routes]]\nupstream = \"{0}\"\nwrite = [\"userinfo\"]\n",
        app.url()
    );
    let proxy = Cloakroom::start(&toml).await;
    let mut browser = Browser::new(proxy.addr());

    let page = browser.send("GET", "/private/", &[("Accept", "text/html")], b"").await;
    let problem = browser.send("GET", "/private/", &[("Accept", "application/json")], b"").await;
    assert_eq!((page.status, problem.status), (401, 401));
    assert!(page.text().starts_with("<!doctype html>"));
    assert_eq!(problem.json()["reason"], "not-signed-in");

    browser.get("/login").await;
    assert_eq!(browser.get("/private/").await.text(), WELCOME);
}
