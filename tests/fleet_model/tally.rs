//! What happened, counted: by phase, by kind of operation, by outcome; and what should not have happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// More of these are not listed.
const MOST_OBJECTIONS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Look,
    Change,
    Renew,
    LogIn,
    LogOut,
    /// With the cookie of a session that was ended.
    Ghost,
    /// Without a cookie, or with one that we did not sign.
    Stranger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Done,
    /// 503 with `Retry-After`.
    Unavailable,
}

#[derive(Default)]
struct Row {
    name: &'static str,
    took: Duration,
    counts: BTreeMap<(Kind, Outcome), usize>,
    longest: Duration,
}

#[derive(Default)]
pub struct Tally {
    rows: Mutex<Vec<Row>>,
    objections: Mutex<Vec<String>>,
    in_a_row: AtomicUsize,
}

impl Tally {
    /// From now on what happens is counted here.
    pub fn phase(&self, name: &'static str) {
        lock(&self.rows).push(Row { name, ..Row::default() });
        println!("{name}");
    }

    /// An answer came.
    pub fn note(&self, kind: Kind, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Done => self.in_a_row.fetch_add(1, Ordering::Relaxed),
            Outcome::Unavailable => self.in_a_row.swap(0, Ordering::Relaxed),
        };
        if let Some(row) = lock(&self.rows).last_mut() {
            *row.counts.entry((kind, outcome)).or_default() += 1;
            row.longest = row.longest.max(took);
        }
    }

    pub fn object(&self, objection: String) {
        let phase = lock(&self.rows).last().map_or("before", |row| row.name);
        let mut objections = lock(&self.objections);
        if objections.len() < MOST_OBJECTIONS {
            println!("!! {phase}: {objection}");
            objections.push(format!("{phase}: {objection}"));
        }
    }

    pub fn objections(&self) -> Vec<String> {
        lock(&self.objections).clone()
    }

    /// How many answers of this phase had this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        lock(&self.rows).last().map_or(0, |row| row.sum(|(_, had)| *had == outcome))
    }

    /// Waits until so many answers in a row were good.
    pub async fn well_again(&self, within: Duration) {
        const MANY: usize = 400;
        self.in_a_row.store(0, Ordering::Relaxed);
        let took = self.until("many good answers in a row", within, || self.in_a_row.load(Ordering::Relaxed) >= MANY).await;
        println!("    well again, with {MANY} good answers in a row, after {took:?}");
    }

    /// Waits until so many answers of this phase had this outcome.
    pub async fn until_met(&self, outcome: Outcome, many: usize) {
        self.until("answers of a kind", Duration::from_secs(60), || self.count(outcome) >= many).await;
    }

    /// Lets the visitors go on for so long.
    pub async fn pass(&self, length: Duration) {
        let began = Instant::now();
        self.until("time passes", length * 2, || began.elapsed() >= length).await;
    }

    async fn until(&self, what: &str, within: Duration, is_so: impl Fn() -> bool) -> Duration {
        let began = Instant::now();
        while !is_so() {
            assert!(self.objections().is_empty(), "{:#?}", self.objections());
            assert!(began.elapsed() < within, "not within {within:?}: {what}\n{}", self.table());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Some(row) = lock(&self.rows).last_mut() {
            row.took += began.elapsed();
        }
        began.elapsed()
    }

    pub fn table(&self) -> String {
        use Kind::{Change, Ghost, LogIn, LogOut, Look, Renew, Stranger};
        let kinds = [Look, Change, Renew, LogIn, LogOut, Ghost, Stranger];
        let mut table = format!("{:<34} {:>6}", "done / 503", "s");
        table.extend(kinds.map(|kind| format!(" {:>13}", format!("{kind:?}"))));
        table += "   longest\n";
        for row in lock(&self.rows).iter() {
            table += &format!("{:<34} {:>6.1}", row.name, row.took.as_secs_f64());
            for kind in kinds {
                let of = |outcome| row.counts.get(&(kind, outcome)).copied().unwrap_or_default();
                table += &format!(" {:>6} / {:<4}", of(Outcome::Done), of(Outcome::Unavailable));
            }
            table += &format!(" {:>8.2?}\n", row.longest);
        }
        table
    }
}

impl Row {
    fn sum(&self, is_meant: impl Fn(&(Kind, Outcome)) -> bool) -> usize {
        self.counts.iter().filter(|(what, _)| is_meant(what)).map(|(_, count)| count).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
