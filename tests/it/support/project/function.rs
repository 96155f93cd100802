//! A function without dependencies, so that it compiles in a second: speaks the Runtime API itself.

use std::io::{Read, Write};
use std::net::TcpStream;

const VERSION: &str = "@VERSION@";

/// One request on a connection of its own: head and body of the answer.
fn request(method: &str, path: &str, body: &str) -> (String, String) {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("AWS_LAMBDA_RUNTIME_API");
    // A local host may put each worker under a path of its own.
    let (authority, prefix) = match api.split_once('/') {
        Some((authority, prefix)) => (authority.to_string(), format!("/{}", prefix)),
        None => (api.clone(), String::new()),
    };
    let mut stream = TcpStream::connect(&authority).expect("the Runtime API");
    write!(
        stream,
        "{} {}/2018-06-01/runtime/{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        method,
        prefix,
        path,
        authority,
        body.len(),
        body
    )
    .expect("the Runtime API reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the Runtime API answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_string(), body.to_string())
}

fn main() {
    loop {
        let (head, event) = request("GET", "invocation/next", "");
        let id = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("lambda-runtime-aws-request-id"))
            .map(|(_, value)| value.trim().to_string());
        // The host is ending.
        let Some(id) = id else { return };
        let greeting = std::env::var("GREETING").unwrap_or_default();
        println!("{} got {}", VERSION, event);
        let body = format!("{} {}", VERSION, greeting);
        let answer = format!(
            "{{\"statusCode\":200,\"headers\":{{\"content-type\":\"text/plain\"}},\"body\":\"{}\"}}",
            body.trim()
        );
        request("POST", &format!("invocation/{}/response", id), &answer);
    }
}
