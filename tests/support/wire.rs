//! Sends bytes on an HTTP/1 connection as they are and records what comes back.
use super::latin1;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout_at};

/// Silence after an answer that means "nothing more is coming".
pub const QUIET: Duration = Duration::from_millis(350);
/// How long to wait for any answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What a conversation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The first final status.
    Answered(u16),
    /// Closed (or, in HTTP/2, GOAWAY) without an answer.
    Closed,
    /// RST_STREAM without an answer.
    Reset,
    Silence,
}

#[derive(Debug)]
pub struct Outcome {
    pub status: Status,
    /// All that was received, one character per byte.
    pub text: String,
    pub took: Duration,
}

/// Sends the bytes and returns whatever came until the peer closed, fell quiet after an answer, or five seconds passed.
pub async fn exchange(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    talk(addr, &[(bytes.as_ref().to_vec(), Duration::ZERO)], PATIENCE).await.0
}

/// Sends the pieces, each followed by its pause, reading all the time.
pub async fn converse(addr: SocketAddr, pieces: &[(Vec<u8>, Duration)], patience: Duration) -> Outcome {
    let start = Instant::now();
    let (raw, closed) = talk(addr, pieces, patience).await;
    let status = match first_final_status(&raw) {
        Some(status) => Status::Answered(status),
        None if closed => Status::Closed,
        None => Status::Silence,
    };
    Outcome { status, text: latin1(&raw), took: start.elapsed() }
}

async fn talk(addr: SocketAddr, pieces: &[(Vec<u8>, Duration)], patience: Duration) -> (Vec<u8>, bool) {
    let deadline = tokio::time::Instant::now() + patience;
    let stream = TcpStream::connect(addr).await.expect("the listener accepts");
    let (mut reader, mut writer) = stream.into_split();
    let (mut received, mut closed) = (Vec::new(), false);
    for (piece, pause) in pieces {
        let mut rest = piece.as_slice();
        while !rest.is_empty() && !closed {
            tokio::select! {
                sent = writer.write(rest) => match sent {
                    Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                    Err(_) => closed = true,
                },
                more = reader.read_buf(&mut received) => closed = !matches!(more, Ok(1..)),
                () = sleep_until(deadline) => return (received, closed),
            }
        }
        if !pause.is_zero() && !closed {
            closed = listen(&mut reader, &mut received, (tokio::time::Instant::now() + *pause).min(deadline)).await;
        }
        if closed || (!pause.is_zero() && answered(&received)) {
            break;
        }
    }
    if closed {
        // A refused upload: the answer may still be waiting behind the reset.
        listen(&mut reader, &mut received, tokio::time::Instant::now() + QUIET).await;
    }
    while !closed && tokio::time::Instant::now() < deadline {
        let before = received.len();
        closed = listen(&mut reader, &mut received, (tokio::time::Instant::now() + QUIET).min(deadline)).await;
        if received.len() == before && answered(&received) {
            break;
        }
    }
    (received, closed)
}

/// Reads until the moment; true when the peer has closed.
async fn listen(reader: &mut tokio::net::tcp::OwnedReadHalf, received: &mut Vec<u8>, until: tokio::time::Instant) -> bool {
    while let Ok(read) = timeout_at(until, reader.read_buf(received)).await {
        if !matches!(read, Ok(1..)) {
            return true;
        }
    }
    false
}

/// True when a final response head is complete; its body is small and follows at once.
fn answered(received: &[u8]) -> bool {
    let text = latin1(received);
    let mut rest = text.as_str();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        if status_of(head).is_some_and(|s| s >= 200 || s == 101) {
            return true;
        }
        rest = after;
    }
    false
}

fn first_final_status(received: &[u8]) -> Option<u16> {
    latin1(received).split('\n').filter_map(status_of).find(|&s| s >= 200 || s == 101)
}

fn status_of(head: &str) -> Option<u16> {
    let rest = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok()
}
