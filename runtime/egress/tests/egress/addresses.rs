//! Addresses: the registries' tables, what a name resolves to, and when.

use crate::{
    server::{Server, answer},
    world::{Names, config, fetch, get, policy, refused},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use remit_egress::{Config, Connector, Local, Policy, Request, Resolver, Special, special};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// IANA IPv4 Special-Purpose Address Registry: what it does not call globally reachable, and multicast (RFC 5771).
const FOUR: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

/// IANA IPv6 Special-Purpose Address Registry: the same, with the two tunnels that it says nothing about, multicast and the site-local
/// addresses of old (RFC 3879).
const SIX: &[&str] = &[
    "::1/128",
    "::/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// What IANA has given to the regional registries, some of it: ordinary hosts.
const ORDINARY: &[&str] =
    &["1.0.0.0/8", "8.0.0.0/8", "93.184.0.0/16", "2400::/12", "2600::/13", "2a00::/12", "2c00::/12"];

fn within(networks: &'static [&'static str]) -> impl Strategy<Value = IpAddr> {
    (prop::sample::select(networks), any::<u128>()).prop_map(|(network, random)| match network.parse() {
        Ok(IpNet::V4(net)) => {
            let host = (random as u32) & u32::from(net.hostmask());
            IpAddr::V4(Ipv4Addr::from(u32::from(net.network()) | host))
        }
        Ok(IpNet::V6(net)) => {
            let host = random & u128::from(net.hostmask());
            IpAddr::V6(Ipv6Addr::from(u128::from(net.network()) | host))
        }
        Err(error) => panic!("{network}: {error}"),
    })
}

fn four(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("{address} is no IPv4 address"),
    }
}

proptest! {
    #[test]
    fn special_addresses_are_refused(address in prop_oneof![within(FOUR), within(SIX)]) {
        prop_assert!(special(address).is_some(), "{address}");
    }

    #[test]
    fn ordinary_addresses_are_not(address in within(ORDINARY)) {
        prop_assert_eq!(special(address), None, "{}", address);
    }

    #[test]
    fn an_address_within_an_address_is_judged_as_itself(address in prop_oneof![within(FOUR), within(&["8.0.0.0/8"])]) {
        let inner = u128::from(u32::from(four(address)));
        let expected = special(address);
        for prefix in [0xffff_u128 << 32, 0x0064_ff9b_u128 << 96] {
            prop_assert_eq!(special(IpAddr::V6(Ipv6Addr::from(prefix | inner))), expected);
        }
        // IPv4-compatible (RFC 4291, given up), 6to4 and Teredo are refused, whatever they carry.
        for outer in [inner, 0x2002_u128 << 112 | inner << 80, 0x2001_u128 << 112 | !inner & 0xffff_ffff] {
            prop_assert!(special(IpAddr::V6(Ipv6Addr::from(outer))).is_some());
        }
    }

    #[test]
    fn outside_of_what_is_given_out_nothing_is_ordinary(bits in any::<u128>()) {
        let address = Ipv6Addr::from(bits);
        let given = "2000::/3".parse::<Ipv6Net>().expect("a network").contains(&address);
        prop_assert!(given || special(IpAddr::V6(address)).is_some(), "{}", address);
    }

    #[test]
    fn each_of_ipv4_is_special_or_in_no_table(bits in any::<u32>()) {
        let address = Ipv4Addr::from(bits);
        let listed = FOUR.iter().any(|network| network.parse::<Ipv4Net>().expect("a network").contains(&address));
        let metadata = special(IpAddr::V4(address)) == Some(Special::Metadata);
        prop_assert_eq!(listed || metadata, special(IpAddr::V4(address)).is_some(), "{}", address);
    }
}

#[test]
fn metadata_services_have_a_name() {
    for address in
        ["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"]
    {
        assert_eq!(special(address.parse().expect("an address")), Some(Special::Metadata), "{address}");
    }
}

/// What becomes of a request for `http://a.test:PORT/`, by an operator who opens nothing.
async fn resolved_to(answers: &[&str], part: &str) {
    let server = Server::start(|_| answer("200 OK", "", "reached")).await;
    let names = Arc::new(Names::default());
    names.script("a.test", &[answers]);
    let connector = Connector::new(config(&names, &[])).expect("a connector");
    refused(connector.send(&policy(&[&server]), get(&server, "/")).await, part);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_in_a_special_network_is_refused() {
    resolved_to(&["127.0.0.1"], "this machine's own loopback").await;
    resolved_to(&["::ffff:127.0.0.1"], "this machine's own loopback").await;
    resolved_to(&["64:ff9b::7f00:1"], "this machine's own loopback").await;
    resolved_to(&["10.1.2.3"], "a private network").await;
    resolved_to(&["169.254.169.254"], "metadata service").await;
    resolved_to(&["fd00::1"], "a private network").await;
    resolved_to(&[], "it has no address").await;
}

#[tokio::test]
async fn one_special_address_among_ordinary_ones_is_enough() {
    resolved_to(&["93.184.215.14", "127.0.0.1"], "127.0.0.1").await;
    resolved_to(&["2606:4700::1111", "93.184.215.14", "192.168.1.1"], "192.168.1.1").await;
}

#[tokio::test]
async fn addresses_in_urls_are_checked_alike() {
    let connector = Connector::new(Config::default()).expect("a connector");
    for host in
        ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::a00:1]", "0"]
    {
        let request = Request::get(&format!("https://{host}/")).expect("a URL");
        let policy = Policy::new(&["127.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::a00:1]"]);
        refused(connector.send(&policy.expect("hosts"), request).await, "which requests may not reach");
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_looked_at_each_time() {
    let server = Server::start(|_| answer("302 Found", "location: /next\r\n", "")).await;
    let names = Arc::new(Names::default());
    // The first hop goes to where the operator lets it, the second to another address of the same name.
    names.script("a.test", &[&["127.0.0.1"], &["10.0.0.1"]]);
    let connector = Connector::new(config(&names, &[&server])).expect("a connector");
    refused(connector.send(&policy(&[&server]), get(&server, "/")).await, "10.0.0.1, a private network");
    assert_eq!(names.asked(), ["a.test", "a.test"]);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_was_checked_is_what_is_connected_to() {
    let server = Server::start(|_| answer("200 OK", "", "reached")).await;
    let names = Arc::new(Names::default());
    // Rebinding: a second question would get another answer. It is never asked.
    names.script("a.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let connector = Connector::new(config(&names, &[&server])).expect("a connector");
    let answer = connector.send(&policy(&[&server]), get(&server, "/")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(names.asked(), ["a.test"]);
}

#[tokio::test]
async fn local_networks_are_open_by_name_alone() {
    let server = Server::start(|_| answer("200 OK", "", "reached")).await;
    let port = server.port;
    assert_eq!(fetch(&server, get(&server, "/")).await.expect("an answer"), (200, "reached".to_owned()));

    let names = Arc::new(Names::default());
    names.script("stranger.test", &[&["127.0.0.1"]]);
    names.script("a.test", &[&["10.0.0.1"]]);
    let locals = vec![Local::new(&[format!("a.test:{port}")], &crate::world::loopback()).expect("hosts")];
    let config = Config { locals, resolver: Arc::clone(&names) as Arc<dyn Resolver>, ..Config::default() };
    let connector = Connector::new(config).expect("a connector");
    // Another name at the same network, and the same name at another network.
    let stranger = Request::get(&format!("http://stranger.test:{port}/")).expect("a URL");
    refused(connector.send(&policy(&[&server]), stranger).await, "loopback");
    refused(connector.send(&policy(&[&server]), get(&server, "/")).await, "10.0.0.1");
}

#[tokio::test]
async fn a_metadata_service_is_open_by_its_own_address_alone() {
    let request = || Request::get("https://169.254.169.254/latest").expect("a URL");
    let policy = Policy::new(&["169.254.169.254"]).expect("hosts");
    let network = "169.254.0.0/16".parse().expect("a network");
    let locals = vec![Local::new(&["169.254.169.254"], &[network]).expect("hosts")];
    let connector = Connector::new(Config { locals, ..Config::default() }).expect("a connector");
    refused(connector.send(&policy, request()).await, "metadata service");
}
