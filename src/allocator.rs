//! Small blocks from mimalloc, large ones from the system's allocator.
//!
//! A proxied request allocates a hundred times. mimalloc has that at a third of the system allocator's instructions, if it is asked plainly:
//! the crate `mimalloc` asks for an alignment every time, and version 3 of the library then over-allocates most sizes. But it hands out the
//! blocks of a page in turn, so that Pingora's large ones (a future of 13 KB, buffers of 4 and 64 KB) were never in the processor's cache:
//! 120 misses of its second level per request. The system's allocator hands out the block that was freed last.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait over libraries in C")]

use libmimalloc_sys::{mi_free, mi_malloc, mi_realloc, mi_zalloc};
use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator of the binary.
pub struct Allocator;

/// The largest block of mimalloc's.
const SMALL: usize = 1024;

/// Whether mimalloc has it, by what both who asks and who frees know. Its blocks of one word are aligned by a word, larger ones by two
/// (`MI_MAX_ALIGN_SIZE`).
const fn is_small(size: usize, align: usize) -> bool {
    let word = size_of::<usize>();
    size <= SMALL && (align <= word || align <= 2 * word && size > word)
}

// SAFETY: a block goes back to the allocator that it came from, because its layout alone decides; mimalloc is asked only for layouts whose
// alignment all of its blocks of that size have.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_small(layout.size(), layout.align()) { unsafe { mi_malloc(layout.size()) }.cast() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_small(layout.size(), layout.align()) {
            unsafe { mi_zalloc(layout.size()) }.cast()
        } else {
            unsafe { System.alloc_zeroed(layout) }
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_small(layout.size(), layout.align()) { unsafe { mi_free(at.cast()) } } else { unsafe { System.dealloc(at, layout) } }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (is_small(layout.size(), layout.align()), is_small(size, layout.align())) {
            (true, true) => unsafe { mi_realloc(at.cast(), size) }.cast(),
            (false, false) => unsafe { System.realloc(at, layout, size) },
            _ => unsafe { self.moved(at, layout, size) },
        }
    }
}

impl Allocator {
    /// From one allocator to the other.
    ///
    /// # Safety
    /// As for [`GlobalAlloc::realloc`].
    unsafe fn moved(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: whoever calls promises that the new size makes a layout, and that `at` is a block of the old one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(at, new, layout.size().min(size));
                self.dealloc(at, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes on both sides of every border, and what a realloc leads from one to the other.
    fn sizes() -> impl Iterator<Item = usize> {
        (1..=40).chain([64, 100, 1000, 1015, 1016, 1024, 1025, 1033, 5000, 70_000])
    }

    #[test]
    fn every_layout_gets_memory_that_is_aligned_as_it_asks_and_keeps_what_is_in_it() {
        for (size, align) in sizes().flat_map(|size| [1, 2, 4, 8, 16, 32, 128, 4096].map(|align| (size, align))) {
            for wanted in [size + 9, size.div_ceil(2), 1020] {
                let (layout, new) = (Layout::from_size_align(size, align).unwrap(), Layout::from_size_align(wanted, align).unwrap());
                // Several, because the first of a page may be aligned by chance.
                let blocks: Vec<*mut u8> = (0..9)
                    .map(|number| unsafe {
                        let at = if number % 2 == 0 { Allocator.alloc(layout) } else { Allocator.alloc_zeroed(layout) };
                        assert!(number % 2 == 0 || (0..size).all(|byte| *at.add(byte) == 0), "{layout:?} is not zero");
                        at.write_bytes(number, size);
                        let moved = Allocator.realloc(at, layout, wanted);
                        assert!(at.addr().is_multiple_of(align) && moved.addr().is_multiple_of(align), "{layout:?} at {at:?}, {moved:?}");
                        assert!((0..size.min(wanted)).all(|byte| *moved.add(byte) == number), "{layout:?} became {wanted} bytes");
                        moved
                    })
                    .collect();
                blocks.into_iter().for_each(|at| unsafe { Allocator.dealloc(at, new) });
            }
        }
    }
}
