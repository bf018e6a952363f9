//! Arguments in, exit code out.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use clap::Parser as _;
use cloakroom::cli::{Cli, Command, FAILED, FINE, check, demo, explain, healthcheck, run, secret, session, user};
use cloakroom::random::OsEntropy;
use std::io::IsTerminal as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc reads this before `main`. Each request takes a buffer of 64 KB, which by default is enough to look through all that a thread keeps
/// at hand. (The buffer itself is not kept there: `tcache_max` ends at 32 KB.)
#[allow(unsafe_code, reason = "a symbol that a library in C asks for")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_OPTIONS: &[u8] = b"tcache_gc_incr_bytes:4194304\0";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = |name: &str| std::env::var(name).ok();
    let path = cli.config_path(&env);
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let code = match cli.chosen() {
        Command::Run => Ok(run::run(&path, &env, color)),
        Command::Check => check::check(&path, &env, check::Output { out: &mut out, err: &mut err, color }),
        Command::Explain(question) => explain::explain(&path, &env, &question, check::Output { out: &mut out, err: &mut err, color }),
        Command::Secret => secret::print(&OsEntropy, &mut out).map(|()| FINE),
        Command::Demo(options) => Ok(demo::demo(options.listen)),
        Command::User(command) => {
            let is_person = std::io::stdin().is_terminal();
            let mut lines = std::io::stdin().lock();
            let input = (!is_person).then_some(&mut lines as &mut dyn std::io::BufRead);
            user::user(&command, &path, &env, user::Desk { input, out: &mut out, err: &mut err, color })
        }
        Command::Session(command) => session::session(&command, &path, &env, check::Output { out: &mut out, err: &mut err, color }),
        Command::Healthcheck => Ok(healthcheck::healthcheck(&path, &env)),
    };
    ExitCode::from(code.unwrap_or(FAILED))
}
