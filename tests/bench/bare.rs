//! What Cloakroom is measured against: Pingora as a reverse proxy and nothing else; and the upstream of both.
//!
//! The proxy is the one of Pingora's quick start: `upstream_peer` alone, Pingora's own defaults, the system's allocator. So it has none of
//! the deadlines that a proxy on the open network needs and that Cloakroom has: no time limit for a head, for the upstream's answer, or for
//! idle connections on either side.
//!
//! `bare proxy LISTEN UPSTREAM` and `bare upstream LISTEN`.
use async_trait::async_trait;
use pingora::prelude::{HttpPeer, Result, Server};
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["proxy", listen, upstream] => proxy(listen, upstream.parse().expect("UPSTREAM is address:port")),
        ["upstream", listen] => upstream(listen),
        _ => panic!("usage: bare proxy LISTEN UPSTREAM | bare upstream LISTEN"),
    }
}

fn proxy(listen: &str, upstream: SocketAddr) {
    // As many threads as Cloakroom has by default: one per core.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let stop = ServerConf { threads, grace_period_seconds: Some(0), graceful_shutdown_timeout_seconds: Some(1), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, stop);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(upstream));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever();
}

/// Answers 200 at once; on `/change` the answer also changes the session.
#[tokio::main]
async fn upstream(listen: &str) {
    let listener = TcpListener::bind(listen).await.expect("a free address");
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer_all(stream));
    }
}

static CHANGES: AtomicU64 = AtomicU64::new(0);

async fn answer_all(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(16 << 10);
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        // wrk does not pipeline: one head, one answer.
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let change = if request.starts_with(b"GET /change") {
            format!("X-Session-Set: {{\"userinfo\":\"admin\",\"count\":{}}}\r\n", CHANGES.fetch_add(1, Ordering::Relaxed))
        } else {
            String::new()
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n{change}\r\nok\n");
        stream.write_all(answer.as_bytes()).await?;
        request.clear();
    }
}
