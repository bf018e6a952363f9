//! The proxy as HTTP sees it, over real sockets: where requests go, what heads become, how bodies and connections end.
mod support;

mod proxying {
    mod bodies;
    mod forms;
    mod heads;
    mod interim;
    mod limits;
    mod panics;
    mod private_roots;
    mod sticky;
    mod upstreams;
    mod websockets;

    use super::support::{App, Cloakroom};

    /// One route to this server, with further keys of the route and sections after it.
    pub async fn proxy(upstream: &str, more: &str) -> Cloakroom {
        Cloakroom::start(&format!("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"{upstream}\"\nwrite = \"all\"\n{more}")).await
    }

    /// In front of the echo app, which is told apart by what it received.
    pub async fn echo(more: &str) -> (App, Cloakroom) {
        let app = App::start().await;
        let proxy = proxy(&app.url(), more).await;
        (app, proxy)
    }
}
