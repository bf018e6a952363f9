//! Connections in a test's own hands, at either end of the proxy: what is sent, and when it closes, is the test's decision.
use super::{find, latin1};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long anything may take that is to happen promptly.
const PROMPTLY: Duration = Duration::from_secs(10);

/// An app that a test plays by hand.
pub struct RawApp {
    listener: TcpListener,
}

/// One connection.
pub struct Raw {
    stream: Box<dyn Stream>,
    /// Received and not yet taken.
    buffer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl RawApp {
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The next connection of the proxy.
    pub async fn accept(&self) -> Raw {
        Raw::over(self.accept_stream().await)
    }

    pub async fn accept_stream(&self) -> TcpStream {
        timeout(PROMPTLY, self.listener.accept()).await.expect("the proxy connects").expect("a connection").0
    }
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.expect("connected"))
    }

    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("sent");
    }

    /// Like [`send`](Self::send), to a peer that may have left.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// The next head, without its empty line.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// What comes before `end`, which is taken too.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = find(&self.buffer, end.as_bytes()) {
                let found: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return latin1(&found[..at]);
            }
            assert!(self.more().await, "closed before {end:?} came: {:?}", latin1(&self.buffer));
        }
    }

    /// The next bytes.
    pub async fn take(&mut self, count: usize) -> String {
        while self.buffer.len() < count {
            assert!(self.more().await, "closed after {:?}", latin1(&self.buffer));
        }
        latin1(&self.buffer.drain(..count).collect::<Vec<u8>>())
    }

    /// All that comes until the peer closes, which it must do promptly.
    pub async fn rest(&mut self) -> String {
        let all = async {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(count @ 1..) = self.stream.read(&mut chunk).await {
                self.buffer.extend(&chunk[..count]);
            }
        };
        let closed = timeout(PROMPTLY, all).await;
        assert!(closed.is_ok(), "it is still open after {:?}", latin1(&self.buffer));
        latin1(&std::mem::take(&mut self.buffer))
    }

    /// False when the peer has closed.
    async fn more(&mut self) -> bool {
        let read = timeout(PROMPTLY, self.stream.read_buf(&mut self.buffer)).await;
        matches!(read.unwrap_or_else(|_| panic!("nothing more came after {:?}", latin1(&self.buffer))), Ok(1..))
    }
}
