//! Stories about `ssf-transmitter dead-letter`: the same on the command line as over HTTP.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::clock::Clock as _;
use ssf_harness::idp::Idp;

use super::{Scene, jtis};

/// `ssf-transmitter dead-letter …` on the story's database; what it said, and whether it was content.
async fn command(idp: &Idp, arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(ssf_harness::binaries::transmitter());
    command.arg("dead-letter").args(arguments).current_dir(std::env::temp_dir()).env("USER", "grace");
    for setting in [format!("database.url={}", idp.database.url), format!("issuer.url={}", idp.issuer)] {
        command.args(["--set", &setting]);
    }
    command.args(["--set", &format!("keys.sealing_key={}", ssf_harness::idp::SEALING_KEY)]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap().trim().to_owned())
}

#[tokio::test]
async fn the_command_line_lists_shows_replays_and_discards_too() {
    let scene = Scene::start().await;
    scene.idp.clock.set(ssf_common::clock::SystemClock.now().minus(Duration::from_mins(1)));
    scene.refused(&["s1", "s2", "s3", "s4"]).await;
    let idp = &scene.idp;
    let (_, listed) = command(idp, &["list", "--json", "--code", "invalid_request"]).await;
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed, scene.list("").await, "the same as over HTTP");
    let [first, second, third, fourth] = jtis(&listed).try_into().unwrap();
    let (_, text) = command(idp, &["list", "--limit", "1"]).await;
    assert!(
        text.starts_with(&first) && text.contains("invalid_request: said the sink") && text.contains("and more"),
        "{text}"
    );
    let (_, shown) = command(idp, &["show", &first, "--json"]).await;
    let over_http = idp.get(&format!("/admin/v1/dead-letters/{first}"), &scene.operator).await.body;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), over_http);
    assert!(command(idp, &["show", &first]).await.1.contains("\"sub_id\""));
    assert_eq!(command(idp, &["replay", &first]).await, (true, "1 sent again".to_owned()));
    let subject = r#"{"id":"s2","format":"opaque"}"#;
    let (_, done) = command(idp, &["replay", "--subject", subject, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&done).unwrap(), json!({"done": 1, "left": 0}));
    assert_eq!(command(idp, &["discard", &third, "--reason", "of no use"]).await, (true, "1 discarded".to_owned()));
    assert_eq!(
        command(idp, &["replay", "--stream", &scene.stream, "--since", "2020-01-01T00:00:00Z"]).await.1,
        "1 sent again"
    );
    assert_eq!(command(idp, &["list"]).await.1, "there are no such dead letters");
    idp.clock.set(ssf_common::clock::SystemClock.now());
    idp.drain().await;
    let again: HashSet<String> =
        scene.sink.requests().split_off(4).iter().map(ssf_harness::sink::Received::jti).collect();
    assert_eq!(again, HashSet::from([first.clone(), second, fourth]));
    for (arguments, says) in [
        (&["replay"][..], "say which"),
        (&["replay", "--code", "expired"], "narrow a choice"),
        (&["replay", &first, "--stream", &scene.stream], "say which"),
        (&["show", &first], "there is no such dead letter"),
        (&["discard", &first], "--reason"),
        (&["list", "--type", "session-revokd"], "--type"),
        (&["list", "--since", "soon"], "--since"),
        (&["list", "--limit", "0"], "--limit"),
        (&["replay", "--subject", "{}"], "--subject"),
    ] {
        let (content, said) = command(idp, arguments).await;
        assert!(!content && said.contains(says), "{arguments:?}: {said}");
    }
    let log = idp.get("/admin/v1/audit", &scene.operator).await.body;
    let actors: Vec<&str> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"].as_str().unwrap().starts_with("dead_letters."))
        .map(|entry| entry["actor"].as_str().unwrap())
        .collect();
    assert_eq!(actors.len(), 4);
    assert!(actors.iter().all(|actor| actor.starts_with("cli:grace (uid ")), "{actors:?}");
}
