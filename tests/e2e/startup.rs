//! Stories about starting `ssf-transmitter` for real: what cannot work is refused in one sentence, and what works keeps
//! its data whatever ends it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use ssf_common::jwks::VerifyingKeys;
use ssf_harness::idp::{Idp, SEALING_KEY, uris};
use ssf_harness::processes::free_port;
use ssf_harness::sink::Sink;
use ssf_harness::{TestCluster, binaries};

use crate::rotation::{header, kid};

/// An empty directory that goes away with the story.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ssf-test-{}-start{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// `ssf-transmitter serve` in here, with these settings.
    fn serve(&self, settings: &[&str]) -> Command {
        let mut command = Command::new(binaries::transmitter());
        command.arg("serve").current_dir(&self.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// What the last service in here said when it began; kept beside the folder, in which nothing else shall be.
    fn greeting(&self) -> String {
        std::fs::read_to_string(self.0.with_extension("greeting")).unwrap()
    }

    /// Runs it, which is expected to end by itself with 1, and gives back its one sentence.
    fn refusal(&self, settings: &[&str]) -> String {
        let mut child = self.serve(settings).spawn().unwrap();
        for _ in 0..3_000 {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // whoever still runs was not refused, and says so by ending with a signal
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{settings:?}: {said}");
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && said.ends_with(&format!("{}\n", errors[0])), "{settings:?}: {said}");
        assert!(processes_in(&self.0).is_empty(), "{settings:?} left something running");
        errors[0].to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_file(self.0.with_extension("greeting"));
    }
}

/// The processes that work in this directory or were started with its path.
fn processes_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let works_here = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if works_here || arguments.contains(folder.to_str().unwrap()) {
            found.push(arguments);
        }
    }
    found
}

#[test]
fn a_setting_that_cannot_be_used_is_refused_by_its_name_with_a_remedy() {
    let folder = Folder::new();
    let server = "database.url=postgres://nobody@127.0.0.1:1/none";
    for (settings, says) in [
        (&["push.widnow=3"][..], &["push.widnow", "is not a setting", "window"][..]),
        (&["puhs.window=3"], &["puhs", "is not a setting", "push"]),
        (&["push.window=many"], &["push.window", "must be a whole number"]),
        (&["push.timeout=soon"], &["push.timeout", "30s"]),
        (&["push.lease=1s"], &["push.lease must be longer than push.timeout"]),
        (&["issuer.url=http://idp.example"], &["issuer.url must be https"]),
        (&["issuer.algorithm=HS256"], &["issuer.algorithm", "RS256"]),
        (&["server.listen=nowhere"], &["server.listen", "host:port"]),
        (&["log.filter=ssf=loud"], &["log.filter", "info"]),
        (&[server], &["keys.sealing_key is required", "openssl rand -base64 32"]),
        (&[server, "keys.sealing_key=c2hvcnQ="], &["keys.sealing_key", "32 bytes", "openssl rand -base64 32"]),
        (&[server, "keys.sealing_key_file=missing"], &["keys.sealing_key_file", "missing"]),
        (
            &["database.url=mysql://db/x", "keys.sealing_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
            &["database.url", "postgres://"],
        ),
    ] {
        let mut all = settings.to_vec();
        if !settings.iter().any(|setting| setting.starts_with("server.listen")) {
            all.push("server.listen=127.0.0.1:0");
        }
        let sentence = folder.refusal(&all);
        assert!(says.iter().all(|words| sentence.contains(words)), "{settings:?}: {sentence}");
        assert!(!sentence.contains("c2hvcnQ="), "{sentence}");
    }
    assert!(std::fs::read_dir(&folder.0).unwrap().next().is_none(), "and nothing was made");
}

#[test]
fn a_settings_file_that_is_wrong_is_named() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("ssf-transmitter.toml"), "[push]\nwidnow = 3\n").unwrap();
    let sentence = folder.refusal(&[]);
    assert!(sentence.contains("push.widnow") && sentence.contains("ssf-transmitter.toml"), "{sentence}");
    std::fs::write(folder.0.join("ssf-transmitter.toml"), "[push\n").unwrap();
    assert!(folder.refusal(&[]).contains("ssf-transmitter.toml"));
}

#[test]
fn a_taken_port_is_said_before_anything_is_started() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let sentence = folder.refusal(&[&format!("server.listen={}", taken.local_addr().unwrap())]);
    assert!(sentence.contains("server.listen") && sentence.contains("choose another port"), "{sentence}");
    assert!(!folder.0.join("data").exists());
}

#[tokio::test]
async fn a_wrong_sealing_key_is_refused_by_its_name_on_a_server_and_on_a_private_cluster() {
    let idp = Idp::start().await;
    let other = SEALING_KEY.replace("AAEC", "BBEC");
    let (url, issuer) = (format!("database.url={}", idp.database.url), format!("issuer.url={}", idp.issuer));
    let key = format!("keys.sealing_key={other}");
    let folder = Folder::new();
    let listen = "server.listen=127.0.0.1:0";
    let sentence = folder.refusal(&[&url, &issuer, &key, "issuer.algorithm=ES256", listen]);
    assert!(sentence.contains("keys.sealing_key") && sentence.contains("restore the key"), "{sentence}");
    assert!(!sentence.contains(&other));

    let mut running = Running::start(&folder, &[]).await;
    running.end(Signal::TERM).await;
    std::fs::write(folder.0.join("data/transmitter/sealing.key"), &other).unwrap();
    let sentence = folder.refusal(&[listen, &format!("issuer.url={}", running.base)]);
    assert!(sentence.contains("keys.sealing_key") && sentence.contains("restore the key"), "{sentence}");
}

#[tokio::test]
async fn a_schema_of_a_newer_program_ends_the_start_in_one_sentence() {
    let idp = Idp::start().await;
    let newer = "update schema_contract set oldest_program = 9999;
                 insert into _sqlx_migrations values (9999, 'newer', now(), true, '', 0)";
    idp.execute(newer).await;
    let settings = [
        format!("database.url={}", idp.database.url),
        format!("issuer.url={}", idp.issuer),
        format!("keys.sealing_key={SEALING_KEY}"),
        "server.listen=127.0.0.1:0".to_owned(),
    ];
    let folder = Folder::new();
    let sentence = folder.refusal(&settings.each_ref().map(String::as_str));
    assert!(sentence.contains("holds migration 9999") && sentence.contains("start the newer program"), "{sentence}");
    assert_eq!(idp.count("select count(*) from signing_key").await, 1, "and nothing is done to it");
}

#[tokio::test]
async fn without_any_configuration_sets_are_signed_with_rs256() {
    let folder = Folder::new();
    let mut running = Running::start(&folder, &[]).await;
    let sink = Sink::start().await;
    let post = async |path: &str, token: &str, body: Value| -> Value {
        let request = running.http.post(format!("{}{path}", running.base)).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{path}");
        answer.json().await.unwrap()
    };
    let operator = std::fs::read_to_string(token_file(&folder, "operator")).unwrap();
    let rp = json!({"client_id": "rp", "audience": ["https://rp.example"], "token": true});
    let rp = post("/admin/v1/clients", operator.trim(), rp).await;
    let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": sink.url});
    let wanted = json!({"delivery": delivery, "events_requested": uris(&["session-revoked"])});
    post("/ssf/streams", rp["token"].as_str().unwrap(), wanted).await;
    running.revoke("session").await;
    sink.arrivals(1).await;
    let set = &sink.requests()[0].set;
    let signed = ["typ", "alg"].map(|member| header(set, member));
    assert_eq!(signed, ["secevent+jwt", "RS256"]);
    let keys = running.get("/jwks.json").await;
    assert_eq!((&keys["keys"][0]["kid"], &keys["keys"][0]["alg"]), (&json!(kid(set)), &json!("RS256")));
    assert!(VerifyingKeys::parse(keys.to_string().as_bytes()).is_ok());
    running.end(Signal::TERM).await;
}

#[tokio::test]
async fn without_any_configuration_it_serves_and_keeps_its_data_over_every_end() {
    let folder = Folder::new();
    let mut running = Running::start(&folder, &[]).await;
    let metadata = running.get("/.well-known/ssf-configuration").await;
    assert_eq!(metadata["issuer"], running.base);
    let keys = running.get("/jwks.json").await;
    let mut event_ids = vec![running.revoke("before").await];
    for signal in [Signal::TERM, Signal::KILL, Signal::INT] {
        running.end(signal).await;
        assert!(processes_in(&folder.0).is_empty() || signal == Signal::KILL, "{:?}", processes_in(&folder.0));
        running.start_again(&folder).await;
        assert_eq!(running.get("/jwks.json").await, keys, "the same key after {signal:?}");
        for event_id in &event_ids {
            assert_eq!(
                running.get(&format!("/events/{event_id}")).await["event_id"],
                json!(event_id),
                "after {signal:?}"
            );
        }
        event_ids.push(running.revoke("another").await);
    }
    running.operates(&folder).await;
    running.end(Signal::TERM).await;
    for name in ["producer", "operator"] {
        let permissions = std::fs::metadata(token_file(&folder, name)).unwrap().permissions();
        let private = std::os::unix::fs::PermissionsExt::mode(&permissions);
        assert_eq!(private & 0o077, 0, "the {name}'s token is its owner's alone");
    }
}

#[tokio::test]
async fn the_token_of_another_issuer_is_not_offered_and_the_command_that_is_makes_a_good_one() {
    let folder = Folder::new();
    let mut running = Running::start(&folder, &[]).await;
    assert!(folder.greeting().contains("a producer's token is in"), "{}", folder.greeting());
    running.end(Signal::TERM).await;
    // the issuer is moved to another URL
    let mut running = Running::start(&folder, &[]).await;
    let greeting = folder.greeting();
    assert!(!greeting.contains("a producer's token is in") && !greeting.contains("/producer.token)"), "{greeting}");
    // an operator's is good at every issuer
    assert!(greeting.contains("an operator's token for the admin API is in"), "{greeting}");
    running.operates(&folder).await;
    let command = greeting.lines().find_map(|line| line.strip_prefix("  ssf-transmitter ")).unwrap();
    assert!(command.contains("--producer --issuer http://127.0.0.1:"), "{command}");
    let mut made = Command::new(binaries::transmitter());
    let made = made.args(command.split(' ')).arg("--json").current_dir(&folder.0).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["token"].as_str().unwrap().clone_into(&mut running.token);
    running.revoke("session").await;
    running.end(Signal::TERM).await;
}

#[tokio::test]
async fn on_a_configured_server_nothing_is_made_beside_it() {
    let folder = Folder::new();
    let database = TestCluster::shared().await.scratch_database("served").await.unwrap();
    let (url, key) = (format!("database.url={}", database.url), format!("keys.sealing_key={SEALING_KEY}"));
    let mut running = Running::start(&folder, &[&url, &key]).await;
    assert_eq!(running.get("/health/ready").await, json!({"status": "ready"}));
    running.end(Signal::TERM).await;
    assert!(std::fs::read_dir(&folder.0).unwrap().next().is_none());
}

/// A transmitter process with its port; killed with the story.
struct Running {
    base: String,
    settings: Vec<String>,
    child: Child,
    http: reqwest::Client,
    token: String,
}

impl Running {
    async fn start(folder: &Folder, more: &[&str]) -> Self {
        let port = free_port().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let mut settings = vec![format!("server.listen=127.0.0.1:{port}"), format!("issuer.url={base}")];
        settings.extend(more.iter().map(|setting| (*setting).to_owned()));
        let child = Self::spawn(folder, &settings);
        let mut running = Self { base, settings, child, http: reqwest::Client::new(), token: String::new() };
        running.ready(folder).await;
        running
    }

    async fn start_again(&mut self, folder: &Folder) {
        self.child = Self::spawn(folder, &self.settings);
        self.ready(folder).await;
    }

    fn spawn(folder: &Folder, settings: &[String]) -> Child {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let greeting = std::fs::File::create(folder.0.with_extension("greeting")).unwrap();
        folder.serve(&settings).stdout(greeting).stderr(Stdio::null()).spawn().unwrap()
    }

    async fn ready(&mut self, folder: &Folder) {
        let url = format!("{}/health/ready", self.base);
        for _ in 0..1_500 {
            if self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                let token = std::fs::read_to_string(token_file(folder, "producer")).unwrap_or_default();
                token.trim().clone_into(&mut self.token);
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended instead of serving");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not get ready");
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// The operator's token, written beside the producer's, opens the admin API; the page to try it needs none.
    async fn operates(&self, folder: &Folder) {
        let token = std::fs::read_to_string(token_file(folder, "operator")).unwrap();
        for path in ["/admin/v1/issuers", "/docs"] {
            let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(token.trim());
            assert_eq!(request.send().await.unwrap().status().as_u16(), 200, "{path}");
        }
    }

    async fn revoke(&self, session: &str) -> String {
        let event = json!({"type": "session-revoked", "subject": {"format": "opaque", "id": session}});
        let request = self.http.post(format!("{}/events", self.base)).bearer_auth(&self.token).json(&event);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 202);
        answer.json::<Value>().await.unwrap()["event_id"].as_str().unwrap().to_owned()
    }

    /// Ends it with this signal and waits until it is gone; an orderly end is a 0.
    async fn end(&mut self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(status.success(), signal != Signal::KILL, "{status} after {signal:?}");
    }
}

fn token_file(folder: &Folder, client: &str) -> PathBuf {
    folder.0.join(format!("data/transmitter/{client}.token"))
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
