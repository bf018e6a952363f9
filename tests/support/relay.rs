//! A relay in front of a server on loopback, which can do what networks do: delay, hold their breath, lose one direction, break off.
//!
//! It corrupts nothing. In front of a member of a replica set it tells the members' addresses as those of the relays in front of them,
//! else a driver would leave the relay behind with the first answer.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Traffic {
    Flows,
    /// Each piece comes so much later, either way.
    Slow(Duration),
    /// Connections stay open, and nothing gets through either way.
    Held,
    /// Connections stay open, and what is said to the server arrives; its answers do not.
    Mute,
    /// Connections break, new ones at once.
    Cut,
}

/// Addresses, each with what is told instead; both of one length.
pub type Names = Arc<[(String, String)]>;

pub struct Relay {
    address: SocketAddr,
    traffic: watch::Sender<Traffic>,
    notes: Arc<Notes>,
}

/// Counts the messages to the server that hold a text; nothing where the text is empty.
#[derive(Default)]
struct Notes {
    text: String,
    count: watch::Sender<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    ToServer,
    FromServer,
}

impl Relay {
    /// To a server on loopback.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, port, Names::default(), "")
    }

    /// To a MongoDB server on loopback, counting the messages to it that hold this text.
    pub async fn noting(text: &str, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, port, Names::default(), text)
    }

    /// One in front of each member of a replica set.
    pub async fn to_members(ports: &[u16]) -> Vec<Self> {
        let mut listeners = Vec::new();
        for _ in ports {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        }
        let told = |listener: &TcpListener| listener.local_addr().expect("an address").to_string();
        let names: Names = ports.iter().zip(&listeners).map(|(port, listener)| (format!("127.0.0.1:{port}"), told(listener))).collect();
        assert!(names.iter().all(|(member, relay)| member.len() == relay.len()), "{names:?}");
        listeners.into_iter().zip(ports).map(|(listener, port)| Self::on(listener, *port, names.clone(), "")).collect()
    }

    fn on(listener: TcpListener, port: u16, names: Names, text: &str) -> Self {
        let notes = Arc::new(Notes { text: text.to_owned(), ..Notes::default() });
        let relay = Relay { address: listener.local_addr().expect("an address"), traffic: watch::channel(Traffic::Flows).0, notes };
        let (traffic, notes) = (relay.traffic.clone(), relay.notes.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serve(near, port, traffic.subscribe(), names.clone(), notes.clone()));
            }
        });
        relay
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many messages with the text have come.
    pub fn noted(&self) -> usize {
        *self.notes.count.borrow()
    }

    /// Waits until so many have come.
    pub async fn until_noted(&self, count: usize) {
        let mut noted = self.notes.count.subscribe();
        let come = noted.wait_for(|noted| *noted >= count);
        tokio::time::timeout(Duration::from_secs(30), come).await.expect("they come").expect("a relay");
    }

    pub fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
    }

    /// Breaks all connections; those that come after that are let through.
    pub async fn cut_once(&self) {
        self.set(Traffic::Cut);
        // Each connection listens until it is broken.
        self.traffic.closed().await;
        self.release();
    }

    /// From now on nothing gets through.
    pub fn hold(&self) {
        self.set(Traffic::Held);
    }

    /// What was held gets through now, and all that comes.
    pub fn release(&self) {
        self.set(Traffic::Flows);
    }
}

async fn serve(near: TcpStream, port: u16, traffic: watch::Receiver<Traffic>, names: Names, notes: Arc<Notes>) {
    let mut until_cut = traffic.clone();
    let carried = async {
        let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
        near.set_nodelay(true).ok();
        far.set_nodelay(true).ok();
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        let none = Notes::default();
        tokio::select! {
            () = carry(from_near, to_far, Way::ToServer, traffic.clone(), Names::default(), &notes) => {}
            () = carry(from_far, to_near, Way::FromServer, traffic, names, &none) => {}
        }
    };
    tokio::select! {
        () = carried => {}
        _ = until_cut.wait_for(|traffic| *traffic == Traffic::Cut) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut traffic: watch::Receiver<Traffic>,
    names: Names,
    notes: &Notes,
) {
    let passes = |traffic: &Traffic| match traffic {
        Traffic::Flows | Traffic::Slow(_) => true,
        Traffic::Mute => way == Way::ToServer,
        Traffic::Held | Traffic::Cut => false,
    };
    while let Ok(piece) = next(&mut from, &names, notes).await {
        let delay = match *traffic.borrow() {
            Traffic::Slow(delay) => delay,
            _ => Duration::ZERO,
        };
        tokio::time::sleep(delay).await;
        if traffic.wait_for(passes).await.is_err() || to.write_all(&piece).await.is_err() {
            return;
        }
    }
}

/// What has come; with names to tell or a text to note, one whole message.
async fn next(from: &mut (impl AsyncRead + Unpin), names: &Names, notes: &Notes) -> std::io::Result<Vec<u8>> {
    if names.is_empty() && notes.text.is_empty() {
        let mut bytes = vec![0; 1 << 16];
        let count = from.read(&mut bytes).await?;
        bytes.truncate(count);
        return if count == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) };
    }
    // MongoDB's wire protocol: a message begins with its length.
    let mut message = from.read_i32_le().await?.to_le_bytes().to_vec();
    let length = i32::from_le_bytes(message[..].try_into().expect("four bytes"));
    message.resize(usize::try_from(length).expect("a length").max(4), 0);
    from.read_exact(&mut message[4..]).await?;
    for (member, relay) in names.iter() {
        let places: Vec<usize> = memchr::memmem::find_iter(&message, member).collect();
        places.into_iter().for_each(|at| message[at..at + relay.len()].copy_from_slice(relay.as_bytes()));
    }
    if !notes.text.is_empty() && memchr::memmem::find(&message, notes.text.as_bytes()).is_some() {
        notes.count.send_modify(|count| *count += 1);
    }
    Ok(message)
}
