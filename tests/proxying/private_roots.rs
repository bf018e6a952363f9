//! TLS to an app: whose certificates are believed, and for which name.
use super::super::support::{Browser, Cloakroom, Raw, RawApp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// An authority that no machine knows.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's side of TLS under this name.
    fn vouches_for(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Answers every visitor who gets through the handshake with the head that arrived.
async fn serve(app: RawApp, tls: TlsAcceptor) {
    loop {
        let stream = app.accept_stream().await;
        let tls = tls.clone();
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let mut connection = Raw::over(stream);
            let head = connection.head().await;
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}", head.len())).await;
        });
    }
}

/// A proxy in front of `https://localhost` behind a certificate for `name`.
async fn in_front_of(name: &str, authority: &Authority, trusted: bool, more: &str) -> Cloakroom {
    let app = RawApp::start().await;
    let url = format!("https://localhost:{}", app.addr().port());
    tokio::spawn(serve(app, authority.vouches_for(name)));
    let toml = format!("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"{url}\"\n{more}");
    let builder = Cloakroom::with(&toml).file("roots.pem", authority.pem());
    // Relative to the working directory, which is the proxy's folder.
    if trusted { builder.env("SSL_CERT_FILE", "roots.pem").start().await } else { builder.start().await }
}

#[tokio::test]
async fn an_app_behind_tls_is_reached_if_its_authority_is_trusted() {
    let authority = Authority::new();
    for (more, host) in [("", "app.example.com"), ("preserve_host = false\n", "localhost:")] {
        let proxy = in_front_of("localhost", &authority, true, more).await;

        let page = Browser::new(proxy.addr()).host("app.example.com").get("/").await;

        let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
        let declined = Browser::new(proxy.addr()).host("app.example.com").send("GET", "/ws", &upgrade, b"").await;

        assert_eq!((page.status, declined.status), (200, 200), "a WebSocket takes the same way; this app declines it");
        assert!(page.text().to_lowercase().contains(&format!("host: {host}")), "{}", page.text());
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let proxy = in_front_of("localhost", &Authority::new(), false, "").await;

    let page = Browser::new(proxy.addr()).get("/").await;

    let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
    let socket = Browser::new(proxy.addr()).send("GET", "/ws", &upgrade, b"").await;

    assert_eq!((page.status, socket.status), (502, 502));
    assert!(!page.text().to_lowercase().contains("certificate"), "{}", page.text());
}

#[tokio::test]
async fn a_certificate_must_be_for_the_upstreams_own_name_and_not_for_the_visitors() {
    let authority = Authority::new();
    for more in ["", "preserve_host = false\n"] {
        let proxy = in_front_of("app.example.com", &authority, true, more).await;

        let page = Browser::new(proxy.addr()).host("app.example.com").get("/").await;

        assert_eq!(page.status, 502, "{more}");
    }
}

#[tokio::test]
async fn roots_that_cannot_be_read_are_told_at_the_start() {
    for (name, value) in [("SSL_CERT_FILE", "missing.pem"), ("SSL_CERT_FILE", "."), ("SSL_CERT_DIR", "proxy.toml")] {
        let builder = Cloakroom::with("[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"demo\"\n").env(name, value);

        let (code, _, told) = builder.run(&["run"]).await;

        assert_eq!(code, Some(1), "{name}={value}: {told}");
        assert!(told.contains(&format!("${name}")) && told.contains(value) && !told.contains("panicked"), "{told}");
    }
}
