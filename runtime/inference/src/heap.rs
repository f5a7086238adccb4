//! What the heap keeps of memory that was freed.
//!
//! An allocator keeps freed memory for whoever comes next. Weights come and go in pieces of megabytes, on several threads, and
//! glibc keeps up to all of them: after some turns of two models a process had more than once their weights' bytes, though a limit for
//! one was kept. So who drops weights asks for the rest to be given back.
//!
//! That is not all: what lies at the top of a thread's own arena is given back only when it is freed, and only where it is larger than a
//! threshold, which glibc raises up to 64 MB by itself, with the one above which memory is mapped alone. Both are held at
//! [`ALONE_BYTES`], so that the largest matrices always go at once; with thresholds that move, one of 30 MB stayed now and then.

/// What is larger is mapped alone. 16 MiB: a step's logits are less, and come from the heap, where they have their pages already.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ALONE_BYTES: i32 = 16 << 20;

/// Holds the thresholds, once for the process.
pub(crate) fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static SETTLED: std::sync::Once = std::sync::Once::new();
        SETTLED.call_once(|| {
            for threshold in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
                #[allow(unsafe_code, reason = "the only way to tell glibc")]
                // SAFETY: it takes plain numbers and may be called at any time. Where it is refused, memory stays somewhat longer.
                let _ = unsafe { libc::mallopt(threshold, ALONE_BYTES) };
            }
        });
    }
}

/// Gives freed memory back to the operating system, where the allocator has a way to do so: glibc's. Takes some milliseconds.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(unsafe_code, reason = "the only way to ask glibc")]
        // SAFETY: it takes a plain number, may be called from any thread, and touches free memory alone.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}
