//! A Chromium of its own for each test, without a window, with a profile that nobody has used.

use crate::support::{Browser, find, signal};
use base64::prelude::{BASE64_STANDARD, Engine};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::fs::DirEntry;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// A page has this long to become what is expected; a busy machine may need it.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(50);

/// A running browser; dropping it ends it.
pub struct Chromium {
    client: Client,
    driver: SocketAddr,
    screen: Screen,
    /// The browser's own process, which takes its children with it.
    pid: u32,
    profile: TempDir,
    _driver: Child,
}

/// What a page is shown on.
#[derive(Clone, Copy)]
pub struct Screen {
    pub width: u32,
    pub scripts: bool,
}

impl Screen {
    pub const DESK: Screen = Screen { width: 1200, scripts: true };
}

impl Chromium {
    pub async fn start(screen: Screen) -> Self {
        let (child, driver) = chromedriver().await;
        let profile = TempDir::with_prefix("cloakroom-chromium-").expect("a folder");
        let asked = json!({ "goog:loggingPrefs": { "browser": "ALL" }, "goog:chromeOptions": { "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--lang=en-US", format!("--user-data-dir={}", profile.path().display()),
        ] } });
        let asked = asked.as_object().expect("an object").clone();
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(asked).connect(&format!("http://{driver}")).await;
        let client = client.unwrap_or_else(|error| panic!("no Chromium starts: {error}; `tests/run` installs one"));
        let pid = client.capabilities().and_then(|told| told.get("goog:processID")?.as_u64()).expect("Chromium's process id");
        let chromium = Self { client, driver, screen, pid: pid as u32, profile, _driver: child };
        chromium.look_at(screen).await;
        chromium
    }

    /// Shows pages on this screen from now on.
    pub async fn look_at(&self, Screen { width, scripts }: Screen) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !scripts })).await;
        self.resize(width).await;
    }

    pub async fn resize(&self, width: u32) {
        let (height, is_phone) = (if width < 600 { 740 } else { 800 }, width < 600);
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// `light` or `dark`, as the visitor's system is set. Nothing moves, so that a change is there at once.
    pub async fn prefer(&self, scheme: &str) {
        let preference = |name: &str, value: &str| json!({ "name": name, "value": value });
        let preferences = [preference("prefers-color-scheme", scheme), preference("prefers-reduced-motion", "reduce")];
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": preferences })).await;
    }

    /// The language that the visitor's browser asks for.
    pub async fn speak(&self, language: &str) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setExtraHTTPHeaders", json!({ "headers": { "Accept-Language": language } })).await;
    }

    pub async fn open(&self, address: &str) {
        self.client.goto(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }

    pub async fn back(&self) {
        self.client.back().await.expect("a page before");
    }

    /// Goes on in a new tab.
    pub async fn new_tab(&self) {
        let tab = self.client.new_window(true).await.expect("a new tab");
        self.client.switch_to_window(tab.handle).await.expect("the new tab");
        self.look_at(self.screen).await;
    }

    /// Waits until the page shows this text; then all that it shows.
    pub async fn shows(&self, text: &str) -> String {
        let mut shown = String::new();
        let waited = timeout(PATIENCE, async {
            while !shown.contains(text) {
                sleep(GLANCE).await;
                // Between two pages there is none to ask.
                shown = self.client.execute("return document.body.innerText", vec![]).await.map_or_else(|e| e.to_string(), |t| text_of(&t));
            }
        });
        if waited.await.is_err() {
            panic!("{text:?} does not appear at {}:\n{shown}", self.address().await);
        }
        shown
    }

    pub async fn address(&self) -> String {
        self.client.current_url().await.map_or_else(|error| error.to_string(), String::from)
    }

    /// Types into a field, over what is in it.
    pub async fn fill(&self, field: &str, text: &str) {
        let element = self.client.find(Locator::Css(&format!("[name={field}]"))).await;
        let element = element.unwrap_or_else(|error| panic!("no field {field}: {error}"));
        element.clear().await.expect("an empty field");
        element.send_keys(text).await.expect("typed");
    }

    /// What is in a field.
    pub async fn value(&self, field: &str) -> String {
        let element = self.client.find(Locator::Css(&format!("[name={field}]"))).await.expect("the field");
        element.prop("value").await.expect("its value").unwrap_or_default()
    }

    /// Clicks the first button that says this.
    pub async fn press(&self, label: &str) {
        let button = self.client.find(Locator::XPath(&format!("//button[normalize-space()='{label}']"))).await;
        let button = button.unwrap_or_else(|error| panic!("no button {label:?}: {error}"));
        button.click().await.unwrap_or_else(|error| panic!("{label:?} cannot be pressed: {error}"));
    }

    /// What a script finds out on this page, whether or not the page may have scripts.
    pub async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|error| panic!("{script:.80}: {error}"))
    }

    /// The same for a script that calls its last argument when it is done.
    pub async fn ask_later(&self, script: &str) -> Value {
        self.client.execute_async(script, vec![]).await.unwrap_or_else(|error| panic!("{script:.80}: {error}"))
    }

    /// Nothing reaches beyond this width. A phone's browser would make the window as wide as the page, so it cannot be asked.
    pub async fn assert_fits(&self, width: u32) {
        let page = self.ask("return document.scrollingElement.scrollWidth").await;
        assert!(page.as_u64() <= Some(u64::from(width)), "{} is {page} px wide instead of {width}", self.address().await);
    }

    /// The whole page as PNG, also what is below the window.
    pub async fn photograph(&self) -> Vec<u8> {
        let taken = self.devtools("Page.captureScreenshot", json!({ "captureBeyondViewport": true })).await;
        BASE64_STANDARD.decode(text_of(&taken["data"])).expect("an image")
    }

    /// What the browser had to complain about since the last time: refused by a policy, not found, not understood.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.vendor("se/log", json!({ "type": "browser" })).await;
        entries.as_array().expect("a log").iter().map(|entry| text_of(&entry["message"])).collect()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.vendor("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// What chromedriver knows beyond the WebDriver standard.
    async fn vendor(&self, command: &str, parameters: Value) -> Value {
        let session = self.client.session_id().await.ok().flatten().expect("a session");
        let json = [("Content-Type", "application/json")];
        let path = format!("/session/{session}/{command}");
        let page = Browser::new(self.driver).send("POST", &path, &json, parameters.to_string().as_bytes()).await;
        assert_eq!(page.status, 200, "{parameters}: {}", page.text());
        page.json()["value"].take()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        signal(self.pid, "KILL");
        // Its children notice a moment later, and write into the folder until then.
        let (folder, end) = (self.profile.path().as_os_str().as_encoded_bytes(), Instant::now() + PATIENCE);
        let is_its = |process: DirEntry| std::fs::read(process.path().join("cmdline")).is_ok_and(|line| find(&line, folder).is_some());
        while std::fs::read_dir("/proc").expect("processes").flatten().any(is_its) && Instant::now() < end {
            std::thread::yield_now();
        }
    }
}

/// A chromedriver on a free port.
async fn chromedriver() -> (Child, SocketAddr) {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("no chromedriver: {error}; `tests/run` installs it and Chromium"));
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = timeout(PATIENCE, async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, rest)) = line.split_once("started successfully on port ") {
                return rest.trim_end_matches('.').parse::<u16>().ok();
            }
        }
        None
    });
    let port = port.await.ok().flatten().expect("chromedriver tells its port");
    (child, ([127, 0, 0, 1], port).into())
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
