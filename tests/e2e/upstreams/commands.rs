//! `ssf-receiver upstream …` beside a running service, and the audit trail it leaves.

use std::time::{Duration, Instant};

use serde_json::Value;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_harness::idp::Idp;
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{TestCluster, binaries};

use crate::folder::Folder;

/// Asks again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_comes_and_goes_by_command_while_the_service_runs() {
    let (idp, folder, port) = (Idp::start().await, Folder::new(), free_port().unwrap());
    let party = idp.add_receiver("rp").await;
    let database = TestCluster::shared().await.scratch_database("commands").await.unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[database]\nurl = \"{}\"\n[privacy]\n\
         subject_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n",
        database.url
    );
    let mut service = Process::new("receiver", binaries::receiver(), &folder.0, base, &config).unwrap();
    service.start().unwrap();
    service.ready(&reqwest::Client::new()).await.unwrap();
    let secret = folder.0.join("secret");
    std::fs::write(&secret, format!("{}\n", party.secret)).unwrap();
    let secret = format!("client_secret=@{}", secret.display());
    let issuer = format!("issuer={}", idp.issuer);
    let said =
        service.command(&["upstream", "add", "blue", &issuer, "delivery=push", "client_id=rp", &secret]).unwrap();
    assert!(said.starts_with("upstream blue is made"), "{said}");
    let show = || -> Value {
        serde_json::from_str(&service.command(&["upstream", "show", "blue", "--json"]).unwrap()).unwrap()
    };
    let begin = Instant::now();
    until("the running service makes the stream", async || idp.count("select count(*) from stream").await == 1).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "about a second, on a busy machine: {:?}", begin.elapsed());
    until("the stream is verified", async || {
        idp.drain().await;
        show()["state"] == "verified"
    })
    .await;
    let listed = service.command(&["upstream", "list"]).unwrap();
    assert!(listed.lines().nth(1).unwrap().starts_with("blue  verified"), "{listed}");
    let shown = service.command(&["upstream", "show", "blue"]).unwrap();
    assert!(shown.contains("status         enabled") && !shown.contains(&party.secret), "{shown}");

    service.command(&["upstream", "set", "blue", "description=by hand"]).unwrap();
    until("the change reaches the transmitter", async || {
        idp.count("select count(*) from stream where description = 'by hand'").await == 1
    })
    .await;
    let said = service.command(&["upstream", "remove", "blue"]).unwrap();
    assert!(said.contains("is deleted at the transmitter") && said.contains("stays in force"), "{said}");
    assert_eq!(idp.count("select count(*) from stream").await, 0);
    let door = reqwest::Client::builder().no_proxy().build().unwrap();
    until("the door is closed", async || {
        let answer = door.post(format!("http://127.0.0.1:{port}/ssf/push/blue")).send().await.unwrap();
        answer.status().as_u16() == 404
    })
    .await;
    let history = service.command(&["upstream", "history", "blue"]).unwrap();
    let whats: Vec<&str> = history.lines().rev().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(whats, ["added", "created", "verified", "changed", "removed"], "{history}");
    let actor: String = sqlx::query_scalar("select min(actor) from ssf_receiver.audit having count(*) = 3")
        .fetch_one(&sqlx::PgPool::connect_with(database.options.clone()).await.unwrap())
        .await
        .unwrap();
    assert!(actor.starts_with("cli:"), "{actor}");
    assert!(service.command(&["upstream", "show", "nobody"]).is_err());
    assert!(service.stop().await.unwrap().unwrap().success());
}

#[tokio::test]
async fn the_public_half_of_a_key_is_printed_for_the_transmitter() {
    let folder = Folder::new();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let file = folder.0.join("key.json");
    std::fs::write(&file, secrecy::ExposeSecret::expose_secret(&key.to_private_jwk())).unwrap();
    let output = std::process::Command::new(binaries::receiver())
        .args(["upstream", "public-key"])
        .arg(&file)
        .current_dir(&folder.0)
        .output()
        .unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, serde_json::json!({"keys": [key.public_jwk()]}));
    assert!(ssf_transmitter::client::PublicKeys::parse(&output.stdout).is_ok(), "as `client add --jwks` wants it");
}
