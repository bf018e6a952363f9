//! `cargo bench`: what a request with a known session costs before and beside the network. Verify the cookie, decide, dress.

mod site;

use cloakroom::edge::Verdict;
use cloakroom::header::request::{Dresser, View};
use cloakroom::inbound::Inbound;
use cloakroom::random::OsEntropy;
use cloakroom::session::cookie;
use cloakroom::session::data::Data;
use cloakroom::session::id::SessionId;
use divan::Bencher;
use site::{DATA, edge, keyring, settings};
use std::sync::Arc;

fn main() {
    divan::main();
}

#[divan::bench]
fn verify(bencher: Bencher) {
    let ring = keyring();
    let header = format!("a=b; cloakroom={}; c=d", ring.sign(&SessionId::generate(&OsEntropy)).replace(':', "%3A").replace('+', "%2B"));

    bencher.bench(|| cookie::values([header.as_bytes()].into_iter(), "cloakroom").iter().any(|value| ring.verify(value).is_some()));
}

#[divan::bench]
fn decide(bencher: Bencher) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (edge, head) = runtime.block_on(edge());

    bencher.bench(|| {
        let inbound: Inbound = edge.understand(&head, b"/a/b?c=d", [127, 0, 0, 1].into()).expect("understood");
        matches!(runtime.block_on(edge.receive(Arc::new(inbound), &head.headers)), Verdict::Forward(_))
    });
}

#[divan::bench]
fn dress(bencher: Bencher) {
    let data = Data::parse(DATA).expect("JSON");
    let settings = settings();
    let dresser = Dresser::new(&settings);

    bencher.bench(|| dresser.dress(&View { handle: "4513ce30fce66daa01a321c06d0e7ba7", user: Some("admin"), data: &data }));
}
