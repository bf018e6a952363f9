//! Two proxies, a replica set of three, two hundred visitors, and everything that breaks: what was promised is kept all the while.
//!
//! Each visitor knows what was acknowledged, and checks every answer against that (`ticket.rs`). `--no-capture` shows what was counted.

#[path = "fleet_model/site.rs"]
mod site;
mod support;
#[path = "fleet_model/tally.rs"]
mod tally;
#[path = "fleet_model/ticket.rs"]
mod ticket;
#[path = "fleet_model/visitor.rs"]
mod visitor;

use mongodb::bson::{Document, doc};
use site::{PROXIES, Site};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::Traffic;
use tally::{Outcome, Tally};
use ticket::{BOUND, SLACK};
use visitor::Visitor;

const VISITORS: u64 = 200;
/// Another one plays other visitors; `$FLEET_SEED` overrides it.
const SEED: u64 = 4;

/// An election takes two seconds, and a stalled primary's followers cling to it for up to twelve more.
const FAILOVER: Duration = Duration::from_secs(40);
/// Nothing has to be elected.
const RECOVERY: Duration = Duration::from_secs(20);
/// An end that the store refused is tried again at least every ten seconds.
const LAST_WORD: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_nothing_acknowledged_is_lost_nobody_is_signed_out_and_nobody_let_in() {
    let seed = std::env::var("FLEET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("seed {seed}");
    let (mut site, tally, is_over) = (Site::start().await, Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    tally.phase("calm");
    let addresses: [_; PROXIES] = std::array::from_fn(|proxy| site.proxies[proxy].cloakroom.addr());
    let visiting: Vec<_> = (0..VISITORS)
        .map(|number| {
            let (mut visitor, is_over) = (Visitor::new(number, seed, addresses, tally.clone()), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    visitor.act().await;
                }
                visitor
            })
        })
        .collect();
    tally.until_met(Outcome::Done, 1000).await;

    break_everything(&mut site, &tally).await;

    is_over.store(true, Ordering::Relaxed);
    let mut visitors = Vec::new();
    for visit in visiting {
        visitors.push(visit.await.expect("a visitor"));
    }
    tally.phase("when all is quiet");
    let mut quiet = Vec::new();
    for visitor in visitors {
        quiet.push(tokio::spawn(settle(visitor)));
    }
    let mut settled = Vec::new();
    for visitor in quiet {
        settled.push(visitor.await.expect("a visitor"));
    }
    let unlike = look_into_the_store(&site, &settled).await;
    let defects: Vec<String> = site
        .proxies
        .iter()
        .flat_map(|proxy| proxy.cloakroom.log().lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect::<Vec<_>>())
        .collect();

    println!("{}", tally.table());
    let objections: Vec<String> = tally
        .objections()
        .into_iter()
        .chain(settled.into_iter().flat_map(|settled| settled.objections))
        .chain(unlike)
        .chain(defects)
        .collect();
    assert_eq!(objections, Vec::<String>::new());
}

async fn break_everything(site: &mut Site, tally: &Tally) {
    tally.phase("the primary steps down");
    site.set.step_down().await;
    tally.well_again(FAILOVER).await;

    tally.phase("the primary is killed");
    let primary = site.set.primary().await;
    site.set.kill(primary);
    tally.well_again(FAILOVER).await;
    tally.phase("and comes back");
    site.set.restart(primary).await;
    tally.well_again(FAILOVER).await;

    for is_long in [false, true] {
        tally.phase(if is_long { "the primary stands still for long" } else { "the primary stands still" });
        let primary = site.set.primary().await;
        site.set.freeze(primary);
        let others: Vec<usize> = (0..3).filter(|number| *number != primary).collect();
        site.set.primary_among(&others).await;
        if is_long {
            tally.well_again(FAILOVER).await;
        }
        // Now there are two that hold themselves for the primary.
        tally.phase("and goes on");
        site.set.thaw(primary);
        tally.well_again(FAILOVER).await;
    }

    for (traffic, name) in
        [(Traffic::Cut, "one proxy is cut off"), (Traffic::Held, "nothing gets through"), (Traffic::Mute, "no answer gets through")]
    {
        tally.phase(name);
        site.proxies[1].traffic(traffic);
        tally.until_met(Outcome::Unavailable, 100).await;
        tally.pass(BOUND + SLACK).await;
        tally.phase("and is mended");
        site.proxies[1].traffic(Traffic::Flows);
        tally.well_again(RECOVERY).await;
    }

    tally.phase("the network is slow");
    site.proxies.iter().for_each(|proxy| proxy.traffic(Traffic::Slow(Duration::from_millis(100))));
    tally.until_met(Outcome::Done, 800).await;
    tally.phase("and quick again");
    site.proxies.iter().for_each(|proxy| proxy.traffic(Traffic::Flows));
    tally.well_again(RECOVERY).await;

    tally.phase("all are killed and started again");
    site.set.restart_all().await;
    tally.well_again(FAILOVER).await;
}

/// What a visitor found at the end.
struct Settled {
    visitor: Visitor,
    /// What both proxies showed of the session that goes on.
    data: Option<serde_json::Value>,
    objections: Vec<String>,
}

/// Looks at everything once more, by both proxies: when all is quiet they agree, and what was ended is gone.
async fn settle(mut visitor: Visitor) -> Settled {
    tokio::time::sleep(BOUND + SLACK).await;
    let (mut objections, mut shown) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for proxy in 0..PROXIES {
        while visitor.ticket.is_some() && began.elapsed() < LAST_WORD {
            match visitor.shown(proxy).await {
                Ok(None) => continue,
                Ok(Some(now)) => shown.push(now),
                Err(objection) => objections.push(objection),
            }
            break;
        }
        for number in 0..visitor.ghosts.len() {
            loop {
                match visitor.haunt(number, proxy).await {
                    Ok(true) => break,
                    Ok(false) if began.elapsed() < LAST_WORD => tokio::time::sleep(Duration::from_millis(50)).await,
                    Ok(false) => objections.push("an end was never final".to_owned()),
                    Err(objection) => objections.push(objection),
                }
                if !objections.is_empty() {
                    break;
                }
            }
        }
    }
    let agree = match (&visitor.ticket, &shown[..]) {
        (None, []) => true,
        (Some(ticket), [one, other]) => one == other && ticket.may_hold(&one.data),
        _ => false,
    };
    if !agree {
        objections.push(format!("the proxies show {shown:?}"));
    }
    Settled { data: shown.first().map(|shown| shown.data.clone()), visitor, objections }
}

/// The store holds what the proxies show, and nothing of what was ended.
async fn look_into_the_store(site: &Site, settled: &[Settled]) -> Vec<String> {
    let client = site.set.client().await;
    let documents = client.database("cloakroom").collection::<Document>("sessions");
    let mut unlike = Vec::new();
    for Settled { visitor, data, .. } in settled {
        let Some(ticket) = &visitor.ticket else { continue };
        let stored = documents.find_one(doc! { "handle": &ticket.handle }).await.expect("the store answers");
        let session = stored.as_ref().and_then(|stored| serde_json::from_str::<serde_json::Value>(stored.get_str("session").ok()?).ok());
        let session = session.map(|mut session| {
            session.as_object_mut().map(|session| session.remove("cookie"));
            session
        });
        if session != *data {
            unlike.push(format!("the store holds {session:?}, the proxies show {data:?}"));
        }
    }
    let live = doc! { "handle": { "$exists": true }, "ended": { "$exists": false } };
    let live: HashSet<String> = documents
        .distinct("handle", live)
        .await
        .expect("the store answers")
        .into_iter()
        .filter_map(|handle| Some(handle.as_str()?.to_owned()))
        .collect();
    let ghosts = settled.iter().flat_map(|settled| &settled.visitor.ghosts).filter(|ghost| live.contains(&ghost.handle));
    unlike.extend(ghosts.map(|ghost| format!("the store holds the ended session {}", ghost.handle)));
    unlike
}
