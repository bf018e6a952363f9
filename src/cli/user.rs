//! `cloakroom user`: who is in the users file. A running Cloakroom notices the change by itself.

use super::{FAILED, FINE, WRONG};
use crate::auth::choice::Weak;
use crate::auth::hash::{HashError, Kind, StoredHash, Strength};
use crate::auth::users_file::edit::{Edit, EditError, edit};
use crate::auth::users_file::{Users, is_name, is_toml, read};
use crate::auth::{Password, SourceSettings};
use crate::config::{self, Config};
use crate::random::OsEntropy;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const ADD_EXAMPLE: &str = "Example:\n  cloakroom user add alice --role admin\n  pwgen -s 20 1 | tee /dev/tty | cloakroom user add alice\n\nThe password is asked for twice; if standard input is no terminal, it is its first line.";
const LIST_EXAMPLE: &str = "Example:\n  cloakroom user list";
const REMOVE_EXAMPLE: &str =
    "Example:\n  cloakroom user remove alice\n\nThe user's sessions end: within seconds where Cloakroom runs, else when it does.";
const PASSWORD_EXAMPLE: &str =
    "Example:\n  cloakroom user password alice\n\nThe user's sessions end: within seconds where Cloakroom runs, else when it does.";
pub(super) const EXAMPLE: &str = "Example:\n  cloakroom user add alice";

/// `cloakroom user`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct User {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Subcommand)]
enum What {
    /// Add a user
    #[command(after_help = ADD_EXAMPLE)]
    Add(Add),
    /// List all users of the file
    #[command(after_help = LIST_EXAMPLE)]
    List,
    /// Remove a user
    #[command(after_help = REMOVE_EXAMPLE)]
    Remove {
        /// Upper and lower case count
        name: String,
    },
    /// Give a user a new password
    #[command(after_help = PASSWORD_EXAMPLE)]
    Password {
        /// Upper and lower case count
        name: String,
    },
}

#[derive(Args, Clone, Debug, PartialEq)]
struct Add {
    /// What the user will type; upper and lower case count
    name: String,
    /// Goes into the session as `role`
    #[arg(long, value_name = "TEXT")]
    role: Option<String>,
    /// Goes into the session's list `groups`; may be given several times
    #[arg(long, value_name = "TEXT")]
    group: Vec<String>,
    /// Goes into the session as `email`
    #[arg(long, value_name = "TEXT")]
    email: Option<String>,
    /// Goes into the session as `display_name`
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
}

/// Where a command reads and writes.
pub struct Desk<'a> {
    /// `None`: a person at a terminal, who is asked without echo.
    pub input: Option<&'a mut dyn BufRead>,
    /// Results.
    pub out: &'a mut dyn Write,
    /// Everything else.
    pub err: &'a mut dyn Write,
    /// Whether `err` is a terminal that shows colours.
    pub color: bool,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("there is no `[login]` in the configuration: add the line [login] to it")]
    NoLogin,
    #[error("`[login] users` names no .toml file, and others are not ours to edit; use `htpasswd -B` for an .htpasswd")]
    NoFile,
    #[error("`{0}` is no name for a user: 1 to 256 bytes without control characters")]
    Name(String),
    #[error("{0}; nothing was changed")]
    Weak(#[from] Weak),
    #[error("the two passwords differ; nothing was changed")]
    Differ,
    #[error("no password: standard input is empty")]
    NoPassword,
    #[error("could not read the password: {0}")]
    Unreadable(std::io::Error),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("could not write the result: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Failure::Unreadable(_) | Failure::Hash(_) | Failure::Output(_) | Failure::Edit(EditError::Unwritable { .. }) => FAILED,
            _ => WRONG,
        }
    }
}

/// Does what was asked for. Returns the exit code; an error is one of writing.
pub fn user(command: &User, path: &Path, env: &dyn Fn(&str) -> Option<String>, mut desk: Desk<'_>) -> std::io::Result<u8> {
    let config = match config::load(path, env) {
        Ok((config, _)) => config,
        Err(report) => {
            desk.err.write_all(report.render(desk.color).as_bytes())?;
            return Ok(WRONG);
        }
    };
    match act(&command.what, &config, &mut desk) {
        Ok(()) => Ok(FINE),
        Err(failure) => {
            writeln!(desk.err, "error: {failure}")?;
            Ok(failure.code())
        }
    }
}

fn act(what: &What, config: &Config, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let file = file_of(config)?;
    let users = || read(&file).map(|contents| contents.users).map_err(EditError::from);
    match what {
        What::List => Ok(list(&users()?, desk.out)?),
        What::Add(add) => {
            let name = check(&add.name)?;
            // Before anybody types a password for nothing.
            if users()?.contains_key(name) {
                return Err(EditError::Taken(name.to_owned()).into());
            }
            let hash = new_hash(name, desk)?;
            edit(&file, &Edit::Add { user: name, hash: &hash, fields: &fields(add) })?;
            Ok(writeln!(desk.err, "{name} may sign in; {} says so", file.display())?)
        }
        What::Password { name } => {
            let name = check(name)?;
            if !users()?.contains_key(name) {
                return Err(EditError::Unknown(name.to_owned()).into());
            }
            let hash = new_hash(name, desk)?;
            edit(&file, &Edit::Password { user: name, hash: &hash })?;
            Ok(writeln!(desk.err, "{name} has a new password; the sessions from before end")?)
        }
        What::Remove { name } => {
            edit(&file, &Edit::Remove { user: check(name)? })?;
            Ok(writeln!(desk.err, "{name} is not in {} any more; the sessions end", file.display())?)
        }
    }
}

/// The first file of ours.
fn file_of(config: &Config) -> Result<PathBuf, Failure> {
    let login = config.login.as_ref().ok_or(Failure::NoLogin)?;
    let files = login.users.iter().filter_map(|source| match source {
        SourceSettings::File(path) => Some(path),
        SourceSettings::Mongo(_) => None,
    });
    files.into_iter().find(|path| is_toml(path)).cloned().ok_or(Failure::NoFile)
}

fn check(name: &str) -> Result<&str, Failure> {
    if is_name(name) { Ok(name) } else { Err(Failure::Name(name.escape_debug().collect())) }
}

fn fields(add: &Add) -> Map<String, Value> {
    let texts = [("role", &add.role), ("email", &add.email), ("display_name", &add.display_name)];
    let mut fields: Map<String, Value> =
        texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), Value::from(text.clone()?)))).collect();
    if !add.group.is_empty() {
        fields.insert("groups".to_owned(), add.group.iter().cloned().map(Value::from).collect());
    }
    fields
}

fn list(users: &Users, out: &mut dyn Write) -> std::io::Result<()> {
    for (name, entry) in users {
        let kind = match entry.hash.kind() {
            Kind::Argon2 { .. } => "argon2",
            Kind::Bcrypt { .. } => "bcrypt",
        };
        let disabled = if entry.disabled { "\tdisabled" } else { "" };
        let fields = serde_json::to_string(&entry.account.fields).unwrap_or_default();
        writeln!(out, "{name}\t{kind}\t{fields}{disabled}")?;
    }
    Ok(())
}

fn new_hash(user: &str, desk: &mut Desk<'_>) -> Result<StoredHash, Failure> {
    let password = match &mut desk.input {
        Some(input) => Password::choose(user, &first_line(*input)?)?,
        None => {
            let ask = |prompt: &str| rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(Failure::Unreadable);
            let typed = ask(&format!("New password for {user}: "))?;
            let password = Password::choose(user, &typed)?;
            if ask("The same again: ")? != typed {
                return Err(Failure::Differ);
            }
            password
        }
    };
    Ok(StoredHash::make(&password, Strength::SHIPPED, &OsEntropy)?)
}

fn first_line(input: &mut dyn BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    if input.read_line(&mut line).map_err(Failure::Unreadable)? == 0 {
        return Err(Failure::NoPassword);
    }
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    struct Site(tempfile::TempDir);

    impl Site {
        fn new(login: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let text = format!("{login}\n[store]\nkind = \"memory\"\n[[routes]]\nupstream = \"demo\"\n");
            std::fs::write(directory.path().join("proxy.toml"), text).unwrap();
            Site(directory)
        }

        /// Exit code, standard output, standard error.
        fn run(&self, line: &str, input: &str) -> (u8, String, String) {
            let Some(Command::User(command)) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
            let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), input.as_bytes());
            let desk = Desk { input: Some(&mut input), out: &mut out, err: &mut err, color: false };
            let code = user(&command, &self.0.path().join("proxy.toml"), &|_| None, desk).unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", self.0.path().display()), "");
            (code, text(out), text(err))
        }

        fn hash_of(&self, name: &str) -> StoredHash {
            read(&self.0.path().join("users.toml")).unwrap().users.remove(name).unwrap().hash
        }
    }

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    #[test]
    fn a_user_is_added_listed_given_a_password_and_removed() {
        let site = Site::new("[login]");

        let added =
            site.run("cloakroom user add alice --role admin --group staff --group ops --email a@example.com", "correct horse\nignored\n");
        assert_eq!(added, (0, String::new(), "alice may sign in; users.toml says so\n".to_owned()));
        assert!(site.hash_of("alice").is_of(&password("correct horse")));
        let listed = site.run("cloakroom user list", "");
        let fields = r#"{"email":"a@example.com","groups":["staff","ops"],"role":"admin"}"#;
        assert_eq!(listed, (0, format!("alice\targon2\t{fields}\n"), String::new()));
        let changed = site.run("cloakroom user password alice", "battery staple\r\n");
        assert_eq!(changed, (0, String::new(), "alice has a new password; the sessions from before end\n".to_owned()));
        assert!(site.hash_of("alice").is_of(&password("battery staple")));
        let removed = site.run("cloakroom user remove alice", "");
        assert_eq!(removed, (0, String::new(), "alice is not in users.toml any more; the sessions end\n".to_owned()));
        assert_eq!(site.run("cloakroom user list", ""), (0, String::new(), String::new()));
    }

    #[test]
    fn what_cannot_be_is_told_and_changes_nothing() {
        let site = Site::new("[login]");
        site.run("cloakroom user add bob", "correct horse");
        let cases = [
            ("cloakroom user add bob", "other words", "there is a user `bob` already"),
            ("cloakroom user password eve", "other words", "there is no user `eve`"),
            ("cloakroom user remove eve", "", "there is no user `eve`"),
            ("cloakroom user add eve", "short", "a password has at least 8 characters; nothing was changed"),
            ("cloakroom user add eve", "Password1\n", "this is one of the most common passwords; nothing was changed"),
            ("cloakroom user add eve", "", "no password: standard input is empty"),
            ("cloakroom user add a\tb", "other words", "`a\\tb` is no name for a user: 1 to 256 bytes without control characters"),
        ];
        let before = std::fs::read(site.0.path().join("users.toml")).unwrap();

        for (line, input, expected) in cases {
            assert_eq!(site.run(line, input), (2, String::new(), format!("error: {expected}\n")));
        }

        assert_eq!(std::fs::read(site.0.path().join("users.toml")).unwrap(), before);
    }

    #[test]
    fn without_a_login_or_a_file_of_ours_there_is_nothing_to_edit() {
        let no_login = Site::new("").run("cloakroom user list", "");
        let no_file = Site::new("[login]\nusers = \".htpasswd\"").run("cloakroom user add alice", "correct horse");

        assert_eq!((no_login.0, no_file.0), (2, 2));
        assert!(no_login.2.contains("add the line [login]") && no_file.2.contains("use `htpasswd -B`"), "{no_login:?} {no_file:?}");
    }

    #[test]
    fn a_password_is_never_an_argument() {
        assert!(Cli::try_parse_from(["cloakroom", "user", "add", "alice", "correct horse"]).is_err());
        assert!(Cli::try_parse_from(["cloakroom", "user", "add", "alice", "--password", "correct horse"]).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_a_failure_not_a_misuse() {
        let site = Site::new("[login]\nusers = \"nowhere/users.toml\"");

        let (code, _, told) = site.run("cloakroom user add alice", "correct horse");

        assert_eq!(code, 1);
        assert!(told.starts_with("error: could not write nowhere/users.toml: "), "{told}");
    }
}
