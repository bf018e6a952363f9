//! A visitor: logs in, looks, changes, logs out, by whichever proxy; tries what is over, and what was never given; checks every answer.

use crate::site::PROXIES;
use crate::support::{KeptAlive, Page};
use crate::tally::{Kind, Outcome, Tally};
use crate::ticket::{Ack, FIELDS, Ghost, Shown, Ticket};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many ended sessions are tried again.
const MOST_GHOSTS: usize = 6;

/// Longer than any operation of the store is under way.
const LATE: Duration = Duration::from_secs(10);

const HERE: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

pub struct Visitor {
    name: String,
    dice: Dice,
    /// Two to each proxy: some things are done at once.
    lines: Vec<[KeptAlive; PROXIES]>,
    tally: Arc<Tally>,
    latest: u64,
    /// The session of the device at hand, and of the one that lies aside.
    pub ticket: Option<Ticket>,
    other: Option<Ticket>,
    stays_away_until: Option<Instant>,
    pub ghosts: Vec<Ghost>,
}

/// An answer, and the moment of its question.
struct Told {
    page: Page,
    proxy: usize,
    asked: Instant,
}

impl Told {
    /// 503: nothing was said of the session.
    fn is_refusal(&self) -> bool {
        self.page.status == 503
    }

    /// What the app says it was told.
    fn shown(&self) -> Result<Shown, String> {
        let told: serde_json::Value =
            serde_json::from_slice(&self.page.body).map_err(|_| format!("no answer of the app: {}", self.page.text()))?;
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        Ok(Shown { user: text("user"), handle: text("handle"), data: told["data"].clone() })
    }

    fn clears_the_cookie(&self) -> bool {
        self.page.set_cookie("cloakroom").is_some_and(|cookie| cookie.is_expired())
    }

    fn ack(&self) -> Ack {
        Ack::now(self.proxy)
    }
}

/// Where a question goes and what comes with it.
struct Question<'a> {
    kind: Kind,
    method: &'a str,
    path: String,
    cookie: Option<&'a str>,
}

impl<'a> Question<'a> {
    fn get(kind: Kind, path: impl Into<String>, cookie: Option<&'a str>) -> Self {
        Question { kind, method: "GET", path: path.into(), cookie }
    }

    fn logout(cookie: &'a str) -> Self {
        Question { kind: Kind::LogOut, method: "POST", path: "/.cloakroom/logout".to_owned(), cookie: Some(cookie) }
    }

    async fn ask(self, line: &mut KeptAlive, proxy: usize, tally: &Tally) -> Result<Told, String> {
        let cookie = self.cookie.map(|value| format!("cloakroom={value}"));
        let headers: Vec<(&str, &str)> = cookie.iter().map(|value| ("Cookie", value.as_str())).chain([HERE]).collect();
        let asked = Instant::now();
        let page = line.send(self.method, &self.path, &headers).await;
        let page = page.map_err(|error| format!("{} {} by proxy {proxy} was broken off: {error}", self.method, self.path))?;
        let outcome = if page.status == 503 { Outcome::Unavailable } else { Outcome::Done };
        tally.note(self.kind, outcome, asked.elapsed());
        match page.status {
            200 | 303 => Ok(Told { page, proxy, asked }),
            503 if page.header("Retry-After").is_some() => Ok(Told { page, proxy, asked }),
            status => Err(format!("{} {} by proxy {proxy} was answered {status}: {}", self.method, self.path, page.text())),
        }
    }
}

impl Visitor {
    pub fn new(number: u64, seed: u64, addresses: [SocketAddr; PROXIES], tally: Arc<Tally>) -> Self {
        let lines = (0..2).map(|_| addresses.map(KeptAlive::to)).collect();
        let dice = Dice(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Visitor {
            name: format!("u{number}"),
            dice,
            lines,
            tally,
            latest: 0,
            ticket: None,
            other: None,
            stays_away_until: None,
            ghosts: Vec::new(),
        }
    }

    /// Thinks for a moment, then does something.
    pub async fn act(&mut self) {
        tokio::time::sleep(Duration::from_millis(30 + self.dice.below(400))).await;
        if self.dice.below(4) == 0 {
            self.take_the_other_device();
        }
        let proxy = self.dice.below(PROXIES as u64) as usize;
        let objection = match (self.ticket.is_some(), self.dice.below(100)) {
            (false, 0..70) if self.stays_away_until.is_none_or(|until| until < Instant::now()) => self.log_in(proxy).await,
            (false, 70..80) | (true, 0..3) => self.come_as_a_stranger(proxy).await,
            (false, _) | (true, 3..9) => self.come_back_as_a_ghost(proxy).await,
            (true, 9..55) => self.look(proxy).await,
            (true, 55..77) => self.change(proxy).await,
            (true, 77..82) => self.renew(proxy).await,
            (true, 82..90) => self.change_two_at_once().await,
            (true, 90..93) => self.log_out(proxy, false).await,
            (true, 93..95) => self.log_out(proxy, true).await,
            (true, 95..97) => self.log_out_everywhere(proxy).await,
            (true, _) => self.log_out_during_a_change().await,
        };
        if let Err(objection) = objection {
            self.tally.object(format!("{}: {objection}", self.name));
            // What follows would only repeat it.
            self.ticket = None;
        }
    }

    pub fn take_the_other_device(&mut self) {
        std::mem::swap(&mut self.ticket, &mut self.other);
    }

    async fn ask(&mut self, proxy: usize, question: Question<'_>) -> Result<Told, String> {
        question.ask(&mut self.lines[0][proxy], proxy, &self.tally).await
    }

    async fn log_in(&mut self, proxy: usize) -> Result<(), String> {
        let value = self.next();
        let told = self.ask(proxy, Question::get(Kind::LogIn, format!("/in/{}/{value}", self.name), None)).await?;
        let cookie = told.page.set_cookie("cloakroom");
        if told.is_refusal() {
            return if cookie.is_none() { Ok(()) } else { Err("a refused login came with a cookie".to_owned()) };
        }
        let Some(cookie) = cookie else { return Err("a login came without a cookie".to_owned()) };
        self.ticket = Some(Ticket::new(cookie.value, self.name.clone(), value, told.ack()));
        Ok(())
    }

    pub async fn look(&mut self, proxy: usize) -> Result<(), String> {
        self.shown(proxy).await.map(drop)
    }

    /// What the visitor's session is by this proxy, and no refusal.
    pub async fn shown(&mut self, proxy: usize) -> Result<Option<Shown>, String> {
        let Some(cookie) = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()) else { return Ok(None) };
        let told = self.ask(proxy, Question::get(Kind::Look, "/look", Some(&cookie))).await?;
        self.check(&told)
    }

    fn check(&mut self, told: &Told) -> Result<Option<Shown>, String> {
        let Some(ticket) = &mut self.ticket else { return Ok(None) };
        if let Some(cookie) = told.page.set_cookie("cloakroom").filter(|cookie| cookie.value != ticket.cookie) {
            return Err(format!("an answer that ends nothing set the cookie: {cookie:?}"));
        }
        if told.is_refusal() {
            return Ok(None);
        }
        let shown = told.shown()?;
        if let Some(objection) = ticket.objection(&shown, told.proxy, told.asked) {
            return Err(format!("by proxy {}: {objection}", told.proxy));
        }
        ticket.handle = shown.handle.clone().unwrap_or_default();
        Ok(Some(shown))
    }

    async fn change(&mut self, proxy: usize) -> Result<(), String> {
        let (value, field) = (self.next(), self.dice.below(FIELDS.len() as u64) as usize);
        let Some(cookie) = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()) else { return Ok(()) };
        let told = self.ask(proxy, Question::get(Kind::Change, put(field, value), Some(&cookie))).await;
        self.note_change(field, value, told)
    }

    fn note_change(&mut self, field: usize, value: u64, told: Result<Told, String>) -> Result<(), String> {
        let told = told?;
        // What the app was told is of before the change.
        let checked = self.check(&told);
        if let Some(ticket) = &mut self.ticket {
            ticket.changed(field, value, (!told.is_refusal()).then(|| told.ack()));
        }
        checked.map(drop)
    }

    /// The same session under a new id, or, if nothing was said, under the old one for as long as it lasts.
    async fn renew(&mut self, proxy: usize) -> Result<(), String> {
        let Some(cookie) = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()) else { return Ok(()) };
        let told = self.ask(proxy, Question::get(Kind::Renew, "/renew", Some(&cookie))).await?;
        let (Some(ticket), new) = (&mut self.ticket, told.page.set_cookie("cloakroom")) else { return Ok(()) };
        if told.is_refusal() {
            return if new.is_none() { Ok(()) } else { Err("a refused renewal came with a cookie".to_owned()) };
        }
        if let Some(objection) = ticket.objection(&told.shown()?, proxy, told.asked) {
            return Err(format!("by proxy {proxy}, at a renewal: {objection}"));
        }
        match new {
            Some(new) if new.value != cookie && !new.is_expired() => ticket.renewed(new.value),
            new => return Err(format!("a renewal came without a new id: {new:?}")),
        }
        Ok(())
    }

    /// Two tabs: both changes must last.
    async fn change_two_at_once(&mut self) -> Result<(), String> {
        let (first, second) = (self.next(), self.next());
        let [a, b] = [self.dice.below(PROXIES as u64) as usize, self.dice.below(PROXIES as u64) as usize];
        let Some(cookie) = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()) else { return Ok(()) };
        let question = |field, value| Question::get(Kind::Change, put(field, value), Some(&cookie));
        let [one, other] = &mut self.lines[..] else { return Ok(()) };
        let (one, other) =
            tokio::join!(question(0, first).ask(&mut one[a], a, &self.tally), question(1, second).ask(&mut other[b], b, &self.tally));
        // Each may already have seen what the other one wrote.
        if let Some(ticket) = &mut self.ticket {
            ticket.changed(0, first, None);
            ticket.changed(1, second, None);
        }
        self.note_change(0, first, one)?;
        self.note_change(1, second, other)
    }

    /// By our own page, or by the app.
    async fn log_out(&mut self, proxy: usize, by_app: bool) -> Result<(), String> {
        let Some(cookie) = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()) else { return Ok(()) };
        let question = if by_app { Question::get(Kind::LogOut, "/out", Some(&cookie)) } else { Question::logout(&cookie) };
        let told = self.ask(proxy, question).await?;
        if by_app
            && !told.is_refusal()
            && let Some(objection) =
                self.ticket.as_ref().zip(told.shown().ok()).and_then(|(ticket, shown)| ticket.objection(&shown, proxy, told.asked))
        {
            return Err(format!("by proxy {proxy}, at a logout: {objection}"));
        }
        self.note_logout(&told)
    }

    fn note_logout(&mut self, told: &Told) -> Result<(), String> {
        match (told.is_refusal(), told.clears_the_cookie()) {
            // The session could not be read, so nobody asked for its end.
            (true, false) => return Ok(()),
            (false, false) => return Err("a logout left the cookie".to_owned()),
            (_, true) => {}
        }
        let ended = self.ticket.take();
        self.bury(ended, told);
        Ok(())
    }

    fn bury(&mut self, ended: Option<Ticket>, told: &Told) {
        self.ghosts.extend(ended.into_iter().flat_map(|ticket| ticket.ended(told.ack(), !told.is_refusal())));
        self.ghosts.drain(..self.ghosts.len().saturating_sub(MOST_GHOSTS));
    }

    async fn log_out_everywhere(&mut self, proxy: usize) -> Result<(), String> {
        let Some(cookie) = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()) else { return Ok(()) };
        let told = self.ask(proxy, Question::get(Kind::LogOut, "/out/all", Some(&cookie))).await?;
        self.note_logout(&told)?;
        if self.ticket.is_none() {
            let ended = self.other.take();
            self.bury(ended, &told);
            // An end of all whose outcome nobody knows may yet come, and end what begins meanwhile.
            self.stays_away_until = told.is_refusal().then(|| Instant::now() + LATE);
        }
        Ok(())
    }

    /// The change may come first or too late; it brings nothing back.
    async fn log_out_during_a_change(&mut self) -> Result<(), String> {
        let value = self.next();
        let [a, b] = [self.dice.below(PROXIES as u64) as usize, self.dice.below(PROXIES as u64) as usize];
        let Some(cookie) = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()) else { return Ok(()) };
        let [one, other] = &mut self.lines[..] else { return Ok(()) };
        let change = Question::get(Kind::Change, put(2, value), Some(&cookie));
        let (changed, left) =
            tokio::join!(change.ask(&mut one[a], a, &self.tally), Question::logout(&cookie).ask(&mut other[b], b, &self.tally));
        let (changed, left) = (changed?, left?);
        self.note_logout(&left)?;
        if self.ticket.is_some() {
            return self.note_change(2, value, Ok(changed));
        }
        match changed.is_refusal() {
            true => Ok(()),
            false => match changed.shown()?.user {
                Some(user) if user != self.name => Err(format!("{} was taken for {user}", self.name)),
                _ => Ok(()),
            },
        }
    }

    async fn come_back_as_a_ghost(&mut self, proxy: usize) -> Result<(), String> {
        if self.ghosts.is_empty() {
            return Ok(());
        }
        let number = self.dice.below(self.ghosts.len() as u64) as usize;
        self.haunt(number, proxy).await.map(drop)
    }

    /// Whether an ended session is refused by this proxy; an objection if it had to be.
    pub async fn haunt(&mut self, number: usize, proxy: usize) -> Result<bool, String> {
        let cookie = self.ghosts[number].cookie.clone();
        let told = self.ask(proxy, Question::get(Kind::Ghost, "/look", Some(&cookie))).await?;
        if told.is_refusal() {
            return Ok(false);
        }
        let shown = told.shown()?;
        match self.ghosts[number].objection(&shown, proxy, told.asked) {
            Some(objection) => Err(format!("by proxy {proxy}: {objection}")),
            None => Ok(shown == Shown::nobody()),
        }
    }

    /// Without a cookie, with one that somebody made up, or with the id of a live session and no signature of ours.
    async fn come_as_a_stranger(&mut self, proxy: usize) -> Result<(), String> {
        let stolen = self.ticket.as_ref().map(|ticket| ticket.cookie.clone()).unwrap_or_default();
        let forged = match self.dice.below(3) {
            0 => None,
            1 => Some("s%3AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()),
            _ => Some(format!("{}x", stolen.split('.').next().unwrap_or_default())),
        };
        let told = self.ask(proxy, Question::get(Kind::Stranger, "/look", forged.as_deref())).await?;
        match told.is_refusal() {
            true => Err("a stranger was refused".to_owned()),
            false if told.shown()? != Shown::nobody() => Err(format!("a stranger was let in: {:?}", told.shown())),
            false => Ok(()),
        }
    }

    fn next(&mut self) -> u64 {
        self.latest += 1;
        self.latest
    }
}

fn put(field: usize, value: u64) -> String {
    format!("/put/{}/{value}", FIELDS[field])
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
