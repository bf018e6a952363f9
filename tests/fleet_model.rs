//! Two proxies, a replica set of three, two hundred visitors, and everything that breaks: what was promised is kept all the while.
//!
//! Each visitor knows what was acknowledged, and checks every answer against that (`ticket.rs`). `--no-capture` shows what was counted.

#[path = "fleet_model/quiet.rs"]
mod quiet;
#[path = "fleet_model/site.rs"]
mod site;
mod support;
#[path = "fleet_model/tally.rs"]
mod tally;
#[path = "fleet_model/ticket.rs"]
mod ticket;
#[path = "fleet_model/visitor.rs"]
mod visitor;

use site::{PROXIES, Site};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::Traffic;
use tally::{Outcome, Tally};
use ticket::{BOUND, SLACK};
use visitor::Visitor;

const VISITORS: u64 = 200;
/// Another one plays other visitors; `$FLEET_SEED` overrides it.
const SEED: u64 = 4;

/// An election takes two seconds, and a stalled primary's followers cling to it for up to twelve more.
const FAILOVER: Duration = Duration::from_secs(60);
/// Nothing has to be elected.
const RECOVERY: Duration = Duration::from_secs(40);

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
    let mut settling = Vec::new();
    for visitor in visitors {
        settling.push(tokio::spawn(quiet::settle(visitor)));
    }
    let mut settled = Vec::new();
    for visitor in settling {
        settled.push(visitor.await.expect("a visitor"));
    }
    let unlike = quiet::look_into_the_store(&site, &settled).await;
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
