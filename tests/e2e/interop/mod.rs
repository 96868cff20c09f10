//! The commands of `ssf-receiver` that drive a stream by hand, as a person runs them: a desk to run them at, and a bench
//! with our own transmitter.

mod breaches;
mod by_hand;
mod odd;
mod tail;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_common::random::{Random, SystemRandom};
use ssf_harness::binaries;
use ssf_harness::idp::{Idp, Party};
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::Authentication;
use tokio::process::{Child, Command};

/// A directory to run the program in, which goes with the story.
struct Desk(PathBuf);

/// What a command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let random: &dyn Random = &SystemRandom;
        let path = std::env::temp_dir().join(format!("ssf-interop-{}", random.secret()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A file with a secret in it.
    fn secret(&self, name: &str, secret: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::receiver());
        command.current_dir(&self.0).args(arguments).env_remove("DATABASE_URL").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().await.unwrap())
    }
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("it ends by itself");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// It ended well, and nothing was found; the answer.
    #[track_caller]
    fn faultless(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert!(!self.err.contains("breach") && !self.err.contains("warning"), "{self:?}");
        if self.out.is_empty() { Value::Null } else { self.json() }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A transmitter, a receiver that is registered there, and a desk.
struct Bench {
    idp: Idp,
    party: Party,
    producer: Party,
    desk: Desk,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Authentication::SecretBasic).await
    }

    /// Its receiver is registered with this method.
    async fn with(authentication: Authentication) -> Self {
        let idp = Idp::start().await;
        // The program has the wall clock.
        idp.advance(SystemClock.now().since(idp.clock.now()));
        let receiver = NewClient::receiver("rp-1", "https://rp-1.example");
        let party = idp.add_client(NewClient { with_token: true, authentication, ..receiver }).await;
        let producer = idp.add_producer().await;
        Self { idp, party, producer, desk: Desk::new() }
    }

    /// With client credentials.
    async fn run(&self, arguments: &[&str]) -> Said {
        self.desk.run(&self.full(arguments).iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let full = self.full(arguments);
        self.desk.command(&full.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap()
    }

    fn full(&self, arguments: &[&str]) -> Vec<String> {
        let secret = self.desk.secret("client.secret", &self.party.secret);
        let peer = ["--issuer", self.idp.issuer.as_str(), "--client-id", "rp-1", "--client-secret-file", &secret];
        arguments.iter().chain(&peer).map(|text| (*text).to_owned()).collect()
    }

    async fn streams(&self) -> Vec<Value> {
        self.idp.get("/ssf/streams", &self.party).await.body.as_array().unwrap().clone()
    }

    /// Waits until the one stream is there.
    async fn stream(&self) -> Value {
        for _ in 0..500 {
            if let [one] = self.streams().await.as_slice() {
                return one.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no stream is made");
    }
}
