//! A site with every page of ours: an app behind the login, one part of it for staff, one for scripts, and the demo in front;
//! and the operator's page beside it.

use crate::site::users;
use crate::support::app::{Answer, SeenRequest};
use crate::support::{App, Browser, Cloakroom};

pub const SECRET: &str = "hex:6e0c5f1d27b84a93c1d0fe6a5b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8";

/// Opens the admin page.
pub const TOKEN: &str = "a token of more than thirty-two bytes";

pub struct House {
    _app: App,
    proxy: Cloakroom,
}

impl House {
    pub async fn open() -> Self {
        Self::with("[store]\nkind = \"memory\"\n").await
    }

    /// With this store, and more lines if need be.
    pub async fn with(store: &str) -> Self {
        Self::with_admin(store, "token = \"env:ADMIN\"").await
    }

    /// The same with these lines in `[admin]`.
    pub async fn with_admin(store: &str, admin: &str) -> Self {
        let app = App::answering(|request| Some(greet(request))).await;
        let toml = format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n{admin}\n{store}\n[session]\nsecrets = [\"{SECRET}\"]\n[login]\nthrottle = {{ per_user = \"off\", per_client = \"off\" }}\n\
             [[routes]]\nmatch = {{ path = \"/private/*\" }}\nupstream = \"{url}\"\nsession = \"required\"\n\
             [[routes]]\nmatch = {{ path = \"/staff/*\" }}\nupstream = \"{url}\"\nrequire = {{ all = {{ role = [\"admin\"] }} }}\n\
             [[routes]]\nmatch = {{ path = \"/data/*\" }}\nupstream = \"{url}\"\nsession = \"required\"\nunauthenticated = \"401\"\n\
             [[routes]]\nupstream = \"demo\"\nwrite = [\"name\", \"visits\", \"cart\"]\n",
            url = app.url()
        );
        let proxy = Cloakroom::with(&toml).file("users.toml", users()).file("logo.svg", LOGO).env("ADMIN", TOKEN).start().await;
        House { _app: app, proxy }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy.addr())
    }

    /// A page of the admin listener.
    pub fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy.admin_addr())
    }

    /// Another device: a Firefox, as far as the user agent tells.
    pub fn firefox(&self) -> Browser {
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
        Browser::new(self.proxy.addr()).header("Accept", "text/html").header("User-Agent", agent)
    }
}

const LOGO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><circle cx="20" cy="20" r="18" fill="#e8b100"/></svg>"##;

/// The app: it greets whom Cloakroom names, says nothing of caches, and has a button to leave.
fn greet(request: &SeenRequest) -> Answer {
    let user = request.header("X-Session-User").unwrap_or("stranger");
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\"><title>no scripts</title>\
         <link rel=\"icon\" href=\"data:,\">\
         <h1>Good day, {user}</h1><form method=\"post\" action=\"/logout\"><button>Leave</button></form>\
         <script>document.title = 'scripts'</script>"
    );
    let mut answer = Answer::text(&html);
    answer.headers = vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())];
    answer
}
