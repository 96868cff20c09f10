//! Stories about TLS in front of the transmitter: served by the program itself from files or for development, or by a
//! proxy that says for whom it speaks.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Method;
use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslVersion};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_common::jwks::Algorithm;
use ssf_common::random::SystemRandom;
use ssf_common::runtime::Env;
use ssf_common::runtime::tls::{DevelopmentFiles, development};
use ssf_harness::idp::{Idp, SEALING_KEY};
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{TestCluster, binaries};
use ssf_transmitter::admin;
use ssf_transmitter::audit::Actor;
use ssf_transmitter::issuer::OwnDefaults;
use ssf_transmitter::keys::SealingKey;

use crate::folder::Folder;

fn made(folder: &Folder, name: &str) -> DevelopmentFiles {
    development(&folder.0.join(name), "localhost", SystemClock.now(), &SystemRandom).unwrap()
}

/// Trusts this authority only, and makes a new connection for every request.
fn trusting(authority: &Path) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(&std::fs::read(authority).unwrap()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([authority]).pool_max_idle_per_host(0).build().unwrap()
}

/// A transmitter process on a database of the shared server, with these further settings.
async fn process(folder: &Folder, port: u16, settings: &str) -> Process {
    let database = TestCluster::shared().await.scratch_database("tls").await.unwrap();
    let base = format!("https://127.0.0.1:{port}");
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[issuer]\nurl = \"{base}\"\nalgorithm = \"ES256\"\n\
         [database]\nurl = \"{}\"\n[keys]\nsealing_key = \"{SEALING_KEY}\"\n{settings}",
        database.url
    );
    Process::new("transmitter", binaries::transmitter(), &folder.0, base, &config).unwrap()
}

fn tls_section(files: &DevelopmentFiles, more: &str) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    format!("[tls]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n{more}\n")
}

fn send(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.pid().unwrap()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

/// The version that a client which speaks TLS 1.0 and later, up to `most`, comes to with whoever listens there.
fn negotiated(port: u16, authority: &Path, most: Option<SslVersion>) -> Option<String> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(authority).unwrap();
    connector.set_cipher_list(ANY_CIPHER).unwrap();
    connector.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    connector.set_max_proto_version(most).unwrap();
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let stream = connector.build().connect("localhost", stream).ok()?;
    Some(stream.ssl().version_str().to_owned())
}

/// A server that speaks TLS 1.0 and 1.1, too, to one client.
fn old_server(files: &DevelopmentFiles) -> u16 {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(&files.certificate).unwrap();
    acceptor.set_private_key_file(&files.key, SslFiletype::PEM).unwrap();
    acceptor.clear_options(openssl::ssl::SslOptions::NO_TLSV1 | openssl::ssl::SslOptions::NO_TLSV1_1);
    acceptor.set_cipher_list(ANY_CIPHER).unwrap();
    acceptor.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || acceptor.build().accept(listener.accept().unwrap().0).map(drop));
    port
}

/// Without it OpenSSL refuses TLS 1.1 by itself.
const ANY_CIPHER: &str = "DEFAULT@SECLEVEL=0";

#[tokio::test]
async fn a_certificate_is_served_from_files_and_read_again_without_a_restart() {
    let (folder, port) = (Folder::new(), free_port().unwrap());
    let (old, new) = (made(&folder, "old"), made(&folder, "new"));
    let (for_old, for_new) = (trusting(&old.authority), trusting(&new.authority));
    let mut process = process(&folder, port, &tls_section(&old, "")).await;
    process.start().unwrap();
    process.ready(&for_old).await.unwrap();
    let url = format!("{}/.well-known/ssf-configuration", process.base);
    let metadata: Value = for_old.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["issuer"], json!(process.base));
    let jwks_uri = metadata["jwks_uri"].as_str().unwrap();
    assert_eq!(for_old.get(jwks_uri).send().await.unwrap().version(), http::Version::HTTP_2);

    assert_eq!(negotiated(port, &old.authority, None).as_deref(), Some("TLSv1.3"));
    assert_eq!(negotiated(port, &old.authority, Some(SslVersion::TLS1_2)).as_deref(), Some("TLSv1.2"));
    let most = Some(SslVersion::TLS1_1);
    assert_eq!(negotiated(old_server(&old), &old.authority, most).as_deref(), Some("TLSv1.1"), "the client could");
    assert_eq!(negotiated(port, &old.authority, most), None);

    let served_to = async |client: &reqwest::Client| client.get(&url).send().await.is_ok();
    // files that have not changed are read again at SIGHUP only
    let was_read = "the certificate was read again";
    assert!(!process.last_words().contains(was_read));
    send(&process, Signal::HUP);
    until("it reads them", async || process.last_words().contains(was_read)).await;
    assert!(served_to(&for_old).await);
    // a torn file at SIGHUP: the old certificate stays, and the log says so
    let whole = std::fs::read(&old.certificate).unwrap();
    std::fs::write(&old.certificate, &whole[..whole.len() / 2]).unwrap();
    send(&process, Signal::HUP);
    until("it complains", async || process.last_words().contains("the old certificate stays in force")).await;
    assert!(served_to(&for_old).await);
    // whole again, but another: seen by itself
    std::fs::copy(&new.key, &old.key).unwrap();
    std::fs::copy(&new.certificate, &old.certificate).unwrap();
    until("it serves the new one", async || served_to(&for_new).await).await;
    assert!(!served_to(&for_old).await);
    assert!(process.stop().await.unwrap().unwrap().success());
}

#[tokio::test]
async fn where_client_certificates_are_required_nobody_comes_in_without_one() {
    let (folder, port) = (Folder::new(), free_port().unwrap());
    let files = made(&folder, "one");
    let section = tls_section(
        &files,
        &format!("client_certificates = \"required\"\nclient_ca_file = \"{}\"", files.authority.display()),
    );
    let mut process = process(&folder, port, &section).await;
    process.start().unwrap();
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    let identity = reqwest::Identity::from_pkcs8_pem(&read(&files.certificate), &read(&files.key)).unwrap();
    let authority = reqwest::Certificate::from_pem(&read(&files.authority)).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).identity(identity).build().unwrap();
    process.ready(&client).await.unwrap();
    let without = trusting(&files.authority).get(format!("{}/health/live", process.base)).send().await;
    assert!(without.is_err());
    assert!(process.stop().await.unwrap().unwrap().success());
}

/// `serve --dev-tls` in a directory of its own; killed with the story.
struct Served(Child);

impl Served {
    fn start(folder: &Folder, port: u16) -> Self {
        let mut command = Command::new(binaries::transmitter());
        command.args(["serve", "--dev-tls", "--set", &format!("server.listen=127.0.0.1:{port}")]);
        command.args(["--set", &format!("issuer.url=https://localhost:{port}")]);
        let said = std::fs::File::create(folder.0.join("said")).unwrap();
        command.current_dir(&folder.0).stdin(Stdio::null()).stdout(said).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn development_tls_needs_nothing_and_is_the_same_after_a_restart() {
    let (folder, port) = (Folder::new(), free_port().unwrap());
    let said = async || std::fs::read_to_string(folder.0.join("said")).unwrap_or_default();
    let mut authorities = Vec::new();
    for _ in 0..2 {
        let mut served = Served::start(&folder, port);
        until("it says where its authority is", async || said().await.contains("register a receiver")).await;
        let said = said().await;
        let curl = said.lines().find(|line| line.contains("curl --cacert")).unwrap().trim();
        let [_, _, authority, url] = curl.split(' ').collect::<Vec<_>>()[..] else { panic!("{curl}") };
        assert!(Path::new(authority).is_absolute());
        let client = trusting(Path::new(authority));
        until("it listens", async || client.get(url).send().await.is_ok()).await;
        let metadata: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["issuer"], json!(format!("https://localhost:{port}")));
        // by every name of this machine
        assert!(client.get(format!("https://127.0.0.1:{port}/health/live")).send().await.is_ok());
        // the token that was printed is good
        let token = std::fs::read_to_string(folder.0.join("data/transmitter/producer-dev-tls.token")).unwrap();
        let event = json!({"type": "session-revoked", "subject": {"format": "opaque", "id": "session-1"}});
        let emitted = client.post(format!("https://localhost:{port}/events")).bearer_auth(token.trim()).json(&event);
        assert_eq!(emitted.send().await.unwrap().status().as_u16(), 202);
        authorities.push(std::fs::read(authority).unwrap());
        served.end();
    }
    assert_eq!(authorities[0], authorities[1]);
}

/// An IdP behind a proxy on loopback, with a second issuer on another host.
async fn behind_a_proxy(trusted: &str) -> Idp {
    let idp = Idp::start_with(&[("issuer.url", "https://idp.example"), ("proxy.trusted", trusted)]).await;
    let sealing = SealingKey::parse(&SEALING_KEY.into()).unwrap();
    let (actor, env) = (Actor::CommandLine("story".to_owned()), Env::system());
    let (own, url) = (OwnDefaults::default(), "https://other.example".into());
    admin::add_issuer(&idp.pool, &url, &own, Algorithm::Es256, &sealing, &actor, &env).await.unwrap();
    idp.transmitter.tenants.refresh().await.unwrap();
    idp
}

async fn issuer_at(idp: &Idp, headers: &[(&str, &str)]) -> (u16, Value) {
    let reply = idp.send(Method::GET, "/.well-known/ssf-configuration", headers, "").await;
    (reply.status, reply.body["issuer"].clone())
}

// SSF 1.0 §7.2: an issuer is found by the host the client asked for
#[tokio::test]
async fn a_trusted_proxy_says_which_host_was_asked_for_and_nobody_else_does() {
    let (primary, other) = (json!("https://idp.example"), json!("https://other.example"));
    let forwarded = [("x-forwarded-host", "other.example"), ("x-forwarded-for", "203.0.113.9")];
    let idp = behind_a_proxy("[127.0.0.0/8]").await;
    assert_eq!(issuer_at(&idp, &[]).await.1, primary);
    assert_eq!(issuer_at(&idp, &forwarded).await.1, other);
    assert_eq!(issuer_at(&idp, &[("forwarded", "host=other.example")]).await.1, primary, "not the chosen kind");
    let stranger = behind_a_proxy("[10.0.0.0/8]").await;
    assert_eq!(issuer_at(&stranger, &forwarded).await.1, primary);
}

// RFC 6750 §5.3: bearer tokens travel over TLS only
#[tokio::test]
async fn what_came_to_the_proxy_in_plain_text_is_turned_away() {
    let idp = behind_a_proxy("[127.0.0.1]").await;
    assert_eq!(issuer_at(&idp, &[("x-forwarded-proto", "https")]).await.0, 200);
    let reply = idp.send(Method::POST, "/events", &[("x-forwarded-proto", "http")], "{}").await;
    assert_eq!((reply.status, reply.text("error_description")), (400, "this issuer is reached over https only"));
    let health = idp.send(Method::GET, "/health/live", &[("x-forwarded-proto", "http")], "").await;
    assert_eq!(health.status, 200);
}

#[test]
fn tls_that_cannot_be_served_stops_the_start_in_one_sentence() {
    let folder = Folder::new();
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(binaries::transmitter());
        command.args(["serve", "--set", "server.listen=127.0.0.1:0"]).args(arguments);
        let output = command.current_dir(&folder.0).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let https = "issuer.url=https://idp.example";
    let plain = refused(&["--dev-tls", "--set", "issuer.url=http://127.0.0.1:9000"]);
    assert!(plain.contains("issuer.url must be https") && plain.contains("--set issuer.url=https://"), "{plain}");
    let half = refused(&["--set", https, "--set", "tls.certificate_file=a.pem"]);
    assert!(half.contains("tls.key_file and tls.certificate_file must be set together"), "{half}");
    let missing = refused(&["--set", https, "--set", "tls.certificate_file=a.pem", "--set", "tls.key_file=a.key"]);
    assert!(missing.contains("tls.certificate_file = a.pem cannot be read"), "{missing}");
    assert!(std::fs::read_dir(&folder.0).unwrap().next().is_none(), "and nothing was made");
}
