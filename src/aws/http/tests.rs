//! Which proxy, and what is no proxy.

use std::ffi::OsString;

use super::proxies::Proxies;

fn of(variables: &[(&str, &str)]) -> Result<Proxies, String> {
    let value = |name: &str| {
        let found = variables.iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| OsString::from(value))
    };
    Proxies::of_variables(value).map_err(|failure| failure.what)
}

#[test]
fn names_in_lower_case_come_first_and_empty_ones_are_not_set() {
    let both = [("https_proxy", "http://one:1"), ("HTTPS_PROXY", "http://two:2")];
    let proxies = of(&both).unwrap();
    assert_eq!(proxies.of("https://aws.test/").as_deref(), Some("one:1 (https_proxy)"));
    assert_eq!(proxies.of("http://aws.test/"), None);
    let proxies = of(&[("https_proxy", ""), ("HTTPS_PROXY", "two:2")]).unwrap();
    assert_eq!(proxies.of("https://aws.test/").as_deref(), Some("two:2 (HTTPS_PROXY)"));
    let proxies = of(&[("ALL_PROXY", "http://u:secret@all:3")]).unwrap();
    assert_eq!(proxies.of("http://aws.test/").as_deref(), Some("all:3 (ALL_PROXY)"));
}

#[test]
fn this_machine_and_what_is_excepted_is_reached_directly() {
    let proxy = ("ALL_PROXY", "http://all:3");
    let proxies = of(&[proxy, ("NO_PROXY", "amazonaws.com, 10.0.0.0/8")]).unwrap();
    for direct in [
        "http://127.0.0.1:4566/",
        "http://127.9.9.9/",
        "http://localhost:80/",
        "http://x.execute-api.localhost:80/",
        "http://[::1]:1/",
        "http://169.254.169.254/latest",
        "https://sts.eu-west-1.amazonaws.com/",
        "http://10.1.2.3/",
    ] {
        assert_eq!(proxies.of(direct), None, "{direct}");
    }
    for through in ["https://notamazonaws.com/", "http://11.0.0.1/"] {
        assert!(proxies.of(through).is_some(), "{through}");
    }
    let none = of(&[proxy, ("NO_PROXY", "*")]).unwrap();
    assert_eq!(none.of("https://sts.amazonaws.com/"), None);
}

#[test]
fn what_is_no_proxy_is_named() {
    for value in
        ["not a url", "http://", "ftp://host:1", "http://host:99999", "http://host:x", "\u{e9}"]
    {
        let error = of(&[("HTTPS_PROXY", value)]).unwrap_err();
        assert!(error.starts_with("HTTPS_PROXY"), "{value:?}: {error}");
        assert!(!error.contains(value), "{error}");
    }
    let error = of(&[("ALL_PROXY", "socks5://host:1")]).unwrap_err();
    assert!(error.contains("SOCKS"), "{error}");
    assert!(
        of(&[
            ("ALL_PROXY", "socks5://host:1"),
            ("HTTPS_PROXY", "http://a:1"),
            ("HTTP_PROXY", "http://a:1")
        ])
        .is_ok()
    );
}
