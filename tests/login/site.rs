//! A site with a login: the binary, an echo app, and two people with passwords.

use crate::support::{App, Browser, Cloakroom, Page};
use cloakroom::auth::Password;
use cloakroom::auth::hash::{StoredHash, Strength};
use cloakroom::random::OsEntropy;
use std::sync::LazyLock;

pub const PASSWORD: &str = "correct horse battery staple";

/// Hashes as weak as can be: how long a good one takes is not what these tests are about.
static USERS: LazyLock<String> = LazyLock::new(|| {
    let hash = StoredHash::make(&Password::new(PASSWORD).unwrap(), Strength { memory: 8, passes: 1, lanes: 1 }, &OsEntropy).unwrap();
    let hash = hash.as_text();
    format!("[users.alice]\nhash = \"{hash}\"\nrole = \"admin\"\ngroups = [\"staff\"]\n\n[users.bob]\nhash = \"{hash}\"\n")
});

/// The content of a `users.toml`.
pub fn users() -> &'static str {
    &USERS
}

pub struct Site {
    pub app: App,
    pub proxy: Cloakroom,
}

impl Site {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more lines for `[login]`, or more sections.
    pub async fn with(login: &str) -> Self {
        Self::of(&format!("throttle = {{ per_user = \"off\", per_client = \"off\" }}\n{login}")).await
    }

    /// With limits on how often one may try.
    pub async fn throttled(limits: &str) -> Self {
        Self::of(&format!("throttle = {{ {limits} }}")).await
    }

    async fn of(login: &str) -> Self {
        let app = App::start().await;
        let toml = format!(
            "[store]\nkind = \"memory\"\n[login]\n{login}\n\
             [[routes]]\nmatch = {{ path = \"/private/*\" }}\nupstream = \"{url}\"\nsession = \"required\"\nlogin = true\n\
             [[routes]]\nupstream = \"{url}\"\nwrite = [\"cart\", \"role\"]\n",
            url = app.url()
        );
        let proxy = Cloakroom::with(&toml).file("users.toml", users()).start().await;
        Site { app, proxy }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.proxy.addr())
            .header("Accept", "text/html")
            .header("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
    }

    /// Somebody who has signed in.
    pub async fn signed_in(&self, user: &str) -> Browser {
        let mut browser = self.browser();
        let page = sign_in(&mut browser, "/login", user, PASSWORD).await;
        assert_eq!(page.status, 303, "{}", page.text());
        browser
    }
}

/// Opens the form at this address, fills it in, sends it.
pub async fn sign_in(browser: &mut Browser, address: &str, user: &str, password: &str) -> Page {
    let form = browser.get(address).await;
    send(browser, &form, &[("username", user), ("password", password)]).await
}

/// Sends a page's form with these fields filled in.
pub async fn send(browser: &mut Browser, page: &Page, fields: &[(&str, &str)]) -> Page {
    let html = page.text();
    let action = value_of(&html, "action=\"").expect("a form");
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(hidden(&html)).extend_pairs(fields);
    browser.post(&action, body.finish()).await
}

/// The hidden fields of a page's first form.
pub fn hidden(html: &str) -> Vec<(String, String)> {
    let form = html.split("<form").nth(1).and_then(|rest| rest.split("</form>").next()).expect("a form");
    let inputs = form.split("<input ").skip(1).filter(|input| input.starts_with("type=\"hidden\""));
    inputs.map(|input| (value_of(input, "name=\"").expect("a name"), value_of(input, "value=\"").expect("a value"))).collect()
}

/// The text of an attribute, its entities resolved.
pub fn value_of(html: &str, attribute: &str) -> Option<String> {
    let raw = html.split_once(attribute)?.1.split('"').next()?;
    Some(raw.replace("&#38;", "&").replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">"))
}
