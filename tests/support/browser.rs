//! A small HTTP/1.1 client with a cookie jar; headers are sent byte for byte as given.
//!
//! The jar has one site and no paths: what a page sets is sent everywhere until a page expires it.
use super::{bytes_of, find, latin1};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Browser {
    addr: SocketAddr,
    host: String,
    headers: Vec<(String, String)>,
    pub jar: Vec<(String, String)>,
}

/// One final response; `raw` has every byte, interim responses included.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub raw: Vec<u8>,
    /// Heads of the 1xx responses that came before.
    pub interim: Vec<String>,
}

impl Browser {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, host: addr.to_string(), headers: Vec::new(), jar: Vec::new() }
    }

    /// The `Host` it sends, when it is not the address.
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// A header for every request from now on; the same name may come twice.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same visitor at another address, such as a second proxy or one that was restarted.
    pub fn at(mut self, addr: SocketAddr) -> Self {
        (self.addr, self.host) = (addr, addr.to_string());
        self
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.jar.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub async fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, &[], b"").await
    }

    /// A form's POST.
    pub async fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Page {
        self.send("POST", path, &[("Content-Type", "application/x-www-form-urlencoded")], body.as_ref()).await
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Page {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Like [`send`](Self::send), for exchanges that are expected to break off.
    pub async fn try_send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Page> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        let own = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.jar.is_empty() {
            let pairs: Vec<_> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
            head += &format!("Cookie: {}\r\n", pairs.join("; "));
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "Connection: close\r\n\r\n";
        let request = [bytes_of(&head), body.to_vec()].concat();

        let page = tokio::time::timeout(PATIENCE, fetch(self.addr, &request, method))
            .await
            .map_err(|_| Error::new(ErrorKind::TimedOut, "no complete answer"))??;
        self.remember(&page);
        Ok(page)
    }

    fn remember(&mut self, page: &Page) {
        for cookie in page.set_cookies() {
            self.jar.retain(|(n, _)| *n != cookie.name);
            if !cookie.is_expired() {
                self.jar.push((cookie.name, cookie.value));
            }
        }
    }
}

impl Page {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("status {}, no JSON ({e}): {}", self.status, self.text()))
    }

    /// All values of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    pub fn set_cookies(&self) -> Vec<SetCookie> {
        self.headers("Set-Cookie").into_iter().map(SetCookie::parse).collect()
    }

    pub fn set_cookie(&self, name: &str) -> Option<SetCookie> {
        self.set_cookies().into_iter().find(|c| c.name == name)
    }

    /// Values of a request header as the echo app received it.
    pub fn received(&self, name: &str) -> Vec<String> {
        let echoed = self.json();
        let pairs = echoed["headers"].as_array().expect("an answer of the echo app").iter();
        pairs
            .filter_map(|p| Some((p[0].as_str()?, p[1].as_str()?)))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.to_owned())
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCookie {
    pub name: String,
    pub value: String,
    /// Names in lower case; flags have an empty value.
    pub attributes: Vec<(String, String)>,
}

impl SetCookie {
    pub fn parse(line: &str) -> Self {
        let mut parts = line.split(';').map(|p| p.split_once('=').unwrap_or((p, "")));
        let (name, value) = parts.next().unwrap_or_default();
        let attributes = parts.map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned())).collect();
        Self { name: name.trim().to_owned(), value: value.trim().to_owned(), attributes }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `Max-Age` wins over `Expires`, as in RFC 6265.
    pub fn is_expired(&self) -> bool {
        if let Some(seconds) = self.attribute("max-age").and_then(|v| v.parse::<i64>().ok()) {
            return seconds <= 0;
        }
        self.attribute("expires").and_then(|v| httpdate::parse_http_date(v).ok()).is_some_and(|at| at <= SystemTime::now())
    }
}

/// A connection that is kept alive from one request to the next, and made anew when it was closed or has been idle for long: then the
/// server may be about to close it.
pub struct KeptAlive {
    addr: SocketAddr,
    halves: Option<(OwnedReadHalf, OwnedWriteHalf, Instant)>,
}

impl KeptAlive {
    pub fn to(addr: SocketAddr) -> Self {
        Self { addr, halves: None }
    }

    /// A request without a body.
    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Page> {
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{fields}{length}\r\n", self.addr);
        let (mut reader, mut writer) = match self.halves.take() {
            Some((reader, writer, used)) if used.elapsed() < PATIENCE => (reader, writer),
            _ => TcpStream::connect(self.addr).await?.into_split(),
        };
        let page = tokio::time::timeout(PATIENCE, exchange(&mut reader, &mut writer, request.as_bytes(), method));
        let page = page.await.map_err(|_| Error::new(ErrorKind::TimedOut, "no complete answer"))??;
        if !page.header("Connection").is_some_and(|said| said.eq_ignore_ascii_case("close")) {
            self.halves = Some((reader, writer, Instant::now()));
        }
        Ok(page)
    }
}

async fn fetch(addr: SocketAddr, request: &[u8], method: &str) -> Result<Page> {
    let (mut reader, mut writer) = TcpStream::connect(addr).await?.into_split();
    exchange(&mut reader, &mut writer, request, method).await
}

async fn exchange(reader: &mut OwnedReadHalf, writer: &mut OwnedWriteHalf, request: &[u8], method: &str) -> Result<Page> {
    let mut wire = Incoming { reader, raw: Vec::new(), at: 0 };
    // An early refusal may come while a large body is still going out.
    let (_, page) = tokio::join!(writer.write_all(request), wire.page(method));
    page
}

/// A response being read: `raw` keeps everything, `at` is how far it is understood.
struct Incoming<'a, R> {
    reader: &'a mut R,
    raw: Vec<u8>,
    at: usize,
}

impl<R: AsyncReadExt + Unpin> Incoming<'_, R> {
    async fn page(&mut self, method: &str) -> Result<Page> {
        let mut interim = Vec::new();
        loop {
            let head = self.head().await?;
            let (status, headers) = parse_head(&head)?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(head);
                continue;
            }
            let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            let body = if bodiless { Vec::new() } else { self.body(&headers).await? };
            return Ok(Page { status, headers, body, raw: std::mem::take(&mut self.raw), interim });
        }
    }

    async fn more(&mut self) -> Result<()> {
        match self.reader.read_buf(&mut self.raw).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, format!("cut short after {:?}", latin1(&self.raw)))),
            _ => Ok(()),
        }
    }

    async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(n) = find(&self.raw[self.at..], end) {
                let found = self.raw[self.at..self.at + n].to_vec();
                self.at += n + end.len();
                return Ok(found);
            }
            self.more().await?;
        }
    }

    async fn head(&mut self) -> Result<String> {
        Ok(latin1(&self.until(b"\r\n\r\n").await?))
    }

    async fn take(&mut self, n: usize) -> Result<Vec<u8>> {
        while self.raw.len() < self.at + n {
            self.more().await?;
        }
        self.at += n;
        Ok(self.raw[self.at - n..self.at].to_vec())
    }

    async fn body(&mut self, headers: &[(String, String)]) -> Result<Vec<u8>> {
        let value = |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        if value("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return self.chunks().await;
        }
        if let Some(length) = value("content-length") {
            return self.take(length.parse().map_err(|_| invalid(format!("Content-Length {length:?}")))?).await;
        }
        self.reader.read_to_end(&mut self.raw).await?;
        self.take(self.raw.len() - self.at).await
    }

    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = latin1(&self.until(b"\r\n").await?);
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| invalid(format!("chunk size {line:?}")))?;
            if size == 0 {
                while !self.until(b"\r\n").await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size).await?);
            if self.take(2).await? != b"\r\n" {
                return Err(invalid("a chunk without its line end".to_owned()));
            }
        }
    }
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn parse_head(head: &str) -> Result<(u16, Vec<(String, String)>)> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| invalid(format!("status line {first:?}")))?;
    let headers =
        lines.map(|l| l.split_once(':').unwrap_or((l, ""))).map(|(n, v)| (n.to_owned(), v.trim_matches([' ', '\t']).to_owned())).collect();
    Ok((status, headers))
}
