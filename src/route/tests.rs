//! What routes match, and in which order.

use super::*;

/// A route with nothing special.
pub(crate) fn route(host: &str, path: &str, methods: &[&str]) -> Arc<Route> {
    let host = (!host.is_empty()).then(|| HostPattern::parse(host).unwrap());
    let methods = (!methods.is_empty()).then(|| methods.iter().map(|m| (*m).to_owned()).collect());
    Arc::new(Route {
        name: path.to_owned(),
        pattern: Pattern { host, path: PathPattern::parse(path).unwrap(), methods },
        session: SessionUse::Optional,
        unauthenticated: Unauthenticated::Unauthorized,
        require: None,
        upstream: "demo".to_owned(),
        write: Write::None,
        login: false,
        touch: true,
        origins: Vec::new(),
        end_app_cookies: Vec::new(),
        strip_prefix: None,
        preserve_host: true,
        timeout: Timeouts { connect: Duration::ZERO, read: Duration::ZERO, idle_websocket: Duration::ZERO },
        max_body: None,
        when_down: WhenDown::Unavailable,
        headers: HeaderSettings {
            fields: Fields::All,
            encoding: Encoding::Percent,
            max_bytes: 8192,
            overflow: Overflow::Drop,
            set: Vec::new(),
        },
    })
}

fn found<'a>(routes: &'a Routes, host: &str, path: &str, method: &str) -> Result<&'a str, NoRoute> {
    routes.find(host, path, method).map(|route| route.name.as_str())
}

#[test]
fn the_first_match_wins() {
    let routes = Routes::new(vec![route("", "/a", &[]), route("", "/a/*", &[]), route("", "/*", &[])]);

    assert_eq!(found(&routes, "x", "/a", "GET"), Ok("/a"));
    assert_eq!(found(&routes, "x", "/a/b", "GET"), Ok("/a/*"));
    assert_eq!(found(&routes, "x", "/b", "GET"), Ok("/*"));
}

#[test]
fn a_route_that_keeps_visitors_out_takes_every_case_of_letters() {
    let guarded = |path| Arc::new(Route { session: SessionUse::Required, ..Route::clone(&route("", path, &[])) });
    let routes = Routes::new(vec![guarded("/admin/*"), guarded("/Über"), route("", "/shop/*", &[]), route("", "/*", &[])]);

    for (path, name) in [
        ("/admin/x", "/admin/*"),
        ("/ADMIN", "/admin/*"),
        ("/Admin/X", "/admin/*"),
        ("/%C3%BCBER", "/Über"),
        ("/administrator", "/*"),
        ("/ADMINISTRATOR", "/*"),
        ("/%C3%BCber/x", "/*"),
        ("/SHOP/x", "/*"),
    ] {
        assert_eq!(found(&routes, "x", path, "GET"), Ok(name), "{path}");
    }
}

#[test]
fn each_part_that_fits_nothing_has_its_own_answer() {
    let routes = Routes::new(vec![
        route("a.example.com", "/x/*", &["POST"]),
        route("a.example.com", "/x/y", &["GET"]),
        route("b.example.com", "/x/*", &[]),
    ]);

    assert_eq!(found(&routes, "c.example.com", "/x/y", "GET"), Err(NoRoute::Host));
    assert_eq!(found(&routes, "a.example.com", "/z", "GET"), Err(NoRoute::Path));
    assert_eq!(found(&routes, "a.example.com", "/x/y", "GET"), Ok("/x/y"));
    let allowed = BTreeSet::from(["GET".to_owned(), "POST".to_owned()]);
    assert_eq!(found(&routes, "a.example.com", "/x/y", "DELETE"), Err(NoRoute::Method(allowed)));
}
