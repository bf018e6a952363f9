//! A lenient echo app on raw sockets: records the exact bytes it received, answers JSON, obeys directives.
//!
//! Directives stand in the last path segment, so they work below any route prefix:
//! `set?json={…}  login-as?user=  end?what=this|all  renew  max-age?s=` answer with an `X-Session-…` header;
//! `respond?status=  slow?ms=  stream?bytes=  sink  sse  ws  early-hints  hang  drop  http10` shape the answer.
//! `h=Name:Value` adds a response header (repeat it for more), `hint=Name:Value` one to the 103 of `early-hints`.
use super::{bytes_of, find, latin1};
use std::io::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is kept of one connection's bytes, and of one body.
const RECORDED: usize = 4 << 20;

type Answering = dyn Fn(&SeenRequest) -> Option<Answer> + Send + Sync;

/// Serves until dropped with its runtime.
pub struct App {
    addr: SocketAddr,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    streams: Vec<Vec<u8>>,
    requests: Vec<SeenRequest>,
}

/// A request as it arrived; the head is Latin-1, without the empty line.
#[derive(Debug, Clone, Default)]
pub struct SeenRequest {
    pub head: String,
    pub body: Vec<u8>,
    /// The body's true length, when `body` was cut.
    pub body_len: usize,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A moment; see [`App::since`].
#[derive(Debug, Clone)]
pub struct Mark {
    sizes: Vec<usize>,
    count: usize,
}

/// Everything that arrived since a moment.
#[derive(Debug, Clone)]
pub struct Seen {
    pub requests: Vec<SeenRequest>,
    /// The raw bytes, one entry per connection.
    pub streams: Vec<Vec<u8>>,
}

impl App {
    pub async fn start() -> Self {
        Self::answering(|_| None).await
    }

    /// An app of your own; `None` is the echo answer.
    pub async fn answering(answer: impl Fn(&SeenRequest) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let record = Arc::new(Mutex::new(Record::default()));
        let (answer, kept): (Arc<Answering>, _) = (Arc::new(answer), Arc::clone(&record));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                // A broken conversation is the proxy's business; what arrived is recorded.
                tokio::spawn(async move { Connection::new(stream, kept).serve(&*answer).await.ok() });
            }
        });
        Self { addr, record }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<SeenRequest> {
        lock(&self.record).requests.clone()
    }

    /// The latest request.
    pub fn last(&self) -> SeenRequest {
        self.seen().pop().expect("the app was asked")
    }

    pub fn mark(&self) -> Mark {
        let record = lock(&self.record);
        Mark { sizes: record.streams.iter().map(Vec::len).collect(), count: record.requests.len() }
    }

    pub fn since(&self, mark: &Mark) -> Seen {
        let record = lock(&self.record);
        let fresh = record.streams.iter().enumerate().map(|(i, s)| s[mark.sizes.get(i).copied().unwrap_or(0)..].to_vec());
        Seen { requests: record.requests[mark.count..].to_vec(), streams: fresh.filter(|s| !s.is_empty()).collect() }
    }
}

impl Seen {
    /// All the bytes as text, connections apart by a line end.
    pub fn text(&self) -> String {
        latin1(&self.streams.join(&b'\n'))
    }
}

impl SeenRequest {
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.line().split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// Every header line in order, names as they were spelled.
    pub fn all_headers(&self) -> Vec<(&str, &str)> {
        let lines = self.head.split("\r\n").skip(1);
        lines.map(|l| l.split_once(':').unwrap_or((l, ""))).map(|(n, v)| (n, v.trim_matches([' ', '\t']))).collect()
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.all_headers().into_iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// The parsed `X-Session-Data`; `None` when the header is absent.
    pub fn session_data(&self) -> Option<serde_json::Value> {
        self.header("X-Session-Data").map(|raw| serde_json::from_str(raw).expect("X-Session-Data is JSON"))
    }

    fn query(&self) -> Vec<(String, Vec<u8>)> {
        let query = self.target().split_once('?').map_or("", |(_, q)| q).split('&').filter(|p| !p.is_empty());
        let decode = |text: &str| percent_encoding::percent_decode(&bytes_of(&text.replace('+', " "))).collect::<Vec<u8>>();
        query.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(n, v)| (latin1(&decode(n)), decode(v))).collect()
    }

    /// A directive's parameter, or what it is by default.
    fn parameter(&self, name: &str, default: &str) -> String {
        self.query().into_iter().find(|(n, _)| n == name).map_or_else(|| default.to_owned(), |(_, v)| latin1(&v))
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.parameter(name, "").parse().unwrap_or(default)
    }

    /// `h=Name:Value` pairs.
    fn asked_headers(&self, parameter: &str) -> Vec<(String, String)> {
        let values = self.query().into_iter().filter(|(n, _)| n == parameter).map(|(_, v)| latin1(&v));
        values.filter_map(|v| v.split_once(':').map(|(n, v)| (n.to_owned(), v.to_owned()))).collect()
    }
}

impl Answer {
    pub fn text(body: &str) -> Self {
        Self {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())],
            body: body.as_bytes().to_vec(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The echo: what was received, and the headers that the directive asks for.
    fn echo(request: &SeenRequest, directive: &str) -> Self {
        let asked = match directive {
            "set" => Some(("X-Session-Set", request.parameter("json", "{}"))),
            "login-as" => Some(("X-Session-Login", request.parameter("user", "alice"))),
            "end" => Some(("X-Session-End", request.parameter("what", "this"))),
            "renew" => Some(("X-Session-Renew", "true".to_owned())),
            "max-age" => Some(("X-Session-Max-Age", request.parameter("s", "60"))),
            _ => None,
        };
        let mut headers: Vec<_> = asked.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        headers.extend(request.asked_headers("h"));
        let body = serde_json::json!({
            "method": request.method(), "target": request.target(), "headers": request.all_headers(),
            "body": latin1(&request.body), "body_len": request.body_len,
        });
        Self { status: request.number("status", 200) as u16, headers, body: body.to_string().into_bytes() }
    }

    fn head(&self, version: &str, framing: &str) -> Vec<u8> {
        let mut head = format!("{version} {} Status\r\n", self.status);
        if !self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("content-type")) {
            head += "Content-Type: application/json\r\n";
        }
        let mut head = head.into_bytes();
        for (name, value) in &self.headers {
            head.extend([bytes_of(name), b": ".to_vec(), bytes_of(value), b"\r\n".to_vec()].concat());
        }
        head.extend(format!("{framing}\r\n").bytes());
        head
    }
}

/// One connection, cut into requests; lenient where a sloppy app would be.
struct Connection {
    stream: TcpStream,
    record: Arc<Mutex<Record>>,
    index: usize,
    buffer: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, record: Arc<Mutex<Record>>) -> Self {
        stream.set_nodelay(true).ok();
        let index = {
            let mut kept = lock(&record);
            kept.streams.push(Vec::new());
            kept.streams.len() - 1
        };
        Self { stream, record, index, buffer: Vec::new() }
    }

    async fn serve(mut self, custom: &Answering) -> Result<()> {
        loop {
            let head = latin1(&self.until(b"\r\n\r\n").await?);
            let mut request = SeenRequest { head, ..SeenRequest::default() };
            let at = {
                let mut record = lock(&self.record);
                record.requests.push(request.clone());
                record.requests.len() - 1
            };
            self.body(&mut request).await?;
            lock(&self.record).requests[at] = request.clone();
            let close = request.header("Connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
            let goes_on = match custom(&request) {
                Some(answer) => self.answer(&request, &answer).await.map(|()| true),
                None => self.obey(&request).await,
            }?;
            if close || !goes_on {
                return Ok(());
            }
        }
    }

    /// The directive's answer; false when the connection is finished.
    async fn obey(&mut self, request: &SeenRequest) -> Result<bool> {
        let directive = request.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let echo = Answer::echo(request, &directive);
        match directive.as_str() {
            "drop" => return Ok(false),
            "hang" => {
                while self.more().await.is_ok() {}
                return Ok(false);
            }
            "slow" => tokio::time::sleep(Duration::from_millis(request.number("ms", 100))).await,
            "ws" if request.header("Sec-WebSocket-Key").is_some() => {
                self.websocket(request).await?;
                return Ok(false);
            }
            "sse" => {
                self.events(echo).await?;
                return Ok(true);
            }
            "stream" => {
                self.stream(&echo, request.number("bytes", 1 << 20)).await?;
                return Ok(true);
            }
            "early-hints" => {
                let hints = request.asked_headers("hint").into_iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect::<String>();
                self.stream
                    .write_all(&bytes_of(&format!("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n{hints}\r\n")))
                    .await?;
            }
            "http10" => {
                let bytes = [echo.head("HTTP/1.0", ""), echo.body].concat();
                self.stream.write_all(&bytes).await?;
                return Ok(false);
            }
            _ => {}
        }
        self.answer(request, &echo).await.map(|()| true)
    }

    async fn answer(&mut self, request: &SeenRequest, answer: &Answer) -> Result<()> {
        let bodiless = matches!(answer.status, 204 | 304);
        let framing = if bodiless { String::new() } else { format!("Content-Length: {}\r\n", answer.body.len()) };
        let mut bytes = answer.head("HTTP/1.1", &framing);
        if !bodiless && request.method() != "HEAD" {
            bytes.extend(&answer.body);
        }
        self.stream.write_all(&bytes).await
    }

    async fn events(&mut self, mut head: Answer) -> Result<()> {
        head.headers
            .extend([("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")].map(|(n, v)| (n.to_owned(), v.to_owned())));
        self.stream.write_all(&head.head("HTTP/1.1", "Transfer-Encoding: chunked\r\n")).await?;
        for number in 0..3 {
            self.stream.write_all(format!("9\r\ndata: {number}\n\n\r\n").as_bytes()).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.stream.write_all(b"0\r\n\r\n").await
    }

    async fn stream(&mut self, head: &Answer, mut left: u64) -> Result<()> {
        self.stream.write_all(&head.head("HTTP/1.1", &format!("Content-Length: {left}\r\n"))).await?;
        let block = vec![b'x'; 64 << 10];
        while left > 0 {
            let n = left.min(block.len() as u64);
            self.stream.write_all(&block[..n as usize]).await?;
            left -= n;
        }
        Ok(())
    }

    /// Accepts the handshake and echoes messages until the peer leaves.
    async fn websocket(&mut self, request: &SeenRequest) -> Result<()> {
        let key = request.header("Sec-WebSocket-Key").unwrap_or_default();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let extra = request.asked_headers("h").into_iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect::<String>();
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
        );
        self.stream.write_all(&bytes_of(&head)).await?;
        loop {
            let [first, second] = self.take(2).await?[..] else { return Ok(()) };
            let length = match second & 0x7F {
                126 => self.take(2).await?.iter().fold(0, |n, &b| n << 8 | usize::from(b)),
                127 => self.take(8).await?.iter().fold(0, |n, &b| n << 8 | usize::from(b)),
                short => usize::from(short),
            };
            let mask = if second & 0x80 == 0 { vec![0; 4] } else { self.take(4).await? };
            let payload: Vec<u8> = self.take(length).await?.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            let size = match length {
                0..126 => vec![length as u8],
                126..65536 => [&[126], &(length as u16).to_be_bytes()[..]].concat(),
                _ => [&[127], &(length as u64).to_be_bytes()[..]].concat(),
            };
            self.stream.write_all(&[vec![first], size, payload].concat()).await?;
            if first & 0x0F == 8 {
                return Ok(());
            }
        }
    }

    async fn body(&mut self, request: &mut SeenRequest) -> Result<()> {
        if request.headers("Transfer-Encoding").join(" ").to_ascii_lowercase().contains("chunked") {
            loop {
                let line = latin1(&self.line().await?);
                let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    return Ok(());
                }
                self.gather(request, size).await?;
                self.line().await?;
            }
        }
        let numeric = |v: &&str| !v.is_empty() && v.len() <= 15 && v.bytes().all(|b| b.is_ascii_digit());
        let length = request.headers("Content-Length").into_iter().find(numeric).and_then(|v| v.parse().ok()).unwrap_or(0);
        self.gather(request, length).await
    }

    /// Counts all of it, keeps the beginning.
    async fn gather(&mut self, request: &mut SeenRequest, mut left: usize) -> Result<()> {
        while left > 0 {
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let part: Vec<u8> = self.buffer.drain(..left.min(self.buffer.len())).collect();
            left -= part.len();
            request.body_len += part.len();
            if request.body.len() < RECORDED {
                request.body.extend(part);
            }
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<()> {
        let before = self.buffer.len();
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let stream = &mut lock(&self.record).streams[self.index];
        if stream.len() < RECORDED {
            stream.extend(&self.buffer[before..]);
        }
        Ok(())
    }

    async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(n) = find(&self.buffer, end) {
                let mut found: Vec<u8> = self.buffer.drain(..n + end.len()).collect();
                found.truncate(n);
                return Ok(found);
            }
            self.more().await?;
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = self.until(b"\n").await?;
        line.pop_if(|b| *b == b'\r');
        Ok(line)
    }

    async fn take(&mut self, n: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < n {
            self.more().await?;
        }
        Ok(self.buffer.drain(..n).collect())
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
