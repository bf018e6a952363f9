//! Requests that are with their app on behalf of a session, so that the end of the session ends them.
//!
//! While Pingora waits for an app, nothing of ours is asked. What both sides of an exchange have in common is the app's connection, which
//! serves this request alone while it runs (apps are spoken to in HTTP/1): once it is shut down, Pingora fails the exchange, whichever
//! protocol the visitor speaks. Before the answer's head, `fail_to_proxy` then answers; after it, the answer breaks off.
//!
//! **Nobody else's exchange can be hit.** An errand is taken out, under its shard's lock, before the last piece of the answer is passed on,
//! which is before Pingora gives the connection back to its pool; and a connection is shut down under the same lock, if the errand is still
//! there. Where an exchange fails, Pingora closes the connection a moment before it tells us, and another socket may already have its
//! number: that one has other addresses, so it is left alone. The connection's own were read when the errand began. The duplicate that is
//! shut down lives for that one call, so no descriptor is kept, and none leaks.
//!
//! **What goes on after the end of its session.** Nothing for longer than a request that is not looked out for yet: one is once it is 0.4 s
//! old, at the latest 0.2 s later (`watch.rs`), and is then cut also if its session ended earlier. Until then it may be done. That holds for
//! bodies of any size, both ways, also for an upload whose app has answered already. Left alone are an answer by which its visitor signs in
//! or out, and a request that came without a session, even if one begins with its answer.

use super::closing::Closings;
use super::guard::Connection;
use super::watch::Lookout;
use crate::session::Session;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::socket::SocketAddr;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Descriptors are small and dense, so requests that run at the same time rarely meet.
const SHARDS: usize = 64;

/// A request that is with its app.
pub struct Errand {
    /// The request's own.
    pub number: u64,
    pub arrived: Instant,
    pub session: Arc<Session>,
    /// From before the session was read.
    pub since: Closings,
    pub line: Line,
    /// The visitor's, once the answer has begun, on HTTP/1.
    pub visitor: Option<Arc<Connection>>,
    is_cut: bool,
    /// Once it takes long.
    lookout: Option<Lookout>,
}

/// The connection to the app.
pub struct Line {
    descriptor: RawFd,
    socket: Arc<SocketDigest>,
}

/// Where an errand is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    descriptor: RawFd,
    number: u64,
}

/// All that are under way, by the app's connection.
pub struct Errands {
    shards: [Mutex<Vec<Option<Errand>>>; SHARDS],
}

impl Default for Errands {
    fn default() -> Self {
        Errands { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Line {
    /// Call it while the connection is the request's own. The system is asked for the addresses once in a connection's life.
    pub fn new(descriptor: RawFd, socket: Arc<SocketDigest>) -> Self {
        socket.local_addr();
        socket.peer_addr();
        Line { descriptor, socket }
    }

    fn has_addresses(&self, local: Option<&SocketAddr>, peer: Option<&SocketAddr>) -> bool {
        local.is_some() && local == self.socket.local_addr() && peer.is_some() && peer == self.socket.peer_addr()
    }

    fn shut_down(&self) {
        let is_ours = || {
            let [local, peer] = [false, true].map(|peer| SocketAddr::from_raw_fd(self.descriptor, peer));
            self.has_addresses(local.as_ref(), peer.as_ref())
        };
        let Some(twin) = is_ours().then(|| twin(self.descriptor)).flatten() else { return };
        // Asked again: by now the twin, and what it stands for, stays what it is.
        let [local, peer] = [twin.local_addr(), twin.peer_addr()].map(|address| address.ok().map(SocketAddr::Inet));
        if self.has_addresses(local.as_ref(), peer.as_ref()) {
            // It may have been closed by the app: then there is nothing to do.
            let _ = twin.shutdown(Shutdown::Both);
        }
    }
}

#[allow(unsafe_code, reason = "Pingora tells the descriptor as a number")]
fn twin(descriptor: RawFd) -> Option<TcpStream> {
    // SAFETY: borrowed for one call that fails if nothing is open there; whoever calls checks what it is.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned().ok().map(TcpStream::from)
}

impl Errand {
    /// Begins now.
    pub fn new(number: u64, arrived: Instant, session: Arc<Session>, since: Closings, line: Line) -> Self {
        Errand { number, arrived, session, since, line, visitor: None, is_cut: false, lookout: None }
    }

    /// Whether its session has ended.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Goes on while the answer's body comes. Nobody looks out for it until it is looked at again.
    pub fn for_body(self, visitor: Option<Arc<Connection>>) -> Self {
        Errand { visitor, lookout: None, ..self }
    }

    pub fn place(&self) -> Place {
        Place { descriptor: self.line.descriptor, number: self.number }
    }
}

impl Errands {
    /// Notes one. What was noted of this descriptor before is over.
    pub fn begin(&self, errand: Errand) -> Place {
        let place = errand.place();
        let (mut shard, index) = self.slot(place);
        if shard.len() <= index {
            shard.resize_with(index + 1, || None);
        }
        let before = shard.get_mut(index).and_then(|slot| slot.replace(errand));
        drop(shard);
        drop(before);
        place
    }

    /// Takes one out: from now on its connection is left alone.
    pub fn finish(&self, place: Place) -> Option<Errand> {
        let (mut shard, index) = self.slot(place);
        shard.get_mut(index)?.take_if(|errand| errand.number == place.number)
    }

    /// Whether its session has ended.
    pub fn is_cut(&self, place: Place) -> bool {
        self.with(place, |errand| errand.is_cut).unwrap_or(false)
    }

    /// Ends one whose session has ended. False if it is over already.
    pub fn cut(&self, place: Place) -> bool {
        let cut = self.with(place, |errand| {
            errand.is_cut = true;
            errand.line.shut_down();
        });
        cut.is_some()
    }

    /// Closes the visitor's connection, if the answer has begun and is still not over: the visitor takes nothing, and waits for nobody.
    /// An errand that was cut never ends well, so no other request is on that connection.
    pub fn give_up(&self, place: Place) {
        self.with(place, |errand| errand.visitor.as_ref().filter(|_| errand.is_cut).map(|connection| connection.cut()));
    }

    /// Has those looked out for that have taken so long. No request waits meanwhile: the shard is free again before anybody is called.
    pub fn look_out(&self, long: Duration, lookout: impl Fn(Place, &Session, Closings) -> Lookout) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let late = shard.iter().flatten().filter(|errand| errand.lookout.is_none() && errand.arrived.elapsed() >= long);
            let late: Vec<_> = late.map(|errand| (errand.place(), errand.session.clone(), errand.since)).collect();
            drop(shard);
            for (place, session, since) in late {
                let lookout = lookout(place, &session, since);
                // If it has ended meanwhile, so does the lookout.
                self.with(place, |errand| errand.lookout = Some(lookout));
            }
        }
    }

    fn with<T>(&self, place: Place, act: impl FnOnce(&mut Errand) -> T) -> Option<T> {
        let (mut shard, index) = self.slot(place);
        shard.get_mut(index)?.as_mut().filter(|errand| errand.number == place.number).map(act)
    }

    /// The shard, and where in it. No descriptor in use is negative.
    #[allow(clippy::indexing_slicing, reason = "a remainder is below the divisor")]
    fn slot(&self, place: Place) -> (MutexGuard<'_, Vec<Option<Errand>>>, usize) {
        let descriptor = usize::try_from(place.descriptor).unwrap_or(0);
        (self.shards[descriptor % SHARDS].lock().unwrap_or_else(PoisonError::into_inner), descriptor / SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;

    fn connected(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (here, listener.accept().unwrap().0)
    }

    fn is_open(there: &mut TcpStream) -> bool {
        there.set_nonblocking(true).unwrap();
        !matches!(there.read(&mut [0]), Ok(0))
    }

    #[test]
    fn a_connection_that_has_got_the_descriptor_of_another_is_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ((here, mut there), (other, mut others)) = (connected(&listener), connected(&listener));
        let line = |descriptor: &TcpStream, socket: &TcpStream| Line {
            descriptor: descriptor.as_raw_fd(),
            socket: Line::new(socket.as_raw_fd(), Arc::new(SocketDigest::from_raw_fd(socket.as_raw_fd()))).socket,
        };

        line(&other, &here).shut_down();
        assert!(is_open(&mut there) && is_open(&mut others), "the other one has its descriptor now");
        line(&here, &here).shut_down();

        assert!(!is_open(&mut there) && is_open(&mut others));
        here.local_addr().expect("shut down, not closed");
    }
}
