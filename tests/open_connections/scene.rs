//! Two apps behind one proxy: one that obeys, and one that a test plays by hand, at `/live/`. At `/inside/` and `/led/` the first one is for
//! those who are signed in.
use super::super::support::app::Mark;
use super::super::support::{App, Browser, Cloakroom, Raw, RawApp};
use std::time::{Duration, Instant};

/// Of the admin listener.
const TOKEN: &str = "a-token-of-at-least-thirty-two-bytes";

/// A busy machine's patience.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Scene {
    pub app: App,
    pub live: RawApp,
    pub proxy: Cloakroom,
}

impl Scene {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With further lines of `[session]`.
    pub async fn with(session: &str) -> Self {
        let (app, live) = (App::start().await, RawApp::start().await);
        let routes = [
            ("/live/*", live.url(), ""),
            ("/inside/*", app.url(), "session = \"required\"\n"),
            ("/led/*", app.url(), "session = \"required\"\nunauthenticated = \"redirect\"\n"),
            ("/*", app.url(), ""),
        ]
        .map(|(path, url, who)| {
            format!("[[routes]]\nmatch = {{ path = \"{path}\" }}\nupstream = \"{url}\"\nwrite = \"all\"\nlogin = true\n{who}")
        });
        let proxy = Cloakroom::start(&format!(
            "[server]\nlisten = [{{ addr = \"127.0.0.1:0\", h2c = true }}]\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n\
             [store]\nkind = \"memory\"\n[login]\n[session]\n{session}{}",
            routes.concat()
        ))
        .await;
        Scene { app, live, proxy }
    }

    /// The `Cookie` of somebody who has a session.
    pub async fn visitor(&self) -> String {
        self.after("/set?json=%7B%22a%22:1%7D").await
    }

    /// The `Cookie` of somebody who is signed in.
    pub async fn user(&self) -> String {
        self.after("/login-as?user=ada").await
    }

    async fn after(&self, target: &str) -> String {
        let mut browser = Browser::new(self.proxy.addr());
        browser.get(target).await;
        format!("cloakroom={}", browser.cookie("cloakroom").expect("a session"))
    }

    pub async fn log_out(&self, cookie: &str) {
        log_out(&self.proxy, cookie).await;
    }

    /// A script's request, over HTTP/1.1.
    pub async fn ask(&self, target: &str, cookie: &str) -> Raw {
        let mut visitor = Raw::connect(self.proxy.addr()).await;
        visitor.send(request(target, cookie)).await;
        visitor
    }

    /// Waits until so many requests have come to the app that obeys.
    pub async fn until_asked(&self, mark: &Mark, count: usize) {
        until_asked(&self.app, mark, count).await;
    }

    /// Waits until so many requests are looked out for.
    pub async fn until_open(&self, count: u64) {
        let began = Instant::now();
        let bearer = format!("Bearer {TOKEN}");
        loop {
            let stats = Browser::new(self.proxy.admin_addr()).send("GET", "/stats", &[("Authorization", &bearer)], b"").await.json();
            if stats["open_connections"] == count {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{stats}");
        }
    }

    /// Waits until the proxy holds no more descriptors than this.
    pub async fn until_open_files(&self, most: usize) {
        let began = Instant::now();
        while self.open_files() > most {
            assert!(began.elapsed() < PATIENCE, "{} descriptors are open", self.open_files());
            tokio::task::yield_now().await;
        }
    }

    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.proxy.pid())).expect("it runs").count()
    }
}

pub async fn until_asked(app: &App, mark: &Mark, count: usize) {
    let began = Instant::now();
    while app.since(mark).requests.len() < count {
        assert!(began.elapsed() < PATIENCE, "{:?}", app.since(mark).requests);
        tokio::task::yield_now().await;
    }
}

pub fn request(target: &str, cookie: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nCookie: {cookie}\r\n\r\n")
}

pub async fn log_out(proxy: &Cloakroom, cookie: &str) {
    let fields = [("Sec-Fetch-Site", "same-origin"), ("Cookie", cookie)];
    assert_eq!(Browser::new(proxy.addr()).send("POST", "/.cloakroom/logout", &fields, b"").await.status, 303);
}
