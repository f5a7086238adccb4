//! Hosts: `example.com`, `*.example.com:8443`, `192.0.2.1`, `[2001:db8::1]:8080`.
//!
//! Host names as RFC 1123 (section 2.1) has them, in lower case; internationalised ones in their ASCII form (RFC 5891).
//! Whatever ends in a number is an IPv4 address or nothing, as in the URL standard (WHATWG, "ends in a number"), so that
//! no resolver can read an address where a name was checked.

use super::EntryFault;
use crate::limits::HOST_BYTES_MAX;
use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

/// RFC 1035, section 2.3.4: a name without its last dot, and one part of it.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

pub(super) fn check(entry: &str) -> Result<Cow<'_, str>, EntryFault> {
    if entry.contains('/') {
        return Err(EntryFault::HostCharacter('/'));
    }
    let (host, port) = split(entry);
    if port.is_some_and(|port| !is_port(port)) {
        return Err(EntryFault::Port);
    }
    if let Some(inner) = host.strip_prefix('[') {
        let address =
            inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok()).ok_or(EntryFault::Ipv6)?;
        return Ok(match port {
            Some(port) => format!("[{address}]:{port}").into(),
            None => format!("[{address}]").into(),
        });
    }
    let below = host.strip_prefix("*.");
    let name = below.unwrap_or(host);
    check_name(name)?;
    match below {
        Some(name) if name.parse::<Ipv4Addr>().is_ok() => Err(EntryFault::WildcardAddress),
        _ => Ok(entry.into()),
    }
}

pub(super) fn contains(entry: &str, name: &str) -> bool {
    if name.len() > HOST_BYTES_MAX {
        return false;
    }
    let ((host, port), (name, name_port)) = (split(entry), split(name));
    port == name_port
        && match host.strip_prefix("*.") {
            Some(parent) => is_below(name, parent) && check_name(name).is_ok(),
            None => host == name || is_same_ipv6(host, name),
        }
}

pub(super) fn covers(entry: &str, inner: &str) -> bool {
    let ((host, port), (inner_host, inner_port)) = (split(entry), split(inner));
    match (host.strip_prefix("*."), inner_host.strip_prefix("*.")) {
        (Some(parent), Some(narrower)) => port == inner_port && (narrower == parent || is_below(narrower, parent)),
        (None, Some(_)) => false,
        (_, None) => contains(entry, inner),
    }
}

/// Host and port. A colon within brackets is the address's.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn is_port(text: &str) -> bool {
    !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// A host name, or an IPv4 address.
fn check_name(host: &str) -> Result<(), EntryFault> {
    let is_host_character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if let Some(other) = host.chars().find(|character| !is_host_character(*character)) {
        return Err(if other == '*' { EntryFault::HostStar } else { EntryFault::HostCharacter(other) });
    }
    if host.len() > NAME_BYTES_MAX {
        return Err(EntryFault::TooLong(NAME_BYTES_MAX));
    }
    let is_label =
        |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    if !host.split('.').all(is_label) {
        return Err(EntryFault::HostLabel);
    }
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_decimal = last.bytes().all(|byte| byte.is_ascii_digit());
    let is_hexadecimal =
        last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    if (is_decimal || is_hexadecimal) && host.parse::<Ipv4Addr>().is_err() {
        return Err(EntryFault::Ipv4);
    }
    Ok(())
}

/// Whether a name has the parent's after one of its dots.
fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// Addresses have many spellings.
fn is_same_ipv6(entry: &str, name: &str) -> bool {
    let address = |text: &str| text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    entry.starts_with('[') && name.starts_with('[') && address(entry) == address(name)
}
