//! When all is quiet: both proxies and the store agree, on what was acknowledged last or sent later, and what was ended is gone.

use crate::site::{PROXIES, Site};
use crate::ticket::{BOUND, SLACK};
use crate::visitor::Visitor;
use futures_util::TryStreamExt as _;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// An end that the store refused is tried again at least every ten seconds.
const LAST_WORD: Duration = Duration::from_secs(40);

/// What a visitor found at the end.
pub struct Settled {
    visitor: Visitor,
    /// The handles of the sessions that go on, and what both proxies showed of them.
    sessions: Vec<(String, Value)>,
    pub objections: Vec<String>,
}

/// Looks at everything once more, by both proxies.
pub async fn settle(mut visitor: Visitor) -> Settled {
    tokio::time::sleep(BOUND + SLACK).await;
    let (mut sessions, mut objections, began) = (Vec::new(), Vec::new(), Instant::now());
    for _device in 0..2 {
        match agreed(&mut visitor, began).await {
            Ok(session) => sessions.extend(session),
            Err(objection) => objections.push(objection),
        }
        visitor.take_the_other_device();
    }
    for (number, proxy) in (0..visitor.ghosts.len()).flat_map(|number| (0..PROXIES).map(move |proxy| (number, proxy))) {
        objections.extend(gone(&mut visitor, number, proxy, began).await.err());
    }
    Settled { visitor, sessions, objections }
}

/// What both proxies show of the session of the device at hand, if there is one.
async fn agreed(visitor: &mut Visitor, began: Instant) -> Result<Option<(String, Value)>, String> {
    let mut shown = Vec::new();
    while visitor.ticket.is_some() && shown.len() < PROXIES {
        if began.elapsed() > LAST_WORD {
            return Err("the proxies do not answer".to_owned());
        }
        shown.extend(visitor.shown(shown.len()).await?);
    }
    match (&visitor.ticket, &shown[..]) {
        (None, _) => Ok(None),
        (Some(ticket), [one, other]) if one == other && ticket.may_hold(&one.data) => Ok(Some((ticket.handle.clone(), one.data.clone()))),
        _ => Err(format!("the proxies show {shown:?}")),
    }
}

async fn gone(visitor: &mut Visitor, number: usize, proxy: usize, began: Instant) -> Result<(), String> {
    while !visitor.haunt(number, proxy).await? {
        if began.elapsed() > LAST_WORD {
            return Err("an end was never final".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What the store holds that it should not, or does not hold, when all that was left unfinished had its time.
pub async fn look_into_the_store(site: &Site, settled: &[Settled]) -> Vec<String> {
    let client = site.set.client().await;
    let documents = client.database("cloakroom").collection::<Document>("sessions");
    let began = Instant::now();
    loop {
        let unlike = compare(&documents, settled).await;
        if unlike.is_empty() || began.elapsed() > LAST_WORD {
            return unlike;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn compare(documents: &Collection<Document>, settled: &[Settled]) -> Vec<String> {
    // Neither tombstones nor the pointers of renewals have a handle.
    let found: Vec<Document> =
        documents.find(doc! { "handle": { "$exists": true } }).await.expect("the store answers").try_collect().await.expect("all of them");
    let mut live: HashMap<&str, Vec<&Document>> = HashMap::new();
    for document in found.iter().filter(|document| !document.contains_key("ended")) {
        live.entry(document.get_str("handle").expect("text")).or_default().push(document);
    }
    let mut unlike = Vec::new();
    for (handle, data) in settled.iter().flat_map(|settled| &settled.sessions) {
        let stored = live.remove(handle.as_str()).unwrap_or_default();
        let sessions: Vec<Value> = stored.into_iter().map(session_of).collect();
        if sessions != [data.clone()] {
            unlike.push(format!("the store holds {sessions:?}, the proxies show {data:?}"));
        }
    }
    let ghosts: HashSet<&str> = settled.iter().flat_map(|settled| &settled.visitor.ghosts).map(|ghost| ghost.handle.as_str()).collect();
    unlike
        .extend(live.keys().filter(|handle| ghosts.contains(*handle)).map(|handle| format!("the store holds the ended session {handle}")));
    unlike
}

/// What the app keeps in it.
fn session_of(document: &Document) -> Value {
    let mut session: Value = document.get_str("session").ok().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    session.as_object_mut().map(|session| session.remove("cookie"));
    session
}
