//! `proxy.toml` from the outside: what the smallest file means, and what people are told about their mistakes.

mod shipped;

use cloakroom::config::{self, *};
use cloakroom::route::*;
use cloakroom::session::store::cached::CacheSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const ROUTE: &str = "[[routes]]\nupstream = \"demo\"\n";
const BCRYPT: &str = "$2b$10$UU.SnId495DX.8C0MAdLsOQRGc1xaHj4HvHPG1P/GoGR3Kg0pM7ha";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn env(name: &str) -> Option<String> {
    match name {
        "SESSION_SECRET" | "CLOAKROOM_ADMIN_TOKEN" => Some(KEY.to_owned()),
        "MONGODB_URI" => Some("mongodb://localhost".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn load_with(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(Config, Report), Report> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("proxy.toml"), text).unwrap();
    std::fs::write(directory.path().join("key"), format!("{KEY}\n")).unwrap();
    std::fs::write(directory.path().join("logo.svg"), "<svg/>").unwrap();
    std::fs::write(directory.path().join("users.toml"), format!("[users.alice]\nhash = \"{BCRYPT}\"\n")).unwrap();
    std::fs::write(directory.path().join("broken.toml"), "[users.alice]\nhash = \"$1$old\"\nrolle = \"x\"\n").unwrap();
    std::fs::write(directory.path().join(".htpasswd"), format!("alice:{BCRYPT}\nold:$apr1$a$b\n")).unwrap();
    config::load(&directory.path().join("proxy.toml"), env)
}

fn config(text: &str) -> Config {
    load_with(text, &env).map_err(|report| report.render(false)).unwrap().0
}

fn report(text: &str) -> Report {
    load_with(text, &env).map_or_else(|report| report, |(_, warnings)| warnings)
}

/// The text without the temporary directory's name.
fn placeless(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.find("/.tmp") {
        Some(at) => {
            let name = &word[at + 5..];
            let quote = if word.starts_with('`') { "`" } else { "" };
            format!("{quote}{}", &name[name.find('/').unwrap() + 1..])
        }
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn told(text: &str) -> String {
    report(text).render(false).lines().map(|line| placeless(line) + "\n").collect()
}

/// One line per problem: `line:column: title`.
fn titles(text: &str) -> Vec<String> {
    report(text).lines().map(|line| placeless(&line).trim_start_matches("proxy.toml:").trim_start().to_owned()).collect()
}

fn titles_beside_a_route(text: &str) -> Vec<String> {
    titles(&format!("{text}\n{ROUTE}"))
}

#[test]
fn the_smallest_file_has_all_defaults() {
    let seen = load_with("[[routes]]\nupstream = \"http://127.0.0.1:3000\"", &env).unwrap();

    let (config, warnings) = seen;
    assert!(warnings.is_empty());
    let limits = Limits {
        head_bytes: 65_536,
        head_fields: 128,
        head_time: Duration::from_secs(15),
        idle: Some(Duration::from_secs(75)),
        uri_bytes: 16_384,
    };
    let server = Server {
        listen: vec![Listen { addr: "127.0.0.1:8080".parse().unwrap(), h2c: false }],
        public_url: None,
        trusted_proxies: vec![],
        underscore_headers: UnderscoreHeaders::Drop,
        path_policy: PathPolicy::Strict,
        limits,
        drain: Duration::from_secs(10),
    };
    assert_eq!(config.server, server);
    assert_eq!(config.admin, None);
    let StoreKind::Embedded { path } = &config.store.kind else { panic!("{:?}", config.store) };
    assert_eq!(path.file_name().unwrap(), "cloakroom.db");
    let store = (config.store.read_timeout, config.store.write_timeout, config.store.when_down);
    assert_eq!(store, (Duration::from_secs(1), Duration::from_secs(2), WhenDown::Unavailable));
    let cookie = Cookie {
        name: None,
        max_age: Some(14 * DAY),
        same_site: SameSiteUse::Always(SameSite::Lax),
        secure: Secure::Auto,
        domain: None,
        path: "/".to_owned(),
        http_only: true,
        partitioned: false,
        priority: None,
    };
    let session = Session {
        secrets: vec![],
        id_hash: IdHash::Sha256,
        idle_timeout: Some(14 * DAY),
        absolute_timeout: Some(90 * DAY),
        touch_after: MINUTE,
        renew_grace: Duration::from_secs(10),
        rolling: Rolling::Auto,
        resave: false,
        save_uninitialized: false,
        unset: Unset::Keep,
        user_from: None,
        keep_at_login: Keep::All,
        max_per_user: 0,
        max_bytes: 65_536,
        expose: BTreeSet::new(),
        cookie,
    };
    assert_eq!(config.session, session);
    assert_eq!(config.login, None);
    assert_eq!(config.cookie_name(), "cloakroom");
    let url = "http://127.0.0.1:3000".to_owned();
    let app = UpstreamServer { host: "127.0.0.1".to_owned(), port: 3000 };
    assert_eq!(
        config.upstreams,
        BTreeMap::from([(url.clone(), Upstream { name: url.clone(), servers: vec![app], balance: Balance::RoundRobin, tls: false })])
    );
    let headers =
        HeaderSettings { fields: Fields::All, encoding: Encoding::Percent, max_bytes: 8192, overflow: Overflow::Drop, set: vec![] };
    let route = Route {
        name: "/*".to_owned(),
        pattern: Pattern::default(),
        session: SessionUse::Optional,
        unauthenticated: Unauthenticated::Auto,
        require: None,
        upstream: url,
        write: Write::None,
        login: false,
        touch: true,
        origins: vec![],
        end_app_cookies: vec![],
        strip_prefix: None,
        preserve_host: true,
        timeout: Timeouts { connect: Duration::from_secs(2), read: MINUTE, idle_websocket: 5 * MINUTE },
        max_body: None,
        when_down: WhenDown::Unavailable,
        headers,
    };
    assert_eq!(config.routes.iter().map(|route| (**route).clone()).collect::<Vec<_>>(), [route]);
    assert_eq!(config.log, Log { level: Level::INFO, format: LogFormat::Auto, access: true });
}

#[test]
fn every_mistake_of_a_file_is_told_in_one_run() {
    let seen = told(include_str!("mistakes.toml"));

    if std::env::var_os("BLESS").is_some() {
        std::fs::write("tests/config/mistakes.txt", &seen).unwrap();
    }
    assert_eq!(seen, std::fs::read_to_string("tests/config/mistakes.txt").unwrap());
}

#[test]
fn syntax_errors_are_told_once_each_and_the_sound_rest_is_read() {
    let text = "[server]\ndrain = = 1\n[session]\nidle_timeout = \"2y\"\nrolling = auto\n\nexpose = [\"a\"\nresave = 1\nunset = 1\n";

    let seen = titles(text);

    assert_eq!(
        seen,
        [
            "2:9: not TOML: extra `=`",
            "4:16: `idle_timeout` cannot be `2y`",
            "5:11: not TOML: string values must be quoted, expected literal string",
            "8:1: not TOML: missing comma between array elements, expected `,`",
        ]
    );
}

#[test]
fn a_misspelt_title_hides_no_mistake_below_it() {
    let text = "[sesion]\nidle_timeot = \"1m\"\n[[route]]\nupstrem = \"demo\"\nupstream = \"demo\"";

    let mut told = titles(text);

    told.sort();
    assert_eq!(
        told,
        [
            "1:2: unknown key `sesion` in the file",
            "2:1: unknown key `idle_timeot` in `[session]`",
            "3:3: unknown key `route` in the file",
            "4:1: unknown key `upstrem` in `[[routes]]`",
        ]
    );
}

#[test]
fn the_files_listeners_are_checked_even_where_the_environment_names_others() {
    let env = |name: &str| (name == "CLOAKROOM_LISTEN").then(|| "127.0.0.1:1, 127.0.0.1:1".to_owned());

    let report = load_with(&format!("server.listen = [\"nonsense\"]\n{ROUTE}"), &env).unwrap_err();

    assert_eq!(report.errors(), 2);
}

#[test]
fn a_missing_file_is_named_with_a_remedy() {
    let report = config::load(Path::new("nowhere/proxy.toml"), &env).unwrap_err().render(false);

    assert!(report.starts_with("error: could not read `nowhere/proxy.toml`: No such file or directory"), "{report}");
    assert!(report.contains("--config or $CLOAKROOM_CONFIG") && report.contains("[[routes]]"), "{report}");
}

#[test]
fn a_file_without_routes_serves_nothing_and_is_refused() {
    assert_eq!(titles(""), ["there are no routes: nothing would be served"]);
}

#[test]
fn no_report_shows_a_secret() {
    let secret = "hunter2hunter2";
    for text in [
        format!("[session]\nsecrets = \"{secret}\""),
        format!("[session]\nsecret = \"{secret}\""),
        format!("[session]\nsecrets = [\"{secret}"),
        format!("[session]\nsecrets = [\"hex:{secret}\"]"),
        format!("[store]\nuri = \"mongodb://a:{secret}@b\""),
        format!("[store]\nkind = \"mongodb\"\nuri = \"mongodb://a:{secret}@b\""),
        format!("[admin]\ntoken = \"base64:{secret}!\""),
    ] {
        let seen = told(&text);

        assert!(seen.contains("***") && !seen.contains(secret), "{seen}");
    }
}

#[test]
fn secrets_come_from_four_places() {
    let session = "[session]\nsecrets = [\"env:SESSION_SECRET\", \"file:key\", \"hex:6b6579\", \"base64:a2V5\", \"keyboard cat\"]";
    let config = config(&format!("{session}\n{ROUTE}"));

    let bytes: Vec<_> = config.session.secrets.iter().map(|secret| secret.expose_secret().to_vec()).collect();
    assert_eq!(bytes, [KEY.as_bytes(), KEY.as_bytes(), b"key", b"key", b"keyboard cat"]);
}

#[test]
fn secrets_that_are_not_there_are_refused() {
    let seen = titles_beside_a_route("[session]\nsecrets = [\"\", \"env:EMPTY\", \"hex:\"]");
    assert_eq!(
        seen,
        ["2:12: a secret in `secrets` is empty", "2:16: a secret in `secrets` is empty", "2:29: a secret in `secrets` is empty"]
    );
    assert_eq!(titles_beside_a_route("[session]\nsecrets = []"), ["2:11: `secrets` is empty"]);
    assert_eq!(titles_beside_a_route("[store]\nkind = \"mongodb\"\nuri = \"env:MONGODB_URI\""), ["2:8: the MongoDB store needs `secrets`"]);
}

#[test]
fn idle_timeout_and_max_age_follow_each_other_when_one_is_given() {
    let lengths = |keys: &str| {
        let session = config(&format!("[session]\n{keys}\n{ROUTE}")).session;
        (session.idle_timeout, session.cookie.max_age)
    };

    assert_eq!(lengths("idle_timeout = \"30m\""), (Some(30 * MINUTE), Some(30 * MINUTE)));
    assert_eq!(lengths("cookie.max_age = \"1d\""), (Some(DAY), Some(DAY)));
    assert_eq!(lengths("cookie.max_age = \"session\""), (Some(14 * DAY), None));
    assert_eq!(lengths("idle_timeout = \"off\"\ncookie.max_age = \"1d\""), (None, Some(DAY)));
    assert_eq!(lengths("preset = \"strict\""), (Some(30 * MINUTE), Some(30 * MINUTE)));
}

#[test]
fn explicit_keys_win_over_the_preset() {
    let session = config(&format!("[session]\npreset = \"strict\"\nidle_timeout = \"5m\"\n{ROUTE}")).session;

    assert_eq!((session.idle_timeout, session.absolute_timeout), (Some(5 * MINUTE), Some(12 * 60 * MINUTE)));
}

#[test]
fn the_auto_name_is_as_strict_as_the_site_allows() {
    let name = |keys: &str| config(&format!("{keys}\n{ROUTE}")).cookie_name().to_owned();
    let https = "server.public_url = \"https://a\"\n";

    assert_eq!(name(""), "cloakroom");
    assert_eq!(name(https), "__Host-cloakroom");
    assert_eq!(name(&format!("{https}session.cookie.domain = \"a\"")), "__Secure-cloakroom");
    assert_eq!(name(&format!("{https}session.cookie.secure = false")), "cloakroom");
}

#[test]
fn the_environment_overrides_the_listeners() {
    let listening = |value: &str| {
        let value = value.to_owned();
        let env = move |name: &str| (name == "CLOAKROOM_LISTEN").then(|| value.clone());
        load_with(ROUTE, &env).map(|(config, _)| config.server.listen.iter().map(|l| l.addr.to_string()).collect::<Vec<_>>())
    };

    assert_eq!(listening("0.0.0.0:1, [::]:2").unwrap(), ["0.0.0.0:1", "[::]:2"]);
    assert_eq!(listening("").unwrap(), ["127.0.0.1:8080"]);
    assert_eq!(listening("8080").unwrap_err().errors(), 1);
}

#[test]
fn a_route_overrides_the_headers_key_by_key() {
    let global = "[headers]\nencoding = \"raw\"\nset = { \"Remote-User\" = \"{user}\", \"X-Id\" = \"{handle}\" }\n";
    let config = config(&format!("{global}{ROUTE}headers = {{ fields = [\"role\"], set = {{ \"remote-user\" = \"{{field:mail}}\" }} }}"));

    let headers = &config.routes[0].headers;
    let pair = |name: &'static str, template: &str| (name.parse().expect("a header name"), Template::parse(template).expect("a template"));
    assert_eq!(headers.set, [pair("X-Id", "{handle}"), pair("remote-user", "{field:mail}")]);
    assert_eq!((headers.encoding, &headers.fields), (Encoding::Raw, &Fields::Only(BTreeSet::from(["role".to_owned()]))));
}

#[test]
fn a_cache_stands_in_front_of_every_store_but_memory_and_can_be_switched_off() {
    let cache = |text: &str| config(&format!("{text}\n{ROUTE}")).store.cache;
    let standard = CacheSettings { ttl: Duration::from_secs(2), sessions: 100_000, bytes: 128 << 20 };

    assert_eq!(cache(""), Some(standard.clone()));
    assert_eq!(cache("store.cache = { ttl = \"500ms\" }"), Some(CacheSettings { ttl: Duration::from_millis(500), ..standard }));
    let own = CacheSettings { ttl: Duration::from_secs(1), sessions: 7, bytes: 2 << 20 };
    assert_eq!(cache("store.cache = { ttl = \"1s\", sessions = 7, bytes = \"2MiB\" }"), Some(own));
    assert_eq!([cache("store.cache = \"off\""), cache("store.kind = \"memory\"")], [None, None]);
}

#[test]
fn keys_of_a_later_version_are_recognised_and_refused() {
    let keys = [
        ("[tls.main]", "1:2: `[tls]` is not available in this version"),
        ("server.listen = [{ addr = \"[::]:80\", tls = \"a\" }]", "1:44: `tls` is not available in this version"),
        ("upstreams.a = { servers = [\"a:1\"], health = {} }", "1:36: `health` is not available in this version"),
    ];
    for (text, expected) in keys {
        assert_eq!(titles_beside_a_route(text), [expected]);
    }
}

#[test]
fn each_rule_names_what_breaks_it() {
    let https = "server.public_url = \"https://a\"\n";
    let cases = [
        ("server.listen = []", "1:17: `listen` is empty"),
        ("server.listen = [\":8080\"]", "1:18: `:8080` is no address to listen on"),
        ("server.listen = [\"[::]:1\", \"[::]:1\"]", "1:28: `[::]:1` is listed twice"),
        ("server.public_url = \"https://a/b\"", "1:21: `public_url` cannot be `https://a/b`"),
        ("server.limits.head_fields = 0", "1:29: `head_fields` is out of range"),
        ("server.limits.head_time = \"0s\"", "1:27: `head_time` cannot be `0s`"),
        ("server = 1", "1:10: `server` must be a table"),
        ("admin.listen = \"127.0.0.1:8080\"", "1:16: `127.0.0.1:8080` is a listener of `[server]` already"),
        ("admin.listen = \"0.0.0.0:9901\"", "1:16: the admin listener is open to other machines and asks for no token"),
        ("store.uri = \"env:MONGODB_URI\"", "1:13: `uri` belongs to the mongodb store, and this one is embedded"),
        ("store = { kind = \"memory\", path = \"a\" }", "1:35: `path` belongs to the embedded store, and this one is memory"),
        ("store = { kind = \"memory\", cache = {} }", "1:36: the memory store has no use for a `cache`"),
        ("store.cache = \"on\"", "1:15: `cache` cannot be `on`"),
        ("store.cache = 5", "1:15: `cache` must be a table"),
        ("store.cache = { ttl = 2 }", "1:23: `ttl` must be a number and a unit, in quotes"),
        ("store.cache = { entries = 2 }", "1:17: unknown key `entries` in [store.cache]"),
        ("store.kind = \"redis\"", "1:14: `kind` cannot be `redis`"),
        ("session.idle_timeout = \"0s\"", "1:24: `idle_timeout` cannot be `0s`"),
        ("session.user_from = \"a..b\"", "1:21: `user_from` cannot be `a..b`"),
        ("session.keep_at_login = \"cart\"", "1:25: `keep_at_login` cannot be `cart`"),
        ("session.cookie.name = \"a b\"", "1:23: a cookie cannot be named `a b`"),
        ("session.cookie.name = \"__Secure-a\"", "1:23: a cookie named `__Secure-a` is refused by browsers here"),
        ("session.cookie.path = \"a\"", "1:23: `path` cannot be `a`"),
        ("session.cookie.domain = \"https://a\"", "1:25: `domain` cannot be `https://a`"),
        ("session.cookie.max_age = \"401d\"", "1:26: `max_age` cannot be `401d`"),
        ("session.cookie = { partitioned = true, secure = false }", "1:34: `partitioned` needs a secure cookie"),
        ("session.cookie.same_site = \"none\"", "1:28: `same_site = \"none\"` needs a secure cookie"),
        ("session.cookie.partitioned = true", "1:30: `partitioned` needs a secure cookie"),
        ("session.cookie.path = \"/app\"", "1:23: browsers do not send this cookie to pages under `/.cloakroom/`"),
        ("session.expose = [\"user\"]", "1:18: `expose` cannot name `user`"),
        ("server.listen = \"8080\"", "1:17: `listen` must be a list in [ ]"),
        ("store.kind = \"mongo\"\nstore.uri = \"env:HOME\"", "1:14: `kind` cannot be `mongo`"),
        ("headers.set = { Content-Type = \"{user}\" }", "1:17: `headers.set` cannot set `Content-Type`"),
        ("headers.set = { \"X#Session#User\" = \"{user}\" }", "1:17: `headers.set` cannot set `X#Session#User`"),
        ("session.cookie.secure = true", "1:25: `secure = true`, but nothing says that the site is served over TLS"),
        ("headers.set = { \"a b\" = \"{user}\" }", "1:17: `headers.set` cannot set `a b`"),
        ("headers.set = { \"X-Brace\" = \"a}b {handle}\" }", "1:29: not a header template"),
        ("headers.set = { X_Session_User = \"{user}\" }", "1:17: `headers.set` cannot set `X_Session_User`"),
        ("upstreams.demo.servers = [\"a:1\"]", "1:11: an upstream cannot be named `demo`"),
        ("upstreams.a = {}", "1:11: the upstream `a` has no `servers`"),
        ("log.level = \"loud\"", "1:13: `level` cannot be `loud`"),
    ];
    for (text, expected) in cases {
        assert_eq!(titles_beside_a_route(text), [expected]);
    }
    assert_eq!(titles_beside_a_route(&format!("{https}session.cookie.name = \"__HOST-a\"")), Vec::<String>::new());
    let foreign = format!("{https}session.cookie.domain = \"other.org\"");
    assert_eq!(titles_beside_a_route(&foreign), ["2:25: `domain` cannot be `other.org` for this site"]);
    let routes = [
        ("write = \"cart\"", "3:9: `write` cannot be `cart`"),
        ("session = \"off\"\nwrite = [\"a\"]", "4:9: `write` on a route with session = \"off\""),
        ("match = { path = \"/a//b/*\" }", "3:18: no request has a path like `/a//b/*`"),
        ("match = { path = \"/c;d\" }", "3:18: no request has a path like `/c;d`"),
        ("match = { path = \"/e%2Ff\" }", "3:18: no request has a path like `/e%2Ff`"),
        ("match = { path = \"/.cloakroom/*\" }", "3:18: `match.path` cannot be `/.cloakroom/*`"),
        ("match = { host = \"a:80\" }", "3:18: `match.host` cannot be `a:80`"),
        ("match = { methods = [\"get\"] }", "3:22: `get` is no method"),
        ("match = { path = \"/a/*\" }\nstrip_prefix = \"/b\"", "4:16: `strip_prefix` never applies on `/a/*`"),
        ("strip_prefix = \"/\"", "3:16: `strip_prefix` cannot be `/`"),
        ("origins = [\"app.example.com\"]", "3:12: `app.example.com` is no origin"),
        ("timeout.connect = \"0s\"", "3:19: `connect` cannot be `0s`"),
        ("require = {}", "3:11: `require` asks for nothing"),
        ("require = { role = [\"admin\"] }", "3:13: unknown key `role` in `require`"),
        ("require = { user = [] }", "3:20: `user` is empty"),
        ("require = { user = \"ada\" }", "3:20: `user` must be a list in [ ]"),
        ("require = { any = {} }", "3:19: `any` names no field"),
        ("require = { all = { role = [] } }", "3:28: `role` is empty"),
        ("require = { all = { role = [\"\"] } }", "3:29: `role` holds an empty text"),
        ("require = { all = { role = [3] } }", "3:29: `role` must be text in quotes"),
        ("require = { any = { \"a..b\" = [\"x\"] } }", "3:21: `require` cannot ask for the field `a..b`"),
        ("require = { any = { cookie = [\"x\"] } }", "3:21: `require` cannot ask for the field `cookie`"),
        ("require = { login_age = 15 }", "3:25: `login_age` must be a number and a unit, in quotes"),
        ("require = { login_age = \"0s\" }", "3:25: `login_age` cannot be `0s`"),
        ("session = \"off\"\nrequire = { user = [\"a\"] }", "4:11: `require` on a route with session = \"off\""),
        ("session = \"optional\"\nrequire = { user = [\"a\"] }", "4:11: `require` on a route with session = \"optional\""),
        ("unauthenticated = \"redirect\"", "3:19: `unauthenticated = \"redirect\"` without a `[login]`"),
        ("unauthenticated = 302", "3:19: `unauthenticated` cannot be `302`"),
        ("end_app_cookies = \"JSESSIONID\"", "3:19: `end_app_cookies` must be a list in [ ]"),
        ("end_app_cookies = [\"a b\"]", "3:20: `end_app_cookies` cannot name `a b`"),
        ("end_app_cookies = [\"__Host-cloakroom\"]", "3:20: `end_app_cookies` cannot name `__Host-cloakroom`"),
        ("upstrem = \"demo\"", "3:1: unknown key `upstrem` in `[[routes]]`"),
    ];
    for (text, expected) in routes {
        assert_eq!(titles(&format!("{ROUTE}{text}")), [expected]);
    }
    let balance = "upstreams.a = { servers = [\"a:1\"], balance = \"hash-sesion\" }";
    assert_eq!(titles_beside_a_route(balance), ["1:46: `balance` cannot be `hash-sesion`"]);
    let upstreams =
        [("127.0.0.1:3000", "2:12: there is no upstream `127.0.0.1:3000`"), ("http://a/b", "2:12: `upstream` cannot be `http://a/b`")];
    for (text, expected) in upstreams {
        assert_eq!(titles(&format!("[[routes]]\nupstream = \"{text}\"")), [expected]);
    }
}

#[test]
fn what_a_route_requires_is_read_into_types() {
    let text = "[[routes]]\nupstream = \"http://127.0.0.1:3000\"\nunauthenticated = \"redirect\"\nend_app_cookies = [\"a\", \"b\", \"a\"]\n
         require = { user = [\"ada\"], any = { role = [\"admin\"] }, all = { \"user.groups\" = [\"b\", \"a\"] }, login_age = \"15m\" }\n[login]\n";
    let config = config(text);
    let route = &config.routes[0];

    let wanted = |path: &[&str], values: &[&str]| Wanted {
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let require = Require {
        user: Some(["ada".to_owned()].into()),
        any: vec![wanted(&["role"], &["admin"])],
        all: vec![wanted(&["user", "groups"], &["a", "b"])],
        login_age: Some(Duration::from_secs(900)),
    };
    assert_eq!(route.require, Some(require));
    assert_eq!(route.session, SessionUse::Required, "to require something is to require a user");
    assert_eq!(route.unauthenticated, Unauthenticated::Redirect);
    assert_eq!(route.end_app_cookies, ["a", "b"]);
}

#[test]
fn a_route_for_users_where_nobody_can_sign_in_is_a_warning() {
    let warned = |more: &str| titles(&format!("{more}\n{ROUTE}session = \"required\"\n"));

    assert_eq!(warned(""), ["the route `/*` asks for a signed-in user, and nobody can sign in"]);
    assert_eq!(warned("session.user_from = \"name\""), Vec::<String>::new());
    assert_eq!(warned("[[routes]]\nupstream = \"demo\"\nmatch = { path = \"/in\" }\nlogin = true"), Vec::<String>::new());
    assert!(!warned("[login]").iter().any(|title| title.contains("nobody can sign in")));
}

#[test]
fn a_login_to_which_all_visitors_are_one_client_is_a_warning() {
    let warned = |server: &str, login: &str| titles(&format!("[server]\n{server}\n{login}\n{ROUTE}")).len();
    let https = "public_url = \"https://a.example\"";

    let seen = titles(&format!("[server]\n{https}\n[login]\n{ROUTE}"));
    assert!(matches!(seen.as_slice(), [only] if only.contains("all visitors count as one client")), "{seen:?}");
    assert_eq!(warned(https, ""), 0);
    assert_eq!(warned(&https.replace("https", "http"), "[login]"), 0);
    assert_eq!(warned(&format!("{https}\ntrusted_proxies = [\"127.0.0.1/32\"]"), "[login]"), 0);
}

#[test]
fn a_hidden_route_is_shown_beside_the_one_that_hides_it() {
    let seen = told(&format!("{ROUTE}\n{ROUTE}match.path = \"/a\"\n\n{ROUTE}"));

    assert_eq!(
        seen,
        r#"error: the route `/a` is never reached
 --> proxy.toml:4:1
  |
1 | [[routes]]
  | ---------- `/*` always wins
...
4 | [[routes]]
  | ^^^^^^^^^^ never reached
  |
  = help: the first match wins: put the narrower route first, or remove one

error: the route `/*` is there twice
 --> proxy.toml:8:1
  |
1 | [[routes]]
  | ---------- first here
...
8 | [[routes]]
  | ^^^^^^^^^^ again
  |
  = help: the first match wins: put the narrower route first, or remove one
"#
    );
}

#[test]
fn a_key_that_is_there_twice_is_told_at_its_second_place() {
    assert_eq!(titles_beside_a_route("log.level = \"info\"\nlog.level = \"warn\""), ["2:5: not TOML: duplicate key"]);
}

#[test]
fn a_listener_is_an_address_or_a_table() {
    let config = config(&format!("server.listen = [\"[::]:80\", {{ addr = \"0.0.0.0:8080\", h2c = true }}]\n{ROUTE}"));

    let listener = |addr: &str, h2c| Listen { addr: addr.parse().unwrap(), h2c };
    assert_eq!(config.server.listen, [listener("[::]:80", false), listener("0.0.0.0:8080", true)]);
}

#[test]
fn the_login_has_defaults_and_the_users_of_an_app_share_the_stores_mongodb() {
    let smallest = config(&format!("[login]\n{ROUTE}")).login.unwrap();
    let shared =
        "[store]\nkind = \"mongodb\"\nuri = \"env:MONGODB_URI\"\ndatabase = \"shop\"\n[session]\nsecrets = \"env:SESSION_SECRET\"\n";
    let login = config(&format!(
        "{shared}[login]\nusers = [\".htpasswd\", \"mongodb\", \"users.toml\"]\n[login.mongodb]\nfields = {{ role = \"p.role\" }}\n{ROUTE}"
    ));

    let files = |login: &Login| -> Vec<String> {
        let named = login.users.iter().map(|source| match source {
            SourceSettings::File(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
            SourceSettings::Mongo(of) => format!("{}.{} {} {} {:?}", of.database, of.collection, of.name_field, of.hash_field, of.fields),
        });
        named.collect()
    };
    assert_eq!(files(&smallest), ["users.toml"]);
    assert_eq!((smallest.path.as_str(), smallest.logout_path.as_str()), ("/login", "/logout"));
    assert_eq!((smallest.default_return.as_str(), smallest.logout_return.as_str()), ("/", "/"));
    let rate = |count| Some(Rate { count, within: 5 * MINUTE });
    assert_eq!(smallest.throttle, Throttle { per_user: rate(5), per_client: rate(20) });
    assert_eq!((smallest.remember, smallest.clear_site_data, smallest.page), (true, false, Page::default()));
    let login = login.login.unwrap();
    assert_eq!(files(&login), [".htpasswd", "shop.users username password {\"role\": \"p.role\"}", "users.toml"]);
    let SourceSettings::Mongo(of) = &login.users[1] else { panic!() };
    assert_eq!((of.uri.expose_secret(), of.rehash, of.lowercase), (b"mongodb://localhost".as_slice(), false, false));
}

#[test]
fn mistakes_about_an_apps_users_are_told() {
    let cases = [
        ("", vec!["1:1: `[login.mongodb]` needs a `uri`", "1:1: `[login.mongodb]` needs a `database`"]),
        ("uri = \"http://a\"\ndatabase = \"a\"", vec!["2:7: `uri` is no MongoDB connection string"]),
        ("uri = \"mongodb://a\"\ndatabase = \"a\"\nname_field = \"$where\"", vec!["4:14: `name_field` cannot be `$where`"]),
        ("uri = \"mongodb://a\"\ndatabase = \"a\"\nfields = [\"password\"]", vec!["4:11: `fields` cannot copy `password`"]),
        ("uri = \"mongodb://a\"\ndatabase = \"a\"\nhash_field = \"a.b\"\nfields = { x = \"a\" }", vec!["5:12: `fields` cannot copy `x`"]),
        ("uri = \"mongodb://a\"\ndatabase = \"a\"\nfields = [\"cookie\"]", vec!["4:11: `fields` cannot copy `cookie`"]),
        ("uri = \"mongodb://a\"\ndatabase = \"a\"\nhash = \"x\"", vec!["4:1: unknown key `hash` in `[login.mongodb]`"]),
    ];
    for (text, expected) in cases {
        assert_eq!(titles_beside_a_route(&format!("[login.mongodb]\n{text}")), expected, "{text}");
    }
    let twice = "[login]\nusers = [\"mongodb\"]";
    assert_eq!(titles_beside_a_route(twice), ["2:10: `mongodb` stands for `[login.mongodb]`"]);
}

#[test]
fn a_login_that_leads_in_a_circle_or_that_no_cookie_reaches_is_refused() {
    assert_eq!(titles_beside_a_route("[login]\ndefault_return = \"/login?x\""), ["2:18: `default_return` cannot be `/login`"]);
    assert_eq!(titles_beside_a_route("[login]\nlogout_path = \"/bye\"\ndefault_return = \"/bye\"").len(), 1);
    let elsewhere = titles_beside_a_route("[login]\n[session.cookie]\npath = \"/app\"");
    assert!(elsewhere.iter().any(|title| title.contains("is not sent to `/login`")), "{elsewhere:?}");
}
