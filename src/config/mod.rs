//! `proxy.toml`, read once and completely: either a [`Config`] that needs no further check, or a [`Report`] of all that is wrong.

mod cookie;
mod headers;
mod log;
mod login;
mod login_mongodb;
mod notes;
mod reader;
mod report;
mod require;
mod routes;
mod secrets;
mod server;
mod session;
mod store;
mod units;
mod upstreams;

pub use cookie::{Cookie, Priority, SameSite, SameSiteUse, Secure};
pub use log::{Level, Log, LogFormat};
pub use login::{Login, Logo, Page, Rate, SourceSettings, Throttle};
pub use login_mongodb::MongoUsersSettings;
pub use report::Report;
pub use server::{Admin, Limits, Listen, PathPolicy, PublicUrl, Server, UnderscoreHeaders};
pub use session::{IdHash, Keep, Rolling, Session, Unset};
pub use store::{Format, Mongo, Store, StoreKind};
pub use units::duration as length_of_time;
pub use upstreams::{Balance, DEMO, Upstream, UpstreamServer};

use crate::route::Route;
use notes::Notes;
use reader::Section;
use report::Problem;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Everything that `proxy.toml` says, with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[admin]`; `None`: no admin listener.
    pub admin: Option<Admin>,
    /// `[store]`.
    pub store: Store,
    /// `[session]`.
    pub session: Session,
    /// `[login]`; `None`: we have no login pages.
    pub login: Option<Login>,
    /// By name; those that a route names by URL are here under that text. `demo` is not here.
    pub upstreams: BTreeMap<String, Upstream>,
    /// At least one; the first match wins.
    pub routes: Vec<Arc<Route>>,
    /// `[log]`.
    pub log: Log,
}

impl Config {
    /// Whether `public_url` says that the site is served over TLS.
    pub fn is_https(&self) -> bool {
        self.server.public_url.as_ref().is_some_and(|url| url.https)
    }

    /// The session cookie's name, decided once for all requests.
    pub fn cookie_name(&self) -> &str {
        self.session.cookie.name_for(self.is_https())
    }
}

/// Reads a file. `env` is asked for environment variables. Beside the settings there may be warnings; the error is every problem of the file at once,
/// or why it could not be read.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<(Config, Report), Report> {
    let shown = path.display().to_string();
    let source = std::fs::read(path).map_err(|error| unreadable(&shown, &error))?;
    let not_text = |_| Report::new(shown.clone(), "", &[], vec![Problem::error(format!("`{shown}` is not UTF-8 text"))]);
    let source = String::from_utf8(source).map_err(not_text)?;
    let notes = Notes::new(path, env);
    let (root, syntax) = reader::parse(&source, &notes);
    let config = read(root, &notes);
    let report = notes.into_report(shown, &source, syntax);
    if report.errors() > 0 { Err(report) } else { Ok((config, report)) }
}

/// The tables of the file.
const TABLES: [&str; 10] = ["server", "tls", "admin", "store", "session", "login", "headers", "upstreams", "routes", "log"];

fn read(mut root: Section<'_, '_>, notes: &Notes<'_>) -> Config {
    root.forgive_titles(&TABLES);
    root.unavailable("tls", "[tls]");
    let section = root.section("server", "`[server]`");
    let server_at = section.span().cloned();
    let server = server::read(section);
    let admin = server::read_admin(root.section("admin", "`[admin]`"), &server);
    let (store, mongo_at) = store::read(root.section("store", "`[store]`"));
    let session = session::read(root.section("session", "`[session]`"), &cookie::Site::of(&server), mongo_at);
    let login = login::read(root.section("login", "`[login]`"), &store, &session.cookie.path);
    if login.is_some() {
        server::warn_if_all_are_one_client(notes, &server, server_at.as_ref());
    }
    let headers = headers::read(root.section("headers", "`[headers]`"), &headers::defaults());
    let mut upstreams = upstreams::read(root.section("upstreams", "`[upstreams]`"));
    let around = routes::Surroundings {
        headers: &headers,
        when_down: store.when_down,
        has_login: login.is_some(),
        cookie_name: session.cookie.name_for(server.public_url.as_ref().is_some_and(|url| url.https)),
        upstreams: &mut upstreams,
    };
    let routes = routes::read(notes, root.take("routes"), around);
    require::warn_if_nobody_signs_in(notes, &routes, login.is_some() || session.user_from.is_some());
    let log = log::read(root.section("log", "`[log]`"));
    root.finish();
    Config { server, admin, store, session, login, upstreams, routes, log }
}

fn unreadable(path: &str, error: &std::io::Error) -> Report {
    let problem = Problem::error(format!("could not read `{}`: {error}", report::shown(path)));
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "name the file with --config or $CLOAKROOM_CONFIG, or create it with these two lines:\n\n[[routes]]\nupstream = \"http://127.0.0.1:3000\""
        }
        _ => "name another file with --config or $CLOAKROOM_CONFIG",
    };
    Report::new(path.to_owned(), "", &[], vec![problem.help(help)])
}
