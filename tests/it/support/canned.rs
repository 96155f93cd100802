//! A server that answers every request as a test says, with or without TLS, and a proxy in front.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Heads of the requests that came, first line and headers.
#[derive(Clone, Default)]
pub struct Heads(Arc<Mutex<Vec<String>>>);

impl Heads {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, head: String) -> usize {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push(head);
        heads.len()
    }
}

/// Runs until the test's process ends.
pub struct Canned {
    pub port: u16,
    pub heads: Heads,
}

/// What to answer to which request since the last look at the heads, the first being 1: status
/// line and headers, and a body.
type Answer = dyn Fn(usize) -> (String, String) + Send + Sync;

impl Canned {
    pub fn http(answer: impl Fn(usize) -> (String, String) + Send + Sync + 'static) -> Self {
        let answer: Arc<Answer> = Arc::new(answer);
        Self::start(move |stream, heads| serve(stream, &heads, &*answer))
    }

    /// For this host, with the certificate that vouches for it in PEM.
    pub fn https(
        host: &str,
        answer: impl Fn(usize) -> (String, String) + Send + Sync + 'static,
    ) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("a server's certificate");
        let config = Arc::new(config);
        let answer: Arc<Answer> = Arc::new(answer);
        let server = Self::start(move |stream, heads| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            serve(StreamOwned::new(connection, stream), &heads, &*answer);
        });
        let encoded = STANDARD.encode(made.cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
        (server, pem)
    }

    /// A proxy that takes every tunnel to `port`, wherever it is meant to go.
    pub fn proxy(port: u16) -> Self {
        Self::start(move |mut client, heads| {
            let Some(head) = head(&mut client) else { return };
            heads.add(head);
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else { return };
            drop(client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n"));
            let (Ok(mut back), Ok(mut from)) = (client.try_clone(), server.try_clone()) else {
                return;
            };
            std::thread::spawn(move || drop(std::io::copy(&mut from, &mut back)));
            drop(std::io::copy(&mut client, &mut server));
        })
    }

    fn start(serve: impl Fn(TcpStream, Heads) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heads = Heads::default();
        let (own, serve) = (heads.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, heads) = (Arc::clone(&serve), own.clone());
                std::thread::spawn(move || serve(stream, heads));
            }
        });
        Self { port, heads }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// An error of STS, which nobody tries again.
pub fn refused(code: &str, message: &str) -> (String, String) {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
         </Error></ErrorResponse>"
    );
    ("HTTP/1.1 403 Forbidden\r\n".to_owned(), body)
}

fn serve(mut stream: impl Read + Write, heads: &Heads, answer: &Answer) {
    while let Some(head) = head(&mut stream) {
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
            })
            .unwrap_or(0);
        if stream.read_exact(&mut vec![0; length]).is_err() {
            return;
        }
        let (head, body) = answer(heads.add(head));
        let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// Up to the empty line, and no further.
fn head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
