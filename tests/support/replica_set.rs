//! A real replica set of three on loopback, with short election timeouts, to maltreat its members one by one.
use super::mongo::{free_port, spawn};
use super::{signal, wait_until_frozen};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use std::process::Child;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NAME: &str = "rs0";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct ReplicaSet {
    members: Vec<Member>,
}

struct Member {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl ReplicaSet {
    /// Three members that elect a new primary two seconds after they lose the old one.
    pub async fn start() -> Self {
        let start = |_| {
            let (folder, port) = (TempDir::with_prefix("mongod-").expect("a folder"), free_port());
            let child = spawn(&folder, port, true);
            Member { folder, port, child }
        };
        let set = ReplicaSet { members: (0..3).map(start).collect() };
        for number in 0..3 {
            set.answering(number).await;
        }
        let host = |number: usize| doc! { "_id": number as i32, "host": format!("127.0.0.1:{}", set.members[number].port) };
        let settings = doc! { "electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500 };
        let config = doc! { "_id": NAME, "members": [host(0), host(1), host(2)], "settings": settings };
        let admin = set.direct(0).await.database("admin");
        admin.run_command(doc! { "replSetInitiate": config }).await.expect("initiated");
        set.primary().await;
        set
    }

    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self.members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
        format!("mongodb://{}/?replicaSet={NAME}", hosts.join(","))
    }

    pub fn ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.port).collect()
    }

    pub async fn client(&self) -> Client {
        Client::with_uri_str(self.uri()).await.expect("a client")
    }

    /// Waits for a primary; its number.
    pub async fn primary(&self) -> usize {
        self.primary_among(&[0, 1, 2]).await
    }

    /// Waits until one of these is the primary; its number.
    pub async fn primary_among(&self, numbers: &[usize]) -> usize {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            for &number in numbers {
                if self.hello(number).await.is_some_and(|hello| matches!(hello.get_bool("isWritablePrimary"), Ok(true))) {
                    return number;
                }
            }
        }
        panic!("no primary");
    }

    /// Freezes a member: its connections stay open and nothing answers.
    pub fn freeze(&self, number: usize) {
        signal(self.members[number].child.id(), "STOP");
        wait_until_frozen(self.members[number].child.id());
    }

    pub fn thaw(&self, number: usize) {
        signal(self.members[number].child.id(), "CONT");
    }

    /// SIGKILL.
    pub fn kill(&mut self, number: usize) {
        let child = &mut self.members[number].child;
        // Already gone is as good.
        child.kill().ok();
        child.wait().expect("waited for");
    }

    /// The same port and data again.
    pub async fn restart(&mut self, number: usize) {
        self.kill(number);
        let member = &mut self.members[number];
        member.child = spawn(&member.folder, member.port, true);
        self.answering(number).await;
    }

    /// Kills all members at once, then starts all again.
    pub async fn restart_all(&mut self) {
        let all = 0..self.members.len();
        all.clone().for_each(|number| self.kill(number));
        for number in all.clone() {
            let member = &mut self.members[number];
            member.child = spawn(&member.folder, member.port, true);
        }
        for number in all {
            self.answering(number).await;
        }
    }

    /// The primary gives up its office, in good order.
    pub async fn step_down(&self) {
        let primary = self.primary().await;
        let admin = self.direct(primary).await.database("admin");
        admin.run_command(doc! { "replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5 }).await.expect("it steps down");
    }

    async fn answering(&self, number: usize) {
        let began = Instant::now();
        while self.hello(number).await.is_none() {
            assert!(began.elapsed() < PATIENCE, "member {number} does not answer");
        }
    }

    async fn hello(&self, number: usize) -> Option<Document> {
        self.direct(number).await.database("admin").run_command(doc! { "hello": 1 }).await.ok()
    }

    async fn direct(&self, number: usize) -> Client {
        let port = self.members[number].port;
        Client::with_uri_str(format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=500"))
            .await
            .expect("a client")
    }
}

impl Drop for ReplicaSet {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|number| self.kill(number));
    }
}
