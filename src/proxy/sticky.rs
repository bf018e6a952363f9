//! Which server a session's requests go to: rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
//! 1998). Every pair of a session and a server has a weight, and the heaviest server wins: without any state the same on every proxy and
//! after every restart, and a server that comes or goes moves only those sessions that it gets or had.

use sha2::{Digest as _, Sha256};

/// Where a name lies among all names. Names in, because addresses of servers change; the same for ever, because proxies of different ages
/// must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// The place of a server (`host:port`) or of a session (its handle).
pub fn place(name: &str) -> Place {
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    Place(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// The numbers of the servers in the session's own order, each once, beginning behind so many that were passed over.
pub fn order(session: Place, servers: impl Iterator<Item = Place>, passed: usize) -> impl Iterator<Item = usize> {
    let mut weighed: Vec<(u64, usize)> = servers.enumerate().map(|(number, server)| (weight(session, server), number)).collect();
    weighed.sort_unstable_by(|(one, first), (other, second)| other.cmp(one).then(first.cmp(second)));
    let passed = passed % weighed.len().max(1);
    weighed.rotate_left(passed);
    weighed.into_iter().map(|(_, number)| number)
}

/// SplitMix64's finishing step (Steele, Lea and Flood, 2014): it spreads what differs in any bit over all bits.
fn weight(Place(session): Place, Place(server): Place) -> u64 {
    let mixed = session ^ server;
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSIONS: usize = 10_000;

    /// Which of the servers each session has as its first.
    fn firsts(servers: &[&str]) -> Vec<String> {
        let places: Vec<Place> = servers.iter().map(|server| place(server)).collect();
        let first = |session: usize| order(place(&format!("handle-{session}")), places.iter().copied(), 0).next();
        (0..SESSIONS).map(|session| servers[first(session).unwrap()].to_owned()).collect()
    }

    #[test]
    fn sessions_are_spread_over_all_servers() {
        let firsts = firsts(&["a:1", "b:1", "c:1", "d:1"]);

        for server in ["a:1", "b:1", "c:1", "d:1"] {
            let share = firsts.iter().filter(|first| *first == server).count();
            assert!((2300..2700).contains(&share), "{server} has {share} of {SESSIONS}");
        }
    }

    #[test]
    fn a_server_that_comes_or_goes_moves_only_its_own_sessions() {
        let (with, without) = (firsts(&["a:1", "b:1", "c:1", "d:1"]), firsts(&["d:1", "c:1", "a:1"]));

        for (had, has) in with.iter().zip(&without) {
            assert!(had == has || had == "b:1", "a session of {had} moved to {has}");
        }
    }

    #[test]
    fn a_session_asks_every_server_once_beginning_with_its_own() {
        let places = ["a:1", "b:1", "c:1"].map(place);
        let own: Vec<usize> = order(place("handle"), places.into_iter(), 0).collect();

        let asked: Vec<usize> = (0..3).filter_map(|passed| order(place("handle"), places.into_iter(), passed).next()).collect();

        assert_eq!(asked, own);
        assert_eq!((own.len(), own.iter().sum::<usize>()), (3, 3));
    }

    /// The sessions of a fleet stay where they are when its proxies are replaced one by one by a newer version.
    #[test]
    fn the_order_of_a_session_is_the_same_in_every_version() {
        let servers = ["10.0.0.11:8000", "10.0.0.12:8000", "app.internal:3000"].map(place);

        let orders = ["Zm9v", "YmFy"].map(|handle| order(place(handle), servers.into_iter(), 0).collect::<Vec<_>>());

        assert_eq!(orders, [[1, 2, 0], [2, 1, 0]]);
    }
}
