//! What of the shelf lies open: the records in use, as many as fit into a share of the cache's bytes.
//!
//! Every cached record has one slot, which is never given another record: a change puts another slot on the shelf. What lies open is in its
//! slot, so it goes when the slot is taken off the shelf, and nobody can come to it but through the shelf. Whoever found the slot before
//! that may still open it and tell the record, as if they had been a moment earlier; no later look finds it. The desk only knows which
//! slots are open (weakly: it keeps nothing alive), and closes the one that was opened first unless it was used since. Closing takes the
//! record from nobody who holds it. A slot goes to the desk once each time it is opened, by whoever opened it, after leaving the slot's
//! lock: the slot's lock may be taken under the desk's, never the other way round.

use super::super::Version;
use super::packed::Packed;
use super::weight;
use crate::clock::Moment;
use crate::session::record::Record;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// So many slots that were used may be passed over before one is closed all the same: nobody who opens one waits long.
const SECOND_CHANCES: usize = 8;

/// A record to be told, and its version.
pub type Opened = (Arc<Record>, Version);

/// A live record as it was read or written.
pub struct Slot {
    packed: Packed,
    /// When the read or write began.
    pub read_at: Moment,
    inside: Mutex<Inside>,
}

/// Boxed, because most slots are closed.
struct Inside {
    opened: Option<Box<Opened>>,
    /// Since the desk looked last.
    is_used: bool,
}

impl Slot {
    /// A closed one; `None` if the record cannot be packed.
    pub fn new(record: &Record, version: &Version, read_at: Moment) -> Option<Arc<Self>> {
        let inside = Mutex::new(Inside { opened: None, is_used: false });
        Some(Arc::new(Slot { packed: Packed::of(record, version)?, read_at, inside }))
    }

    /// What is in it, without opening it.
    pub fn read(&self) -> Option<Opened> {
        let opened = self.lock().opened.as_deref().cloned();
        opened.or_else(|| self.packed.unpack())
    }

    pub fn packed(&self) -> &Packed {
        &self.packed
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_used(&self) -> bool {
        std::mem::take(&mut self.lock().is_used)
    }

    fn close(&self) -> Option<Box<Opened>> {
        self.lock().opened.take()
    }
}

/// The slots that are open, in the order in which they were opened.
pub struct Desk {
    bytes: usize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    queue: VecDeque<(Weak<Slot>, usize)>,
    taken: usize,
}

impl Desk {
    /// For open records of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Desk { bytes, places: Mutex::default() }
    }

    /// What is in the slot, which is open from now on.
    pub fn open(&self, slot: &Arc<Slot>) -> Option<Opened> {
        let mut inside = slot.lock();
        if let Some(opened) = inside.opened.as_deref().cloned() {
            inside.is_used = true;
            return Some(opened);
        }
        let opened = slot.packed.unpack()?;
        inside.opened = Some(Box::new(opened.clone()));
        drop(inside);
        self.place(slot, weight::opened(&opened));
        Some(opened)
    }

    /// Opens a slot whose record is at hand.
    pub fn open_with(&self, slot: &Arc<Slot>, opened: Opened) {
        let size = weight::opened(&opened);
        if slot.lock().opened.replace(Box::new(opened)).is_none() {
            self.place(slot, size);
        }
    }

    /// Bytes that the open records take.
    pub fn taken(&self) -> usize {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, slot: &Arc<Slot>, size: usize) {
        // Freed when nobody waits any more.
        let mut closed = Vec::new();
        let mut chances = SECOND_CHANCES;
        let mut places = self.lock();
        places.push(Arc::downgrade(slot), size);
        while places.taken > self.bytes {
            let Some((weak, size)) = places.pop() else { break };
            let Some(slot) = weak.upgrade() else { continue };
            if chances > 0 && slot.was_used() {
                chances -= 1;
                places.push(weak, size);
            } else {
                closed.push(slot.close());
            }
        }
        drop(places);
    }
}

impl Places {
    fn push(&mut self, slot: Weak<Slot>, size: usize) {
        self.taken += size;
        self.queue.push_back((slot, size));
    }

    fn pop(&mut self) -> Option<(Weak<Slot>, usize)> {
        let (slot, size) = self.queue.pop_front()?;
        self.taken -= size;
        Some((slot, size))
    }
}

/// A record with a revision and nothing else.
#[cfg(test)]
pub(super) fn bare(revision: u64) -> Record {
    Record { revision, ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(number: u64) -> Vec<Arc<Slot>> {
        (0..number).map(|n| Slot::new(&bare(n), &Version::default(), Moment(0)).unwrap()).collect()
    }

    /// With room for so many.
    fn desk(places: usize) -> Desk {
        Desk::new(places * weight::opened(&(Arc::new(bare(0)), Version::default())))
    }

    fn open(slots: &[Arc<Slot>]) -> Vec<usize> {
        slots.iter().enumerate().filter(|(_, slot)| slot.lock().opened.is_some()).map(|(n, _)| n).collect()
    }

    #[test]
    fn only_as_many_are_open_as_there_is_room_for_and_those_in_use_stay_so() {
        let (desk, slots) = (desk(3), slots(9));
        let look = |n: usize| assert_eq!(desk.open(&slots[n]).unwrap().0.revision, n as u64);

        [0, 1, 2].into_iter().for_each(look);
        look(0);
        [3, 4].into_iter().for_each(look);

        assert_eq!(open(&slots), [0, 3, 4]);
    }

    #[test]
    fn one_that_is_larger_than_the_desk_is_told_and_not_left_open() {
        let (desk, slots) = (desk(0), slots(1));

        let told = desk.open(&slots[0]).unwrap();

        assert_eq!((told.0.as_ref(), open(&slots), desk.taken()), (&bare(0), vec![], 0));
    }

    #[test]
    fn a_hit_on_an_open_slot_tells_the_very_same_record() {
        let (desk, slots) = (desk(3), slots(1));

        let (first, second) = (desk.open(&slots[0]).unwrap().0, desk.open(&slots[0]).unwrap().0);

        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn what_is_off_the_shelf_lies_open_nowhere() {
        let (desk, slots) = (desk(3), slots(1));
        let record = Arc::downgrade(&desk.open(&slots[0]).unwrap().0);

        drop(slots);

        assert!(record.upgrade().is_none());
    }

    #[test]
    fn many_at_once_get_each_the_right_record_and_leave_the_desk_in_order() {
        let (desk, slots) = (desk(3), slots(8));

        std::thread::scope(|threads| {
            for thread in 1..=4_u64 {
                let (desk, slots) = (&desk, &slots);
                threads.spawn(move || {
                    for step in 0..20_000_u64 {
                        let n = step.wrapping_mul(thread).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
                        assert_eq!(desk.open(&slots[n as usize]).unwrap().0.revision, n);
                    }
                });
            }
        });

        let places = desk.lock().queue.len();
        assert_eq!((open(&slots).len(), places), (places.min(3), 3));
    }
}
