//! A flood against a real process: most of it is turned away, memory stays bounded, and a revocation goes through.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use ssf_harness::idp::{SEALING_KEY, opaque};
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{TestCluster, binaries};
use tokio::net::TcpStream;

use crate::folder::Folder;

/// The most memory a process had so far, in MiB.
fn peak_memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_turned_away_in_bounded_memory_while_a_revocation_goes_through() {
    let (folder, port) = (Folder::new(), free_port().unwrap());
    let database = TestCluster::shared().await.scratch_database("flood").await.unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\nmax_connections = {MAX_CONNECTIONS}\nmax_bytes_in_flight = 8388608\n\
         [intake]\nmax_waiting = 12000\n[issuer]\nurl = \"{base}\"\nalgorithm = \"ES256\"\n\
         [database]\nurl = \"{}\"\n[keys]\nsealing_key = \"{SEALING_KEY}\"\n",
        database.url
    );
    let mut process = Process::new("transmitter", binaries::transmitter(), &folder.0, base.clone(), &config).unwrap();
    let added = process.command(&["client", "add", "--json", "producer", "--producer"]).unwrap();
    let token = serde_json::from_str::<Value>(&added).unwrap()["token"].as_str().unwrap().to_owned();
    process.start().unwrap();
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    process.ready(&http).await.unwrap();

    // about a MiB each; nothing of it is one event too many
    let event = json!({"type": "session-revoked", "subject": opaque(&"x".repeat(400)), "lane": "bulk"});
    let batch = bytes::Bytes::from(json!(vec![event; 1_700]).to_string());
    let flood = tokio_util::sync::CancellationToken::new();
    let mut senders = Vec::new();
    for _ in 0..64 {
        let (http, url, token, batch, flood) =
            (http.clone(), format!("{base}/events"), token.clone(), batch.clone(), flood.clone());
        senders.push(tokio::spawn(async move {
            let (mut accepted, mut refused, mut broken) = (0, 0, 0);
            while !flood.is_cancelled() {
                match http.post(&url).bearer_auth(&token).body(batch.clone()).send().await {
                    Ok(answer) if answer.status() == 202 => accepted += 1,
                    Ok(answer) if answer.status() == 503 && answer.headers().contains_key("retry-after") => {
                        refused += 1;
                    }
                    // turned away while it was still sending
                    Err(_) => broken += 1,
                    Ok(answer) => panic!("{}", answer.status()),
                }
            }
            (accepted, refused, broken)
        }));
    }
    // more connections that say nothing than there may be
    let mut silent = Vec::new();
    for _ in 0..600 {
        if let Ok(connection) = TcpStream::connect(("127.0.0.1", port)).await {
            silent.push(connection);
        }
    }
    assert!(silent.len() > MAX_CONNECTIONS, "{} connections", silent.len());
    // somebody else, who has nothing to do with those
    let calm = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).pool_max_idle_per_host(0);
    let calm = calm.build().unwrap();
    let revoke = json!({"type": "session-revoked", "subject": opaque("urgent")});
    for _ in 0..5 {
        for path in ["/health/live", "/health/ready"] {
            let health = calm.get(format!("{base}{path}")).send().await.unwrap();
            assert_eq!(health.status().as_u16(), 200, "{path}");
        }
        let emitted = calm.post(format!("{base}/events")).bearer_auth(&token).json(&revoke).send().await.unwrap();
        assert_eq!(emitted.status().as_u16(), 202, "{}", emitted.text().await.unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let peak = peak_memory(process.pid().unwrap());
    flood.cancel();
    let (mut accepted, mut refused, mut broken) = (0, 0, 0);
    for sender in senders {
        let (of_it, told, cut) = sender.await.unwrap();
        accepted += of_it;
        refused += told;
        broken += cut;
    }
    let came_of_it = format!("{accepted} batches taken, {refused} refused with a 503, {broken} connections broken");
    assert!(accepted > 0 && refused > 0, "{came_of_it}");
    let closed = silent.iter().filter(|connection| matches!(connection.try_read(&mut [0]), Ok(0))).count();
    assert!(closed >= silent.len() - MAX_CONNECTIONS, "of those that said nothing {closed} had to go");
    // 64 batches at once would be several hundred; most of this is the program itself and what was let in
    assert!(peak < 200, "{peak} MiB");
    drop(silent);
    // nothing to be read again, and no reason to end
    kill_process(Pid::from_raw(i32::try_from(process.pid().unwrap()).unwrap()).unwrap(), Signal::HUP).unwrap();
    assert!(calm.get(format!("{base}/health/ready")).send().await.unwrap().status().is_success());
    assert!(process.stop().await.unwrap().unwrap().success());
}

/// Fewer than come.
const MAX_CONNECTIONS: usize = 400;
