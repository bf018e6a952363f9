//! A relay in front of a server that can hold its breath: connections stay open, and nothing gets through either way.
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Relay {
    address: SocketAddr,
    holds: watch::Sender<bool>,
}

impl Relay {
    /// To a server on loopback.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let relay = Relay { address: listener.local_addr().expect("an address"), holds: watch::channel(false).0 };
        let holds = relay.holds.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(from_near, to_far, holds.subscribe()));
                tokio::spawn(carry(from_far, to_near, holds.subscribe()));
            }
        });
        relay
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nothing gets through.
    pub fn hold(&self) {
        self.holds.send_replace(true);
    }

    /// What was held gets through now, and all that comes.
    pub fn release(&self) {
        self.holds.send_replace(false);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut holds: watch::Receiver<bool>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if holds.wait_for(|holds| !holds).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
