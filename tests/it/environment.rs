//! Operators as they are: their profiles, proxies, certificates, clocks, Regions and missing
//! rights; and no environment, argument or path that ends in a panic.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::support::canned::{Canned, refused};
use crate::support::cli::{Cli, Run};
use crate::support::project::Project;
use crate::support::proxy::{Fault, Rule};
use crate::support::python::python;
use crate::support::rig::{Backend, Rig};

/// What a command is refused with at once, by a cloud that was reached.
fn reached(_: usize) -> (String, String) {
    refused("InvalidClientTokenId", "it was reached")
}

#[track_caller]
fn words(run: &Run) -> String {
    run.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn says(run: Run, code: i32, texts: &[&str]) {
    let run = run.code(code);
    let said = words(&run);
    for text in texts {
        assert!(said.contains(text), "no {text:?} in {}", run.stderr);
    }
}

#[cfg(unix)]
fn not_utf8() -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    OsString::from_vec(b"x\xff".to_vec())
}

/// Every variable that we or the SDK read, set to nothing and to what it should not be.
#[cfg(unix)]
#[test]
fn no_variable_ends_in_a_panic() {
    const VARIABLES: [&str; 42] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ACCOUNT_ID",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_STS",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_CA_BUNDLE",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_SDK_UA_APP_ID",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "_X_AMZN_TRACE_ID",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_DISABLE_CLOCK_SKEW_CORRECTION",
        "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
        "AWS_AUTH_SCHEME_PREFERENCE",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE",
        "AWS_SIGV4A_SIGNING_REGION_SET",
        "HTTP_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "ADVENT_TIMEOUT",
        "HOME",
        "PATH",
        "TMPDIR",
        "TERM",
        "NO_COLOR",
        "RUST_LOG",
        "RUST_BACKTRACE",
        "XDG_STATE_HOME",
    ];
    let cloud = Canned::http(reached);
    let project = Project::new();
    let cli = Cli::new(project.path()).endpoint(&cloud.url());
    let huge = "a".repeat(20_000);
    let values = || {
        let texts = ["", " ", "\u{1}\n", "\u{e9}:x", huge.as_str()];
        texts.into_iter().map(OsString::from).chain([not_utf8()])
    };
    let cases = VARIABLES.iter().flat_map(|name| values().map(move |value| (*name, value)));
    let cases = Mutex::new(cases.collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let case = cases.lock().expect("no panic").pop();
                    let Some((name, value)) = case else { return };
                    let run = cli.clone().env(name, &value).run(["status", "--json"]);
                    let short = format!("{name}={:.20}: {run:?}", value.to_string_lossy());
                    assert!(matches!(run.code, Some(1 | 2)), "{short}");
                    assert!(!run.stdout.contains("internal error"), "{short}");
                    let document: Result<Value, _> = serde_json::from_str(&run.stdout);
                    let message = document.map(|document| document["error"]["message"].clone());
                    assert!(message.is_ok_and(|message| message.is_string()), "{short}");
                }
            });
        }
    });
}

/// Set to nothing is as if it were not set.
#[test]
fn an_empty_variable_is_an_unset_one() {
    let cloud = Canned::http(reached);
    let project = Project::new();
    let cli = Cli::new(project.path());
    let empty = [
        "AWS_ENDPOINT_URL_STS",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_CA_BUNDLE",
        "AWS_SESSION_TOKEN",
        "AWS_CONFIG_FILE",
        "https_proxy",
        "ADVENT_TIMEOUT",
    ];
    let cli = empty.iter().fold(cli.endpoint(&cloud.url()), |cli, name| cli.env(name, ""));
    says(cli.run(["status"]), 1, &["it was reached"]);
    let cli = Cli::new(project.path()).env("AWS_ENDPOINT_URL", "");
    let run = cli.run(["status", "--endpoint-url", &cloud.url()]);
    says(run, 1, &["it was reached"]);
}

#[cfg(unix)]
#[test]
fn no_argument_or_path_ends_in_a_panic() {
    let cloud = Canned::http(reached);
    let project = Project::new();
    let cli = Cli::new(project.path()).endpoint(&cloud.url());
    let bad = not_utf8();
    let bad: &OsStr = &bad;
    let to = |text: &str| OsString::from(text);
    let cases: [Vec<OsString>; 9] = [
        vec![to("status"), to("--json"), to("--stage"), bad.into()],
        vec![to("status"), to("--json"), to("--trace"), bad.into()],
        vec![to("status"), to("--json"), to("--region"), bad.into()],
        vec![to("status"), to("--json"), to("--profile"), bad.into()],
        vec![to("logs"), bad.into(), to("--json")],
        vec![to("say"), bad.into(), to("--json")],
        vec![bad.into(), to("--json")],
        vec![to("--json"), to("status"), to("--timeout"), to("x")],
        vec![to("local"), to("env"), to("--json"), to("--arch"), bad.into()],
    ];
    for args in cases {
        let out = cli.command(&args).stdin(Stdio::null()).output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(matches!(out.status.code(), Some(1 | 2)), "{args:?}: {out:?}");
        assert!(serde_json::from_str::<Value>(&said).is_ok(), "{args:?}: {out:?}");
    }
    let folder = project.path().join("folder").join(bad);
    fs::create_dir_all(&folder).expect("a folder");
    for command in ["status", "up", "plan", "down", "say x", "logs"] {
        let args: Vec<_> = command.split(' ').chain(["--json"]).collect();
        let out = cli.command(args).current_dir(&folder).output().expect("it runs");
        assert!(matches!(out.status.code(), Some(1 | 2)), "{command}: {out:?}");
    }
    for local in ["env", "stop"] {
        let out = cli.command(["local", local, "--json"]).env("ADVENT_LOCAL_DIR", bad).output();
        let out = out.expect("it runs");
        assert!(matches!(out.status.code(), Some(0..=2)), "{local}: {out:?}");
        assert!(serde_json::from_slice::<Value>(&out.stdout).is_ok(), "{local}: {out:?}");
    }
    let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let run = cli.command(["status", "--json"]).stdout(full).status().expect("it runs");
    assert!(matches!(run.code(), Some(1 | 2)), "{run:?}");
}

#[test]
fn what_is_no_region_or_endpoint_is_refused() {
    let project = Project::new();
    let cli = Cli::new(project.path());
    for (args, texts) in [
        (
            ["--region", "eu west"],
            ["--region `eu west` is not the name", "is `eu-west` meant"].map(str::to_owned),
        ),
        (
            ["--region", "EU-WEST-1"],
            ["is not the name of an AWS Region", "is `eu-west-1` meant?"].map(str::to_owned),
        ),
        (
            ["--endpoint-url", "not-a-url"],
            ["--endpoint-url `not-a-url` is not a URL", "https://example.com"].map(str::to_owned),
        ),
        (
            ["--endpoint-url", "http://u:secret@a"],
            ["--endpoint-url holds a name or a password", "an endpoint is written"]
                .map(str::to_owned),
        ),
    ] {
        let run = cli.run(["status", args[0], args[1]]);
        assert!(!run.stderr.contains("secret"), "{}", run.stderr);
        let texts =
            if args[1] == "eu west" { [texts[0].clone(), "eu-west-1".into()] } else { texts };
        says(run, 2, &texts.each_ref().map(String::as_str));
    }
}

#[test]
fn profiles_say_what_they_lack() {
    let cloud = Canned::http(reached);
    let project = Project::new();
    let config = project.path().join("config");
    project.write("config", "[profile one]\naws_access_key_id = a\n[profile sso]\nsso_session = s\n\
        sso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_region = us-east-1\n\
        sso_start_url = https://sso.test/start\n[profile login]\nlogin_session = arn:aws:iam::1:user/u\n\
        [profile mfa]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = ok\nmfa_serial = m\n\
        [profile ok]\naws_access_key_id = a\naws_secret_access_key = b\n[profile bare]\nregion = eu-west-1\n\
        [profile space]\naws_access_key_id = a\naws_secret_access_key = b c\n\
        [profile process]\ncredential_process = echo broken >&2; exit 3\n");
    let cli = Cli::new(project.path()).endpoint(&cloud.url()).env("AWS_CONFIG_FILE", &config);
    for (profile, texts) in [
        ("nosuch", ["there is no profile `nosuch`", "bare, login, mfa, ok, one"]),
        ("one", ["in profile `one` aws_access_key_id is set", "aws_secret_access_key is not"]),
        ("sso", ["profile `sso` is not signed in to SSO", "`aws sso login --profile sso`"]),
        ("login", ["profile `login` is not signed in", "`aws login --profile login`"]),
        ("mfa", ["profile `mfa` wants an MFA code", "aws configure export-credentials"]),
        ("bare", ["profile `bare` has no credentials", "it needs"]),
        ("space", ["aws_secret_access_key of profile `space` contains white space", "hint"]),
        ("process", ["the credential_process of profile `process` gave no", "broken"]),
    ] {
        says(cli.run(["status", "--profile", profile]), 2, &texts);
    }
    says(cli.run(["status", "--profile", "ok"]), 1, &["it was reached"]);
    let half = cli.clone().without_env("AWS_SECRET_ACCESS_KEY");
    says(half.run(["status"]), 2, &["AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not"]);
    let two = cli.env("AWS_PROFILE", "ok").env("AWS_DEFAULT_PROFILE", "one");
    says(two.run(["status"]), 2, &["AWS_PROFILE names `ok`, AWS_DEFAULT_PROFILE names `one`"]);
}

/// Through a proxy to a server whose certificate only a bundle vouches for.
#[test]
fn proxies_and_bundles_count_for_every_client() {
    let (cloud, pem) = Canned::https("aws.test", reached);
    let proxy = Canned::proxy(cloud.port);
    let project = Project::new();
    project.write("ca.pem", &pem);
    project.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let file = |name: &str| project.path().join(name).display().to_string();
    let through = format!("http://user:secret@127.0.0.1:{}", proxy.port);
    let cli = Cli::new(project.path()).endpoint("https://aws.test");
    let trusting = cli.clone().env("AWS_CA_BUNDLE", file("ca.pem"));
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        says(trusting.clone().env(variable, &through).run(["status"]), 1, &["it was reached"]);
        let heads = proxy.heads.take().join("\n");
        assert!(heads.starts_with("CONNECT aws.test:443 "), "{variable}: {heads}");
        assert!(heads.to_ascii_lowercase().contains("proxy-authorization: basic"), "{heads}");
    }
    // Whom the machine trusts does not count, nor is it worth another attempt.
    let run = cli.clone().env("HTTPS_PROXY", &through).run(["status"]);
    assert!(!run.stderr.contains("secret"), "{}", run.stderr);
    says(run, 1, &["certificate", "AWS_CA_BUNDLE"]);
    assert!(proxy.heads.take().len() <= 1);
    project.write("config", &format!("[default]\nca_bundle = {}\n", file("ca.pem")));
    let config = cli.clone().env("AWS_CONFIG_FILE", file("config")).env("HTTPS_PROXY", &through);
    says(config.run(["status"]), 1, &["it was reached"]);
    for (name, why) in [
        ("missing.pem", "cannot be read"),
        ("garbage.pem", "is none"),
        ("advent.toml", "no certificate"),
    ] {
        let cli = cli.clone().env("AWS_CA_BUNDLE", file(name)).env("HTTPS_PROXY", &through);
        says(cli.run(["status"]), 2, &["AWS_CA_BUNDLE names", name, why]);
    }
    proxy.heads.take();
    // A proxy that does not answer is named, without its password.
    let dead = trusting.env("HTTPS_PROXY", "http://user:secret@127.0.0.1:1");
    let run = dead.run(["status"]);
    assert!(!run.stderr.contains("secret"), "{}", run.stderr);
    says(run, 1, &["does not answer", "through the proxy 127.0.0.1:1 (HTTPS_PROXY)"]);
    // What is on this machine is no matter for a proxy.
    let own = Canned::http(reached);
    let cli =
        cli.endpoint(&own.url()).env("HTTP_PROXY", "http://127.0.0.1:1").env("ALL_PROXY", &through);
    says(cli.run(["status"]), 1, &["it was reached"]);
    assert!(proxy.heads.take().is_empty());
}

/// AWS's time, an hour from ours, is signed with at the second attempt; and a clock is called one.
#[test]
fn a_wrong_clock_is_corrected_or_called_one() {
    for (ahead, says_so) in [
        (true, "Signature expired: A is now earlier than B"),
        (false, "Signature not yet current: A is still later than B"),
    ] {
        let hour = Duration::from_hours(1);
        let theirs = if ahead { SystemTime::now() + hour } else { SystemTime::now() - hour };
        let date = OffsetDateTime::from(theirs).format(&Rfc2822).expect("a date");
        let date = date.replace("+0000", "GMT");
        let cloud = Canned::http(move |count| {
            let (head, body) =
                if count == 1 { refused("SignatureDoesNotMatch", says_so) } else { reached(count) };
            (format!("{head}date: {date}\r\n"), body)
        });
        let project = Project::new();
        let cli = Cli::new(project.path()).endpoint(&cloud.url());
        says(cli.run(["status"]), 1, &["it was reached"]);
        let signed: Vec<_> = cloud.heads.take().iter().map(|head| signed_at(head)).collect();
        let apart = (signed[1] - signed[0]).whole_minutes();
        assert!((59..=61).contains(&apart.abs()) && (apart > 0) == ahead, "{signed:?}");
    }
    let cloud = Canned::http(|_| {
        refused("SignatureDoesNotMatch", "Signature expired: A is now earlier than B")
    });
    let project = Project::new();
    let run = Cli::new(project.path()).endpoint(&cloud.url()).run(["status"]);
    says(run, 1, &["Signature expired", "this machine's clock is wrong"]);
}

fn signed_at(head: &str) -> OffsetDateTime {
    let line = head.lines().find_map(|line| line.strip_prefix("x-amz-date: ")).expect("a date");
    let digits = |range: std::ops::Range<usize>| line[range].parse::<u16>().expect("a number");
    let two = |at: usize| u8::try_from(digits(at..at + 2)).expect("two digits");
    let month = time::Month::try_from(two(4)).expect("a month");
    let day = time::Date::from_calendar_date(digits(0..4).into(), month, two(6)).expect("a day");
    day.with_hms(two(9), two(11), two(13)).expect("a time").assume_utc()
}

#[test]
fn a_region_that_is_not_enabled_is_named_before_anything_is_written() {
    let cloud = Canned::http(|count| {
        if count == 1 {
            return refused(
                "InvalidClientTokenId",
                "The security token included in the request is invalid",
            );
        }
        let body = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/u</Arn><UserId>u</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
        ("HTTP/1.1 200 OK\r\n".to_owned(), body.to_owned())
    });
    let project = Project::new();
    let cli = Cli::new(project.path()).endpoint(&cloud.url());
    let run = cli.run(["up", "--region", "me-south-1"]);
    says(run, 2, &["the Region me-south-1 is not enabled in account 123456789012", "EnableRegion"]);
    assert_eq!(cloud.heads.take().len(), 2);
}

#[test]
fn missing_rights_are_named_and_put_together() {
    const PASS: &str = "User: arn:aws:iam::123456789012:user/u is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/r because no identity-based policy allows the iam:PassRole action";
    const TAG: &str = "User: arn:aws:iam::123456789012:user/u is not authorized to perform: SNS:TagResource on resource: arn:aws:sns:us-east-1:123456789012:t with an explicit deny in a service control policy: arn:aws:organizations::1:policy/p";
    const TABLE: &str = "User: arn:aws:iam::123456789012:user/u is not authorized to perform: dynamodb:CreateTable on resource: arn:aws:dynamodb:us-east-1:123456789012:table/t because no identity-based policy allows the dynamodb:CreateTable action";
    let Some(python) = python() else { return };
    let rig = Rig::new(python, Backend::Local);
    let deny = |service, name, text| {
        rig.proxy.inject(Rule::operation(
            service,
            name,
            Fault::Error(403, "AccessDeniedException", text),
        ));
    };
    deny("lambda", "CreateFunction", PASS);
    deny("sns", "CreateTopic", TAG);
    deny("dynamodb", "CreateTable", TABLE);
    let run = rig.cli.run(["up"]).code(1);
    let document = run.json();
    let needed = document["missing_rights"]["Statement"].as_array().expect("statements");
    let actions: Vec<_> = needed.iter().map(|statement| &statement["Action"]).collect();
    assert!(actions.iter().any(|action| *action == "iam:PassRole"), "{document}");
    assert!(actions.iter().any(|action| *action == "dynamodb:CreateTable"), "{document}");
    assert_eq!(actions.len(), 2, "a denial is not undone by a statement: {document}");
    let topic = document["resources"]
        .as_array()
        .and_then(|all| all.iter().find(|resource| resource["kind"] == "topic").cloned());
    let denied = &topic.expect("the topic")["denied"];
    assert_eq!((&denied["action"], &denied["explicit"]), (&"sns:TagResource".into(), &true.into()));
    let run = rig.people.run(["up"]).code(1);
    let said = words(&run);
    for text in [
        "\"Action\":\"iam:PassRole\"",
        "\"iam:PassedToService\":\"lambda.amazonaws.com\"",
        "a statement of a service control policy denies",
        "as one policy to ask for",
    ] {
        assert!(said.contains(text), "no {text:?} in {}", run.stderr);
    }
    rig.proxy.heal();
    rig.cli.ok(["down"]);
}
