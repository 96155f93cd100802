//! Who is let in, and what is said about what is not there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=local/20261123/us-east-1/SERVICE/aws4_request, SignedHeaders=host, Signature=00\r\n";

/// A request with these header lines; the status line and the rest of the answer.
fn ask(here: &Here, start: &str, headers: &str, body: &str) -> (String, String) {
    let address = here.server.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let host =
        if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
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

fn signed(service: &str) -> String {
    SIGNED.replace("SERVICE", service)
}

/// The answer to a request in the JSON protocol.
pub fn json(here: &Here, service: &str, target: &str, body: &str) -> String {
    ask(here, "POST /", &format!("{}X-Amz-Target: {target}\r\n", signed(service)), body).1
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn only_names_of_this_machine_are_answered() {
    let here = Here::start();
    let health = "GET /_advent/health";
    for host in ["127.0.0.1:1", "localhost", "LOCALHOST:80", "a.localhost:4", "[::1]:5"] {
        let (status, body) = ask(&here, health, &format!("Host: {host}\r\n"), "");
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
        let (status, _) = ask(&here, "POST /_advent/stop", headers, "");
        assert!(status.contains("403"), "{headers}: {status}");
        let control = format!("{headers}{}{FORM}", signed("iam"));
        let (status, _) = ask(&here, "POST /", &control, "Action=ListRoles");
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
    let (status, _) = ask(&here, "GET /_advent/health", "", "");
    assert!(status.contains("200"), "{status}");
}

#[test]
fn unsigned_requests_are_refused() {
    let here = Here::start();
    let (status, body) = ask(&here, "POST /", FORM, "Action=ListRoles");
    assert!(status.contains("403"), "{status}");
    assert!(body.contains("<Code>MissingAuthenticationToken</Code>"), "{body}");
    let target = "X-Amz-Target: DynamoDB_20120810.ListTables\r\n";
    let (status, body) = ask(&here, "POST /", target, "{}");
    assert!(status.contains("403"), "{status}");
    assert!(body.contains("MissingAuthenticationToken"), "{body}");
}

#[test]
fn unknown_operations_are_named_in_the_protocol_of_the_service() {
    let here = Here::start();
    let (_, xml) = ask(&here, "POST /", &format!("{}{FORM}", signed("iam")), "Action=CreateUser");
    assert!(
        xml.contains("<Message>the local cloud does not know iam:CreateUser</Message>"),
        "{xml}"
    );
    let target = "X-Amz-Target: Logs_20140328.StartQuery\r\n";
    let (_, json) = ask(&here, "POST /", &format!("{}{target}", signed("logs")), "{}");
    assert!(
        json.contains(r#""message":"the local cloud does not know logs:StartQuery""#),
        "{json}"
    );
    let target = "X-Amz-Target: DynamoDB_20120810.CreateBackup\r\n";
    let (_, json) = ask(&here, "POST /", &format!("{}{target}", signed("dynamodb")), "{}");
    assert!(json.contains("the local cloud does not know dynamodb:CreateBackup"), "{json}");
    let (_, rest) = ask(&here, "GET /bucket", &signed("s3"), "");
    assert!(rest.contains("the local cloud does not know s3:GET /bucket"), "{rest}");
}

#[test]
fn keys_of_sessions_that_ended_are_refused() {
    let here = Here::start();
    let session = here.server.cloud().sessions.issue("r", "f");
    here.server.cloud().sessions.revoke(&session.access_key_id);
    let key =
        signed("sts").replace("Credential=local", &format!("Credential={}", session.access_key_id));
    let (status, body) = ask(&here, "POST /", &format!("{key}{FORM}"), "Action=GetCallerIdentity");
    assert!(status.contains("403"), "{status}");
    assert!(body.contains("InvalidClientTokenId"), "{body}");
}

#[test]
fn bodies_have_a_limit() {
    let here = Here::start();
    let body = "a".repeat((16 << 20) + 1);
    let (status, _) = ask(&here, "POST /", &format!("{}{FORM}", signed("iam")), &body);
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
