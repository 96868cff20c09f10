//! The Rust of the README, as it stands there: compiled, run, and compared with the text.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::HeaderMap;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use ssf_common::event::Vocabulary;
use ssf_common::runtime::Env;
use ssf_harness::idp::{Idp, opaque};
use ssf_receiver::guard::{GuardLayer, Presented, Refusal, Remote};
use ssf_receiver::session::Sid;
use ssf_receiver::validity::{Question, State, Validity};
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::outbox::{Draft, record_within};

// README: an IdP in Rust
async fn end_session(tx: &mut PgConnection, issuer: &Issuer, env: &Env, session: &str) -> anyhow::Result<()> {
    // the IdP's own change, in the same transaction
    sqlx::query("delete from idp_session where id = $1").bind(session).execute(&mut *tx).await?;
    let subject = json!({"format": "opaque", "id": session});
    let draft: Draft = serde_json::from_value(json!({"type": "session-revoked", "subject": subject}))?;
    let event = draft.check(issuer.id, &Vocabulary::default(), env)?;
    record_within(tx, "ssf_transmitter", &event, env.now()).await?;
    Ok(())
}
// README: end

// README: an RP in Rust
async fn may_continue(validity: &Validity, sid: &str) -> anyhow::Result<bool> {
    let answer = validity.check(&Question::named(Sid::from(sid))).await?;
    Ok(answer.verdict.state == State::Active)
}
// README: end

// README: an application's routes
fn guarded(routes: Router) -> anyhow::Result<Router> {
    let receiver = Remote::unix("/run/ssf-receiver/api.sock".as_ref(), Duration::from_millis(200))?;
    Ok(routes.layer(GuardLayer::new(receiver, |parts| {
        let secret = cookie(&parts.headers, "session").ok_or(Refusal::Nobody)?;
        Ok(Presented::session(Sid::of_secret(&secret)))
    })))
}
// README: end

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let (found, value) = headers.get("cookie")?.to_str().ok()?.split_once('=')?;
    (found == name).then(|| value.to_owned())
}

#[tokio::test]
async fn an_application_lets_nobody_through_without_a_session_or_an_answer() {
    let routes = guarded(Router::new().route("/", get(|| async { "inside" }))).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(http.get(&url).send().await.unwrap().status(), 401);
    let unanswered = http.get(&url).header("cookie", "session=secret").send().await.unwrap();
    assert_eq!(unanswered.status(), 503, "nobody listens at that socket here");
}

#[tokio::test]
async fn the_idps_own_change_and_its_decision_share_a_transaction() {
    let idp = Idp::start().await;
    let mut own = PgConnection::connect_with(&idp.database.options).await.unwrap();
    sqlx::query("create table idp_session (id text primary key)").execute(&mut own).await.unwrap();
    sqlx::query("insert into idp_session values ('kept'), ('over')").execute(&mut own).await.unwrap();
    let env = Env::system();
    for (session, commits) in [("kept", false), ("over", true)] {
        let mut tx = own.begin().await.unwrap();
        end_session(&mut tx, &idp.transmitter.issuer, &env, session).await.unwrap();
        // the IdP's own search path is as it was
        let _: i64 = sqlx::query_scalar("select count(*) from idp_session").fetch_one(&mut *tx).await.unwrap();
        if commits { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
    }
    assert_eq!(idp.count("select count(*) from outbox").await, 1);
    let subject = opaque("over");
    let recorded: serde_json::Value =
        sqlx::query_scalar("select subject from outbox").fetch_one(&idp.pool).await.unwrap();
    assert_eq!(recorded, subject);
}

#[tokio::test]
async fn an_rp_asks_in_process() {
    let rp = crate::rp::Rp::start().await;
    let user = json!({"format": "opaque", "id": "user-1"});
    rp.register("session-1", json!({"subject": user})).await;
    let validity = Validity::new(rp.replica.clone(), rp.env.clone());
    assert!(may_continue(&validity, "session-1").await.unwrap());
    rp.tell("session-revoked", &user, &json!({})).await;
    assert!(!may_continue(&validity, "session-1").await.unwrap());
}

#[test]
fn the_readme_shows_this_very_code() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    let source = std::fs::read_to_string(format!("{root}/tests/e2e/readme.rs")).unwrap();
    let shown: Vec<&str> = source
        .split("// README: an ")
        .skip(1)
        .filter_map(|part| part.split("// README: end").next()?.split_once('\n'))
        .map(|(_, code)| code)
        .collect();
    assert!(shown.len() >= 3, "the markers are there");
    for code in shown.iter().take(3) {
        assert!(readme.contains(code.trim()), "the README does not show:\n{code}");
    }
}
