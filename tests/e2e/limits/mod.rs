//! Stories about too much: too often, too many at once, too large, too slow. Whoever overdoes it is told so; everybody
//! else is served as before. `flood` is about all of it at once, against a real process.

mod flood;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::json;
use ssf_harness::idp::{Idp, Party, Reply, opaque};
use ssf_transmitter::admin::NewClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn list(idp: &Idp, party: &Party) -> Reply {
    idp.get("/ssf/streams", party).await
}

// transmitter.md "Subjects": 429; "Verification": 429 with Retry-After — and for every other request of a client
#[tokio::test]
async fn a_client_that_comes_too_often_waits_and_nobody_else_does() {
    let idp = Idp::start_with(&[("limits.management_per_10s", "5"), ("limits.polls_per_10s", "2")]).await;
    let (busy, calm) = (idp.add_receiver("busy").await, idp.add_receiver("calm").await);
    for _ in 0..5 {
        assert_eq!(list(&idp, &busy).await.status, 200);
    }
    let refused = list(&idp, &busy).await;
    assert_eq!((refused.status, refused.text("error"), refused.header("retry-after")), (429, "too_many_requests", "2"));
    // whatever it asks for, the lists of subjects too (SSF 1.0 §8.1.3.2, §8.1.3.3), and before that is looked at
    for path in ["/ssf/subjects/add", "/ssf/subjects/remove", "/ssf/verify", "/ssf/status"] {
        let refused = idp.post(path, &busy, &json!({"stream_id": "any"})).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "2"), "{path}");
    }
    assert_eq!(list(&idp, &calm).await.status, 200);
    // polls are counted for themselves, and a bad credential is a 401 whoever it says it is
    let stream = idp.poll_stream(&calm, &["session-revoked"]).await;
    let polled: Vec<u16> = [
        idp.poll(&calm, &stream, &json!({})).await,
        idp.poll(&calm, &stream, &json!({})).await,
        idp.poll(&calm, &stream, &json!({})).await,
    ]
    .map(|reply| reply.status)
    .to_vec();
    assert_eq!(polled, [200, 200, 429]);
    assert_eq!(idp.call(Method::GET, "/ssf/streams", "nonsense", None).await.status, 401);
    idp.advance(Duration::from_secs(2));
    assert_eq!([list(&idp, &busy).await.status, list(&idp, &busy).await.status], [200, 429]);
}

#[tokio::test]
async fn a_producer_is_limited_only_where_an_operator_says_so() {
    let event = json!({"type": "session-revoked", "subject": opaque("s")});
    let open = Idp::start().await;
    let producer = open.add_producer().await;
    for _ in 0..50 {
        assert_eq!(open.post("/events", &producer, &event).await.status, 202);
    }
    let limited = Idp::start_with(&[("limits.emits_per_10s", "2")]).await;
    let producer = limited.add_producer().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(limited.post("/events", &producer, &event).await.status);
    }
    assert_eq!(seen, [202, 202, 429]);
    assert_eq!(limited.count("select count(*) from outbox").await, 2);
    // to look at events is no intake
    let operator = limited.add_operator().await;
    for _ in 0..5 {
        assert_eq!(limited.get("/admin/v1/events", &operator).await.status, 200);
    }
}

/// Asks for a token as this client from this address behind the proxy.
async fn token(idp: &Idp, client: &str, secret: &str, address: &str) -> Reply {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{client}:{secret}")));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [("authorization", basic.as_str()), form, ("x-forwarded-for", address)];
    idp.send(Method::POST, "/oauth2/token", &headers, "grant_type=client_credentials").await
}

#[tokio::test]
async fn whoever_guesses_secrets_must_wait_and_shuts_out_nobody_from_elsewhere() {
    let settings = [("limits.token_failures_per_minute", "3"), ("proxy.trusted", "[127.0.0.1]")];
    let idp = Idp::start_with(&settings).await;
    let (rp, other) = (idp.add_receiver("rp").await, idp.add_receiver("other").await);
    // a name may be written in several ways (RFC 6749 §2.3.1) and is counted as one
    for name in ["rp", "%72p", "r%70"] {
        assert_eq!(token(&idp, name, "guess", "203.0.113.9").await.status, 401);
    }
    let refused = token(&idp, "rp", &rp.secret, "203.0.113.9").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "20"), "the right secret waits, too");
    assert_eq!(token(&idp, "rp", &rp.secret, "203.0.113.10").await.status, 200, "from elsewhere it is good");
    assert_eq!(token(&idp, "other", &other.secret, "203.0.113.9").await.status, 200);
    // what a client writes in front of its own address changes nothing
    assert_eq!(token(&idp, "rp", &rp.secret, "198.51.100.1, 203.0.113.9").await.status, 429);
    idp.advance(Duration::from_secs(20));
    assert_eq!(token(&idp, "rp", &rp.secret, "203.0.113.9").await.status, 200);
    // successes are not counted
    for _ in 0..10 {
        assert_eq!(token(&idp, "rp", &rp.secret, "203.0.113.9").await.status, 200);
    }
}

#[tokio::test]
async fn a_batch_is_as_long_as_an_operator_says() {
    let idp = Idp::start_with(&[("intake.max_batch", "3")]).await;
    let producer = idp.add_producer().await;
    let batch = |count: usize| json!(vec![json!({"type": "session-revoked", "subject": opaque("s")}); count]);
    assert_eq!(idp.post("/events", &producer, &batch(3)).await.status, 202);
    let refused = idp.post("/events", &producer, &batch(4)).await;
    assert_eq!((refused.status, refused.text("error_description")), (400, "the batch has more than 3 events"));
    assert_eq!(idp.count("select count(*) from outbox").await, 3);
}

/// A request to `/events` of which only the head and so much of the body has been sent.
async fn unfinished(idp: &Idp, producer: &Party, announced: usize, sent: usize) -> TcpStream {
    let mut connection = TcpStream::connect(idp.base.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: idp\r\nauthorization: Bearer {}\r\ncontent-length: {announced}\r\n\r\n",
        producer.token
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&vec![b' '; sent]).await.unwrap();
    connection
}

/// Everything that comes back until the connection is closed.
async fn rest(mut connection: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut answer)).await.expect("closed");
    String::from_utf8(answer).unwrap()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn while_long_bodies_fill_what_may_be_held_short_ones_are_taken() {
    let settings = [("server.max_body_bytes", "200000"), ("server.max_bytes_in_flight", "400000")];
    let idp = Idp::start_with(&settings).await;
    let producer = idp.add_producer().await;
    let long = || format!("{}{}", " ".repeat(60_000), json!({"type": "session-revoked", "subject": opaque("s")}));
    let authorization = format!("Bearer {}", producer.token);
    let send_long = async || idp.send(Method::POST, "/events", &[("authorization", &authorization)], long()).await;
    // about ten of these are let in, until there is less room than a longer one needs
    let held = tokio::sync::Mutex::new(Vec::new());
    let one_more_fills_it = async || {
        held.lock().await.push(unfinished(&idp, &producer, 30_000, 29_000).await);
        // it has arrived by then, most times
        for _ in 0..3 {
            assert_eq!(idp.send(Method::GET, "/health/ready", &[], "").await.status, 200);
        }
        send_long().await.status == 503
    };
    until("no more long ones", one_more_fills_it).await;
    let refused = send_long().await;
    assert_eq!(
        (refused.status, refused.header("retry-after"), refused.text("error")),
        (503, "1", "temporarily_unavailable")
    );
    idp.revoke(&producer, "urgent").await;
    assert_eq!(idp.send(Method::GET, "/health/ready", &[], "").await.status, 200);
    drop(held);
    until("room again", async || send_long().await.status == 202).await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_no_want_of_room_and_the_credential_comes_first() {
    let settings = [("server.max_body_bytes", "200000"), ("server.max_bytes_in_flight", "400000")];
    let idp = Idp::start_with(&settings).await;
    let producer = idp.add_producer().await;
    let nobody = Party { token: "nonsense".to_owned(), ..idp.add_receiver("rp").await };
    for length in [200_001, 3_000_000, 30_000_000] {
        for (party, status) in [(&producer, "413"), (&nobody, "401")] {
            let mut connection = unfinished(&idp, party, length, 200_001).await;
            let mut answer = [0; 12];
            connection.read_exact(&mut answer).await.unwrap();
            assert_eq!(std::str::from_utf8(&answer).unwrap(), format!("HTTP/1.1 {status}"), "{length}");
        }
        // and who sends it all before it looks for an answer finds one
        if length < 4_000_000 {
            let authorization = format!("Bearer {}", nobody.token);
            let reply =
                idp.send(Method::POST, "/events", &[("authorization", &authorization)], " ".repeat(length)).await;
            assert_eq!((reply.status, reply.text("error")), (401, "invalid_token"), "{length}");
        }
    }
    idp.revoke(&producer, "urgent").await;
}

#[tokio::test]
async fn while_the_database_is_slow_only_so_many_events_wait_and_bulk_leaves_room() {
    let idp = Idp::start_with(&[("intake.max_batch", "18"), ("intake.max_waiting", "20")]).await;
    let producer = idp.add_producer().await;
    let hand_in = async |count: usize| {
        let events = json!(vec![json!({"type": "session-revoked", "subject": opaque("s")}); count]);
        idp.post("/events", &producer, &events).await
    };
    let mut slow = idp.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table outbox in access exclusive mode").execute(&mut *slow).await.unwrap();
    let (bulk, (refused, urgent)) = tokio::join!(hand_in(18), async {
        let waits = async || idp.count("select count(*) from pg_locks where not granted").await > 0;
        until("the first waits for the table", waits).await;
        let refused = hand_in(17).await;
        let (urgent, released) = tokio::join!(hand_in(1), slow.commit());
        released.unwrap();
        (refused, urgent)
    });
    assert_eq!((bulk.status, refused.status, urgent.status), (202, 503, 202));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(idp.count("select count(*) from outbox").await, 19);
    assert_eq!(hand_in(17).await.status, 202, "there is room again");
}

#[tokio::test]
async fn of_more_requests_than_are_handled_at_once_the_next_is_told_to_come_again() {
    let idp = Idp::start_with(&[("server.max_requests", "2")]).await;
    let (producer, receiver) = (idp.add_producer().await, idp.add_receiver("rp").await);
    // two of these are let in, whichever they are
    let held = tokio::sync::Mutex::new(Vec::new());
    let one_more_takes_the_last_place = async || {
        held.lock().await.push(unfinished(&idp, &producer, 100, 10).await);
        list(&idp, &receiver).await.status == 503
    };
    until("both places are taken", one_more_takes_the_last_place).await;
    let refused = list(&idp, &receiver).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(idp.send(Method::GET, path, &[], "").await.status, 200, "{path}");
    }
    drop(held);
    until("a place is free", async || list(&idp, &receiver).await.status == 200).await;
}

#[tokio::test]
async fn a_poll_that_waits_takes_nobodys_place() {
    let idp = Idp::start_with(&[("server.max_requests", "2")]).await;
    let new = NewClient { with_token: true, max_streams: 3, ..NewClient::receiver("rp", "rp") };
    let receiver = idp.add_client(new).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(idp.poll_stream(&receiver, &["session-revoked"]).await);
    }
    idp.advance(Duration::from_secs(1));
    let waiting = async |stream: &str| {
        let path = format!("/ssf/poll/{stream}");
        while idp.post(&path, &receiver, &json!({})).await.status == 503 {}
    };
    // a poll is activity of its stream
    let let_in = "select count(*) from stream where last_activity_at > created_at";
    let others_are_served = async || {
        for _ in 0..5 {
            if list(&idp, &receiver).await.status != 200 {
                return false;
            }
        }
        true
    };
    let [one, two, three] = [&streams[0], &streams[1], &streams[2]].map(|stream| waiting(stream));
    tokio::select! {
        () = one => panic!("nothing came, and it waited"),
        () = two => panic!("nothing came, and it waited"),
        () = three => panic!("nothing came, and it waited"),
        () = async {
            until("more polls are let in than may be handled", async || idp.count(let_in).await == 3).await;
            until("and others are served", others_are_served).await;
        } => {}
    }
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_cut() {
    let idp = Idp::start_with(&[("server.body_timeout", "300ms")]).await;
    let producer = idp.add_producer().await;
    let silent = unfinished(&idp, &producer, 100, 10).await;
    let (read, mut write) = unfinished(&idp, &producer, 1_000_000, 10).await.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut answers = vec![rest(silent).await];
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut { read }, &mut answer).await.unwrap();
    trickle.abort();
    answers.push(String::from_utf8(answer.to_vec()).unwrap());
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 408")), "{answers:?}");
    assert!(answers[0].contains("\"request_timeout\"") && answers[0].contains("connection: close"), "{}", answers[0]);
    // the credential is looked at before the body is waited for
    let nobody = Party { token: "nonsense".to_owned(), ..producer };
    let mut refused = unfinished(&idp, &nobody, 100, 0).await;
    let mut answer = [0; 12];
    refused.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

// RFC 8936 §2.4: a long poll may be answered early
#[tokio::test]
async fn of_too_many_long_polls_of_a_stream_the_oldest_is_answered() {
    let idp = Idp::start_with(&[("poll.max_waiting", "2")]).await;
    let receiver = idp.add_receiver("rp").await;
    let stream = idp.poll_stream(&receiver, &["session-revoked"]).await;
    let path = format!("/ssf/poll/{stream}");
    let poll = async || idp.post(&path, &receiver, &json!({})).await;
    let (first, rest) = (poll(), async { tokio::join!(poll(), poll()) });
    tokio::pin!(first, rest);
    // the first must be there before the others
    let alone = tokio::time::timeout(Duration::from_millis(200), &mut first).await;
    assert!(alone.is_err(), "it waits");
    let answer = tokio::select! {
        answer = &mut first => answer,
        _ = &mut rest => panic!("the oldest gives way"),
    };
    assert_eq!((answer.status, answer.body), (200, json!({"sets": {}})));
}
