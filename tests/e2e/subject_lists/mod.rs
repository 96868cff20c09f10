//! Stories about the list behind a stream's subjects: how long it may be, what is kept of it, and that the database answers
//! what the rule says. `requests` is about who may change it, and how.

mod requests;

use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use ssf_common::protocol::DefaultSubjects;
use ssf_common::runtime::Env;
use ssf_common::runtime::worker::Worker as _;
use ssf_common::subject::Subject;
use ssf_harness::idp::opaque;
use ssf_transmitter::admin;
use ssf_transmitter::stream::subjects::wanted;

use crate::subjects::Scene;

const ENDPOINTS: [&str; 2] = ["/ssf/subjects/add", "/ssf/subjects/remove"];

// §9.1: no probing; ours: a full list is 403, for no waiting helps
#[tokio::test]
async fn a_list_is_as_long_as_it_may_be_and_says_so() {
    for default in ["NONE", "ALL"] {
        let scene = Scene::start(default, &[("streams.max_subjects", "5")]).await;
        scene.add(&opaque("a")).await;
        // two sets of its one member, and the member alone
        scene.add(&json!({"format": "complex", "user": opaque("b")})).await;
        scene.add(&opaque("c")).await;
        for _ in 0..2 {
            scene.add(&opaque("a")).await;
        }
        let body = json!({"stream_id": scene.stream, "subject": opaque("d")});
        let full = scene.idp.post(ENDPOINTS[0], &scene.rp, &body).await;
        assert_eq!((full.status, full.text("error")), (403, "forbidden"));
        assert!(full.text("error_description").contains("as many subjects as it may (5;"), "{}", full.body);
        // a removal of what is not listed needs room only where it is remembered
        let removal = scene.idp.post(ENDPOINTS[1], &scene.rp, &body).await.status;
        assert_eq!(removal, if default == "ALL" { 403 } else { 204 });
        assert_eq!(scene.idp.count("select subjects::bigint from stream").await, 3);
        assert_eq!(scene.idp.count("select subject_keys::bigint from stream").await, 5);
        scene.remove(&opaque("a")).await;
        scene.idp.advance(Duration::from_hours(24 * 7));
        scene.idp.transmitter.maintenance.tick().await.unwrap();
        let again = scene.idp.post(ENDPOINTS[0], &scene.rp, &body).await.status;
        assert_eq!(again, if default == "ALL" { 403 } else { 200 }, "an exclusion is kept");
    }
}

#[tokio::test]
async fn complex_subjects_have_no_more_different_sets_of_members_than_an_event_can_ask_for() {
    let scene = Scene::start("NONE", &[("streams.removal_grace", "0s")]).await;
    let of = |name: usize, id: &str| json!({"format": "complex", format!("member{name}"): opaque(id)});
    for name in 0..32 {
        scene.add(&of(name, "a")).await;
    }
    let body = json!({"stream_id": scene.stream, "subject": of(32, "a")});
    assert_eq!(scene.idp.post(ENDPOINTS[0], &scene.rp, &body).await.status, 403);
    scene.add(&of(0, "b")).await;
    scene.remove(&of(0, "a")).await;
    scene.idp.advance(Duration::from_secs(1));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.post(ENDPOINTS[0], &scene.rp, &body).await.status, 403, "one subject has the set still");
    scene.remove(&of(0, "b")).await;
    scene.idp.advance(Duration::from_secs(1));
    scene.idp.transmitter.maintenance.tick().await.unwrap();
    assert_eq!(scene.idp.post(ENDPOINTS[0], &scene.rp, &body).await.status, 200);
    assert_eq!(scene.idp.count("select sum(subjects)::bigint from stream_subject_shape").await, 32);
    assert_eq!(scene.idp.count("select subjects::bigint from stream").await, 32);
}

// §9.3: every removal is logged, and no subject in it
#[tokio::test]
async fn a_removal_is_in_the_audit_log_once_and_the_subject_is_nowhere() {
    for default in ["ALL", "NONE"] {
        let scene = Scene::start(default, &[]).await;
        let subject = json!({"format": "complex", "user": {"format": "email", "email": "canary@example.com"}, "canary-name": opaque("canary")});
        scene.add(&subject).await;
        for _ in 0..3 {
            scene.remove(&subject).await;
        }
        let mut conn = scene.idp.pool.acquire().await.unwrap();
        let mut entries =
            ssf_transmitter::audit::entries(&mut conn, scene.idp.transmitter.issuer.id, 0, 20).await.unwrap();
        entries.retain(|entry| entry.action.starts_with("subject."));
        let [entry] = entries.try_into().unwrap();
        assert_eq!(
            (entry.actor.as_str(), entry.action.as_str(), &entry.target),
            ("client:rp", "subject.removed", &scene.stream)
        );
        let details: Value = serde_json::from_str(&entry.details).unwrap();
        assert_eq!(details["subject_digest"].as_str().unwrap().len(), 32);
        assert_eq!(details["effective_at"], "2026-11-25T11:06:40.25Z");
        let tables: Vec<String> = sqlx::query_scalar(
            "select table_name::text from information_schema.tables where table_schema = current_schema",
        )
        .fetch_all(&scene.idp.pool)
        .await
        .unwrap();
        assert!(tables.iter().any(|table| table == "stream_subject"));
        for table in tables {
            let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "select t::text || encode(convert_to(t::text, 'utf8'), 'escape') from {table} t"
            )))
            .fetch_all(&scene.idp.pool)
            .await
            .unwrap();
            let hexed = "canary".bytes().fold(String::new(), |hexed, byte| format!("{hexed}{byte:02x}"));
            assert!(rows.iter().all(|row| !row.contains("canary") && !row.contains(&hexed)), "{default}: {table}");
        }
    }
}

#[tokio::test]
async fn a_deleted_stream_leaves_no_subject_behind() {
    let scene = Scene::start("NONE", &[]).await;
    scene.add(&opaque("a")).await;
    scene.add(&json!({"format": "complex", "user": opaque("b")})).await;
    let listed = admin::list_streams(&scene.idp.pool, &scene.idp.transmitter.issuer, None, 10, &Env::system())
        .await
        .unwrap()
        .items;
    assert_eq!((listed[0].subjects, listed[0].subjects_excluded, listed[0].default_subjects.as_str()), (2, 0, "NONE"));
    let path = format!("/ssf/streams?stream_id={}", scene.stream);
    assert_eq!(scene.idp.call(Method::DELETE, &path, &scene.rp.token, None).await.status, 204);
    for left in ["select count(*) from stream_subject", "select count(*) from stream_subject_shape"] {
        assert_eq!(scene.idp.count(left).await, 0);
    }
}

/// As if very many subjects of this shape had been added, all of another user of the one tenant.
async fn lengthen(scene: &Scene, subjects: i32) {
    let statement = "with like_this as (select s.stream_id, s.key, s.shape from stream_subject s where s.shape is not null)
        insert into stream_subject
        select l.stream_id, substring(sha256(convert_to(n::text, 'utf8')) from 1 for 16), l.key, l.shape, 'infinity', null, true, now()
          from like_this l, generate_series(1, $1) n";
    sqlx::query(statement).bind(subjects).execute(&scene.idp.pool).await.unwrap();
    let counted = "update stream set subjects = (select count(distinct digest) from stream_subject),
        subject_keys = (select count(*) from stream_subject)";
    sqlx::query(counted).execute(&scene.idp.pool).await.unwrap();
}

#[tokio::test]
async fn a_long_list_does_not_hold_up_the_deletion_of_its_stream_and_goes_afterwards() {
    let scene = Scene::start("NONE", &[]).await;
    scene.add(&json!({"format": "complex", "user": opaque("u")})).await;
    lengthen(&scene, 3_000).await;
    let path = format!("/ssf/streams?stream_id={}", scene.stream);
    assert_eq!(scene.idp.call(Method::DELETE, &path, &scene.rp.token, None).await.status, 204);
    assert_eq!(scene.idp.count("select count(*) from stream_subject").await, 9_003);
    let again = scene.idp.poll_stream(&scene.rp, &["session-revoked"]).await;
    let scene = Scene { stream: again, ..scene };
    assert!(!scene.hears_of(&json!({"format": "complex", "user": opaque("u")})).await, "a new stream has a new list");
    while scene.idp.transmitter.maintenance.tick().await.unwrap() > 0 {}
    for left in ["select count(*) from stream_subject", "select count(*) from stream_subject_left"] {
        assert_eq!(scene.idp.count(left).await, 0);
    }
}

/// The recorded query itself, asked for a key that a whole list shares.
#[tokio::test]
async fn an_event_looks_into_the_index_and_never_reads_a_list() {
    let scene = Scene::start("NONE", &[]).await;
    scene.add(&json!({"format": "complex", "tenant": opaque("t")})).await;
    lengthen(&scene, 5_000).await;
    scene.idp.execute("analyze stream_subject").await;
    let recorded = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.sqlx")).unwrap();
    let query = recorded
        .filter_map(|entry| serde_json::from_slice::<Value>(&std::fs::read(entry.unwrap().path()).unwrap()).ok())
        .find_map(|recorded| {
            recorded["query"].as_str().filter(|query| query.contains("recursive list")).map(str::to_owned)
        });
    let mut tx = scene.idp.pool.begin().await.unwrap();
    let shared: Vec<Vec<u8>> =
        sqlx::query_scalar("select key from stream_subject limit 3").fetch_all(&mut *tx).await.unwrap();
    let read = "select pg_stat_get_xact_tuples_returned('stream_subject_included'::regclass)
        + pg_stat_get_xact_tuples_returned('stream_subject'::regclass)";
    let before: i64 = sqlx::query_scalar(read).fetch_one(&mut *tx).await.unwrap();
    let question =
        sqlx::query(sqlx::AssertSqlSafe(query.unwrap())).bind(vec![1_i64; 3]).bind(&shared).bind(vec![false; 3]);
    let now = ssf_common::clock::Clock::now(&*scene.idp.clock);
    assert_eq!(question.bind(now).fetch_all(&mut *tx).await.unwrap().len(), 3);
    let read: i64 = sqlx::query_scalar(read).fetch_one(&mut *tx).await.unwrap();
    assert!((3..=12).contains(&(read - before)), "{} rows were read of 15,003", read - before);
}

// SSF 1.0 §8.1.3.2: `verified` is kept
#[tokio::test]
async fn whether_the_receiver_verified_a_subject_is_kept_and_changes_nothing_else() {
    let scene = Scene::start("NONE", &[]).await;
    let of = |verified: Value| json!({"stream_id": scene.stream, "subject": opaque("x"), "verified": verified});
    for (said, kept) in [(json!(null), true), (json!(false), false), (json!(true), true)] {
        assert_eq!(scene.idp.post(ENDPOINTS[0], &scene.rp, &of(said)).await.status, 200);
        let is_kept: bool =
            sqlx::query_scalar("select verified from stream_subject").fetch_one(&scene.idp.pool).await.unwrap();
        assert_eq!(is_kept, kept);
        assert!(scene.hears_of(&opaque("x")).await);
    }
}

#[tokio::test]
async fn calls_about_one_subject_at_once_leave_a_list_as_if_they_came_one_by_one() {
    for default in ["ALL", "NONE"] {
        let scene = Scene::start(default, &[]).await;
        let body = json!({"stream_id": scene.stream, "subject": json!({"format": "complex", "user": opaque("u")})});
        let twin = scene.idp.twin().await;
        for _ in 0..5 {
            let (add, remove, again, away) = tokio::join!(
                scene.idp.post(ENDPOINTS[0], &scene.rp, &body),
                twin.post(ENDPOINTS[1], &scene.rp, &body),
                twin.post(ENDPOINTS[0], &scene.rp, &body),
                scene.idp.post(ENDPOINTS[1], &scene.rp, &body),
            );
            assert_eq!([add.status, remove.status, again.status, away.status], [200, 204, 200, 204]);
        }
        let counted = "select (subjects = (select count(distinct digest) from stream_subject) and subject_keys = (select count(*) from stream_subject)
            and subjects_excluded = (select count(distinct digest) from stream_subject where excluded_from is not null)
            and subjects = (select coalesce(sum(subjects), 0) from stream_subject_shape))::int::bigint from stream";
        assert_eq!(scene.idp.count(counted).await, 1, "{default}");
    }
}

/// What the database answers, after random calls in random order, is the rule on the lists that result.
#[tokio::test]
async fn the_database_answers_what_the_rule_says_over_random_lists_and_events() {
    let mut runner = TestRunner::deterministic();
    let calls = prop::collection::vec((any_subject(), any::<bool>()), 0..12);
    let events = prop::collection::vec(any_subject(), 40);
    for round in 0..12 {
        let default = if round % 2 == 0 { DefaultSubjects::All } else { DefaultSubjects::None };
        let word = if round % 2 == 0 { "ALL" } else { "NONE" };
        let scene = Scene::start(word, &[("streams.removal_grace", "0s")]).await;
        let (mut added, mut removed): (Vec<Subject>, Vec<Subject>) = (Vec::new(), Vec::new());
        for (value, adds) in calls.new_tree(&mut runner).unwrap().current() {
            let subject = Subject::parse(&value).unwrap();
            for list in [&mut added, &mut removed] {
                list.retain(|listed| listed.canonical() != subject.canonical());
            }
            if adds {
                scene.add(&value).await;
                added.push(subject);
            } else {
                scene.remove(&value).await;
                removed.push(subject);
            }
        }
        let events = events.new_tree(&mut runner).unwrap().current();
        let heard = scene.heard(&events).await;
        for tidied in [false, true] {
            let heard = if tidied { scene.heard(&events).await } else { heard.clone() };
            for (event, heard) in events.iter().zip(heard) {
                let says = wanted(default, &added, &removed, &Subject::parse(event).unwrap());
                assert_eq!(
                    heard, says,
                    "{word}, tidied: {tidied}\nadded {added:?}\nremoved {removed:?}\nevent {event}"
                );
            }
            scene.idp.transmitter.maintenance.tick().await.unwrap();
        }
    }
}

fn any_subject() -> impl Strategy<Value = Value> {
    let single = || {
        prop_oneof![
            "[a-c]".prop_map(|id| opaque(&id)),
            "[ab]@[aB]".prop_map(|email| json!({"format": "email", "email": email})),
            "[ab]".prop_map(|id| json!({"format": "ours", "id": id})),
        ]
    };
    let aliases = prop::collection::vec(single(), 1..4)
        .prop_map(|identifiers| json!({"format": "aliases", "identifiers": identifiers}));
    let simple = prop_oneof![5 => single(), 1 => aliases].boxed();
    let complex = prop::collection::btree_map("user|device|tenant|ours", simple.clone(), 1..4).prop_map(|members| {
        let format = [("format".to_owned(), json!("complex"))];
        Value::Object(format.into_iter().chain(members).collect())
    });
    prop_oneof![simple, complex]
}
