//! A real `mongod` on a free loopback port, with a folder of its own; `$MONGOD` names the binary.
use super::signal;
use cloakroom::random::{Entropy as _, OsEntropy};
use mongodb::Client;
use mongodb::bson::doc;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(60);
const REPLICA_SET: &str = "rs0";

/// A running server; dropping it kills it.
pub struct Mongod {
    folder: TempDir,
    port: u16,
    replica_set: bool,
    child: Child,
}

impl Mongod {
    /// A standalone server. Its own expiry thread is off: what is expired must be invisible without it.
    pub async fn start() -> Self {
        Self::launch(false).await
    }

    /// A replica set of one, for transactions, change streams and write concerns.
    pub async fn replica_set() -> Self {
        Self::launch(true).await
    }

    async fn launch(replica_set: bool) -> Self {
        let folder = TempDir::with_prefix("mongod-").expect("a folder");
        let port = free_port();
        let child = spawn(&folder, port, replica_set);
        let server = Self { folder, port, replica_set, child };
        if replica_set {
            let direct = server.answering(&server.direct_uri()).await;
            let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
            direct
                .database("admin")
                .run_command(doc! { "replSetInitiate": { "_id": REPLICA_SET, "members": [member] } })
                .await
                .expect("initiated");
        }
        server.answering(&server.uri()).await;
        server
    }

    pub fn uri(&self) -> String {
        let direct = self.direct_uri();
        if self.replica_set { direct.replace("directConnection=true", &format!("replicaSet={REPLICA_SET}")) } else { direct }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn direct_uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// A client of the test's own, to look at the documents.
    pub async fn client(&self) -> Client {
        Client::with_uri_str(self.uri()).await.expect("a client")
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn stop_signal(&self) {
        signal(self.child.id(), "STOP");
        super::wait_until_frozen(self.child.id());
    }

    pub fn cont_signal(&self) {
        signal(self.child.id(), "CONT");
    }

    /// SIGKILL: connections are refused from now on, and writes of the last moment that did not ask for the journal are lost.
    pub fn kill(&mut self) {
        // Already gone is as good.
        self.child.kill().ok();
        self.child.wait().expect("waited for");
    }

    /// The same port and data again, after a clean end unless it was killed.
    pub async fn restart(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.child.id(), "TERM");
            self.child.wait().expect("waited for");
        }
        self.child = spawn(&self.folder, self.port, self.replica_set);
        self.answering(&self.uri()).await;
    }

    /// Waits until it takes a write command's kind of read: a primary that answers.
    async fn answering(&self, uri: &str) -> Client {
        let uri = format!("{uri}&serverSelectionTimeoutMS={}", START.as_millis());
        let client = Client::with_uri_str(uri).await.expect("a client");
        let pinged = client.database("admin").run_command(doc! { "ping": 1 }).await;
        pinged.unwrap_or_else(|e| {
            panic!("mongod does not answer: {e}\n{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())
        });
        client
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, below those that the system hands out: a client that waits for a server on one of those may end up
/// connected to itself, and so keep the server out.
pub(super) fn free_port() -> u16 {
    let mut random = [0; 2];
    for _ in 0..1000 {
        OsEntropy.fill(&mut random);
        let port = 12_000 + u16::from_le_bytes(random) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

pub(super) fn spawn(folder: &TempDir, port: u16, replica_set: bool) -> Child {
    let binary = std::env::var("MONGOD").expect("no MONGOD: `tests/run` installs a real mongod and names it in this variable");
    let log = File::options().create(true).append(true).open(folder.path().join("log")).expect("a log");
    let mut command = Command::new(&binary);
    command.arg("--dbpath").arg(folder.path()).args(["--port", &port.to_string(), "--bind_ip", "127.0.0.1", "--nounixsocket"]);
    command.args(["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "ttlMonitorEnabled=false"]);
    if replica_set {
        command.args(["--replSet", REPLICA_SET]);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    command.spawn().unwrap_or_else(|e| panic!("could not start MONGOD {binary:?}: {e}"))
}
