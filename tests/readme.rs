//! What the README tells people to type is what is tested: its commands, its configurations, its example apps.
mod support;

#[allow(dead_code)] // what only the login's own tests use
#[path = "login/site.rs"]
mod site;

use site::sign_in;
use std::fs;
use std::path::{Path, PathBuf};
use support::{App, Browser, Cloakroom};

/// Variables that its configurations may name.
const NAMED: [(&str, &str); 3] = [
    ("SESSION_SECRET", "a secret of more than 32 bytes, not for use"),
    ("MONGODB_URI", "mongodb://127.0.0.1:27017/"),
    ("CLOAKROOM_ADMIN_TOKEN", "a token of more than 32 bytes, not for use"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("README.md")
}

/// Fenced code blocks: their language and content.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let content: Vec<_> = lines.by_ref().take_while(|l| *l != "```").collect();
            blocks.push((language.trim().to_owned(), content.join("\n") + "\n"));
        }
    }
    blocks
}

#[test]
fn the_readme_has_the_two_commands() {
    let commands: Vec<String> = blocks(&readme()).into_iter().flat_map(|(_, b)| b.lines().map(str::to_owned).collect::<Vec<_>>()).collect();

    let missing: Vec<_> = ["cargo run --release", "tests/run"].into_iter().filter(|c| !commands.iter().any(|l| l == c)).collect();

    assert_eq!(missing, Vec::<&str>::new());
}

#[tokio::test]
async fn the_first_curl_commands_print_what_the_readme_says() {
    let blocks = blocks(&readme());
    let at = blocks.iter().position(|(_, content)| content.contains("grep Welcome")).expect("the commands");
    let proxy = Cloakroom::start(include_str!("../proxy.toml").replace("\n#[server]\n", "\n[server]\n").as_str()).await;
    let commands = blocks[at].1.replace("127.0.0.1:8080", &proxy.addr().to_string());

    let output = tokio::process::Command::new("sh").args(["-c", &commands]).current_dir(proxy.folder()).output().await.expect("a shell");

    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()), (Some(0), blocks[at + 1].1.clone()));
}

#[tokio::test]
async fn the_two_minutes_to_a_login_are_as_the_readme_says() {
    let readme = readme();
    let blocks = blocks(readme.split("\n## Sign visitors in\n").nth(1).expect("the section"));
    let [(_, toml), (_, commands)] = &blocks[..2] else { panic!("a configuration and commands") };
    let app = App::start().await;
    let upstream = "upstream = \"http://127.0.0.1:3000\"";
    assert!(toml.contains(upstream), "{toml}");
    let site = Cloakroom::with(&toml.replace(upstream, &format!("upstream = \"{}\"", app.url())));
    let typed: Vec<Vec<&str>> = commands.lines().map(|line| line.split(' ').collect()).collect();
    let [install, add, run] = typed.as_slice() else { panic!("three commands: {commands}") };
    assert_eq!(
        (install.as_slice(), add[0], run[0]),
        (["cargo", "install", "--locked", "--path", "."].as_slice(), "cloakroom", "cloakroom")
    );

    let added = site.run_with(&add[1..], "correct horse battery staple\n").await;
    assert_eq!(added.0, Some(0), "{added:?}");
    let proxy = site.start_as(&run[1..]).await;
    let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");
    let turned = browser.get("/accounts?of=2025").await;
    let login = turned.header("Location").expect("the login is shown first").to_owned();
    assert!(browser.get(&login).await.text().contains("Ledger"), "with the title");
    let back = sign_in(&mut browser, &login, "alice", "correct horse battery staple").await;
    assert_eq!((back.status, back.header("Location")), (303, Some("/accounts?of=2025")));
    let page = browser.get("/accounts?of=2025").await;

    assert_eq!((page.received("X-Session-User"), page.received("Remote-User")), (vec!["alice".to_owned()], vec!["alice".to_owned()]));
}

#[test]
fn the_example_apps_of_the_readme_are_the_tested_ones() {
    let blocks = blocks(&readme());
    let apps = root().join("tests/apps");

    let differing: Vec<_> = ["node/seed.mjs", "seed.py", "seed.cgi.sh"]
        .into_iter()
        .filter(|name| {
            let tested = fs::read_to_string(apps.join(name)).expect("the app");
            !blocks.iter().any(|(_, content)| *content == tested)
        })
        .collect();

    assert_eq!(differing, Vec::<&str>::new(), "the README has no block that is byte for byte this file of tests/apps");
}

#[tokio::test]
async fn every_configuration_of_the_readme_passes_check() {
    let mut configurations: Vec<String> = blocks(&readme()).into_iter().filter(|(l, _)| l == "toml").map(|(_, c)| c).collect();
    assert!(!configurations.is_empty(), "the README shows no configuration");
    configurations.push(fs::read_to_string(root().join("proxy.toml")).expect("proxy.toml"));

    for configuration in configurations {
        let folder = NAMED.into_iter().fold(Cloakroom::with(&configuration), |b, (n, v)| b.env(n, v)).file("proxy.toml", &configuration);
        let (code, _, problems) = folder.run(&["check"]).await;
        assert_eq!(code, Some(0), "{configuration}\n{problems}");
    }
}
