//! Whether a name exists cannot be told from the time of the answer (ASVS 6.3.8).

use super::*;
use std::time::Instant;

/// Enough work that it outweighs the rest, little enough for hundreds of tries.
const VISIBLE: Strength = Strength { memory: 2048, passes: 2, lanes: 1 };
const TRIES: usize = 200;

/// The Mann-Whitney rank test: how many standard deviations the ranks of `a` among both are away from what chance gives.
fn separation(a: &[Duration], b: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = a.iter().map(|time| (*time, true)).chain(b.iter().map(|time| (*time, false))).collect();
    all.sort();
    let ranks: f64 = all.iter().zip(1..).filter(|((_, is_a), _)| *is_a).map(|(_, rank)| f64::from(rank)).sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (u, mean) = (ranks - n * (n + 1.0) / 2.0, n * m / 2.0);
    (u - mean).abs() / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[test]
fn the_rank_test_sees_a_difference_that_is_there() {
    let around = |base: u64| (0..TRIES as u64).map(|n| Duration::from_micros(base + n * 7 % 100)).collect::<Vec<_>>();

    assert!(separation(&around(1000), &around(1000)) < 1.0);
    assert!(separation(&around(1000), &around(1040)) > 8.0);
}

/// Interleaved tries with names of three kinds; the times of each.
async fn times(gate: &Gate, names: [&str; 3]) -> [Vec<Duration>; 3] {
    let mut times = [const { Vec::new() }; 3];
    // Each kind comes after each other equally often.
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for number in 0..TRIES {
        for kind in ORDERS[number % 6] {
            let start = Instant::now();
            assert_eq!(gate.check(names[kind], "wrong").await, Answer::Refused);
            times[kind].push(start.elapsed());
        }
    }
    times
}

#[tokio::test]
async fn known_unknown_and_disabled_names_take_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[users.alice]\nhash = \"{0}\"\n[users.bob]\nhash = \"{0}\"\ndisabled = true\n", hash_of("correct horse", VISIBLE));
    let gate = Gate::over(vec![SourceSettings::File(users_toml(folder.path(), &text))], UNLIMITED).await;
    times(&gate, ["alice", "eve", "bob"]).await;

    let [known, unknown, disabled] = times(&gate, ["alice", "eve", "bob"]).await;

    // Chance alone exceeds 5 once in a million runs; without the comparison with nobody's hash it is about 17.
    let seen = [separation(&known, &unknown), separation(&known, &disabled), separation(&unknown, &disabled)];
    println!("standard deviations: {seen:?}");
    assert!(seen.iter().all(|z| *z < 5.0), "{seen:?}");
}

#[tokio::test]
async fn where_old_and_new_hashes_are_mixed_unknown_names_look_like_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".htpasswd");
    std::fs::write(&path, format!("a:{}\nb:{}\n", bcrypt::hash("x", 4).unwrap(), hash_of("x", Strength { memory: 16 << 10, ..VISIBLE })))
        .unwrap();
    let gate = Gate::over(vec![SourceSettings::File(path)], UNLIMITED).await;
    // The shortest of a few: load makes times longer, never shorter.
    let time = async |name: &str| {
        let mut shortest = Duration::MAX;
        for _ in 0..4 {
            let start = Instant::now();
            assert_eq!(gate.check(name, "wrong").await, Answer::Refused);
            shortest = shortest.min(start.elapsed());
        }
        shortest
    };
    let (quick, slow) = (time("a").await, time("b").await);
    let middle = (quick + slow) / 2;

    let mut slow_ones = 0;
    for number in 0..24 {
        slow_ones += usize::from(time(&format!("nobody{number}")).await > middle);
    }

    assert!(quick * 2 < slow, "bcrypt of 4 rounds {quick:?}, argon2id {slow:?}");
    // Fair coins fall outside once in ten thousand runs.
    assert!((3..=21).contains(&slow_ones), "{slow_ones} of 24 names that nobody has look like argon2id");
}
