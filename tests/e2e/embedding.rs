//! Stories about a transmitter inside an IdP's own program.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ssf_common::runtime::Env;
use ssf_common::runtime::shutdown::Shutdown;
use ssf_harness::idp::{SEALING_KEY, claims, opaque};
use ssf_harness::{TestCluster, binaries};
use ssf_transmitter::admin::{self, NewClient};
use ssf_transmitter::audit::Actor;
use ssf_transmitter::config::Settings;
use ssf_transmitter::keys::SealingKey;
use ssf_transmitter::{RecordingError, Transmitter};

/// A transmitter for `issuer` in this process, on a database of its own, and that database.
async fn embedded(issuer: &str) -> (Arc<Transmitter>, PgConnection, Shutdown) {
    let database = TestCluster::shared().await.scratch_database("embedded").await.unwrap();
    let settings = Settings::with(&[("issuer.url", issuer), ("issuer.algorithm", "ES256")]).unwrap();
    let (sealing, shutdown) = (SealingKey::parse(&SEALING_KEY.into()).unwrap(), Shutdown::default());
    let options = database.options.clone();
    let transmitter = Transmitter::start(&settings, sealing, Env::system(), options, &shutdown).await.unwrap();
    (Arc::new(transmitter), PgConnection::connect_with(&database.options).await.unwrap(), shutdown)
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

async fn receiver(transmitter: &Transmitter) -> String {
    let new = NewClient { with_token: true, ..NewClient::receiver("rp", "https://rp.example") };
    let added = admin::add_client(transmitter.pool(), &transmitter.issuer, &new, &Actor::Service, &Env::system())
        .await
        .unwrap()
        .unwrap();
    secrecy::ExposeSecret::expose_secret(&added.token.unwrap()).to_owned()
}

async fn post(http: &reqwest::Client, url: &str, token: &str, body: &Value) -> Value {
    let answer = http.post(url).bearer_auth(token).json(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{url} answered {}", answer.status());
    answer.json().await.unwrap()
}

#[tokio::test]
async fn nested_in_an_idps_router_every_endpoint_is_where_the_metadata_say() {
    let issuer = "http://localhost:4711/idp/ssf";
    let (transmitter, mut own, shutdown) = embedded(issuer).await;
    let token = receiver(&transmitter).await;
    let idps_own = Router::new().route("/", get(|| async { "the IdP's own page" }));
    let routers = [
        idps_own.clone().fallback_service(transmitter.router()),
        idps_own.nest("/idp/ssf", transmitter.router()).nest("/.well-known", transmitter.router()),
    ];
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (round, router) in routers.into_iter().enumerate() {
        let base = serve(router).await;
        let text = |path: String| {
            let request = http.get(format!("{base}{path}"));
            async move { request.send().await.unwrap().text().await.unwrap() }
        };
        assert_eq!(text("/".to_owned()).await, "the IdP's own page");
        let metadata: Value =
            serde_json::from_str(&text("/.well-known/ssf-configuration/idp/ssf".to_owned()).await).unwrap();
        let at = |name: &str| metadata[name].as_str().unwrap().replace("http://localhost:4711", &base);
        let keys: Value = serde_json::from_str(&text(at("jwks_uri").replace(&base, "")).await).unwrap();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        if round == 0 {
            let wanted = json!({"events_requested": ssf_harness::idp::uris(&["session-revoked"])});
            post(&http, &at("configuration_endpoint"), &token, &wanted).await;
        }
        let streams: Value =
            http.get(at("configuration_endpoint")).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
        let poll = streams[0]["delivery"]["endpoint_url"].as_str().unwrap().replace("http://localhost:4711", &base);
        // the IdP's own change and the decision, in one transaction of the IdP's
        let session = format!("session-{round}");
        for commits in [false, true] {
            let mut tx = own.begin().await.unwrap();
            let draft = json!({"type": "session-revoked", "subject": opaque(&format!("{session}-{commits}"))});
            transmitter.record(&mut tx, serde_json::from_value(draft).unwrap()).await.unwrap();
            if commits { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
        }
        let got = post(&http, &poll, &token, &json!({})).await;
        let [set] = got["sets"].as_object().unwrap().values().collect::<Vec<_>>().try_into().unwrap();
        let claims = claims(set.as_str().unwrap());
        assert_eq!((&claims["iss"], &claims["sub_id"]["id"]), (&json!(issuer), &json!(format!("{session}-true"))));
        post(&http, &poll, &token, &json!({"ack": [claims["jti"]], "maxEvents": 0})).await;
    }
    shutdown.begin();
    shutdown.wait().await;
}

#[tokio::test]
async fn what_is_not_an_event_is_refused_and_leaves_the_idps_transaction_as_it_was() {
    let (transmitter, mut own, shutdown) = embedded("http://localhost:4712").await;
    let mut tx = own.begin().await.unwrap();
    let draft = json!({"type": "session-revokd", "subject": opaque("s")});
    let refused = transmitter.record(&mut tx, serde_json::from_value(draft).unwrap()).await.unwrap_err();
    assert!(matches!(refused, RecordingError::Draft(_)), "{refused}");
    let draft = json!({"type": "session-revoked", "subject": opaque("s")});
    let elsewhere = "https://nobody.example".into();
    let refused = transmitter.record_of(&mut tx, &elsewhere, serde_json::from_value(draft).unwrap()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the issuer https://nobody.example is not served here");
    sqlx::query("create table idp_goes_on (id int)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    shutdown.begin();
    shutdown.wait().await;
}

/// The example as a process; ended with the value.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[tokio::test]
async fn the_example_idp_runs_and_a_session_that_ends_in_it_ends_at_its_receiver() {
    let mut command = Command::new(binaries::example_idp());
    command.arg("127.0.0.1:0").env_remove("DATABASE_URL").stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut example = Example(command.spawn().unwrap());
    let mut lines = BufReader::new(example.0.stdout.take().unwrap()).lines();
    let (told, said) = tokio::sync::oneshot::channel();
    // to the end: it has more to say, and would end if nobody listened
    std::thread::spawn(move || {
        let said = lines.find_map(|line| line.ok().filter(|line| line.contains("token: ")));
        let _ = told.send(said);
        lines.for_each(drop);
    });
    let said = said.await.unwrap().expect("it says where it listens");
    let token = said.rsplit(' ').next().unwrap().to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let issuer = said.split_once(" on ").and_then(|(_, rest)| rest.split(';').next()).unwrap().to_owned();
    let url = |path: &str| format!("{issuer}{path}");
    while http.get(url("/health/ready")).send().await.is_err() {
        assert!(example.0.try_wait().unwrap().is_none(), "it has ended");
        tokio::task::yield_now().await;
    }
    let wanted = json!({"events_requested": ssf_harness::idp::uris(&["session-revoked"])});
    let stream = post(&http, &url("/ssf/streams"), &token, &wanted).await;
    let alice = post(&http, &url("/login"), "", &json!({"user": "alice"})).await;
    let bob = post(&http, &url("/login"), "", &json!({"user": "bob"})).await;
    let session = alice["session"].as_str().unwrap();
    let decision = post(&http, &url(&format!("/sessions/{session}/end")), "", &Value::Null).await;
    let left: Value = http.get(url("/sessions")).send().await.unwrap().json().await.unwrap();
    assert_eq!(left, json!([{"session": bob["session"], "user": "bob"}]));
    let got = post(&http, stream["delivery"]["endpoint_url"].as_str().unwrap(), &token, &json!({})).await;
    let [set] = got["sets"].as_object().unwrap().values().collect::<Vec<_>>().try_into().unwrap();
    let claims = claims(set.as_str().unwrap());
    assert_eq!((&claims["sub_id"]["id"], &claims["txn"]), (&json!(session), &decision["txn"]));
    let pid = Pid::from_raw(i32::try_from(example.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || example.0.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
}
