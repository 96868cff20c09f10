//! `ssf-receiver` as a person meets it: with no configuration at all, and with a wrong one.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use ssf_common::random::{Random, SystemRandom};
use ssf_harness::processes::free_port;
use ssf_harness::{TestCluster, binaries};

/// A directory to start the program in, which goes with the story.
struct Desk(PathBuf);

impl Desk {
    fn new() -> Self {
        let random: &dyn Random = &SystemRandom;
        let path = std::env::temp_dir().join(format!("ssf-desk-{}-{}", std::process::id(), random.secret()));
        std::fs::create_dir(&path).unwrap();
        // The private cluster's server is another user and must be able to pass.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        Self(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::receiver());
        command.current_dir(&self.0).args(arguments).env_remove("DATABASE_URL").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it says on standard error when it refuses.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running service that ends with the story.
struct Service(Child);

impl Service {
    async fn start(desk: &Desk, listen: &str) -> Self {
        let set = format!("server.listen={listen}");
        let child =
            desk.command(&["serve", "--set", &set]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let service = Self(child);
        let (http, begin) = (Client::builder().no_proxy().build().unwrap(), Instant::now());
        let ready = || http.get(format!("http://{listen}/health/ready")).send();
        while !ready().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begin.elapsed() < Duration::from_mins(1), "the service does not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        service
    }

    fn stop(mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_cannot_work_is_refused_in_one_sentence_that_names_the_key_and_the_remedy() {
    let desk = Desk::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("server.listen={}", taken.local_addr().unwrap());
    let upstream = ["upstreams.idp.issuer=https://idp.example", "upstreams.idp.delivery=push"];
    let refused: [(&[&str], &str); 7] = [
        (&["--set", &taken, "serve"], "is taken by another process; choose another port or stop that process"),
        (
            &["--set", "server.lisen=x", "serve"],
            "error: server.lisen (on the command line) is not a setting; remove it or correct its name",
        ),
        (
            &["--set", "server.listen=0.0.0.0:1", "serve"],
            "error: api.token is required when server.listen is not on loopback; make one with",
        ),
        (
            &["--set", "database.url=postgres://x/y", "serve"],
            "error: privacy.subject_key is required with database.url; make one with",
        ),
        (
            &["--set", upstream[0], "--set", upstream[1], "serve"],
            "error: upstreams.idp.client_id has no value; register this receiver with the transmitter",
        ),
        (
            &["--config", "/nowhere.toml", "config"],
            "error: the settings file /nowhere.toml does not exist; correct the path",
        ),
        (
            &["--set", "server.listen=127.0.0.1:1", "check", "s-1"],
            "error: no service answers at http://127.0.0.1:1 (server.listen); start it with `ssf-receiver serve`",
        ),
    ];
    for (arguments, said) in refused {
        let error = desk.refuses(arguments);
        assert!(error.starts_with("error: ") && error.contains(said), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(!desk.0.join("data").exists(), "nothing was touched");
    assert_eq!(desk.run(&["serve", "--sett"]).status.code(), Some(2));
}

#[test]
fn secrets_are_masked_wherever_settings_are_shown() {
    let desk = Desk::new();
    let secrets = ["api.token=hush-1", "database.url=postgres://u:hush-2@h/d", "privacy.subject_key=hush-3"];
    let upstream =
        ["upstreams.idp.issuer=https://idp.example", "upstreams.idp.delivery=poll", "upstreams.idp.token=hush-4"];
    let arguments: Vec<_> = secrets.iter().chain(&upstream).flat_map(|set| ["--set", set]).chain(["config"]).collect();
    let shown = String::from_utf8(desk.run(&arguments).stdout).unwrap();
    assert!(shown.contains("issuer = \"https://idp.example\"") && shown.contains("\"***\""), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn with_no_configuration_at_all_it_starts_and_keeps_its_data_over_a_restart() {
    let desk = Desk::new();
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    let service = Service::start(&desk, &listen).await;
    let set = format!("server.listen={listen}");
    let asked = desk.run(&["--set", &set, "check", "s-1"]);
    assert!(asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains("not_registered"));
    // Nobody listens there: the token of the API would go to whoever does.
    let mut with_proxy = desk.command(&["--set", &set, "check", "s-1"]);
    let asked = with_proxy.envs(["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")));
    assert!(asked.output().unwrap().status.success(), "the service on this host is not asked through a proxy");
    let second = desk.refuses(&["serve", "--set", &format!("server.listen=127.0.0.1:{}", free_port().unwrap())]);
    assert!(second.contains("is in use by process"), "{second}");
    service.stop();
    let key = std::fs::read_to_string(desk.0.join("data/receiver/subject.key")).unwrap();
    let migrated = desk.run(&["migrate"]);
    assert!(String::from_utf8_lossy(&migrated.stdout).starts_with("schema ssf_receiver is up to date in "));
    Service::start(&desk, &listen).await.stop();
    assert_eq!(std::fs::read_to_string(desk.0.join("data/receiver/subject.key")).unwrap(), key);
}

#[tokio::test]
async fn a_command_about_a_stream_may_be_the_first_thing_that_is_run_on_a_database() {
    let database = TestCluster::shared().await.scratch_database("command").await.unwrap();
    let url = format!("database.url={}", database.url);
    let key = format!("privacy.subject_key={}", (&SystemRandom as &dyn Random).secret());
    let upstream = ["issuer=http://127.0.0.1:1", "delivery=poll", "token=t"].map(|set| format!("upstreams.idp.{set}"));
    let sets = [&url, &key].into_iter().chain(&upstream).flat_map(|set| ["--set", set.as_str()]);
    let arguments: Vec<&str> = sets.chain(["managed-stream", "status", "--upstream", "idp"]).collect();
    let said = Desk::new().refuses(&arguments);
    assert!(
        said.contains("the transmitter cannot be reached at http://127.0.0.1:1/.well-known/ssf-configuration"),
        "it came as far as the transmitter: {said}"
    );
}
