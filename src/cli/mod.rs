//! The command line's grammar. Results go to stdout, everything else to stderr.

mod announce;
pub mod assemble;
pub mod check;
pub mod demo;
pub mod desk;
pub mod explain;
pub mod gate;
pub mod healthcheck;
pub mod run;
pub mod secret;
pub mod session;
pub mod user;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Exit code: all is well.
pub const FINE: u8 = 0;
/// Exit code: it failed while running.
pub const FAILED: u8 = 1;
/// Exit code: wrong usage, or wrong configuration.
pub const WRONG: u8 = 2;

const EXAMPLE: &str = "Example:\n  cloakroom --config proxy.toml";
const RUN_EXAMPLE: &str = "Example:\n  cloakroom run --config /etc/cloakroom/proxy.toml";
const CHECK_EXAMPLE: &str =
    "Example:\n  cloakroom check --config proxy.toml && systemctl reload cloakroom\n\nExits with 0 if the file is fine, else with 2.";
const SECRET_EXAMPLE: &str =
    "Example:\n  SESSION_SECRET=$(cloakroom secret) cloakroom run\n\nwith secrets = [\"env:SESSION_SECRET\"] in `[session]`.";
const EXPLAIN_EXAMPLE: &str = "Example:\n  cloakroom explain GET https://app.example.com/admin --user ada --session-data '{\"role\":\"admin\"}'\n\nAsks no store and no app.";
const DEMO_EXAMPLE: &str = "Example:\n  cloakroom demo --listen 127.0.0.1:3000";
const HEALTH_EXAMPLE: &str =
    "Example:\n  HEALTHCHECK CMD [\"cloakroom\", \"healthcheck\"]\n\nExits with 0 if the proxy answers, else with 1.";

/// A reverse proxy that adds sessions in front of unmodified apps.
#[derive(Clone, Debug, Parser, PartialEq)]
#[command(name = "cloakroom", version, after_help = EXAMPLE)]
pub struct Cli {
    /// The configuration [default: $CLOAKROOM_CONFIG, else proxy.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do; without it: run
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// The configuration file: `--config`, else `$CLOAKROOM_CONFIG`, else `proxy.toml` in the working directory.
    pub fn config_path(&self, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
        let named = self.config.clone().or_else(|| env("CLOAKROOM_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        named.unwrap_or_else(|| PathBuf::from("proxy.toml"))
    }

    /// What to do.
    pub fn chosen(&self) -> Command {
        self.command.clone().unwrap_or(Command::Run)
    }
}

/// The commands.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Serve (this is what happens without a command)
    #[command(after_help = RUN_EXAMPLE)]
    Run,
    /// Tell every problem of the configuration at once
    #[command(after_help = CHECK_EXAMPLE)]
    Check,
    /// Tell which route a request meets, and what the app would get
    #[command(after_help = EXPLAIN_EXAMPLE)]
    Explain(Explain),
    /// Print a fresh secret
    #[command(after_help = SECRET_EXAMPLE)]
    Secret,
    /// Serve only the built-in demo app
    #[command(after_help = DEMO_EXAMPLE)]
    Demo(Demo),
    /// Add, list and remove the users who may sign in
    #[command(after_help = user::EXAMPLE)]
    User(user::User),
    /// List, show and end sessions
    #[command(after_help = session::EXAMPLE)]
    Session(session::Session),
    /// Ask a running proxy whether it is alive
    #[command(after_help = HEALTH_EXAMPLE)]
    Healthcheck,
}

/// `cloakroom explain`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Explain {
    /// The request's method
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// What it asks for: a URL, or a path of this site
    #[arg(value_name = "URL")]
    pub url: String,
    /// Who is signed in [default: nobody]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// What the session holds
    #[arg(long, value_name = "JSON")]
    pub session_data: Option<String>,
}

/// `cloakroom demo`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Demo {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub listen: std::net::SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    fn without_example(grammar: &mut clap::Command) -> Vec<String> {
        let commands = grammar.get_subcommands_mut().filter(|command| command.get_name() != "help");
        let without = commands.flat_map(|command| {
            let is_without = !command.render_help().to_string().contains("Example:\n  ");
            let own = is_without.then(|| command.get_name().to_owned());
            own.into_iter().chain(without_example(command))
        });
        without.collect()
    }

    #[test]
    fn the_grammar_is_consistent_and_each_help_has_an_example() {
        let mut grammar = Cli::command();
        grammar.build();
        grammar.clone().debug_assert();

        assert_eq!(without_example(&mut grammar), Vec::<String>::new());
        assert_eq!(Cli::command().get_subcommands().count(), 8);
    }

    #[test]
    fn run_is_the_default() {
        assert_eq!(parse("cloakroom").chosen(), Command::Run);
    }

    #[test]
    fn the_configuration_is_named_before_or_after_the_command() {
        let set = |name: &str| (name == "CLOAKROOM_CONFIG").then(|| "from-env.toml".to_owned());

        assert_eq!(parse("cloakroom check --config a.toml").config_path(&set), PathBuf::from("a.toml"));
        assert_eq!(parse("cloakroom --config a.toml check").config_path(&set), PathBuf::from("a.toml"));
        assert_eq!(parse("cloakroom check").config_path(&set), PathBuf::from("from-env.toml"));
        assert_eq!(parse("cloakroom check").config_path(&|_| None), PathBuf::from("proxy.toml"));
    }
}
