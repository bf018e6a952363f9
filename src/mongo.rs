//! One connection to MongoDB, whoever needs it: sessions, users.
//!
//! **A driver future is never dropped.** A dropped one leaves a dead entry in the driver's pool queue; enough of them turn a freeze of
//! three seconds into an outage without end. So each operation runs to its end in a task that owns a permit, and only the wait for
//! that task is bounded.

use crate::secret::Secret;
use mongodb::Client;
use mongodb::error::Error;
use mongodb::options::{Acknowledgment, ClientOptions, ConnectionString, HostInfo, ReadPreference, SelectionCriteria, WriteConcern};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Connections, and so operations at the same time.
const POOL: u32 = 64;

/// Why MongoDB cannot be used as configured. That it is down is none: then Cloakroom starts and waits for it.
#[derive(Debug, thiserror::Error)]
pub enum MongoSetupError {
    #[error("the MongoDB address is not UTF-8")]
    NotText,
    #[error("the MongoDB address is not usable: {0}")]
    Address(String),
    #[error("the MongoDB address asks for a read preference; reads go to the primary, so leave `readPreference` out")]
    ReadPreference,
    #[error("the MongoDB address asks for a weak write concern; writes use w=majority, so leave `w` and `journal` out")]
    WriteConcern,
}

/// What became of an operation that gave no result of its own.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It was never begun.
    #[error("no connection was free in time")]
    NotBegun,
    /// It goes on, and may yet succeed.
    #[error("no answer in time")]
    Late,
    /// Its task panicked.
    #[error("the operation failed: {0}")]
    Defect(tokio::task::JoinError),
}

/// A client that connects when it is first needed.
pub struct Connection {
    shared: Arc<LateClient>,
    /// Carries the client's connections, so it must outlive the runtimes of the callers.
    runtime: Handle,
    permits: Arc<Semaphore>,
    width: usize,
    hosts: String,
}

/// The client, once there is one.
pub struct LateClient {
    uri: Secret,
    /// How long an operation waits for a primary.
    selection: Duration,
    /// One for each permit, and one for the work in the background.
    connections: u32,
    client: OnceCell<Client>,
}

impl LateClient {
    /// The client; connects at the first call that succeeds. Never drop the future.
    pub async fn client(&self) -> Result<Client, Error> {
        let made = self.client.get_or_try_init(|| async {
            let uri = String::from_utf8_lossy(self.uri.expose_secret()).into_owned();
            Client::with_options(with_defaults(ClientOptions::parse(uri).await?, self.selection, self.connections))
        });
        made.await.cloned()
    }
}

impl Connection {
    /// Checks the address. MongoDB, and the name server, may be down. Call on the runtime that is to carry the connections; operations
    /// may then be called on any. `selection` is how long an operation waits for a primary: the longest limit of its callers.
    pub async fn prepare(uri: &Secret, selection: Duration) -> Result<Self, MongoSetupError> {
        let text = std::str::from_utf8(uri.expose_secret()).map_err(|_| MongoSetupError::NotText)?;
        let address = ConnectionString::parse(text).map_err(|error| MongoSetupError::Address(without_password(&error, text)))?;
        check(&address)?;
        if matches!(address.host_info, HostInfo::HostIdentifiers(_)) {
            // Needs no name server, so what else is wrong is told at once.
            ClientOptions::parse(text).await.map_err(|error| MongoSetupError::Address(error.to_string()))?;
        }
        let pool = address.max_pool_size.filter(|size| *size > 0).unwrap_or(POOL);
        Ok(Connection {
            shared: Arc::new(LateClient { uri: uri.clone(), selection, connections: pool.saturating_add(1), client: OnceCell::new() }),
            runtime: Handle::current(),
            permits: Arc::new(Semaphore::new(pool as usize)),
            width: pool as usize,
            hosts: hosts(&address.host_info),
        })
    }

    /// Runs one operation in a task of its own; waits for it no longer than `limit`. If there is no client, `failed` says what that means.
    pub async fn run<T, E, F, Fut>(
        &self,
        limit: Duration,
        failed: impl FnOnce(Error) -> E + Send + 'static,
        operation: F,
    ) -> Result<Result<T, E>, Unanswered>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(Client) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let deadline = Instant::now() + limit;
        let permit = match timeout_at(deadline, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(Unanswered::NotBegun),
        };
        let shared = self.shared.clone();
        let task = self.runtime.spawn(async move {
            let _permit = permit;
            match shared.client().await {
                Ok(client) => operation(client).await,
                Err(error) => Err(failed(error)),
            }
        });
        match timeout_at(deadline, task).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(defect)) => Err(Unanswered::Defect(defect)),
            // Only the handle is dropped: the task goes on to its end and gives its permit back by itself.
            Err(_) => Err(Unanswered::Late),
        }
    }

    /// How many operations go on at the same time, at most.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Where the connections live.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The client for work in the background, which ends with this connection.
    pub fn background(&self) -> Weak<LateClient> {
        Arc::downgrade(&self.shared)
    }

    /// The places that the address names, for a line of the log.
    pub fn hosts(&self) -> &str {
        &self.hosts
    }
}

fn hosts(info: &HostInfo) -> String {
    match info {
        HostInfo::HostIdentifiers(hosts) => hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        HostInfo::DnsRecord(name) => name.clone(),
        _ => "an address of another kind".to_owned(),
    }
}

/// What the address asks for must not weaken the promises.
fn check(address: &ConnectionString) -> Result<(), MongoSetupError> {
    match &address.read_preference {
        None | Some(ReadPreference::Primary) => {}
        Some(_) => return Err(MongoSetupError::ReadPreference),
    }
    match &address.write_concern {
        Some(concern) if concern.w.as_ref().is_some_and(|w| *w != Acknowledgment::Majority) => Err(MongoSetupError::WriteConcern),
        Some(concern) if concern.journal == Some(false) => Err(MongoSetupError::WriteConcern),
        _ => Ok(()),
    }
}

/// Measured defaults where the address says nothing: failures are noticed within about a second, and while there is no primary an
/// operation waits for the next one as long as its own limit lets it. The driver then tries it once more by itself.
fn with_defaults(mut options: ClientOptions, selection: Duration, connections: u32) -> ClientOptions {
    let second = Some(Duration::from_secs(1));
    options.app_name = options.app_name.or_else(|| Some("cloakroom".to_owned()));
    options.server_selection_timeout = options.server_selection_timeout.or(Some(selection));
    options.connect_timeout = options.connect_timeout.or(second);
    options.heartbeat_freq = options.heartbeat_freq.or(second);
    options.max_pool_size = Some(connections);
    options.max_connecting = options.max_connecting.or(Some(8));
    options.max_idle_time = options.max_idle_time.or(Some(Duration::from_secs(300)));
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    options
}

/// What is wrong with the address, repeating nothing of what stands before its last `@`.
///
/// The driver's own message may quote a password, or a piece of one that holds a `/`. So the rest is parsed again without it: what is
/// wrong there may be told, and if nothing is, the user or password is.
fn without_password(error: &Error, uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return "it must begin with mongodb:// or mongodb+srv://".to_owned() };
    let Some((_, rest)) = rest.rsplit_once('@') else { return error.to_string() };
    match ConnectionString::parse(format!("{scheme}://{rest}")) {
        Err(error) => error.to_string(),
        Ok(_) => "the user or password is not percent-encoded, or does not fit the options".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_repeats_a_piece_of_the_password() {
        for uri in
            ["mongodb://ada:s3cret@host/?heartbeatFrequencyMS=x", "mongodb://ada:s3/cret@host/", "mongodb://ada:s3:cret@host", "s3cret"]
        {
            let error = ConnectionString::parse(uri).unwrap_err();

            let message = without_password(&error, uri);

            assert!(!message.contains("s3") && !message.contains("cret"), "{message}");
        }
    }
}
