//! What is refused before the SDK sees it, and what is asked once.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::{Kept, check, check_variables, chosen_profile, legible, place};

fn of<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
    |name| {
        let found = variables.iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| (*value).to_owned())
    }
}

#[test]
fn keys_that_cannot_be_sent_are_named_and_not_shown() {
    let (key, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    for (bad, why) in [
        ("AK IA", "white space"),
        ("AKIA\n", "white space"),
        ("AK\u{7}", "control"),
        ("\u{e9}K", "characters"),
    ] {
        for name in [key, secret, "AWS_SESSION_TOKEN"] {
            let mut variables = vec![(name, bad)];
            variables.extend([(key, "AKIA"), (secret, "secret")]);
            let what = check_variables(of(&variables)).unwrap_err().what;
            assert!(what.starts_with(name) && what.contains(why) && !what.contains(bad), "{what}");
        }
        assert!(check(&Credentials::new("AKIA", bad, None, None, "test"), "somebody").is_err());
    }
    let what = |variables: &[(&str, &str)]| check_variables(of(variables)).map_err(|f| f.what);
    assert_eq!(what(&[(key, "a"), (secret, "b")]), Ok(()));
    assert!(what(&[(key, "a")]).unwrap_err().contains("AWS_SECRET_ACCESS_KEY is not"));
    assert!(what(&[(secret, "a")]).unwrap_err().contains("AWS_ACCESS_KEY_ID is not"));
    assert_eq!(what(&[]), Ok(()));
}

#[test]
fn a_profile_is_chosen_by_one_alone() {
    let chosen = |asked, variables: &[(&str, &str)]| {
        chosen_profile(asked, of(variables))
            .map(|chosen| chosen.map(|(_, name)| name))
            .map_err(|f| f.what)
    };
    let both = [("AWS_PROFILE", "one"), ("AWS_DEFAULT_PROFILE", "two")];
    assert_eq!(chosen(Some("x"), &both), Ok(Some("x".to_owned())));
    assert!(chosen(None, &both).unwrap_err().contains("`one`"));
    assert_eq!(chosen(None, &both[1..]), Ok(Some("two".to_owned())));
    assert_eq!(chosen(None, &[]), Ok(None));
}

#[cfg(unix)]
#[test]
fn what_is_no_text_is_named() {
    use std::os::unix::ffi::OsStringExt as _;
    let bad = OsString::from_vec(vec![0xff]);
    let what = legible([("AWS_REGION".into(), bad.clone())].into_iter()).unwrap_err().what;
    assert!(what.starts_with("AWS_REGION "), "{what}");
    assert!(legible([("OTHER".into(), bad)].into_iter()).is_ok());
    assert!(legible([("AWS_PROFILE".into(), "a\u{1}".into())].into_iter()).is_err());
}

#[test]
fn regions_are_told_from_what_is_none() {
    for region in ["eu-west-1", "us-gov-east-1", "eusc-de-east-1", "local", "mx-central-1"] {
        assert!(place::check_region("--region", region).is_ok(), "{region}");
    }
    for (region, meant) in [
        ("eu west", ""),
        ("EU-West-1", "eu-west-1"),
        ("eu-west-1a", "eu-west-1"),
        ("", ""),
        ("eu_west_1", "eu-west-1"),
        ("a.b", ""),
        ("-a", ""),
    ] {
        let failure = place::check_region("--region", region).unwrap_err();
        let hint = failure.hint.unwrap_or_default();
        assert!(hint.contains(meant), "{region}: {hint}");
    }
    assert!(
        place::is_opt_in("me-south-1")
            && !place::is_opt_in("eu-west-1")
            && !place::is_opt_in("cn-north-1")
    );
}

#[test]
fn endpoints_are_told_from_what_is_none() {
    for url in
        ["http://127.0.0.1:4566", "https://example.com/", "http://[::1]:80", "https://a.b/base"]
    {
        assert!(place::check_url("X", url).is_ok(), "{url}");
    }
    for url in [
        "",
        "not-a-url",
        "localhost:1",
        "//a",
        "ftp://a",
        "http://",
        "http://:80",
        "http://a:99999",
        "http://a:x",
        "http://a?b",
        "http://a#b",
        "http://a b",
        "http://\u{e9}",
    ] {
        assert!(place::check_url("X", url).is_err(), "{url:?}");
    }
    let what = place::check_url("X", "http://u:secret@a").unwrap_err().what;
    assert!(!what.contains("secret"), "{what}");
}

#[derive(Debug)]
struct Counts(Arc<AtomicUsize>, Option<SystemTime>);

impl ProvideCredentials for Counts {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::Relaxed);
        future::ProvideCredentials::ready(Ok(Credentials::new("a", "b", None, self.1, "test")))
    }
}

#[tokio::test]
async fn credentials_are_asked_for_once_while_they_last() {
    let now = SystemTime::now();
    let hour = Duration::from_hours(1);
    for (end, asked) in [(None, 1), (Some(now + hour), 1), (Some(now - hour), 3)] {
        let count = Arc::new(AtomicUsize::new(0));
        let kept = Kept::new(SharedCredentialsProvider::new(Counts(Arc::clone(&count), end)));
        for _ in 0..3 {
            kept.provide_credentials().await.unwrap();
        }
        assert_eq!(count.load(Ordering::Relaxed), asked, "{end:?}");
    }
}

#[test]
fn regions_are_in_their_partitions() {
    for (region, partition) in [
        ("eu-west-1", "aws"),
        ("us-east-1", "aws"),
        ("mx-central-1", "aws"),
        ("*", "aws"),
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-east-1", "aws-us-gov"),
        ("us-iso-west-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("eusc-de-east-1", "aws-eusc"),
    ] {
        assert_eq!(place::partition(region), partition, "{region}");
    }
}
