//! Posts to a URL as fast as it is answered, and tells how long that took.
//!
//! `bench_load ADDRESS HOST PATH CONNECTIONS POSTS FIRST TEXT`: messages as Slack sends them, told
//! apart by numbers from `FIRST` on. Prints JSON: seconds in all, milliseconds of each, and how
//! many were answered 200. Optimised, since it shares the processor with what is measured.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark may end in a panic")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What the connections share.
struct Load {
    address: String,
    host: String,
    path: String,
    text: String,
    next: Cell<u64>,
    end: u64,
}

impl Load {
    fn message(&self) -> Option<String> {
        let id = self.next.get();
        self.next.set(id + 1);
        (id < self.end).then(|| {
            format!(
                "team_id=T1&channel_id=C1&timestamp=1700000000.{id:06}&user_id=U1&user_name=u&text={}",
                self.text
            )
        })
    }

    /// One connection: milliseconds of each post, and how many were answered 200.
    async fn post(self: Rc<Self>) -> (Vec<f64>, usize) {
        let stream = TcpStream::connect(&self.address).await.expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::task::spawn_local(connection);
        let (mut took, mut good) = (Vec::new(), 0);
        while let Some(message) = self.message() {
            let request = Request::post(&self.path)
                .header(HOST, &self.host)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Full::new(Bytes::from(message)))
                .expect("a request");
            let sent = Instant::now();
            let answer = sender.send_request(request).await.expect("an answer");
            good += usize::from(answer.status() == StatusCode::OK);
            answer.into_body().collect().await.expect("a whole answer");
            took.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        (took, good)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, host, path, connections, posts, first, text] = &arguments[..] else {
        panic!("ADDRESS HOST PATH CONNECTIONS POSTS FIRST TEXT");
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    let first = number(first);
    let load = Rc::new(Load {
        address: address.clone(),
        host: host.clone(),
        path: path.clone(),
        text: text.clone(),
        next: Cell::new(first),
        end: first + number(posts),
    });
    let begun = Instant::now();
    let connections = (0..number(connections)).map(|_| Rc::clone(&load).post());
    let connections: Vec<_> = connections.collect();
    let all = LocalSet::new()
        .run_until(async {
            let tasks = connections.into_iter().map(tokio::task::spawn_local);
            let mut all = Vec::new();
            for task in tasks.collect::<Vec<_>>() {
                all.push(task.await.expect("no panic"));
            }
            all
        })
        .await;
    let seconds = begun.elapsed().as_secs_f64();
    let good: usize = all.iter().map(|(_, good)| good).sum();
    let took: Vec<_> = all.into_iter().flat_map(|(took, _)| took).collect();
    println!("{}", json!({ "seconds": seconds, "took": took, "good": good }));
}
