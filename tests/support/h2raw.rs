//! Speaks HTTP/2 in raw frames, so that malformed requests leave as written.
//!
//! A request's text: `name: value` lines, then optionally an empty line and the body, then two empty lines and the
//! trailers. In lines, `\r`, `\n` and `\0` written out stand for those bytes.
use super::bytes_of;
use super::wire::{Outcome, PATIENCE, Status};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// No dynamic table, so that a response's `:status` can be read without a state.
const NO_TABLE: &[u8] = &[0, 1, 0, 0, 0, 0];

/// True when the listener answers the preface with a SETTINGS frame.
pub async fn speaks_h2(addr: SocketAddr) -> bool {
    let hello = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await?;
        next_frame(&mut stream).await
    };
    matches!(timeout_at(tokio::time::Instant::now() + PATIENCE, hello).await, Ok(Ok(Frame { kind: SETTINGS, .. })))
}

/// Sends one request on stream 1; the outcome's text is the answer's body.
pub async fn converse(addr: SocketAddr, request: &str) -> Outcome {
    let start = Instant::now();
    let mut outcome = Outcome { status: Status::Silence, text: String::new(), took: start.elapsed() };
    let talk = listen(addr, request, &mut outcome);
    let ended = timeout_at(tokio::time::Instant::now() + PATIENCE, talk).await;
    if matches!(ended, Ok(Err(_))) && outcome.status == Status::Silence {
        outcome.status = Status::Closed;
    }
    outcome.took = start.elapsed();
    outcome
}

async fn listen(addr: SocketAddr, request: &str, outcome: &mut Outcome) -> Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, NO_TABLE), &request_frames(1, request)].concat()).await?;
    loop {
        let frame = next_frame(&mut stream).await?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => stream.write_all(&self::frame(SETTINGS, ACK, 0, b"")).await?,
            PING if frame.flags & ACK == 0 => stream.write_all(&self::frame(PING, ACK, 0, &frame.payload)).await?,
            HEADERS if frame.stream == 1 => {
                if let (Some(status @ 200..), Status::Silence) = (status_of(frame.content()), outcome.status) {
                    outcome.status = Status::Answered(status);
                }
            }
            DATA if frame.stream == 1 => outcome.text += &super::latin1(frame.content()),
            RST_STREAM if frame.stream == 1 && outcome.status == Status::Silence => outcome.status = Status::Reset,
            GOAWAY if outcome.status == Status::Silence => outcome.status = Status::Closed,
            _ => {}
        }
        let last = frame.stream == 1 && matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
        if outcome.status != Status::Silence && (last || matches!(frame.kind, RST_STREAM | GOAWAY)) {
            return Ok(());
        }
    }
}

/// A connection whose answers are taken piece by piece.
pub struct Connection {
    tcp: TcpStream,
    answers: BTreeMap<u32, Answer>,
}

/// As much of an answer as has come.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: Option<u16>,
    pub body: String,
    pub end: Option<End>,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    Reset,
}

impl Connection {
    pub async fn to(addr: SocketAddr) -> Self {
        let mut tcp = TcpStream::connect(addr).await.expect("connected");
        tcp.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, NO_TABLE)].concat()).await.expect("sent");
        Connection { tcp, answers: BTreeMap::new() }
    }

    /// Sends a request; the stream on which it is answered.
    pub async fn ask(&mut self, request: &str) -> u32 {
        let stream = self.answers.len() as u32 * 2 + 1;
        self.answers.insert(stream, Answer::default());
        self.tcp.write_all(&request_frames(stream, request)).await.expect("sent");
        stream
    }

    /// The answer on this stream, once there is enough of it. The connection must stay.
    pub async fn answer(&mut self, stream: u32, is_enough: impl Fn(&Answer) -> bool) -> &Answer {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is_enough(&self.answers[&stream]) {
            let frame = timeout_at(deadline, next_frame(&mut self.tcp)).await;
            let frame = frame.unwrap_or_else(|_| panic!("nothing more came after {:?}", self.answers)).expect("still connected");
            assert_ne!(frame.kind, GOAWAY, "the connection ends after {:?}", self.answers);
            self.take(frame).await;
        }
        &self.answers[&stream]
    }

    async fn take(&mut self, frame: Frame) {
        if matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
            let payload = if frame.kind == PING { frame.payload.as_slice() } else { b"" };
            self.tcp.write_all(&self::frame(frame.kind, ACK, 0, payload)).await.expect("sent");
        }
        let Some(answer) = self.answers.get_mut(&frame.stream) else { return };
        match frame.kind {
            HEADERS => answer.status = answer.status.or(status_of(frame.content())),
            DATA => answer.body += &super::latin1(frame.content()),
            RST_STREAM => answer.end = answer.end.or(Some(End::Reset)),
            _ => {}
        }
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            answer.end = Some(End::Whole);
        }
    }
}

fn request_frames(stream: u32, text: &str) -> Vec<u8> {
    let (head, rest) = text.split_once("\n\n").map_or((text, None), |(h, r)| (h, Some(r)));
    let (body, trailers) = rest.map_or(("", ""), |r| r.split_once("\n\n\n").unwrap_or((r, "")));
    let mut out = header_frames(stream, head, if rest.is_some() { 0 } else { END_STREAM });
    if rest.is_some() {
        out.extend(frame(DATA, if trailers.is_empty() { END_STREAM } else { 0 }, stream, &bytes_of(body)));
    }
    if !trailers.is_empty() {
        out.extend(header_frames(stream, trailers, END_STREAM));
    }
    out
}

fn header_frames(stream: u32, lines: &str, flags: u8) -> Vec<u8> {
    let block: Vec<u8> = lines.split('\n').filter(|l| !l.is_empty()).flat_map(literal).collect();
    let parts: Vec<&[u8]> = block.chunks(16000).collect();
    let framed = parts.iter().enumerate().map(|(i, part)| {
        let end = if i + 1 == parts.len() { END_HEADERS } else { 0 };
        if i == 0 { frame(HEADERS, flags | end, stream, part) } else { frame(CONTINUATION, end, stream, part) }
    });
    framed.flatten().collect()
}

/// A literal without indexing and without Huffman coding: nothing is checked or folded.
fn literal(line: &str) -> Vec<u8> {
    let line = line.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
    let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    [vec![0], string(&bytes_of(name)), string(&bytes_of(value))].concat()
}

fn string(data: &[u8]) -> Vec<u8> {
    let mut out = vec![data.len().min(127) as u8];
    if let Some(mut rest) = data.len().checked_sub(127) {
        while rest >= 128 {
            out.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend(data);
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn content(&self) -> &[u8] {
        let mut payload = self.payload.as_slice();
        if self.flags & PADDED != 0 {
            payload = &payload[1..payload.len() - usize::from(payload[0])];
        }
        if self.kind == HEADERS && self.flags & PRIORITY != 0 {
            payload = &payload[5..];
        }
        payload
    }
}

async fn next_frame(stream: &mut TcpStream) -> Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if length > 1 << 20 {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes(id) & 0x7FFF_FFFF, payload })
}

/// The `:status` that begins a response's header block; `None` for trailers.
fn status_of(block: &[u8]) -> Option<u16> {
    // A change of the table's size may come first (RFC 7541, 6.3).
    let mut block = block;
    while let [first, rest @ ..] = block
        && first & 0xE0 == 0x20
    {
        block = if first & 0x1F == 0x1F { rest.get(1..)? } else { rest };
    }
    match block {
        [indexed @ 0x88..=0x8E, ..] => [200, 204, 206, 304, 400, 404, 500].get(usize::from(indexed - 0x88)).copied(),
        [0x08 | 0x18 | 0x48, length, rest @ ..] => {
            let value = rest.get(..usize::from(length & 0x7F))?;
            let digits = if length & 0x80 == 0 { super::latin1(value) } else { huffman_digits(value) };
            digits.parse().ok()
        }
        _ => None,
    }
}

/// Digits of RFC 7541's Huffman code: `0`–`2` have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)).collect();
    let (mut at, mut out) = (0, String::new());
    while let Some(five) = bits.get(at..at + 5).map(|b| b.iter().fold(0, |n, bit| n << 1 | bit)) {
        let six = bits.get(at + 5).map(|bit| five << 1 | bit);
        (at, out) = match (five, six) {
            (0..=2, _) => (at + 5, out + &five.to_string()),
            (_, Some(code @ 25..=31)) => (at + 6, out + &(code - 22).to_string()),
            _ => break,
        };
    }
    out
}
