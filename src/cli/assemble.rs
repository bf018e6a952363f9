//! From a checked configuration to the parts that serve it, wherever the sessions are kept.

use crate::access::Doors;
use crate::config::{Config, SameSiteUse};
use crate::edge::{Edge, Policy};
use crate::inbound::{Public, Site};
use crate::route::Routes;
use crate::session::Sessions;
use crate::session::cookie::{Attributes, SameSite};
use crate::session::lifecycle::Lifecycle;
use crate::session::sessions::{Options, PerScheme};
use std::sync::Arc;

/// The product without a server.
pub fn edge(config: &Config, sessions: Arc<Sessions>) -> Edge {
    let policy = Policy {
        routes: Routes::new(config.routes.clone()),
        protected: config.session.user_from.iter().filter_map(|path| path.split('.').next()).map(str::to_owned).collect(),
        exposed: config.session.expose.iter().cloned().collect(),
        doors: match &config.login {
            Some(login) => Doors { login: Some(login.path.clone()), logout: login.logout_path.clone() },
            None => Doors::default(),
        },
    };
    Edge::new(sessions, site(config), policy)
}

/// The session options.
pub fn options(config: &Config) -> Options {
    let session = &config.session;
    Options {
        name: config.cookie_name().to_owned(),
        attributes: PerScheme { secure: attributes(config, true), plain: attributes(config, false) },
        id_hash: session.id_hash,
        lifecycle: Lifecycle {
            idle_timeout: session.idle_timeout,
            absolute_timeout: session.absolute_timeout,
            max_age: session.cookie.max_age,
            touch_after: session.touch_after,
            renew_grace: Some(session.renew_grace).filter(|grace| !grace.is_zero()),
            rolling: session.rolling,
        },
        resave: session.resave,
        save_uninitialized: session.save_uninitialized,
        unset: session.unset,
        user_from: session.user_from.as_ref().map(|path| path.split('.').map(str::to_owned).collect()),
        keep_at_login: session.keep_at_login.clone(),
        store_deadline: config.store.read_timeout + config.store.write_timeout,
        max_per_user: Some(session.max_per_user).filter(|most| *most > 0),
        max_bytes: session.max_bytes,
    }
}

/// The cookie's attributes on a request that is secure, or is not.
fn attributes(config: &Config, secure: bool) -> Attributes {
    let cookie = &config.session.cookie;
    Attributes {
        domain: cookie.domain.clone(),
        path: cookie.path.clone(),
        http_only: cookie.http_only,
        secure: cookie.secure.on(secure),
        partitioned: cookie.partitioned,
        priority: cookie.priority,
        same_site: match cookie.same_site {
            SameSiteUse::Always(same_site) => Some(same_site),
            SameSiteUse::Auto => Some(if secure { SameSite::None } else { SameSite::Lax }),
            SameSiteUse::Off => None,
        },
    }
}

fn site(config: &Config) -> Site {
    let server = &config.server;
    Site {
        public: server.public_url.as_ref().map(|url| Public {
            https: url.https,
            authority: url.port.map_or_else(|| url.host.clone(), |port| format!("{}:{port}", url.host)),
        }),
        trusted_proxies: server.trusted_proxies.clone(),
        path_policy: server.path_policy,
        underscore_headers: server.underscore_headers,
        uri_bytes: server.limits.uri_bytes,
        methods_matter: config.routes.iter().any(|route| route.pattern.methods.is_some()),
    }
}
