//! mimalloc, asked for aligned memory only where its plain memory would not do.
//!
//! The crate `mimalloc` asks for an alignment every time, and version 3 of the library then leaves its fast path for most sizes: it takes a
//! larger block and points into it. A proxied request allocates a hundred times; measured, a third of the cost of all of it was this.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait over a library in C")]

use libmimalloc_sys::{mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned};
use std::alloc::{GlobalAlloc, Layout};

/// The allocator of the binary.
pub struct MiMalloc;

/// Whether every block of this size is aligned as wanted: blocks of one word by a word, larger ones by two (`MI_MAX_ALIGN_SIZE`).
const fn is_natural(size: usize, align: usize) -> bool {
    let word = size_of::<usize>();
    align <= word || align <= 2 * word && size > word
}

// SAFETY: every block comes from mimalloc and goes back to it; a layout that its plain functions do not promise goes to the aligned ones.
unsafe impl GlobalAlloc for MiMalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        unsafe { if is_natural(size, align) { mi_malloc(size) } else { mi_malloc_aligned(size, align) } }.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        unsafe { if is_natural(size, align) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) } }.cast()
    }

    unsafe fn dealloc(&self, at: *mut u8, _: Layout) {
        unsafe { mi_free(at.cast()) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        unsafe { if is_natural(size, align) { mi_realloc(at.cast(), size) } else { mi_realloc_aligned(at.cast(), size, align) } }.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_gets_memory_that_is_aligned_as_it_asks() {
        for size in (1..=40).chain([64, 100, 1000, 1025, 5000, 70_000, 3 << 20]) {
            for align in [1, 2, 4, 8, 16, 32, 128, 4096] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let grown = Layout::from_size_align(size + 9, align).unwrap();
                // Several, because the first of a page may be aligned by chance.
                let blocks: Vec<*mut u8> = (0..9)
                    .map(|number| unsafe {
                        let at = if number % 2 == 0 { MiMalloc.alloc(layout) } else { MiMalloc.alloc_zeroed(layout) };
                        assert!(at.addr().is_multiple_of(align), "{layout:?} at {at:?}");
                        let at = MiMalloc.realloc(at, layout, grown.size());
                        assert!(at.addr().is_multiple_of(align), "{grown:?} at {at:?}");
                        at
                    })
                    .collect();
                blocks.into_iter().for_each(|at| unsafe { MiMalloc.dealloc(at, grown) });
            }
        }
    }
}
