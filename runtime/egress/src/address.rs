//! Addresses that a request from an agent may not reach: whatever is not an ordinary host of the public internet.
//!
//! The tables are IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), read narrowly: what they call
//! globally reachable and yet leads to the nearest router (PCP and TURN anycast) is refused too. Of IPv6 only 2000::/3 is given
//! out to hosts (RFC 4291, section 2.4); all else is refused, named or not. Addresses that carry an IPv4 address are judged
//! by it where a router of today would follow it (mapped, NAT64), and refused where none should (6to4, Teredo).

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Why an address is no ordinary host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// This host, under any interface (RFC 1122).
    Unspecified,
    /// This host.
    Loopback,
    /// A private network (RFC 1918), unique local (RFC 4193) or the site-local that was before it.
    Private,
    /// Behind a provider's address translation (RFC 6598).
    Shared,
    /// The same cable (RFC 3927, RFC 4291).
    LinkLocal,
    /// A cloud's service that hands out the machine's own credentials.
    Metadata,
    /// Many hosts (RFC 5771, RFC 4291).
    Multicast,
    /// All hosts.
    Broadcast,
    /// Examples (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// Measuring of devices (RFC 2544, RFC 5180).
    Benchmarking,
    /// IPv6 that carries IPv4 through a tunnel: 6to4 (RFC 3056), Teredo (RFC 4380).
    Tunnel,
    /// For protocols, for the future, or for nobody.
    Reserved,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address, which is this machine",
            Self::Loopback => "this machine's own loopback",
            Self::Private => "a private network",
            Self::Shared => "a provider's network behind address translation",
            Self::LinkLocal => "this machine's own link",
            Self::Metadata => "a cloud's metadata service",
            Self::Multicast => "a multicast group",
            Self::Broadcast => "a broadcast address",
            Self::Documentation => "an address of examples",
            Self::Benchmarking => "a network for measuring devices",
            Self::Tunnel => "a tunnel from IPv6 into IPv4",
            Self::Reserved => "a reserved address",
        })
    }
}

const fn four(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn six(parts: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = parts;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// The first that contains an address says what it is.
const FOUR: &[(Ipv4Net, Special)] = &[
    // Amazon, Google, Microsoft and most others; Amazon's for containers; Alibaba; Oracle; Microsoft's, among public addresses.
    (four(169, 254, 169, 254, 32), Special::Metadata),
    (four(169, 254, 170, 0, 24), Special::Metadata),
    (four(100, 100, 100, 200, 32), Special::Metadata),
    (four(192, 0, 0, 192, 32), Special::Metadata),
    (four(168, 63, 129, 16, 32), Special::Metadata),
    (four(0, 0, 0, 0, 8), Special::Unspecified),
    (four(10, 0, 0, 0, 8), Special::Private),
    (four(100, 64, 0, 0, 10), Special::Shared),
    (four(127, 0, 0, 0, 8), Special::Loopback),
    (four(169, 254, 0, 0, 16), Special::LinkLocal),
    (four(172, 16, 0, 0, 12), Special::Private),
    (four(192, 0, 0, 0, 24), Special::Reserved),
    (four(192, 0, 2, 0, 24), Special::Documentation),
    // Relays of 6to4, given up (RFC 7526).
    (four(192, 88, 99, 0, 24), Special::Reserved),
    (four(192, 168, 0, 0, 16), Special::Private),
    (four(198, 18, 0, 0, 15), Special::Benchmarking),
    (four(198, 51, 100, 0, 24), Special::Documentation),
    (four(203, 0, 113, 0, 24), Special::Documentation),
    (four(224, 0, 0, 0, 4), Special::Multicast),
    (four(255, 255, 255, 255, 32), Special::Broadcast),
    (four(240, 0, 0, 0, 4), Special::Reserved),
];

/// The same for IPv6. What is in none of these is judged by [`GLOBAL_UNICAST`].
const SIX: &[(Ipv6Net, Special)] = &[
    // Amazon, Google.
    (six([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), Special::Metadata),
    (six([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), Special::Metadata),
    (six([0; 8], 128), Special::Unspecified),
    (six([0, 0, 0, 0, 0, 0, 0, 1], 128), Special::Loopback),
    (six([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Special::Private),
    (six([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Special::Private),
    (six([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Special::LinkLocal),
    (six([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Special::Multicast),
    (six([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Special::Tunnel),
    (six([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Special::Benchmarking),
    // Assignments to protocols (RFC 2928): anycast, ORCHID and others, none of them a host.
    (six([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Special::Reserved),
    (six([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Special::Documentation),
    (six([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Special::Tunnel),
    (six([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Special::Documentation),
];

/// What is given out to hosts.
const GLOBAL_UNICAST: Ipv6Net = six([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// A translator's well-known prefix before an IPv4 address (RFC 6052): what networks without IPv4 answer for every host.
const NAT64: Ipv6Net = six([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// What is special about an address; `None`: an ordinary host of the public internet.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    match address.to_canonical() {
        IpAddr::V4(four) => special_four(four),
        IpAddr::V6(six) if NAT64.contains(&six) => special_four(last_four(six)),
        IpAddr::V6(six) => {
            let listed = SIX.iter().find(|(network, _)| network.contains(&six)).map(|(_, special)| *special);
            listed.or_else(|| (!GLOBAL_UNICAST.contains(&six)).then_some(Special::Reserved))
        }
    }
}

fn special_four(address: Ipv4Addr) -> Option<Special> {
    FOUR.iter().find(|(network, _)| network.contains(&address)).map(|(_, special)| *special)
}

/// The last 32 bits, as an address.
fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// Whether one of the operator's networks opens a special address. A metadata service is opened by naming it alone, never by a
/// network that happens to surround it.
pub(crate) fn opens(networks: &[IpNet], address: IpAddr, special: Special) -> bool {
    let address = address.to_canonical();
    let names_it = |network: &IpNet| network.prefix_len() == network.max_prefix_len();
    networks.iter().any(|network| network.contains(&address) && (special != Special::Metadata || names_it(network)))
}
