//! A scrape of a running host.

use super::stage::Host;

const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: remit\r\nconnection: close\r\n\r\n";

/// The value of a sample by its name and labels.
pub(super) fn value(host: &Host, sample: &str) -> f64 {
    let answer = host.answer(SCRAPE);
    let (head, body) = answer.split_once("\r\n\r\n").expect("it has a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let line = body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is not in\n{body}")).parse().expect("it is a number")
}

#[test]
fn processes_and_what_they_paid_are_scraped() {
    let host = Host::up();
    let living = |host: &Host| {
        let states = ["running", "waiting", "suspended", "frozen"];
        states.map(|state| value(host, &format!("remit_processes{{state=\"{state}\"}}")))
    };
    assert_eq!((living(&host), value(&host, "remit_charged_tokens")), ([0.0; 4], 0.0));
    let pid = host.detach("chatter", &[]);
    assert_eq!(living(&host).iter().sum::<f64>(), 1.0);
    host.until("its first slice is paid", |host| (value(host, "remit_charged_tokens") > 0.0).then_some(()));
    host.ask(&["suspend", &pid]);
    host.until("it is suspended", |host| (living(host) == [0.0, 0.0, 1.0, 0.0]).then_some(()));
    assert!(value(&host, "remit_weights_capacity_bytes") > 0.0);
}
