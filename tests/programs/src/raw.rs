//! Imports as the canonical ABI has them: handles are numbers, texts are addresses. Nothing here checks what it is given;
//! that is what the host is tested for.

#![allow(unsafe_code, reason = "a guest that lies about its handles cannot be written otherwise")]

macro_rules! imports {
    ($($module:literal { $($link:literal $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)* })*) => {$($(
        #[doc = concat!("`", $link, "` of `", $module, "`.")]
        pub fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_family = "wasm")]
            {
                #[link(wasm_import_module = $module)]
                unsafe extern "C" {
                    #[link_name = $link]
                    fn import($($argument: $type),*) $(-> $result)?;
                }
                // SAFETY: what it writes goes to the address that the caller gave, in the guest's own memory.
                unsafe { import($($argument),*) }
            }
            #[cfg(not(target_family = "wasm"))]
            {
                $(let _ = $argument;)*
                unreachable!("there is no kernel on the host's own target")
            }
        }
    )*)*};
}

imports! {
    "remit:kernel/capability@0.1.0" {
        "take" take(label: *const u8, length: usize, result: *mut u64);
        "[method]grant.check" check(grant: u32, result: *mut u64);
        "[resource-drop]grant" drop_grant(grant: u32);
    }
    "remit:kernel/trace@0.1.0" {
        "log" log(level: u32, text: *const u8, length: usize);
    }
    "wasi:clocks/monotonic-clock@0.2.12" {
        "subscribe-duration" timer(nanoseconds: u64) -> u32;
    }
    "wasi:io/poll@0.2.12" {
        "poll" poll(pollables: *const u32, length: usize, result: *mut u64);
        "[resource-drop]pollable" drop_pollable(pollable: u32);
    }
}

/// Takes the grant of a label; its handle as a number. `None` where there is no such grant.
#[must_use]
pub fn grant(label: &str) -> Option<u32> {
    // A case, and then a handle or a denial of 24 bytes.
    let mut result = [0_u64; 4];
    take(label.as_ptr(), label.len(), result.as_mut_ptr());
    let [case, handle, ..] = result;
    (case as u8 == 0).then_some(handle as u32)
}
