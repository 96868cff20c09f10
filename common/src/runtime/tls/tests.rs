//! Certificates from files: what is refused and how it is told, and what happens when they change under a running
//! service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;

use super::*;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::random::SystemRandom;
use crate::runtime::http::{ConnectionLimits, Server, bind};
use crate::runtime::{Shutdown, Worker as _};

/// A directory that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ssf-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn made(folder: &Folder, name: &str) -> DevelopmentFiles {
    development(&folder.0.join(name), "idp.localhost", SystemClock.now(), &SystemRandom).unwrap()
}

fn of(files: &DevelopmentFiles) -> TlsFiles {
    TlsFiles {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        client_ca: None,
        client_certificates: ClientCertificates::Off,
    }
}

fn open(files: TlsFiles) -> Result<Tls, TlsError> {
    Tls::open(files, Arc::new(SystemClock))
}

/// Trusts this authority only, and makes a new connection for every request.
fn client(files: &DevelopmentFiles) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(&std::fs::read(&files.authority).unwrap()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_merge([authority]).pool_max_idle_per_host(0).build().unwrap()
}

async fn start(tls: Tls, limits: ConnectionLimits) -> (SocketAddr, Shutdown) {
    let shutdown = Shutdown::default();
    let listener = bind("127.0.0.1:0", "server.listen").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (serving, router) = (shutdown.clone(), Router::new().route("/", get(|| async { "here" })));
    let server = Server { limits, tls: Some(tls) };
    shutdown.spawn("http", async move { server.serve(listener, router, &serving).await.unwrap() });
    (address, shutdown)
}

#[test]
fn development_certificates_are_kept_and_made_anew_for_another_host_or_when_they_end() {
    let folder = Folder::new("kept");
    let make = |host: &str, now: Timestamp| {
        let files = development(&folder.0, host, now, &SystemRandom).unwrap();
        (std::fs::read(&files.authority).unwrap(), std::fs::read(&files.certificate).unwrap())
    };
    let now = SystemClock.now();
    let first = make("127.0.0.1", now);
    assert_eq!(make("localhost", now), first);
    let other = make("idp.internal", now);
    assert!(other.0 == first.0 && other.1 != first.1, "the authority stays");
    assert_eq!(make("idp.internal", now), other);
    let next_year = now.plus(Duration::from_hours(24 * 380));
    let renewed = make("idp.internal", next_year);
    assert!(renewed.0 == first.0 && renewed.1 != other.1);
    for secret in ["ca.key", "localhost.key"] {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(folder.0.join(secret)).unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
}

#[test]
fn files_that_cannot_serve_are_named_with_what_is_wrong() {
    let folder = Folder::new("wrong");
    let (one, other) = (made(&folder, "one"), made(&folder, "other"));
    let garbage = folder.0.join("garbage.pem");
    std::fs::write(&garbage, "no PEM").unwrap();
    let encrypted = folder.0.join("encrypted.pem");
    let key = openssl::pkey::PKey::private_key_from_pem(&std::fs::read(&one.key).unwrap()).unwrap();
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    std::fs::write(&encrypted, key.private_key_to_pem_pkcs8_passphrase(cipher, b"password").unwrap()).unwrap();
    let good = of(&one);
    for (files, says) in [
        (TlsFiles { certificate: folder.0.join("none.pem"), ..good.clone() }, "tls.certificate_file"),
        (TlsFiles { certificate: garbage.clone(), ..good.clone() }, "holds no certificate in PEM"),
        (TlsFiles { key: garbage.clone(), ..good.clone() }, "is not a private key in PEM without a password"),
        (TlsFiles { key: encrypted, ..good.clone() }, "is not a private key in PEM without a password"),
        (TlsFiles { key: other.key, ..good.clone() }, "is not the key of the first certificate"),
        (
            TlsFiles { client_certificates: ClientCertificates::Required, client_ca: Some(garbage), ..good.clone() },
            "tls.client_ca_file",
        ),
    ] {
        let said = open(files).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
    assert!(open(good).is_ok());
}

#[tokio::test]
async fn a_changed_certificate_is_served_and_a_broken_one_is_not() {
    let folder = Folder::new("changed");
    let (old, new) = (made(&folder, "old"), made(&folder, "new"));
    let (for_old, for_new) = (client(&old), client(&new));
    let tls = open(of(&old)).unwrap();
    let reload = Reload::new(tls.clone());
    let (address, shutdown) = start(tls, ConnectionLimits::default()).await;
    let url = format!("https://{address}/");
    let served_to = async |client: &reqwest::Client| client.get(&url).send().await.is_ok();
    assert!(served_to(&for_old).await && !served_to(&for_new).await);

    // half of it is there: the certificate without its key
    std::fs::copy(&new.certificate, &old.certificate).unwrap();
    reload.tick().await.unwrap();
    assert!(served_to(&for_old).await, "the old one stays");
    std::fs::copy(&new.key, &old.key).unwrap();
    reload.tick().await.unwrap();
    assert!(served_to(&for_new).await && !served_to(&for_old).await);

    std::fs::write(&old.certificate, "torn").unwrap();
    reload.ask();
    reload.tick().await.unwrap();
    assert!(served_to(&for_new).await);
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn whoever_does_not_shake_hands_holds_up_nobody_and_is_cut() {
    use tokio::io::AsyncReadExt as _;
    let folder = Folder::new("silent");
    let files = made(&folder, "one");
    let limits = ConnectionLimits { handshake_timeout: Duration::from_millis(300), ..ConnectionLimits::default() };
    let (address, shutdown) = start(open(of(&files)).unwrap(), limits).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let answer = client(&files).get(format!("https://{address}/")).send().await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2, "ALPN");
    assert_eq!(answer.text().await.unwrap(), "here");
    for mut connection in silent {
        let end = connection.read(&mut [0]).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    let plain = reqwest::get(format!("http://{address}/")).await;
    assert!(plain.is_err(), "plain text is not served beside it");
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_as_configured() {
    let folder = Folder::new("clients");
    let (ours, theirs) = (made(&folder, "ours"), made(&folder, "theirs"));
    let with_certificate = |files: &DevelopmentFiles| {
        let pem = |path: &PathBuf| std::fs::read(path).unwrap();
        let identity = reqwest::Identity::from_pkcs8_pem(&pem(&files.certificate), &pem(&files.key)).unwrap();
        let authority = reqwest::Certificate::from_pem(&pem(&ours.authority)).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_merge([authority]);
        client.identity(identity).build().unwrap()
    };
    for (mode, expected) in [
        (ClientCertificates::Off, [true, true, true]),
        (ClientCertificates::Optional, [true, true, false]),
        (ClientCertificates::Required, [false, true, false]),
    ] {
        let files = TlsFiles { client_certificates: mode, client_ca: Some(ours.authority.clone()), ..of(&ours) };
        let (address, shutdown) = start(open(files).unwrap(), ConnectionLimits::default()).await;
        let url = format!("https://{address}/");
        let mut served = Vec::new();
        for client in [client(&ours), with_certificate(&ours), with_certificate(&theirs)] {
            served.push(client.get(&url).send().await.is_ok());
        }
        assert_eq!(served, expected, "{mode:?}");
        shutdown.begin();
        shutdown.wait().await;
    }
}
