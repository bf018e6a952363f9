//! The product as users run it: the binary, a `proxy.toml`, a folder of its own.
use super::signal;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(30);

/// A running proxy; dropping it kills it.
pub struct Cloakroom {
    folder: TempDir,
    env: Vec<(String, String)>,
    child: Child,
    log: watch::Receiver<String>,
    addrs: Vec<SocketAddr>,
}

/// What to start it with; see [`Cloakroom::with`].
pub struct Builder {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Cloakroom {
    /// Starts it with this `proxy.toml`; without a `listen` of its own it gets a free loopback port.
    pub async fn start(toml: &str) -> Self {
        Self::with(toml).start().await
    }

    pub fn with(toml: &str) -> Builder {
        let builder = Builder { folder: TempDir::with_prefix("cloakroom-").expect("a folder"), env: Vec::new() };
        builder.file("proxy.toml", listening(toml))
    }

    /// The first listener.
    pub fn addr(&self) -> SocketAddr {
        self.addrs[0]
    }

    /// Every listener that has been announced, in order; the admin listener is not among them.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        addresses(&self.log(), |line| !line.contains("admin"))
    }

    pub fn admin_addr(&self) -> SocketAddr {
        *addresses(&self.log(), |line| line.contains("admin")).first().expect("an admin listener was announced")
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Both streams, since the first start.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until the log contains the text.
    pub async fn logged(&self, text: &str) {
        let mut log = self.log.clone();
        let found = tokio::time::timeout(START, log.wait_for(|log| log.contains(text))).await;
        assert!(matches!(found, Ok(Ok(_))), "{text:?} was not logged:\n{}", self.log());
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// SIGTERM, as an operator stops it; how it ended and how long that took.
    pub async fn stop(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal("TERM");
        let status = tokio::time::timeout(STOP, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it did not stop:\n{}", self.log())).expect("waited for");
        (status, start.elapsed())
    }

    /// SIGKILL, as a crash.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// A new process in the same folder; with port 0 in the file, it has another port.
    pub async fn restart(&mut self) {
        if self.is_alive() {
            self.stop().await;
        }
        let before = self.log();
        (self.child, self.log) = spawn(self.folder.path(), &self.env, &[], before.clone());
        self.addrs = vec![announced(&mut self.child, &mut self.log, &before).await];
    }

    /// Runs a subcommand beside it; `(exit code, standard output, standard error)`.
    pub async fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run(self.folder.path(), &self.env, arguments).await
    }

    /// Runs a subcommand beside it, with this standard input; `(exit code, standard output, standard error)`.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        run_with(self.folder.path(), &self.env, arguments, input).await
    }

    /// Replaces `proxy.toml`.
    pub fn reconfigure(&self, toml: &str) {
        fs::write(self.folder.path().join("proxy.toml"), listening(toml)).expect("written");
    }
}

impl Builder {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file beside `proxy.toml`.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), content).expect("written");
        self
    }

    pub async fn start(self) -> Cloakroom {
        self.start_as(&[]).await
    }

    /// Starts it with these arguments.
    pub async fn start_as(self, arguments: &[&str]) -> Cloakroom {
        let Self { folder, env } = self;
        let (mut child, mut log) = spawn(folder.path(), &env, arguments, String::new());
        let addr = announced(&mut child, &mut log, "").await;
        Cloakroom { folder, env, child, log, addrs: vec![addr] }
    }

    /// Runs a subcommand in the folder instead; `(exit code, standard output, standard error)`.
    pub async fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run(self.folder.path(), &self.env, arguments).await
    }

    /// The same, with this standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        run_with(self.folder.path(), &self.env, arguments, input).await
    }
}

async fn run_with(folder: &Path, env: &[(String, String)], arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = command(folder, env);
    child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that reads nothing may have ended already.
    stdin.write_all(input.as_bytes()).await.ok();
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn run(folder: &Path, env: &[(String, String)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(folder, env).args(arguments).output().await.expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The binary of this build, or `$CLOAKROOM_BIN` (to test a released one).
fn command(folder: &Path, env: &[(String, String)]) -> Command {
    let binary = std::env::var("CLOAKROOM_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_cloakroom").to_owned());
    let mut command = Command::new(binary);
    command.current_dir(folder).env_remove("CLOAKROOM_CONFIG").env_remove("CLOAKROOM_LISTEN").envs(env.iter().map(|(n, v)| (n, v)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn spawn(folder: &Path, env: &[(String, String)], arguments: &[&str], before: String) -> (Child, watch::Receiver<String>) {
    let mut child = command(folder, env).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let (log, reading) = watch::channel(before);
    tokio::spawn(collect(child.stdout.take().expect("piped"), log.clone()));
    tokio::spawn(collect(child.stderr.take().expect("piped"), log));
    (child, reading)
}

async fn collect(stream: impl AsyncRead + Unpin, log: watch::Sender<String>) {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line).await, Ok(1..)) {
        log.send_modify(|log| log.push_str(&String::from_utf8_lossy(&line)));
        line.clear();
    }
}

/// The first listener's address, from the line that says `listening on http://ADDRESS`.
async fn announced(child: &mut Child, log: &mut watch::Receiver<String>, before: &str) -> SocketAddr {
    let first = |log: &str| addresses(log.get(before.len()..).unwrap_or_default(), |line| !line.contains("admin")).first().copied();
    tokio::select! {
        found = tokio::time::timeout(START, log.wait_for(|log| first(log).is_some())) => if let Ok(Ok(log)) = found {
            return first(&log).expect("just seen");
        },
        _ = child.wait() => {}
    }
    let ended = child.try_wait().ok().flatten();
    panic!("cloakroom announced no listener ({ended:?}):\n{}", log.borrow().clone());
}

fn addresses(log: &str, wanted: impl Fn(&str) -> bool) -> Vec<SocketAddr> {
    let told = log.lines().filter(|line| wanted(line)).filter_map(|line| line.split_once("listening on http"));
    told.filter_map(|(_, rest)| rest.trim_start_matches('s').strip_prefix("://"))
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_hexdigit() && !".:[]".contains(c)).next()?.parse().ok())
        .collect()
}

/// Adds a free loopback port where the file has no `listen` of its own.
fn listening(toml: &str) -> String {
    const LISTEN: &str = "listen = [\"127.0.0.1:0\"]\n";
    let mut section = "";
    let owns = toml.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        section == "[server]" && line.starts_with("listen")
    });
    match toml.split_once("[server]\n") {
        _ if owns => toml.to_owned(),
        Some((before, after)) => format!("{before}[server]\n{LISTEN}{after}"),
        None => format!("[server]\n{LISTEN}\n{toml}"),
    }
}
