//! A real `mongod` on loopback, shared by the tests of one process or owned by one test that maltreats it.

use cloakroom::random::{Entropy as _, OsEntropy};
use cloakroom::secret::Secret;
use cloakroom::session::store::MongoStore;
use cloakroom::session::store::mongo::{Format, MongoSettings};
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Ends the server and removes its files when the pipe to the test process closes, however that process ends.
const KEEPER: &str = r#"dir=$1; shift; exec 2>/dev/null; "$@" >"$dir.log" 2>&1 & pid=$!; echo $pid; cat >/dev/null; kill -9 $pid; wait $pid; rm -rf "$dir" "$dir.log""#;

static SHARED: LazyLock<Mongod> = LazyLock::new(|| Mongod::start().unwrap());
static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct Mongod {
    keeper: Child,
    pid: u32,
    port: u16,
    directory: std::path::PathBuf,
}

impl Mongod {
    /// The server that well-behaved tests share.
    pub fn shared() -> &'static Mongod {
        &SHARED
    }

    /// A server of one's own.
    pub fn start() -> std::io::Result<Mongod> {
        let directory = tempfile::Builder::new().prefix("cloakroom-mongod-").tempdir()?.keep();
        Mongod::start_in(directory, free_port())
    }

    fn start_in(directory: std::path::PathBuf, port: u16) -> std::io::Result<Mongod> {
        let Some(program) = std::env::var_os("MONGOD") else { panic!("set MONGOD or use tests/run") };
        std::fs::create_dir_all(&directory)?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&directory)
            .arg(program)
            .args(["--wiredTigerCacheSizeGB", "0.25", "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"])
            // For tests that let it be slow.
            .args(["--setParameter", "enableTestCommands=1"])
            .args(["--port", &port.to_string()])
            .arg("--dbpath")
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line)?;
        let mongod = Mongod { keeper, pid: line.trim().parse().unwrap(), port, directory };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "mongod does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(mongod)
    }

    /// Starts another server in the place of one that was killed, on the same files and port.
    pub fn restarted(mut self) -> Mongod {
        // Out of the keeper's reach, which removes what it finds.
        let kept = self.directory.with_extension("kept");
        std::fs::rename(&self.directory, &kept).unwrap();
        self.stop();
        Mongod::start_in(kept, self.port).unwrap()
    }

    /// Sends a signal, by name, to the server.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid.to_string()]).status().unwrap();
        assert!(sent.success());
        while name == "STOP" && !self.stands_still() {
            std::thread::yield_now();
        }
    }

    /// Whether every thread is stopped: the signal returns before they are.
    fn stands_still(&self) -> bool {
        let stands = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap().flatten().all(stands)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.port)
    }

    /// Settings of a store in a collection that nobody else uses.
    pub fn settings(&self, format: Format) -> MongoSettings {
        MongoSettings {
            uri: Secret::new(self.uri()),
            database: "cloakroom_test".to_owned(),
            collection: format!("sessions_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
            format,
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            configured_max_age: Some(Duration::from_secs(14 * 86_400)),
        }
    }

    /// A store in a fresh collection, and a plain client's view of that collection.
    pub async fn store(&self, format: Format) -> (MongoStore, Collection<Document>) {
        let settings = self.settings(format);
        let collection = self.collection(&settings).await;
        (MongoStore::connect(settings).await.unwrap(), collection)
    }

    pub async fn collection(&self, settings: &MongoSettings) -> Collection<Document> {
        let client = mongodb::Client::with_uri_str(self.uri()).await.unwrap();
        client.database(&settings.database).collection(&settings.collection)
    }

    /// Lets so many of the next `update` commands wait, each so long.
    pub async fn hold_up_updates(&self, times: i32, wait: Duration) {
        let client = mongodb::Client::with_uri_str(self.uri()).await.unwrap();
        let wait = i64::try_from(wait.as_millis()).unwrap();
        let how = doc! { "failCommands": ["update"], "blockConnection": true, "blockTimeMS": wait };
        let order = doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": how };
        client.database("admin").run_command(order).await.unwrap();
    }

    fn stop(&mut self) {
        drop(self.keeper.stdin.take());
        // Already gone is as good.
        let _ = self.keeper.wait();
    }
}

/// A port that nobody listens on, below those that the system hands out: a client that waits for a server on one of those may end up
/// connected to itself, and so keep the server out.
fn free_port() -> u16 {
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

impl Drop for Mongod {
    fn drop(&mut self) {
        self.stop();
    }
}
