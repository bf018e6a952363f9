//! The apps of `tests/apps`, run as a user would: an interpreter, `$PORT`, the port on the first line of output.
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running app; dropping it kills it.
pub struct Script {
    addr: SocketAddr,
    _child: Child,
}

impl Script {
    /// `Script::start(&["python3", "cgi.py", "seed.cgi.sh"], &[])`, in `tests/apps`.
    pub async fn start(command: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps");
        let mut child = Command::new(command[0]);
        child.args(&command[1..]).current_dir(folder).env("PORT", "0").envs(env.iter().copied());
        let mut child =
            child.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
        let port = line.unwrap_or_else(|_| panic!("{command:?} printed no port")).expect("text").unwrap_or_default();
        let port = port
            .parse::<u16>()
            .unwrap_or_else(|e| panic!("{command:?} printed {port:?}, no port: {e}; `tests/run` installs what it needs"));
        Self { addr: ([127, 0, 0, 1], port).into(), _child: child }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}
