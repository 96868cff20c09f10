//! The same on the command line: the table, breaches, levels, and a file of decisions that is killed half way.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use ssf_common::clock::Clock as _;
use ssf_harness::idp::Idp;

use super::{Scene, look};

/// `ssf-transmitter …` on the story's database.
fn command(idp: &Idp, arguments: &[&str]) -> Command {
    let mut command = Command::new(ssf_harness::binaries::transmitter());
    command.args(arguments).current_dir(std::env::temp_dir()).env("USER", "grace");
    for setting in [format!("database.url={}", idp.database.url), format!("issuer.url={}", idp.issuer)] {
        command.args(["--set", &setting]);
    }
    command.args(["--set", &format!("keys.sealing_key={}", ssf_harness::idp::SEALING_KEY)]);
    command
}

/// What it said, and whether it was content.
async fn said(idp: &Idp, arguments: &[&str]) -> (bool, String) {
    let mut command = command(idp, arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap().trim().to_owned())
}

/// A story whose clock shows the time of the commands.
async fn scene() -> Scene {
    let scene = Scene::start(&[("backlog.bulk", "true")]).await;
    scene.idp.clock.set(ssf_common::clock::SystemClock.now());
    scene
}

/// A file of these lines, which goes with the value.
struct Lines(PathBuf);

impl Lines {
    fn new(lines: impl Iterator<Item = String>) -> Self {
        let path = std::env::temp_dir().join(format!(
            "ssf-users-{}.ndjson",
            ssf_common::id::uuid_v7(ssf_common::clock::SystemClock.now(), &ssf_common::random::SystemRandom)
        ));
        std::fs::write(&path, lines.map(|line| line + "\n").collect::<String>()).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn users(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!(r#"{{"format":"opaque","id":"user-{n}"}}"#))
}

#[tokio::test]
async fn the_command_line_shows_what_waits_and_what_waited_too_long() {
    let scene = scene().await;
    let idp = &scene.idp;
    scene.revoke_all(0..3, "bulk").await;
    idp.fan_out().await;
    let (content, json) = said(idp, &["backlog", "--json"]).await;
    assert!(content, "{json}");
    let shown: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (shown["totals"]["waiting"].as_u64(), shown["streams"]["items"][0]["bulk"]["waiting"].as_u64()),
        (Some(3), Some(3))
    );
    let (_, table) = said(idp, &["backlog"]).await;
    assert!(table.starts_with("3 waiting on 1 streams") && table.contains(&scene.stream), "{table}");
    assert_eq!(said(idp, &["backlog", "--breaches"]).await.1, "no window was missed");
    idp.advance(Duration::from_secs(301));
    look(idp).await;
    let (_, breaches) = said(idp, &["backlog", "--breaches"]).await;
    assert_eq!(breaches.lines().count(), 3, "{breaches}");
    assert!(breaches.contains("waits still") && breaches.contains("slowest leg: queue"), "{breaches}");
    let (_, one) = said(idp, &["backlog", "--breaches", "--json", "--limit", "1"]).await;
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap()["stream_id"], scene.stream);
    let (_, table) = said(idp, &["backlog", "--once"]).await;
    assert!(table.contains("1 alarms, 3 windows missed") && table.contains("bulk: "), "{table}");
    let (_, set) = said(idp, &["stream", "level", &scene.stream, "sl3"]).await;
    assert_eq!(set, format!("the windows of sl3 hold on {} now", scene.stream));
    assert_eq!(scene.backlog().await["window_ms"], 60_000);
    let (content, refused) = said(idp, &["stream", "level", &scene.stream, "sl9"]).await;
    assert!(!content && refused.contains("write sl2 or sl3"), "{refused}");
}

#[tokio::test]
async fn a_file_with_a_fault_sends_nothing_and_names_the_line() {
    let scene = scene().await;
    let idp = &scene.idp;
    for (bad, says) in [
        (r#"{"format":"email"}"#, "`subject` is not valid"),
        ("not json", "is not JSON"),
        (r#"{"subject":{"format":"opaque","id":"x"},"type":"session-revokd"}"#, "`type` is neither"),
    ] {
        let file = Lines::new(users(2).chain([String::new(), bad.to_owned()]).chain(users(1)));
        let (content, error) = said(idp, &["emit", "session-revoked", "--file", file.path()]).await;
        assert!(!content && error.contains("line 4 of") && error.contains(says), "{error}");
        assert!(!error.contains("user-"), "{error}");
    }
    let file = Lines::new(users(2));
    let (content, error) = said(idp, &["emit", "--file", file.path()]).await;
    assert!(!content && error.contains("line 1 of") && error.contains("no type was given"), "{error}");
    assert!(!said(idp, &["emit", "session-revoked"]).await.0, "one decision needs its subject");
    assert_eq!(idp.count("select count(*) from outbox").await, 0);
}

#[tokio::test]
async fn a_file_that_is_killed_half_way_is_sent_whole_and_once_when_it_is_sent_again() {
    const USERS: i64 = 6_000;
    let scene = scene().await;
    let idp = &scene.idp;
    let file = Lines::new(users(6_000));
    let arguments = ["emit", "session-revoked", "--file", file.path()];
    let mut child = command(idp, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while idp.count("select count(*) from batch_portion").await == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before anything was recorded");
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = idp.count("select count(*) from outbox").await;
    assert_eq!(before % 1_000, 0, "whole portions only");
    let (content, told) = said(idp, &arguments).await;
    assert!(content, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["events"].as_i64(), told["recorded_before"].as_i64()), (Some(USERS), Some(before)));
    assert_eq!(idp.count("select count(*) from outbox").await, USERS);
    assert_eq!(idp.count("select count(distinct subject) from outbox").await, USERS);
    // and a third time
    let (_, again) = said(idp, &arguments).await;
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap()["batch_id"], told["batch_id"]);
    assert_eq!(idp.count("select count(*) from outbox").await, USERS);
}

#[tokio::test]
async fn a_file_is_watched_until_all_of_it_is_settled_and_may_be_sent_once_more_under_a_label() {
    let scene = scene().await;
    let idp = &scene.idp;
    let whole = r#"{"type":"account-enabled","subject":{"format":"opaque","id":"x"},"lane":"bulk"}"#.to_owned();
    let file = Lines::new(users(20).chain([whole]));
    let arguments = ["emit", "--type", "session-revoked", "--file", file.path(), "--watch"];
    let watched = {
        let mut command = command(idp, &arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    while !watched.is_finished() {
        idp.drain().await;
        tokio::task::yield_now().await;
    }
    let output = watched.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((told["state"].as_str(), told["deliveries"]["delivered"].as_u64()), (Some("finished"), Some(21)));
    assert_eq!(scene.sink.requests().len(), 21);
    let over_http = idp.get(&format!("/batches/{}", told["batch_id"].as_str().unwrap()), &scene.producer).await;
    assert_eq!(over_http.body, told);
    let (_, labelled) =
        said(idp, &["emit", "--type", "session-revoked", "--file", file.path(), "--label", "again"]).await;
    let labelled: Value = serde_json::from_str(&labelled).unwrap();
    assert_ne!(labelled["batch_id"], told["batch_id"]);
    idp.drain().await;
    assert_eq!(scene.sink.requests().len(), 42);
}
