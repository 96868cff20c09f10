//! Stories of who waits for news: `GET /v1/watch`, and `GET /v1/sessions/{sid}` with an entity tag and a long poll.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};
use ssf_common::runtime::{Wake, Worker as _};
use ssf_receiver::api::{self, ApiState};
use ssf_receiver::effects::{Spread, Wanted, WatchLimits, Watching};
use ssf_receiver::validity::{Validity, Waits};
use tokio_util::sync::CancellationToken;

use crate::rp::{ISSUER, Rp, START, keyring};

/// A receiver with a second door on the same database, whose watchers the story bounds and stops.
struct House {
    rp: Rp,
    spread: Spread,
    waits: Waits,
    stop: CancellationToken,
    base: String,
}

impl House {
    async fn start() -> Self {
        let rp = Rp::start().await;
        let (told, stop) = (Wake::new(), CancellationToken::new());
        let limits =
            WatchLimits { watchers: 2, heartbeat: Duration::from_millis(200), patience: Duration::from_millis(300) };
        let watching = Watching::new(rp.pool.clone(), rp.env.clone(), told.clone(), limits, stop.clone());
        let validity = Validity::new(rp.replica.clone(), rp.env.clone());
        let waits = Waits::new(validity, 2, Wake::new(), stop.clone());
        let state = ApiState::new(rp.pool.clone(), rp.env.clone(), keyring(), rp.validity.clone());
        let router = api::router(state.with_news(waits.clone(), Duration::from_secs(20), watching));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let spread = Spread::new(rp.pool.clone(), rp.env.clone(), std::time::Duration::ZERO, told);
        Self { rp, spread, waits, stop, base }
    }

    async fn watch(&self, query: &str, last: Option<i64>) -> Stream {
        let mut request = self.rp.http.get(format!("{}/v1/watch{query}", self.base));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Stream { response: request.send().await.unwrap(), unread: String::new() }
    }

    /// Registers sessions of one user each, called like them, and revokes them.
    async fn revoke(&self, names: &[&str]) {
        for name in names {
            let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": name});
            assert_eq!(self.rp.register(name, json!({"subject": user})).await.0, 201);
            self.rp.tell("session-revoked", &user, &json!({"event_timestamp": START})).await;
        }
        while self.spread.tick().await.unwrap() > 0 {}
    }

    /// `GET /v1/sessions/{sid}`, with the tag that is known.
    fn ask(&self, sid: &str, query: &str, tag: Option<&str>) -> tokio::task::JoinHandle<(StatusCode, String, Value)> {
        let mut request = self.rp.http.get(format!("{}/v1/sessions/{sid}{query}", self.base));
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        tokio::spawn(async move {
            let response = request.send().await.unwrap();
            let tag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
            (response.status(), tag, response.json().await.unwrap_or_default())
        })
    }

    /// Lets those who wait hear, until one of them is answered.
    async fn until_answered<T>(&self, asked: tokio::task::JoinHandle<T>) -> T {
        while !asked.is_finished() {
            self.waits.tick().await.unwrap();
            tokio::task::yield_now().await;
        }
        asked.await.unwrap()
    }
}

/// What is heard.
struct Stream {
    response: Response,
    unread: String,
}

impl Stream {
    /// The next event: its id, its name and its data; `None` at the end. Signs of life are passed over.
    async fn next(&mut self) -> Option<(i64, String, Value)> {
        loop {
            let (id, name, data) = self.any().await?;
            if name != "as_of" {
                return Some((id, name, data));
            }
        }
    }

    async fn any(&mut self) -> Option<(i64, String, Value)> {
        while !self.unread.contains("\n\n") {
            let more = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.expect("silence");
            self.unread.push_str(std::str::from_utf8(&more.unwrap()?).unwrap());
        }
        let (event, rest) = self.unread.split_once("\n\n").unwrap();
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let found = (field("id: ").parse().unwrap(), field("event: "), serde_json::from_str(&field("data: ")).unwrap());
        let rest = rest.to_owned();
        self.unread = rest;
        Some(found)
    }

    /// The sessions of the next so many events.
    async fn sessions(&mut self, count: usize) -> Vec<String> {
        let mut sids = Vec::new();
        for _ in 0..count {
            let (_, name, data) = self.next().await.unwrap();
            assert_eq!(name, "session", "{data}");
            sids.push(data["sid"].as_str().unwrap().to_owned());
        }
        sids
    }
}

#[tokio::test]
async fn a_watcher_hears_of_every_session_in_order_and_resumes_where_it_was() {
    let house = House::start().await;
    house.revoke(&["before"]).await;
    let mut stream = house.watch("", None).await;
    assert_eq!(stream.response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(stream.response.headers()[header::CACHE_CONTROL], "no-store");
    let (id, name, data) = stream.any().await.unwrap();
    assert_eq!((id, name.as_str(), &data["as_of"]), (1, "as_of", &json!(house.rp.env.now())));
    house.revoke(&["a", "b", "c"]).await;
    let (id, name, data) = stream.next().await.unwrap();
    assert_eq!((id, name.as_str()), (2, "session"));
    assert_eq!((&data["sid"], &data["change"], &data["position"]), (&json!("a"), &json!("revoked"), &json!(2)));
    assert_eq!(stream.sessions(2).await, ["b", "c"]);
    drop(stream);
    house.revoke(&["d"]).await;
    assert_eq!(house.watch("?after=0", Some(2)).await.sessions(3).await, ["b", "c", "d"], "the header goes first");
    assert_eq!(house.watch("?after=0", None).await.sessions(5).await, ["before", "a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_watcher_may_want_one_session_or_one_issuer_only_and_its_place_moves_on_all_the_same() {
    let house = House::start().await;
    let mut one = house.watch("?sid=b", None).await;
    let mut none = house.watch("?issuer=https://other.example", None).await;
    house.revoke(&["a", "b", "c"]).await;
    assert_eq!(one.sessions(1).await, ["b"]);
    loop {
        let (id, name, data) = none.any().await.unwrap();
        assert_eq!(name, "as_of", "{data}");
        if id == 3 {
            break;
        }
    }
}

#[tokio::test]
async fn who_resumes_from_what_is_forgotten_or_was_never_there_is_told_to_read_anew() {
    let house = House::start().await;
    house.revoke(&["a", "b", "c"]).await;
    for sql in ["update effect_feed set forgotten = 2", "delete from effect where position <= 2"] {
        sqlx::query(sql).execute(&house.rp.pool).await.unwrap();
    }
    for (last, reason) in [(1, "forgotten"), (99, "unknown")] {
        let mut stream = house.watch("", Some(last)).await;
        let (id, name, data) = stream.next().await.unwrap();
        assert_eq!((id, name.as_str(), &data["reason"]), (3, "reset", &json!(reason)));
    }
    assert_eq!(house.watch("", Some(2)).await.sessions(1).await, ["c"]);
}

#[tokio::test]
async fn what_is_committed_but_not_gone_through_is_not_claimed_to_be_told() {
    let house = House::start().await;
    house.revoke(&["a"]).await;
    let committed = house.rp.env.now();
    house.rp.tell("session-revoked", &json!({"format": "opaque", "id": "x"}), &json!({"event_timestamp": START})).await;
    house.rp.clock.advance(Duration::from_mins(1));
    let (_, name, data) = house.watch("", None).await.any().await.unwrap();
    assert_eq!((name.as_str(), &data["as_of"]), ("as_of", &json!(committed)));
    house.spread.tick().await.unwrap();
    let (_, _, data) = house.watch("", None).await.any().await.unwrap();
    assert_eq!(data["as_of"], json!(house.rp.env.now()));
}

#[tokio::test]
async fn there_are_only_so_many_watchers_and_all_end_at_the_stop() {
    let house = House::start().await;
    let (mut one, two) = (house.watch("", None).await, house.watch("", None).await);
    let (mut more, ok) = (house.watch("", None).await, StatusCode::OK);
    assert_eq!((one.response.status(), two.response.status()), (ok, ok));
    assert_eq!(more.response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(more.response.headers()[header::RETRY_AFTER], "5");
    drop(two);
    while more.response.status() != ok {
        tokio::task::yield_now().await;
        more = house.watch("", None).await;
    }
    house.stop.cancel();
    assert_eq!(one.next().await, None);
    assert_eq!(house.watch("", None).await.response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(house.rp.call(reqwest::Method::GET, "/v1/watch?after=-1", None).await.0, 400);
}

#[tokio::test]
async fn a_watcher_that_takes_nothing_is_cut_off() {
    let house = House::start().await;
    let limits = WatchLimits { watchers: 1, heartbeat: Duration::from_mins(1), patience: Duration::from_millis(50) };
    let stop = CancellationToken::new();
    let watching = Watching::new(house.rp.pool.clone(), house.rp.env.clone(), Wake::new(), limits, stop);
    let names: Vec<String> = (0..40).map(|number| format!("s-{number}")).collect();
    house.revoke(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut heard = watching.watch(Some(0), Wanted::default()).await.unwrap();
    while watching.watch(Some(0), Wanted::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut taken = 0;
    while heard.recv().await.is_some() {
        taken += 1;
    }
    assert!(taken < 40, "{taken}: no more lies ready than a little");
}

#[tokio::test]
async fn a_state_has_a_tag_by_which_it_is_known_again() {
    let house = House::start().await;
    let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice"});
    house.rp.register("s", json!({"subject": user})).await;
    let (status, tag, body) = house.ask("s", "", None).await.unwrap();
    assert_eq!((status, &body["state"]), (StatusCode::OK, &json!("active")));
    house.rp.clock.advance(Duration::from_secs(1));
    let strong = tag.trim_start_matches("W/").to_owned();
    for known in [tag.clone(), format!("\"x\", {tag}"), strong, "*".to_owned()] {
        let (status, again, body) = house.ask("s", "", Some(&known)).await.unwrap();
        assert_eq!((status, &again, body), (StatusCode::NOT_MODIFIED, &tag, Value::Null), "{known}");
    }
    house.rp.tell("session-revoked", &user, &json!({"event_timestamp": START})).await;
    let (status, other, body) = house.ask("s", "", Some(&tag)).await.unwrap();
    assert_eq!((status, &body["state"]), (StatusCode::OK, &json!("revoked")));
    assert_ne!(other, tag);
    assert_eq!(house.rp.call(reqwest::Method::GET, "/v1/sessions/s?wait=soon", None).await.0, 400);
}

#[tokio::test]
async fn who_waits_for_a_session_hears_of_a_decision_of_its_end_and_of_time() {
    let house = House::start().await;
    let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice"});
    house.rp.register("s", json!({"subject": user, "expires_at": START + 100})).await;
    let (_, tag, _) = house.ask("s", "?wait=20s", None).await.unwrap();
    let asked = house.ask("s", "?wait=20s", Some(&tag));
    house.rp.clock.advance(Duration::from_secs(100));
    let (status, tag, body) = house.until_answered(asked).await;
    assert_eq!((status, &body["reason"]), (StatusCode::OK, &json!("expired")));
    let asked = house.ask("s", "?wait=20s", Some(&tag));
    house.rp.tell("session-revoked", &user, &json!({"event_timestamp": START})).await;
    let (_, tag, body) = house.until_answered(asked).await;
    assert_eq!(body["state"], "revoked");
    let asked = house.ask("s", "?wait=20s", Some(&tag));
    house.rp.call(reqwest::Method::DELETE, "/v1/sessions/s", None).await;
    assert_eq!(house.until_answered(asked).await.2["state"], "unknown");
}

#[tokio::test]
async fn a_wait_ends_with_304_when_it_is_over_when_there_is_no_room_and_at_the_stop() {
    let house = House::start().await;
    let (_, tag, _) = house.ask("nobody", "", None).await.unwrap();
    let (status, ..) = house.ask("nobody", "?wait=50ms", Some(&tag)).await.unwrap();
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    let sid = "nobody".into();
    let room = (house.waits.join(&sid).unwrap(), house.waits.join(&sid).unwrap());
    assert_eq!(house.ask("nobody", "?wait=20s", Some(&tag)).await.unwrap().0, StatusCode::NOT_MODIFIED, "no room");
    drop(room);
    let _other = house.waits.join(&sid).unwrap();
    let mut asked = house.ask("nobody", "?wait=20s", Some(&tag));
    while house.waits.join(&sid).is_some() {
        // looking takes the last place for a moment
        if asked.is_finished() {
            asked = house.ask("nobody", "?wait=20s", Some(&tag));
        }
        tokio::task::yield_now().await;
    }
    house.stop.cancel();
    assert_eq!(asked.await.unwrap().0, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn who_waits_on_one_process_hears_of_what_another_applies() {
    let rp = Rp::start().await;
    let other = Rp::on(rp.pool.clone()).await;
    let moved = Wake::new();
    let waits = Arc::new(Waits::new(
        Validity::new(rp.replica.clone(), rp.env.clone()),
        10,
        moved.clone(),
        CancellationToken::new(),
    ));
    let shutdown = ssf_common::runtime::Shutdown::default();
    let bells = vec![("ssf_cutoff".to_owned(), moved.clone())];
    let random = Arc::clone(&rp.env.random);
    shutdown.spawn("listener", ssf_common::runtime::postgres::listen(rp.pool.clone(), bells, shutdown.clone(), random));
    let every = Duration::from_hours(1);
    let (worker, random) = (Arc::clone(&waits), Arc::clone(&rp.env.random));
    shutdown.spawn("waits", ssf_common::runtime::worker::run(worker, moved, every, shutdown.clone(), random));
    let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice"});
    rp.register("s", json!({"subject": user})).await;
    let mut waiting = waits.join(&"s".into()).unwrap();
    other.tell("session-revoked", &user, &json!({"event_timestamp": START})).await;
    let heard = tokio::time::timeout(Duration::from_secs(20), async {
        while waiting.next().await.unwrap().verdict.state != ssf_receiver::validity::State::Revoked {}
    });
    heard.await.expect("the commit rang");
    shutdown.begin();
    shutdown.wait().await;
}
