//! Push over TLS (RFC 8935 §3, CAEP interop §2.1): only a receiver with a good certificate of its own gets a SET.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Shutdown;
use ssf_common::runtime::http::Server;
use ssf_common::runtime::outgoing::Lookup;
use ssf_common::runtime::tls::{ClientCertificates, Tls, TlsFiles, development};
use ssf_harness::idp::Idp;
use tokio::net::TcpListener;

use crate::folder::Folder;

// RFC 8935 §3, CAEP interop §2.1: TLS 1.2 or later (MUST), certificate and host name checked (MUST); authorities of one's
// own can be added
#[tokio::test]
async fn a_set_goes_only_to_whom_the_certificate_names_by_an_authority_that_is_trusted() {
    let (ours, foreign) = (Folder::new(), Folder::new());
    let (good, taken) = sink(&ours, "rp.example").await;
    let (stranger, taken_by_stranger) = sink(&foreign, "rp.example").await;
    let (old, taken_by_old) = old_sink(&ours);
    let ca_file = ours.0.join("ca.pem");
    let settings = [("outgoing.ca_file", ca_file.to_str().unwrap()), ("push.timeout", "2s")];
    let idp = Idp::start_calling(&settings, |settings| {
        settings.outgoing(settings.endpoint_guard().unwrap()).unwrap().with_lookup(Arc::new(Here))
    })
    .await;
    let producer = idp.add_producer().await;
    for (name, endpoint) in [
        ("good", format!("https://rp.example:{good}/push")),
        ("another-name", format!("https://another.example:{good}/push")),
        ("unknown-authority", format!("https://rp.example:{stranger}/push")),
        ("too-old", format!("https://rp.example:{old}/push")),
    ] {
        let rp = idp.add_receiver(name).await;
        idp.push_stream(&rp, &endpoint, &["session-revoked"]).await;
    }
    let event = idp.revoke(&producer, "s").await;
    for _ in 0..2 {
        idp.drain().await;
        idp.advance(Duration::from_secs(11));
    }
    let progress = idp.progress(&producer, &event).await;
    assert_eq!((&progress["delivered"], &progress["pending"]), (&1.into(), &3.into()), "kept: {progress}");
    let count = |taken: &AtomicUsize| taken.load(Ordering::SeqCst);
    assert_eq!((count(&taken), count(&taken_by_stranger), count(&taken_by_old)), (1, 0, 0));
}

/// Every name is this machine's.
#[derive(Debug)]
struct Here;

impl Lookup for Here {
    fn lookup<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])))
    }
}

fn files(folder: &Folder, name: &str) -> TlsFiles {
    let made = development(&folder.0, name, SystemClock.now(), &SystemRandom).unwrap();
    TlsFiles {
        certificate: made.certificate,
        key: made.key,
        client_ca: None,
        client_certificates: ClientCertificates::Off,
    }
}

/// A receiver with a certificate by the authority in this folder; its port, and how many SETs it took.
async fn sink(folder: &Folder, name: &str) -> (u16, Arc<AtomicUsize>) {
    let tls = Tls::open(files(folder, name), Arc::new(SystemClock)).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(AtomicUsize::new(0));
    let take = async |State(taken): State<Arc<AtomicUsize>>| {
        taken.fetch_add(1, Ordering::SeqCst);
        StatusCode::ACCEPTED
    };
    let router = Router::new().route("/push", post(take)).with_state(Arc::clone(&taken));
    let server = Server { tls: Some(tls), ..Server::default() };
    tokio::spawn(async move { server.serve(listener, router, &Shutdown::default()).await.unwrap() });
    (port, taken)
}

/// A receiver with the same certificate that speaks TLS 1.1 at most; counts handshakes that succeed.
fn old_sink(folder: &Folder) -> (u16, Arc<AtomicUsize>) {
    use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVersion};
    let files = files(folder, "rp.example");
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(files.certificate).unwrap();
    acceptor.set_private_key_file(files.key, SslFiletype::PEM).unwrap();
    acceptor.set_min_proto_version(None).unwrap();
    acceptor.set_max_proto_version(Some(SslVersion::TLS1_1)).unwrap();
    acceptor.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
    let acceptor = acceptor.build();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let handshakes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&handshakes);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if acceptor.accept(stream).is_ok() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (port, handshakes)
}
