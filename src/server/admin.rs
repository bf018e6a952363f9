//! The admin listener: for the operator's machines, never for visitors.

use axum::Router;
use axum::routing::get;
use std::io;
use tokio::net::TcpListener;

/// Serves until the task is dropped. `/livez` says that the process is alive; it asks for no token and tells nothing else.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    axum::serve(listener, Router::new().route("/livez", get(|| async { "ok\n" }))).await
}
