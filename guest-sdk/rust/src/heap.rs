//! The heap of a component: its first part lies in the memory that the component starts with.
//!
//! The standard library's allocator grows the memory at the first allocation, whatever it holds already, and the host pays
//! for that twice in every life of an agent: it makes the pages accessible, and takes them back at the end. Both change the
//! address space that all agents of a host share, and there only one thread at a time can. What a small agent needs fits
//! what is here; what does not goes on to the standard library's allocator. It is the component's global allocator: an agent
//! cannot bring one of its own.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, UnsafeCell},
    ptr,
};

/// As much as the standard library's allocator would take at first: one page of WebAssembly.
const FIRST_BYTES: usize = 64 << 10;

/// Blocks one after the other. The last one can grow and go; the room of others that go is lost, which is
/// [`FIRST_BYTES`] at most.
#[repr(align(16))]
struct Heap {
    bytes: UnsafeCell<[u8; FIRST_BYTES]>,
    used: Cell<usize>,
}

// SAFETY: a component has one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap { bytes: UnsafeCell::new([0; FIRST_BYTES]), used: Cell::new(0) };

impl Heap {
    fn start(&self) -> usize {
        self.bytes.get().addr()
    }

    /// Where in this heap a block begins; `None` where it is another's.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        block.addr().checked_sub(self.start()).filter(|offset| *offset < FIRST_BYTES)
    }

    /// A new block of this heap, where there is room.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let begin = (self.start() + self.used.get()).next_multiple_of(layout.align()) - self.start();
        let end = begin.checked_add(layout.size()).filter(|end| *end <= FIRST_BYTES)?;
        self.used.set(end);
        Some(self.bytes.get().cast::<u8>().wrapping_add(begin))
    }
}

// SAFETY: blocks of this heap do not overlap, since `used` lies behind all of them that are in use; all others are System's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps what the trait asks of it.
        self.take(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(block) => {
                // SAFETY: the block is as long as the layout says.
                unsafe { ptr::write_bytes(block, 0, layout.size()) };
                block
            }
            // SAFETY: the caller keeps what the trait asks of it.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(begin) if begin + layout.size() == self.used.get() => self.used.set(begin),
            Some(_) => {}
            // SAFETY: the block is System's; the caller keeps what the trait asks of it.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(begin) = self.offset(block) else {
            // SAFETY: the block is System's; the caller keeps what the trait asks of it.
            return unsafe { System.realloc(block, layout, size) };
        };
        if begin + layout.size() == self.used.get() && size <= FIRST_BYTES - begin {
            self.used.set(begin + size);
            return block;
        }
        // SAFETY: the caller keeps what the trait asks of it: the new size is a layout's, the block holds the old one's.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
