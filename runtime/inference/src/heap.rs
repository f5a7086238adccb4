//! What the heap keeps of memory that was freed.
//!
//! An allocator keeps freed memory for whoever comes next. Weights come and go in pieces of megabytes, on several threads, and
//! glibc keeps up to all of them: after some turns of two models a process had more than once their weights' bytes, though a limit for
//! one was kept. So who drops weights asks for the rest to be given back.

/// Gives freed memory back to the operating system, where the allocator has a way to do so: glibc's. Takes some milliseconds.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(unsafe_code, reason = "the only way to ask glibc")]
        // SAFETY: it takes a plain number, may be called from any thread, and touches free memory alone.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}
