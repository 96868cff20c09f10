//! The receiver's half of `plans`: with thousands of sessions, cut-offs and received SETs, a SET is applied and a question
//! answered without reading any of them from one end to the other. Cut-offs are read once, when a process begins.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use ssf_common::runtime::Worker as _;
use ssf_common::runtime::config::Layers;
use ssf_harness::{ScratchDatabase, TestCluster};
use ssf_receiver::config::{DEFAULTS, Settings};
use ssf_receiver::effects::{Effects, Wanted};
use ssf_receiver::inbox::Receipt;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::rp::{ISSUER, Rp, START, prepared};

/// How much of everything.
const FULL: usize = 2_000;

fn user(number: usize) -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": format!("user-{number}")})
}

async fn fill(database: &ScratchDatabase) {
    let rp = Arc::new(Rp::on(prepared(database).await).await);
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..16 {
        let rp = Arc::clone(&rp);
        tasks.spawn(async move {
            for number in (part..FULL).step_by(16) {
                let body =
                    json!({"subject": user(number), "session": format!("s-{number}"), "device": format!("d-{number}")});
                assert_eq!(rp.register(&format!("sid-{number}"), body).await.0, 201);
                rp.tell("session-revoked", &user(number + FULL), &json!({"event_timestamp": START - 100})).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    // as if all that had been gone through, and as much had been told as nobody took
    let told = "truncate effect_source;
         insert into effect_target (name, changes) values ('app', '{}'), ('dead', '{}');
         insert into effect (position, id, sid, issuer, change, reason, event_type, decided_at, received_at, made_at, feed_seq)
         select n, gen_random_uuid(), 'old-' || n, 'https://idp.example', 'revoked', 'blocked', 'account-disabled', t.now, t.now, t.now, 1
         from generate_series(1, 2000) n, (select to_timestamp(1795000000) as now) t;
         insert into effect_told select sid, 'revoked', made_at, made_at from effect;
         insert into callback (target, position, sid, due_at, born_at) select 'dead', position, sid, made_at, made_at from effect;
         update effect_feed set position = 2000;";
    sqlx::raw_sql(told).execute(&rp.pool).await.unwrap();
    rp.pool.close().await;
}

/// What the receiver does all day.
async fn a_day(rp: &Rp) {
    for (jti, event, number) in [("today-1", "session-revoked", 1), ("today-2", "revalidate", 2)] {
        let set = rp.set_called(jti, event, &user(number), &json!({"event_timestamp": START, "requirement": {}}));
        assert!(matches!(rp.receive(set).await.unwrap(), Receipt::Applied { .. }), "{event}");
    }
    let known = rp.set_called("today-3", "session-revoked", &user(3), &json!({"event_timestamp": START}));
    rp.receive(known.clone()).await.unwrap();
    rp.receive(known).await.unwrap();
    assert_eq!(rp.state("sid-1").await, "revoked");
    // what the first check of all allowed is denied by the second, and that is written down
    assert_eq!(rp.state("sid-5").await, "active");
    let over = rp.set_called("today-4", "session-revoked", &user(5), &json!({"event_timestamp": START}));
    rp.receive(over).await.unwrap();
    assert_eq!(rp.state("sid-5").await, "revoked");
    rp.inbox.applied_log().tick().await.unwrap();
    assert_eq!(rp.denial_log(Duration::from_hours(24)).tick().await.unwrap(), 1);
    for path in ["/v1/windows", "/v1/windows/cutoffs"] {
        let (status, told) = rp.call(Method::GET, &format!("{path}?since={}", START + 60), None).await;
        assert_eq!(status, 200, "{told}");
    }
    let revalidated =
        rp.call(Method::POST, "/v1/sessions/sid-2/revalidated", Some(&json!({"validated": START + 1}))).await;
    assert_eq!(revalidated.0, 200, "{}", revalidated.1);
    let checks: Vec<Value> = (0..50).map(|number| json!({"sid": format!("sid-{number}")})).collect();
    let answer = rp.call(Method::POST, "/v1/check/batch", Some(&json!({"checks": checks}))).await;
    assert_eq!((answer.0, answer.1["results"].as_array().unwrap().len()), (200, 50));
    let described = json!({"issuer": ISSUER, "subject": user(FULL + 7), "origin": START - 1_000});
    assert_eq!(rp.call(Method::POST, "/v1/check", Some(&described)).await.1["state"], "revoked");
    assert_eq!(rp.call(Method::DELETE, "/v1/sessions/sid-4", None).await.0, 204);
    tell_the_application(rp).await;
    sqlx::query("delete from cutoff where feed_seq = 1").execute(&rp.pool).await.unwrap();
    for _ in 0..20 {
        rp.look().await;
        rp.clock.advance(std::time::Duration::from_mins(1));
        rp.replica.give_sign().await.unwrap();
    }
}

/// Four cut-offs moved, and three sessions with them: their application is called back and watched by somebody else.
async fn tell_the_application(rp: &Rp) {
    let application = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(204)).mount(&application).await;
    let url = format!("{}/ssf", application.uri());
    let overrides =
        [("effects.app.url", url.as_str()), ("effects.app.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("receiver", DEFAULTS) };
    let settings = Settings::load(&layers).unwrap();
    let effects = Effects::open(&settings, rp.env.clone(), rp.pool.clone(), CancellationToken::new()).await.unwrap();
    let mut heard = effects.watching().watch(None, Wanted::default()).await.unwrap();
    effects.spread().tick().await.unwrap();
    effects.targets()[0].tick().await.unwrap();
    effects.targets()[0].idle().await;
    effects.upkeep().tick().await.unwrap();
    assert_eq!(application.received_requests().await.unwrap().len(), 3, "one session was proved again meanwhile");
    for _ in 0..4 {
        assert!(heard.recv().await.is_some(), "the place it begins, and three sessions");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_happens_all_the_time_reads_a_full_table_from_end_to_end() {
    for is_known in [true, false] {
        let database = TestCluster::shared().await.scratch_database("rp").await.unwrap();
        let mut other = PgConnection::connect_with(&database.options).await.unwrap();
        if !is_known {
            prepared(&database).await.close().await;
            // a queue fills faster than statistics are taken
            sqlx::raw_sql("analyze").execute(&mut other).await.unwrap();
        }
        fill(&database).await;
        // those who filled it hand in their account when they are gone
        let others = "select count(*) from pg_stat_activity where datname = current_catalog and pid <> pg_backend_pid()
                         and backend_type = 'client backend'";
        while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut other).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
        let fresh = if is_known { "analyze; select pg_stat_reset()" } else { "select pg_stat_reset()" };
        sqlx::raw_sql(fresh).execute(&mut other).await.unwrap();
        let rp = Rp::on(prepared(&database).await).await;
        a_day(&rp).await;
        // a session hands in its account at its end
        rp.pool.close().await;
        let read = "select relname::text, seq_tup_read from pg_stat_user_tables where seq_tup_read >= $1
                     union all select indexrelname::text, idx_tup_read from pg_stat_user_indexes
                     where idx_tup_read >= case indexrelname when 'cutoff_feed' then 2 else 1 end * $1 order by 1";
        let read: Vec<(String, i64)> =
            sqlx::query_as(read).bind(i64::try_from(FULL).unwrap()).fetch_all(&mut other).await.unwrap();
        assert!(read.is_empty(), "statistics taken {}: {read:?}", if is_known { "after" } else { "before" });
        let kept = "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes";
        let kept: i64 = sqlx::query_scalar(kept).fetch_one(&mut other).await.unwrap();
        assert!(kept > 0, "an account was kept");
    }
}
