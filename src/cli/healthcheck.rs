//! `cloakroom healthcheck`: is the proxy that this configuration describes alive? For containers, which have no curl.

use super::{FAILED, FINE, WRONG};
use crate::config;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the admin listener's `/livez`, else `/.cloakroom/livez` on the first listener. Returns the exit code.
pub fn healthcheck(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> u8 {
    let Ok((config, _)) = config::load(path, env) else { return WRONG };
    let target = match (&config.admin, config.server.listen.first()) {
        (Some(admin), _) => (admin.listen, "/livez"),
        (None, Some(first)) => (first.addr, "/.cloakroom/livez"),
        (None, None) => return WRONG,
    };
    if is_alive(reachable(target.0), target.1).unwrap_or(false) { FINE } else { FAILED }
}

/// Nobody connects to 0.0.0.0: the loopback address of the same family answers for it.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) });
    }
    address
}

fn is_alive(address: SocketAddr, path: &str) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut start = [0; 12];
    connection.read_exact(&mut start)?;
    Ok(start == *b"HTTP/1.1 200")
}
