//! What a request with a known session allocates in our own code, from its head to the app's answer. Memory is most of what a proxy does
//! on its hot path, and a count is the same on every machine, which a time is not.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

#[path = "bench/site.rs"]
mod site;

use cloakroom::edge::Verdict;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

/// Measured. Who adds one on purpose raises it; who removes one lowers it.
const MOST: usize = 15;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // The thread may be ending: what it does then is not counted.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test]
async fn a_known_session_costs_a_bounded_number_of_allocations() {
    let (edge, head) = site::edge().await;
    let answer = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, "text/plain".parse().unwrap())]);
    let mut spent = 0;

    // The first rounds fill what is kept for the next ones.
    for _ in 0..3 {
        let before = COUNT.get();
        let inbound = edge.understand(&head, b"/a/b?c=d", [127, 0, 0, 1].into()).unwrap();
        let Verdict::Forward(mut visit) = edge.receive(Arc::new(inbound), &head.headers).await else { panic!("not forwarded") };
        let departed = edge.depart(&mut visit, &answer).await.ok().unwrap();
        spent = COUNT.get() - before;
        assert!(visit.dressed.handle().is_some() && departed.is_private, "not the session that was to be measured");
    }

    assert!(spent <= MOST, "{spent} allocations instead of {MOST}");
    assert!(spent + 3 >= MOST, "only {spent} allocations: lower the bound, so that the gain is kept");
}
