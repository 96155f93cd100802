//! Who is let in, and what is said about what is not there.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use axum::http::Request;

use super::*;

/// A request with these header lines; the status line and the rest of the answer.
fn ask(here: &Here, start: &str, headers: &str, body: &str) -> (String, String) {
    let address = here.server.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let host = host_of(here, headers);
    write!(
        stream,
        "{start} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, rest) = answer.split_once("\r\n").unwrap();
    (head.to_owned(), rest.to_owned())
}

fn host_of(here: &Here, headers: &str) -> String {
    let address = here.server.url().strip_prefix("http://").unwrap();
    if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") }
}

/// The same with its owner's signature for a service.
fn signed(here: &Here, service: &str, start: &str, headers: &str, body: &str) -> (String, String) {
    let mut headers = format!("{}{headers}", host_of(here, headers));
    let (method, path) = start.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for line in headers.lines() {
        let (name, value) = line.split_once(':').unwrap();
        request = request.header(name, value.trim());
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    here.sign(&mut parts, body.as_bytes(), service);
    for name in ["authorization", "x-amz-date"] {
        let value = parts.headers[name].to_str().unwrap();
        write!(headers, "{name}: {value}\r\n").unwrap();
    }
    ask(here, start, &headers, body)
}

/// The answer to a request in the JSON protocol.
pub fn json(here: &Here, service: &str, target: &str, body: &str) -> String {
    signed(here, service, "POST /", &format!("X-Amz-Target: {target}\r\n"), body).1
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn only_names_of_this_machine_are_answered() {
    let here = Here::start();
    let health = "GET /_advent/health";
    for host in ["127.0.0.1:1", "localhost", "LOCALHOST:80", "a.localhost:4", "[::1]:5"] {
        let (status, body) = signed(&here, "advent", health, &format!("Host: {host}\r\n"), "");
        assert!(status.contains("200"), "{host}: {status} {body}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example:80",
        "10.0.0.1",
        "0.0.0.0",
        "localhost.evil",
        "localhost@evil.example",
        "evil.example:80@localhost",
        "127.0.0.1:80:evil",
        "",
    ] {
        let (status, _) = ask(&here, health, &format!("Host: {host}\r\n"), "");
        assert!(status.contains("403"), "{host}: {status}");
        // A name that was made to resolve to this machine does not get a page to an API either.
        let api = "POST /_aws/execute-api/abcdefghij/aws_advent";
        let (status, _) = ask(&here, api, &format!("Host: {host}\r\n"), "");
        assert!(status.contains("403"), "{host}: {status}");
    }
    let (status, _) = ask(&here, health, "Host: localhost\r\nHost: evil.example\r\n", "");
    assert!(status.contains("403") || status.contains("400"), "{status}");
}

#[test]
fn only_this_machine_can_reach_it() {
    let here = Here::start();
    let port = here.server.url().rsplit_once(':').unwrap().1;
    let elsewhere = format!("127.0.0.2:{port}");
    // Were it bound to all interfaces, this one would do.
    let refused = TcpStream::connect(elsewhere).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn web_pages_may_not_control_it() {
    let here = Here::start();
    let own = format!("Origin: {}\r\n", here.server.url());
    for headers in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        // A page that a function answered with.
        own.as_str(),
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let (status, _) = signed(&here, "advent", "POST /_advent/stop", headers, "");
        assert!(status.contains("403"), "{headers}: {status}");
        let control = format!("{headers}{FORM}");
        let (status, _) = signed(&here, "iam", "POST /", &control, "Action=ListRoles");
        assert!(status.contains("403"), "{headers}: {status}");
        // An image's address can be a whole call, signature included.
        let image = "GET /?Action=ListRoles&X-Amz-Credential=x/20261123/us-east-1/iam/aws4_request";
        let (status, _) = ask(&here, image, headers, "");
        assert!(status.contains("403"), "{headers}: {status}");
        let preflight = format!(
            "{headers}Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization\r\n"
        );
        let (status, rest) = ask(&here, "OPTIONS /", &preflight, "");
        assert!(status.contains("403"), "{headers}: {status}");
        assert!(!rest.to_lowercase().contains("access-control-allow"), "{rest}");
    }
    let (status, _) = signed(&here, "advent", "GET /_advent/health", "", "");
    assert!(status.contains("200"), "{status}");
}

#[test]
fn unsigned_requests_are_refused_in_the_protocol_of_the_service() {
    let here = Here::start();
    let target = "X-Amz-Target: DynamoDB_20120810.ListTables\r\n";
    for (start, headers, status, says) in [
        ("POST /", FORM, "403", "<Code>MissingAuthenticationToken</Code>"),
        // What a link can do.
        ("GET /?Action=ListRoles", "", "403", "<Code>MissingAuthenticationToken</Code>"),
        ("GET /?Action=DeleteTopic&TopicArn=arn", "", "403", "MissingAuthenticationToken</Code>"),
        ("POST /", target, "400", r#""__type":"MissingAuthenticationTokenException""#),
        ("GET /2015-03-31/functions/", "", "403", "x-amzn-errortype: MissingAuthenticationTok"),
        ("DELETE /v2/apis/x", "", "403", "Missing Authentication Token"),
        ("GET /_advent/health", "", "403", "Missing Authentication Token"),
        ("GET /_advent/contents", "", "403", "Missing Authentication Token"),
        ("POST /_advent/stop", "", "403", "Missing Authentication Token"),
    ] {
        let (got, body) = ask(&here, start, headers, "Action=ListRoles");
        assert!(got.contains(status), "{start}: {got}");
        assert!(body.contains(says), "{start}: {body}");
    }
}

#[test]
fn what_can_be_no_signature_is_said() {
    let here = Here::start();
    for (authorization, says) in [
        ("AWS4-HMAC-SHA256 Credential=x", "requires 'Signature' parameter"),
        ("AWS4-HMAC-SHA256 Credential=x, Signature=1, SignedHeaders=host", "X-Amz-Date"),
        ("Bearer x", "'Bearer'"),
        ("", "''"),
    ] {
        let headers = format!("{FORM}Authorization: {authorization}\r\n");
        let (status, body) = ask(&here, "POST /", &headers, "Action=ListRoles");
        assert!(status.contains("400"), "{authorization}: {status}");
        assert!(body.contains("<Code>IncompleteSignature</Code>"), "{authorization}: {body}");
        assert!(body.replace("&apos;", "'").contains(says), "{authorization}: {body}");
    }
}

/// Only with the owner's key, and for this alone.
#[test]
fn functions_may_not_control_it() {
    let here = Here::start();
    let ask_as = |key: &Key, token: &str, service: &str| {
        let start = Request::builder().method("POST").uri("/_advent/stop");
        let host = here.server.url().strip_prefix("http://").unwrap();
        let start = start.header("host", host).header("x-amz-security-token", token);
        let (mut parts, ()) = start.body(()).unwrap().into_parts();
        crate::local::signature::sign(&mut parts, b"", key, (crate::local::REGION, service))
            .unwrap();
        let headers = parts.headers.iter().fold(String::new(), |mut lines, (name, value)| {
            write!(lines, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
            lines
        });
        ask(&here, "POST /_advent/stop", &headers.replace("host:", "Host:"), "").0
    };
    let session = here.server.cloud().sessions.issue("r", "f");
    let key =
        Key { access_key_id: session.access_key_id, secret_access_key: session.secret_access_key };
    assert!(ask_as(&key, &session.session_token, "advent").contains("403"));
    let own = here.server.cloud().key.clone();
    assert!(ask_as(&own, "", "iam").contains("403"));
    assert!(ask_as(&own, "", "advent").contains("200"));
}

#[test]
fn unknown_operations_are_named_in_the_protocol_of_the_service() {
    let here = Here::start();
    let (_, xml) = signed(&here, "iam", "POST /", FORM, "Action=CreateUser");
    assert!(
        xml.contains("<Message>the local cloud does not know iam:CreateUser</Message>"),
        "{xml}"
    );
    let target = "X-Amz-Target: Logs_20140328.StartQuery\r\n";
    let (_, json) = signed(&here, "logs", "POST /", target, "{}");
    assert!(
        json.contains(r#""message":"the local cloud does not know logs:StartQuery""#),
        "{json}"
    );
    let target = "X-Amz-Target: DynamoDB_20120810.CreateBackup\r\n";
    let (_, json) = signed(&here, "dynamodb", "POST /", target, "{}");
    assert!(json.contains("the local cloud does not know dynamodb:CreateBackup"), "{json}");
    let (_, rest) = signed(&here, "s3", "GET /bucket", "", "");
    assert!(rest.contains("the local cloud does not know s3:GET /bucket"), "{rest}");
}

#[tokio::test]
async fn a_session_is_its_key_its_secret_and_its_token() {
    let here = Here::start();
    let session = here.server.cloud().sessions.issue("r", "f");
    let (key, secret) = (session.access_key_id.as_str(), session.secret_access_key.as_str());
    let owner = here.server.cloud().key.clone();
    let token = Some(session.session_token.clone());
    let wrong = Some("another".to_owned());
    for (key, secret, token, refused) in [
        (key, secret, token.clone(), None),
        (key, secret, None, Some("InvalidClientTokenId")),
        (key, secret, wrong.clone(), Some("InvalidClientTokenId")),
        (key, "another", token.clone(), Some("SignatureDoesNotMatch")),
        (key, &owner.secret_access_key, token.clone(), Some("SignatureDoesNotMatch")),
        (&owner.access_key_id, &owner.secret_access_key, None, None),
        (&owner.access_key_id, &owner.secret_access_key, token, Some("InvalidClientTokenId")),
        (&owner.access_key_id, secret, None, Some("SignatureDoesNotMatch")),
        ("local", "local", None, Some("InvalidClientTokenId")),
    ] {
        let credentials = Credentials::new(key, secret, token, None, "test");
        let sts = aws_sdk_sts::Client::new(&here.config(crate::local::REGION, credentials));
        let answer = sts.get_caller_identity().send().await;
        match refused {
            None => drop(answer.unwrap()),
            Some(code) => assert_eq!(refusal(answer).0, code),
        }
    }
}

#[tokio::test]
async fn keys_of_sessions_that_ended_are_refused() {
    let here = Here::start();
    let ended = here.function("r");
    let key = ended.credentials_provider().unwrap();
    let key = aws_credential_types::provider::ProvideCredentials::provide_credentials(&key);
    here.server.cloud().sessions.revoke(key.await.unwrap().access_key_id());
    let sts = aws_sdk_sts::Client::new(&ended);
    assert_eq!(refusal(sts.get_caller_identity().send().await).0, "InvalidClientTokenId");
}

#[test]
fn bodies_have_a_limit() {
    let here = Here::start();
    let body = "a".repeat((16 << 20) + 1);
    let (status, _) = signed(&here, "iam", "POST /", FORM, &body);
    assert!(status.contains("413"), "{status}");
}

#[tokio::test]
async fn callers_are_told_who_they_are() {
    let here = Here::start();
    let identity = |config| async move {
        aws_sdk_sts::Client::new(&config).get_caller_identity().send().await.unwrap()
    };
    let operator = identity(here.operator()).await;
    assert_eq!(operator.account(), Some(crate::local::ACCOUNT));
    assert_eq!(operator.arn(), Some("arn:aws:iam::000000000000:root"));
    let function = identity(here.function("r")).await;
    assert_eq!(function.arn(), Some("arn:aws:sts::000000000000:assumed-role/r/f"));
}
