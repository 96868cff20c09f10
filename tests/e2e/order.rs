//! Stories about order: what is more urgent goes first, and within one stream and subject nothing overtakes, however
//! many processes push.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::binaries;
use ssf_harness::idp::{Idp, Party, SEALING_KEY, opaque};
use ssf_harness::processes::{Process, free_port};
use ssf_harness::sink::{Answer, Received, Sink};

#[tokio::test]
async fn what_is_more_urgent_goes_first() {
    let (idp, producer, sink) = one_at_a_time().await;
    for lane in ["bulk", "prompt", "urgent", "bulk", "urgent"] {
        idp.emit(&producer, &json!({"type": "session-revoked", "subject": opaque(lane), "lane": lane})).await;
    }
    idp.drain().await;
    assert_eq!(sink.subjects(), ["urgent", "urgent", "prompt", "bulk", "bulk"]);
}

#[tokio::test]
async fn a_type_has_its_lane_unless_the_producer_names_another() {
    let (idp, producer, sink) = one_at_a_time().await;
    let revalidate = json!({"type": "revalidate", "subject": opaque("revalidate")});
    idp.emit(&producer, &json!({"type": "session-revoked", "subject": opaque("backfill"), "lane": "bulk"})).await;
    idp.emit(&producer, &revalidate).await;
    idp.revoke(&producer, "revoke").await;
    idp.drain().await;
    assert_eq!(sink.subjects(), ["revoke", "revalidate", "backfill"]);
}

#[tokio::test]
async fn an_urgent_event_takes_its_subjects_earlier_ones_along() {
    for fans_out_between in [true, false] {
        let (idp, producer, sink) = one_at_a_time().await;
        let earlier =
            [("jane", "revalidate", "bulk"), ("joe", "revalidate", "prompt"), ("jane", "revalidate", "prompt")];
        for (txn, (subject, event, lane)) in earlier.into_iter().enumerate() {
            let event = json!({"type": event, "subject": opaque(subject), "lane": lane, "txn": format!("{txn}")});
            idp.emit(&producer, &event).await;
        }
        if fans_out_between {
            idp.fan_out().await;
        }
        idp.emit(&producer, &json!({"type": "session-revoked", "subject": opaque("jane"), "txn": "3"})).await;
        idp.drain().await;
        let txns: Vec<Value> = sink.requests().iter().map(|request| request.claims()["txn"].clone()).collect();
        assert_eq!(txns, ["0", "2", "3", "1"], "{fans_out_between}");
    }
}

#[tokio::test]
async fn a_backlog_of_bulk_does_not_keep_an_urgent_event_waiting_for_its_fan_out() {
    let (idp, producer, sink) = one_at_a_time().await;
    let backlog: Vec<Value> =
        (0..700).map(|n| json!({"type": "revalidate", "subject": opaque(&format!("s{n}")), "lane": "bulk"})).collect();
    assert_eq!(idp.post("/events", &producer, &json!(backlog)).await.status, 202);
    idp.revoke(&producer, "urgent").await;
    assert_eq!(idp.transmitter.fan_out.tick().await.unwrap(), 500, "one batch, of which the backlog is two");
    idp.push_once().await;
    assert_eq!(sink.subjects(), ["urgent"]);
}

/// A receiver with a window of one, so that the order of arrival is the order of taking.
async fn one_at_a_time() -> (Idp, Party, Sink) {
    let idp = Idp::start_with(&[("push.window", "1"), ("push.max_window", "1")]).await;
    let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
    idp.push_stream(&rp, &sink.url, &["session-revoked", "revalidate"]).await;
    (idp, producer, sink)
}

#[tokio::test]
async fn two_transmitters_keep_every_subjects_order_and_lose_nothing() {
    let idp = Idp::start().await;
    let twin = idp.twin().await;
    let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
    idp.push_stream(&rp, &sink.url, &["session-revoked", "revalidate"]).await;
    sink.script(careless());
    for from in 0..4 {
        let door = if from % 2 == 0 { &idp } else { &twin };
        assert_eq!(door.post("/events", &producer, &json!(interleaved(from * 75..(from + 1) * 75))).await.status, 202);
        door.fan_out().await;
    }
    let all = async {
        while idp.count("select count(*) from delivery").await > 0 {
            let (one, two) = tokio::join!(idp.transmitter.push.tick(), twin.transmitter.push.tick());
            one.and(two).unwrap();
            idp.advance(Duration::from_millis(250));
        }
    };
    tokio::time::timeout(Duration::from_mins(2), all).await.expect("everything is delivered");
    assert_in_order(&sink.requests(), 300);
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 300);
    assert_eq!(idp.count("select count(*) from dead_letter").await, 0);
}

#[tokio::test]
async fn two_processes_on_one_database_keep_every_subjects_order_and_lose_nothing() {
    // this one is never ticked: it only prepares the database that the two processes share
    let idp = Idp::start().await;
    let (rp, producer, sink) = (idp.add_receiver("rp").await, idp.add_producer().await, Sink::start().await);
    idp.push_stream(&rp, &sink.url, &["session-revoked", "revalidate"]).await;
    sink.script(careless());
    let directory = std::env::temp_dir().join(format!("ssf-test-{}-order", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let http = reqwest::Client::new();
    let mut processes: Vec<Process> = ["one", "two"].map(|name| process(&idp, name, &directory)).into();
    for process in &mut processes {
        process.start().unwrap();
    }
    for process in &mut processes {
        process.ready(&http).await.unwrap();
    }
    for from in 0..4 {
        let url = format!("{}/events", processes[from % 2].base);
        let batch = interleaved(from * 75..(from + 1) * 75);
        let sent = http.post(url).bearer_auth(&producer.token).json(&batch).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 202);
    }
    let all = async {
        while idp.count("select count(*) from delivery_history").await < 300 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), all).await.expect("everything is delivered");
    for process in &mut processes {
        assert!(process.stop().await.unwrap().unwrap().success(), "{}", process.last_words());
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert_in_order(&sink.requests(), 300);
    assert_eq!(idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 300);
}

fn process(idp: &Idp, name: &str, directory: &std::path::Path) -> Process {
    let port = free_port().unwrap();
    let config = format!(
        "server.listen = \"127.0.0.1:{port}\"\nissuer = {{ url = \"{}\", algorithm = \"ES256\" }}\n\
         database = {{ url = \"{}\", max_connections = 6 }}\nkeys.sealing_key = \"{SEALING_KEY}\"\n\
         push = {{ window = 16, retry_first = \"20ms\", retry_ceiling = \"100ms\" }}\nlog.filter = \"warn\"\n",
        idp.issuer, idp.database.url
    );
    let base = format!("http://127.0.0.1:{port}");
    Process::new(name, binaries::transmitter(), directory, base, &config).unwrap()
}

/// Events of twelve subjects in turn; `txn` is the place in the whole.
fn interleaved(places: std::ops::Range<usize>) -> Vec<Value> {
    let event = |place: usize| {
        let event = if place.is_multiple_of(5) { "session-revoked" } else { "revalidate" };
        json!({"type": event, "subject": opaque(&format!("s{}", place % 12)), "txn": place.to_string()})
    };
    places.map(event).collect()
}

/// Answers after a random while, and now and then with an error, after which the same SET comes again.
fn careless() -> impl Fn(&Received) -> Answer + Send + Sync + 'static {
    let state = AtomicU32::new(2_463_534_242);
    move |_| {
        let random = state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(scrambled(x))).unwrap();
        let status = if random.is_multiple_of(23) { 503 } else { 202 };
        Answer::status(status).after(Duration::from_millis(u64::from(random % 8)))
    }
}

/// One step of xorshift.
fn scrambled(mut x: u32) -> u32 {
    x ^= x << 13;
    x ^= x >> 17;
    x ^ (x << 5)
}

/// What a receiver sees that knows a SET again by its `jti`.
fn assert_in_order(requests: &[Received], count: usize) {
    let mut known = HashSet::new();
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for request in requests {
        let claims = request.claims();
        if known.insert(request.jti()) {
            let place = claims["txn"].as_str().unwrap().parse().unwrap();
            places.entry(request.subject()).or_default().push(place);
        }
    }
    let mut all: Vec<usize> = places.values().flatten().copied().collect();
    for (subject, places) in &places {
        assert!(places.is_sorted_by(|one, next| one < next), "{subject}: {places:?}");
    }
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>(), "each once, and none is lost");
}
