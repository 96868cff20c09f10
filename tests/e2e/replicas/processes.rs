//! Three real processes on one database, killed at random while eight writers commit ten thousand cut-offs: none of them
//! misses one, and none ever claims to know what it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use ssf_common::clock::Timestamp;
use ssf_common::random::{Random as _, SystemRandom};
use ssf_common::runtime::Env;
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{ScratchDatabase, TestCluster, binaries};
use tokio::sync::Mutex;

use crate::folder::Folder;
use crate::rp::{ISSUER, ROOT, Rp, START, prepared};

const WRITERS: usize = 8;
const SETS_EACH: usize = 125;
/// One SET names its user by so many aliases, each of them a cut-off.
const ALIASES: usize = 10;
const LEAST_KILLS: usize = 6;

/// What is committed: the user's last alias, and when the writer was told, by the machine's clock.
type Committed = Arc<Mutex<Vec<(String, Timestamp)>>>;

fn alias(writer: usize, set: usize, alias: usize) -> String {
    format!("user-{writer}-{set}-{alias}")
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

fn now() -> Timestamp {
    Env::system().now()
}

fn process(place: usize, database: &ScratchDatabase, folder: &Folder) -> Process {
    let base = format!("http://127.0.0.1:{}", free_port().unwrap());
    let config = format!(
        "[server]\nlisten = \"{listen}\"\n[database]\nurl = \"{url}\"\nmax_connections = 5\n\
         [privacy]\nsubject_key = \"{key}\"\n\
         [upstreams.idp]\nissuer = \"{ISSUER}\"\ndelivery = \"push\"\ntoken = \"unused\"\n",
        listen = base.trim_start_matches("http://"),
        url = database.url,
        key = BASE64_STANDARD.encode(ROOT),
    );
    Process::new(&format!("replica-{place}"), binaries::receiver(), &folder.0, base, &config).unwrap()
}

/// Commits its share, as a process of its own.
async fn write(rp: Rp, writer: usize, committed: Committed) {
    for set in 0..SETS_EACH {
        let identifiers: Vec<Value> = (0..ALIASES).map(|n| opaque(&alias(writer, set, n))).collect();
        let user = json!({"format": "aliases", "identifiers": identifiers});
        rp.tell("session-revoked", &user, &json!({"event_timestamp": START})).await;
        committed.lock().await.push((alias(writer, set, ALIASES - 1), now()));
        // the kills shall fall into this
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks one process again and again, also while it is killed and comes back: whatever it answers is true.
async fn ask(http: reqwest::Client, base: String, committed: Committed, over: Arc<AtomicBool>) -> usize {
    let (mut newest, mut answers) = (Timestamp::EPOCH, 0);
    while !over.load(Ordering::SeqCst) {
        let Some((user, told_at)) = committed.lock().await.last().cloned() else {
            tokio::task::yield_now().await;
            continue;
        };
        let question = json!({"issuer": ISSUER, "subject": opaque(&user), "origin": START - 1_000});
        let Ok(reply) = http.post(format!("{base}/v1/check")).json(&question).send().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if reply.status() == 503 {
            continue;
        }
        let Ok(answer) = reply.json::<Value>().await else { continue };
        let as_of: Timestamp = answer["as_of"].as_str().unwrap().parse().unwrap();
        assert!(as_of >= newest, "{base}: as_of went back from {newest} to {as_of}");
        newest = as_of;
        if as_of >= told_at {
            assert_eq!(answer["state"], "revoked", "{base}: committed at {told_at}, answered as of {as_of}");
        }
        answers += 1;
    }
    answers
}

async fn all_known(http: &reqwest::Client, base: &str, until: Timestamp) {
    let users = (0..WRITERS).flat_map(|w| (0..SETS_EACH).flat_map(move |s| (0..ALIASES).map(move |a| alias(w, s, a))));
    let users: Vec<String> = users.collect();
    assert_eq!(users.len(), 10_000);
    for part in users.chunks(1_000) {
        let checks: Vec<Value> = part
            .iter()
            .map(|user| json!({"issuer": ISSUER, "subject": opaque(user), "origin": START - 1_000}))
            .collect();
        let answer = loop {
            let request = http.post(format!("{base}/v1/check/batch")).json(&json!({"checks": checks}));
            let answer = ssf_harness::processes::json(request).await.unwrap();
            if answer["as_of"].as_str().unwrap().parse::<Timestamp>().unwrap() >= until {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let results = answer["results"].as_array().unwrap();
        let missed = results.iter().filter(|result| result["state"] != "revoked").count();
        assert_eq!(missed, 0, "{base} missed {missed} of {}", part.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_cut_offs_no_process_misses_one_however_often_it_is_killed() {
    let folder = Folder::new();
    let database = TestCluster::shared().await.scratch_database("rp").await.unwrap();
    let pool = prepared(&database).await;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(Rp::on(pool.clone()).await);
    }
    let mut processes: Vec<Process> = (0..3).map(|place| process(place, &database, &folder)).collect();
    for process in &mut processes {
        process.start().unwrap();
    }
    for process in &mut processes {
        process.ready(&http).await.unwrap();
    }
    let (committed, over) = (Committed::default(), Arc::new(AtomicBool::new(false)));
    let bases: Vec<String> = processes.iter().map(|process| process.base.clone()).collect();
    let askers: Vec<_> = bases
        .iter()
        .map(|base| tokio::spawn(ask(http.clone(), base.clone(), Arc::clone(&committed), Arc::clone(&over))))
        .collect();
    let mut writing = tokio::task::JoinSet::new();
    for (number, rp) in writers.into_iter().enumerate() {
        writing.spawn(write(rp, number, Arc::clone(&committed)));
    }
    let mut kills = 0;
    while !writing.is_empty() || kills < LEAST_KILLS {
        let mut draw = [0];
        SystemRandom.fill(&mut draw);
        let victim = &mut processes[usize::from(draw[0]) % 3];
        victim.kill().unwrap();
        kills += 1;
        victim.start().unwrap();
        victim.ready(&http).await.unwrap();
        while let Some(written) = writing.try_join_next() {
            written.unwrap();
        }
    }
    let until = now();
    for base in &bases {
        all_known(&http, base, until).await;
    }
    over.store(true, Ordering::SeqCst);
    for asker in askers {
        assert!(asker.await.unwrap() > 0, "it was asked and it answered");
    }
    // each says how far it has come; the writers, whose clocks stand still, do not
    let at_the_end = "select count(*) from replica, feed where name like '%/127.%' and seen_seq = feed.seq";
    while sqlx::query_scalar::<_, i64>(at_the_end).fetch_one(&pool).await.unwrap() < 3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
