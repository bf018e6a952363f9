//! `cloakroom demo`: only the built-in demo app, to put behind a Cloakroom of your own.

use super::{FAILED, FINE};
use crate::demo;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Serves until the process is ended. Returns the exit code.
pub fn demo(listen: SocketAddr) -> u8 {
    let served = tokio::runtime::Runtime::new().and_then(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind(listen).await?;
            eprintln!("demo app on http://{}; name it as the upstream of a route", listener.local_addr()?);
            demo::serve(listener).await
        })
    });
    match served {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("error: could not serve the demo on {listen}: {error}");
            FAILED
        }
    }
}
