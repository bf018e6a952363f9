//! What a visitor, an app and an operator are promised, each sentence over the real binary.
mod support;

mod promises {
    mod answers;
    mod commands;
    mod ends;
    mod logs;
    mod requests;
    mod routes;

    use super::support::{App, Browser, Cloakroom};
    use serde_json::Value;
    use std::time::Duration;

    /// Long enough for a slow machine; reached by a failure only.
    pub const PATIENCE: Duration = Duration::from_secs(20);

    /// Sessions in memory; `APP` is the echo app's address.
    pub async fn scene(toml: &str) -> (App, Cloakroom) {
        let app = App::start().await;
        let proxy = Cloakroom::start(&toml.replace("APP", &app.url())).await;
        (app, proxy)
    }

    /// One route for all, whose app may do anything.
    pub async fn open() -> (App, Cloakroom) {
        scene("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"APP\"\nwrite = \"all\"\nlogin = true\n").await
    }

    /// The same visitor in another window, or a thief of the cookie.
    pub fn twin(browser: &Browser) -> Browser {
        browser.clone()
    }

    /// What the access line of this path says.
    pub async fn access_line(proxy: &Cloakroom, path: &str) -> Value {
        let wanted = format!("\"path\":{path:?}");
        proxy.logged(&wanted).await;
        let log = proxy.log();
        let line = log.lines().find(|line| line.contains(&wanted)).expect("just seen");
        serde_json::from_str(line).expect("a line of JSON")
    }
}
