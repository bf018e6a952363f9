//! `cloakroom session`: who has sessions, and the end of some. Asks a running Cloakroom if it has an admin listener, else the store.

mod api;
mod store;

use super::{FAILED, FINE, WRONG, check::Output};
use crate::config::{self, Config};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

pub(super) const EXAMPLE: &str = "Example:\n  cloakroom session list --user ada";
const LIST_EXAMPLE: &str = "Example:\n  cloakroom session list --user ada\n\nOne line each: handle, last use, end, address, program.";
const SHOW_EXAMPLE: &str = "Example:\n  cloakroom session show --handle 8c1f0e5d7b2a49c6830d5e9f1a7b3c24\n\nThe handle is what apps receive as X-Session-Handle and what the access log says.";
const END_EXAMPLE: &str = "Example:\n  cloakroom session end --user ada\n  cloakroom session end --handle 8c1f0e5d7b2a49c6830d5e9f1a7b3c24\n  cloakroom session end --older-than 30d\n  cloakroom session end --all\n\nFinal on every proxy; open WebSockets are closed.";

/// `cloakroom session`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Session {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Subcommand)]
enum What {
    /// List the sessions of a user
    #[command(after_help = LIST_EXAMPLE)]
    List {
        #[arg(long, value_name = "NAME")]
        user: String,
    },
    /// Show one session; never what it holds
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        #[arg(long, value_name = "HANDLE")]
        handle: String,
    },
    /// End one session, all of a user's, all old ones, or everybody's
    #[command(after_help = END_EXAMPLE)]
    End(Whose),
}

#[derive(Args, Clone, Debug, PartialEq)]
#[group(required = true, multiple = false)]
struct Whose {
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// This session
    #[arg(long, value_name = "HANDLE")]
    handle: Option<String>,
    /// Every session that began longer ago than this, such as 12h or 30d, or nobody knows when
    #[arg(long, value_name = "LENGTH", value_parser = age)]
    older_than: Option<Duration>,
    /// Everybody's sessions
    #[arg(long)]
    all: bool,
}

/// What is asked of the admin API or of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ask {
    List { user: String, cursor: Option<String> },
    Show(String),
    EndOne(String),
    EndUser(String),
    EndOlder(Duration),
    EndAll,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("there is no such session")]
    NoSuchSession,
    #[error("the running cloakroom at {0} does not take the token of this configuration: was it started with another one?")]
    WrongToken(std::net::SocketAddr),
    #[error("{0}")]
    Refused(String),
    #[error("could not write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// Runs the command. Returns the exit code.
pub fn session(command: &Session, path: &Path, env: &dyn Fn(&str) -> Option<String>, output: Output<'_>) -> std::io::Result<u8> {
    let config = match config::load(path, env) {
        Ok((config, _)) => config,
        Err(report) => {
            write!(output.err, "{}", report.render(output.color))?;
            return Ok(WRONG);
        }
    };
    match obey(&command.what, &config, output.out) {
        Ok(()) => Ok(FINE),
        Err(failure) => {
            writeln!(output.err, "error: {failure}")?;
            Ok(FAILED)
        }
    }
}

fn obey(what: &What, config: &Config, out: &mut dyn std::io::Write) -> Result<(), Failure> {
    match what {
        What::List { user } => {
            let mut cursor = None;
            loop {
                let page = answer(config, &Ask::List { user: user.clone(), cursor })?;
                for session in page.get("sessions").and_then(Value::as_array).into_iter().flatten() {
                    writeln!(out, "{}", line(session))?;
                }
                cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
                if cursor.is_none() {
                    return Ok(());
                }
            }
        }
        What::Show { handle } => {
            let shown = answer(config, &Ask::Show(handle.clone()))?;
            writeln!(out, "{}", serde_json::to_string_pretty(&shown).unwrap_or_default())?;
            Ok(())
        }
        What::End(whose) => {
            let ask = match (&whose.user, &whose.handle, whose.older_than) {
                (Some(user), ..) => Ask::EndUser(user.clone()),
                (_, Some(handle), _) => Ask::EndOne(handle.clone()),
                (.., Some(age)) => Ask::EndOlder(age),
                _ => Ask::EndAll,
            };
            let ended = answer(config, &ask)?;
            match ended.get("ended") {
                Some(Value::Number(count)) => writeln!(out, "{count} sessions ended")?,
                Some(Value::String(_)) => {
                    writeln!(out, "refused here from now on; the store has not confirmed the end and is asked again")?
                }
                _ => writeln!(out, "ended")?,
            }
            Ok(())
        }
    }
}

/// A running Cloakroom is asked first: it may hold the store, and it closes what is open at once.
fn answer(config: &Config, ask: &Ask) -> Result<Value, Failure> {
    match config.admin.as_ref().and_then(|admin| api::answer(admin, ask)) {
        Some(answer) => answer,
        None => store::answer(config, ask),
    }
}

fn age(text: &str) -> Result<Duration, &'static str> {
    let length = config::length_of_time(text).filter(|length| !length.is_zero());
    length.ok_or("a whole number and one of the units ms, s, m, h and d, such as 12h or 30d")
}

fn line(session: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("-").to_owned();
    let client = |name| text(session.get("client").and_then(|client| client.get(name)));
    let own = |name| text(session.get(name));
    [own("handle"), own("updated_at"), own("expires_at"), client("address"), client("agent")].join("  ")
}
