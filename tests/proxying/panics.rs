//! A defect of ours: one visitor gets 500, the operator a line, everybody else an answer.
use super::super::support::{App, Raw};
use cloakroom::cli::assemble;
use cloakroom::clock::{Clock, Moment, SystemClock, Timestamp};
use cloakroom::config::Config;
use cloakroom::proxy::guard::Deadlines;
use cloakroom::proxy::{Balance, Limits, Proxy, Upstream};
use cloakroom::random::{Entropy, OsEntropy};
use cloakroom::secret::Secret;
use cloakroom::server::{Listen, Server};
use cloakroom::session::Sessions;
use cloakroom::session::keyring::Keyring;
use cloakroom::session::store::MemoryStore;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A seam that breaks on demand: the code above it panics wherever it asks.
#[derive(Default)]
struct Fuse(AtomicBool);

impl Fuse {
    fn burns(&self) {
        assert!(!self.0.load(Ordering::SeqCst), "the fuse burnt");
    }
}

struct FusedClock(Arc<Fuse>);

impl Clock for FusedClock {
    fn now(&self) -> Timestamp {
        self.0.burns();
        SystemClock.now()
    }

    fn moment(&self) -> Moment {
        SystemClock.moment()
    }
}

struct FusedEntropy(Arc<Fuse>);

impl Entropy for FusedEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.burns();
        OsEntropy.fill(bytes);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic here").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic here")).into_owned()
    }
}

/// One open route to the app.
fn config() -> Config {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text = "[upstreams.app]\nservers = [\"127.0.0.1:1\"]\n[[routes]]\nupstream = \"app\"\nwrite = \"all\"";
    std::fs::write(file.path(), text).expect("written");
    let Ok((config, _)) = cloakroom::config::load(file.path(), &|_| None) else { panic!("a sound file") };
    config
}

/// A whole server in this process, on this thread.
fn serve(app: &App, clock: &Arc<Fuse>, entropy: &Arc<Fuse>) -> std::net::SocketAddr {
    let keyring = Keyring::new(&[Secret::new("a secret of the tests")]).expect("a secret");
    let (clock, entropy) = (Arc::new(FusedClock(clock.clone())), Arc::new(FusedEntropy(entropy.clone())));
    let config = config();
    let options = assemble::options(&config);
    let edge = assemble::edge(&config, Arc::new(Sessions::new(Arc::new(MemoryStore::default()), keyring, options, clock, entropy)));
    let server = vec![(app.addr().ip().to_string(), app.addr().port())];
    let upstream = Arc::new(Upstream::new("app".into(), false, server, Balance::RoundRobin, 1));
    let proxy = Proxy::new(edge, vec![upstream], Limits { head_bytes: 1 << 16, head_fields: 100, idle: MINUTE }, true);
    let listen = Listen { address: "127.0.0.1:0".parse().expect("an address"), h2c: false };
    let server = Server::bind(proxy, &[listen], Deadlines { head: MINUTE, idle: MINUTE }, MINUTE).expect("bound");
    let address = server.addresses()[0];
    tokio::spawn(server.run(std::future::pending()));
    address
}

#[tokio::test]
async fn a_panic_of_ours_answers_500_writes_its_line_and_harms_nobody_else() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().event_format(cloakroom::telemetry::Json).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (app, clock, entropy) = (App::start().await, Arc::new(Fuse::default()), Arc::new(Fuse::default()));
    let address = serve(&app, &clock, &entropy);
    let asked = |target: &str, cookie: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{cookie}\r\n");
    let mut visitor = Raw::connect(address).await;
    visitor.send(asked("/set?json=%7B%22a%22:1%7D", "")).await;
    let head = visitor.head().await;
    let cookie = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")?.split(';').next()).expect("a session");
    let cookie = format!("Cookie: {cookie}\r\n");

    // On the way in: whose session is it? On the way out: a new id. In a page of ours. In a WebSocket.
    let upgrade = format!("{cookie}Origin: http://a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n");
    for (fuse, target, fields) in [
        (&clock, "/in", cookie.as_str()),
        (&entropy, "/out?h=X-Session-Set:%7B%22b%22:1%7D", ""),
        (&entropy, "/renew", cookie.as_str()),
        (&clock, "/.cloakroom/session", cookie.as_str()),
        (&clock, "/ws", upgrade.as_str()),
    ] {
        let path = target.split('?').next().unwrap_or_default();
        fuse.0.store(true, Ordering::SeqCst);
        let mut unlucky = Raw::connect(address).await;
        unlucky.send(asked(target, fields)).await;
        let answer = unlucky.rest().await;
        fuse.0.store(false, Ordering::SeqCst);

        assert!(answer.starts_with("HTTP/1.1 500"), "{target}: {answer}");
        assert!(!answer.contains("fuse"), "{answer}");
        let line = log.text().lines().find(|line| line.contains(&format!("\"path\":\"{path}\""))).map(str::to_owned);
        let line = line.unwrap_or_else(|| panic!("no line for {target}: {}", log.text()));
        assert!(line.contains("\"status\":500") && line.contains("\"reason\":\"defect\""), "{line}");
    }

    let mut lucky = Raw::connect(address).await;
    lucky.send(asked("/echo", &cookie)).await;
    assert!(lucky.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(app.last().headers("X-Session-A"), ["1"], "the session is as it was");
}
