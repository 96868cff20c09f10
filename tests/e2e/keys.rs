//! Stories about signing keys in the hands of an operator: made, brought in, retired, removed.

use std::collections::BTreeSet;
use std::future::Future as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use ssf_common::id::KeyId;
use ssf_common::jwks::{Algorithm, ImportError};
use ssf_common::runtime::worker::Worker as _;
use ssf_harness::binaries;
use ssf_harness::idp::{Idp, SEALING_KEY};
use ssf_harness::processes::Process;
use ssf_harness::sink::{Answer, Sink};
use ssf_transmitter::admin::{self, IssuerKeys, KeysError};
use ssf_transmitter::audit::{self, Actor};
use ssf_transmitter::issuer::OwnDefaults;
use ssf_transmitter::keys::{KeyRingError, SealError, SealingKey};

use crate::operator::{Operator, jwk};
use crate::rotation::{Cached, kid};

#[tokio::test]
async fn processes_that_rotate_at_once_make_one_key_and_activate_it_once() {
    let operator = Operator::start().await;
    let (one, two, three) = (&operator.idp, operator.idp.twin().await, operator.idp.twin().await);
    for (days, keys) in [(89, 2), (1, 2), (8, 1), (81, 2), (1, 2)] {
        one.advance(Duration::from_hours(24 * days));
        let tick = |idp: &Idp| Arc::clone(&idp.transmitter.rotator);
        let workers: Vec<_> = [one, &two, &three, one, &two, &three].map(tick).into();
        let ticks = workers.into_iter().map(|worker| tokio::spawn(async move { worker.tick().await.unwrap() }));
        let mut steps = 0;
        for tick in ticks.collect::<Vec<_>>() {
            steps += tick.await.unwrap();
        }
        assert_eq!(steps, 1, "one step after {days} days more, by whoever was first");
        assert_eq!(one.count("select count(*) from signing_key").await, keys);
    }
    let said = audit::entries(&mut one.pool.acquire().await.unwrap(), one.transmitter.issuer.id, 0, 100).await.unwrap();
    let of_keys = said.iter().filter(|entry| entry.action.starts_with("key."));
    let said: Vec<(&str, &str)> = of_keys.map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect();
    let by_itself = |action: &'static str| ("service", action);
    let expected = [
        "key.made",
        "key.activated",
        "key.made",
        "key.retired",
        "key.activated",
        "key.removed",
        "key.made",
        "key.retired",
        "key.activated",
    ];
    assert_eq!(said, expected.map(by_itself));
}

#[tokio::test]
async fn a_rotation_that_is_broken_off_anywhere_leaves_the_keys_before_or_after_it() {
    let operator = Operator::start().await;
    operator.days(89).await;
    operator.idp.advance(Duration::from_hours(24));
    let [(old, "active"), (new, "next")] = &operator.states().await[..] else { panic!("one waits") };
    let (before, after) =
        (vec![(old.clone(), "active"), (new.clone(), "next")], vec![(old.clone(), "retired"), (new.clone(), "active")]);
    // its connection ends after the old key was retired and before anything is committed
    let dies = "create function dies() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;
                create trigger dies after insert on audit for each row when (new.action = 'key.activated') execute function dies()";
    operator.idp.execute(dies).await;
    operator.idp.transmitter.rotator.tick().await.unwrap_err();
    operator.idp.execute("drop trigger dies on audit").await;
    assert_eq!(operator.states().await, before);
    let mut breaks = 0;
    loop {
        // as if the process had ended at its so-manyth wait for the database
        let ended = {
            let mut tick = pin!(operator.idp.transmitter.rotator.tick());
            let mut left = breaks;
            std::future::poll_fn(|context| match tick.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done.unwrap())),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => {
                    left -= 1;
                    Poll::Pending
                }
            })
            .await
        };
        let states = operator.states().await;
        assert!(states == before || (states == after), "after {breaks} waits: {states:?}");
        if ended.is_some() {
            break;
        }
        breaks += 1;
    }
    assert!(breaks > 0, "it was broken off");
    operator.rotate().await;
    assert_eq!(operator.states().await, after);
    let (issuer, mut conn) = (operator.idp.transmitter.issuer.id, operator.idp.pool.acquire().await.unwrap());
    let entries = audit::entries(&mut conn, issuer, 0, 100).await.unwrap();
    assert_eq!(audit::verify(issuer, &[0; 32], 1, &entries), Ok(()));
    assert_eq!(
        entries.iter().filter(|entry| entry.action == "key.activated").count(),
        2,
        "the first one's and this one's"
    );
}

#[tokio::test]
async fn a_removed_key_leaves_nothing_but_its_public_half() {
    let operator = Operator::start().await;
    let (kid, sealed): (String, Vec<u8>) =
        sqlx::query_as("select kid, private_jwk_sealed from signing_key").fetch_one(&operator.idp.pool).await.unwrap();
    assert!(tables_with(&operator.idp, &sealed).await.contains(&"signing_key".to_owned()), "the search finds it");
    operator.days(98).await;
    assert!(!operator.published().await.contains(&kid));
    assert!(tables_with(&operator.idp, &sealed).await.is_empty());
    let all = operator.keys().list(true).await.unwrap();
    assert_eq!(
        (all[0].kid.as_str(), all[0].state, all[0].published_until),
        (kid.as_str(), "removed", Some(all[0].since))
    );
}

/// The tables in which these bytes stand.
async fn tables_with(idp: &Idp, bytes: &[u8]) -> Vec<String> {
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = current_schema")
            .fetch_all(&idp.pool)
            .await
            .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let query =
            format!("select exists (select 1 from {table} t where t::text like '%' || encode($1, 'hex') || '%')");
        let has: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(bytes).fetch_one(&idp.pool).await.unwrap();
        if has {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn issuers_rotate_each_for_itself() {
    let operator = Operator::start().await;
    let url = format!("{}/blue", operator.idp.issuer).as_str().into();
    let own = OwnDefaults { algorithm: Some(Algorithm::EdDsa), ..OwnDefaults::default() };
    let (pool, env) = (&operator.idp.pool, &operator.env);
    let blue = admin::add_issuer(pool, &url, &own, Algorithm::Es256, &operator.sealing, &operator.actor, env);
    let blue = blue.await.unwrap();
    let ours = operator.states().await;
    let theirs = operator.of(&blue).list(true).await.unwrap();
    assert_eq!((theirs.len(), theirs[0].algorithm, theirs[0].state), (1, Algorithm::EdDsa, "active"));
    let rotated = operator.of(&blue).rotate(None, true).await.unwrap();
    assert_eq!((rotated.len(), rotated[0].replaced.as_ref()), (1, Some(&theirs[0].kid)));
    assert_eq!(operator.states().await, ours);
    let foreign = operator.keys().retire(&theirs[0].kid, true).await.unwrap_err();
    assert!(matches!(foreign, KeysError::Unknown), "{foreign}");
    operator.rotate().await;
    let served = operator.idp.send(Method::GET, "/blue/jwks.json", &[], "").await;
    let served = served.body["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
    assert_eq!(served.collect::<BTreeSet<_>>(), [&theirs[0].kid, &rotated[0].kid].map(ToString::to_string).into());
    assert_eq!(operator.published().await, [ours[0].0.clone()]);
    // the same id at both is two keys
    let brought = jwk(Algorithm::Ps256, "same").to_string().into();
    operator.keys().import(&brought, None, false).await.unwrap();
    operator.of(&blue).import(&brought, None, false).await.unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_open_is_the_trouble_of_its_issuer_only() {
    let operator = Operator::start().await;
    let scene = operator.stream("rp").await;
    let url = format!("{}/blue", operator.idp.issuer).as_str().into();
    let (own, pool, env) = (OwnDefaults::default(), &operator.idp.pool, &operator.env);
    let blue = admin::add_issuer(pool, &url, &own, Algorithm::Es256, &operator.sealing, &operator.actor, env);
    let blue = blue.await.unwrap();
    sqlx::query("update signing_key set private_jwk_sealed = 'damaged' where issuer_id = $1")
        .bind(blue.id)
        .execute(pool)
        .await
        .unwrap();
    let refused = operator.idp.transmitter.tenants.refresh().await.unwrap_err();
    assert!(matches!(refused, KeyRingError::Seal(SealError::Foreign)), "{refused}");
    // what is changed elsewhere meanwhile is changed, and not said to have failed
    let (on_call, of_root) = (operator.idp.add_operator().await, format!("/admin/v1/issuers/{}", operator.idp.row.id));
    let changed = operator.idp.call(Method::PATCH, &of_root, &on_call.token, Some(&json!({"max_streams": 7}))).await;
    assert_eq!((changed.status, &changed.body["max_streams"]), (200, &json!(7)));
    operator.idp.advance(Duration::from_hours(1));
    assert_eq!(kid(&operator.next_set(&scene, "s").await), operator.states().await[0].0);
    assert!(operator.idp.transmitter.tenants.fresh(blue.id, |_| true).await.is_none(), "and it is not signed with");
}

#[tokio::test]
async fn whoever_has_another_sealing_key_than_the_service_cannot_add_a_key() {
    let operator = Operator::start().await;
    let sealing = SealingKey::parse(&"HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()).unwrap();
    let keys = IssuerKeys { sealing: &sealing, ..operator.keys() };
    for refused in [
        keys.rotate(None, true).await.unwrap_err(),
        keys.import(&jwk(Algorithm::Es256, "k").to_string().into(), None, true).await.unwrap_err(),
    ] {
        assert!(matches!(refused, KeysError::Keys(KeyRingError::Seal(SealError::Foreign))), "{refused}");
    }
    assert_eq!(operator.states().await.len(), 1);
}

#[tokio::test]
async fn an_imported_key_enters_as_next_keeps_its_id_and_signs_what_its_receivers_verify() {
    let operator = Operator::start().await;
    let scene = operator.stream("rp").await;
    let ec = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let sec1 = openssl::ec::EcKey::generate(&ec).unwrap().private_key_to_pem().unwrap();
    let forms = [String::from_utf8(sec1).unwrap(), jwk(Algorithm::Es256, "of 2019").to_string()];
    for form in forms {
        let mut receiver = Cached::new(&scene.rp, &operator.idp).await;
        let entered = operator.keys().import(&form.into(), None, false).await.unwrap();
        assert_eq!(entered.signs_from, entered.published_since.plus(Duration::from_hours(24)));
        operator.hours(23).await;
        let before = operator.next_set(&scene, "before").await;
        assert_ne!(kid(&before), entered.kid.as_str());
        assert!(receiver.verifies(&before, &operator.idp));
        let mut receiver = Cached::new(&scene.rp, &operator.idp).await;
        operator.hours(1).await;
        let after = operator.next_set(&scene, "after").await;
        assert_eq!(kid(&after), entered.kid.as_str());
        assert!(receiver.verifies(&after, &operator.idp));
    }
    assert!(operator.published().await.contains(&"of 2019".to_owned()));
    // one that receivers know already may sign at once
    let known = jwk(Algorithm::Es256, "known").to_string().into();
    let entered = operator.keys().import(&known, Some(Algorithm::Es256), true).await.unwrap();
    assert_eq!(entered.replaced.as_ref().map(KeyId::as_str), Some("of 2019"));
    operator.rotate().await;
    assert_eq!(kid(&operator.next_set(&scene, "now").await), "known");
}

#[tokio::test]
async fn a_key_brought_in_before_the_first_start_signs_from_the_beginning() {
    let operator = Operator::start().await;
    let url = format!("{}/blue", operator.idp.issuer).as_str().into();
    let blue = admin::ensure_issuer(&operator.idp.pool, &url, &Actor::Service, &operator.env).await.unwrap();
    let text = jwk(Algorithm::Es256, "ours").to_string().into();
    let entered = operator.of(&blue).import(&text, None, false).await.unwrap();
    assert_eq!(entered.signs_from, operator.env.now(), "nobody can have kept a key set of this issuer");
    operator.idp.twin().await;
    let listed = operator.of(&blue).list(false).await.unwrap();
    assert_eq!((listed.len(), listed[0].kid.as_str(), listed[0].state), (1, "ours", "active"));
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_with_its_reason_and_without_the_key() {
    let operator = Operator::start().await;
    let keys = operator.keys();
    let used = operator.states().await[0].0.clone();
    let text = jwk(Algorithm::Es256, &used);
    let taken = keys.import(&text.to_string().into(), None, false).await.unwrap_err();
    assert!(matches!(taken, KeysError::KidTaken), "{taken}");
    let broken = keys.import(&text.to_string().replace("\"d\":\"", "\"d\":\"*").into(), None, false).await.unwrap_err();
    assert!(matches!(broken, KeysError::Import(ImportError::Member("d"))), "{broken}");
    assert!(!format!("{broken} {broken:?}").contains(text["d"].as_str().unwrap()));
    keys.import(&jwk(Algorithm::Es256, "first").to_string().into(), None, false).await.unwrap();
    let second = keys.import(&jwk(Algorithm::Es256, "second").to_string().into(), None, false).await.unwrap_err();
    assert!(matches!(second, KeysError::NextIsThere(Algorithm::Es256)), "{second}");
    keys.retire(&"first".into(), false).await.unwrap();
    assert_eq!(operator.published().await, [used], "a next key that never signed is just gone");
    let again = keys.import(&jwk(Algorithm::Es256, "first").to_string().into(), None, false).await.unwrap_err();
    assert!(matches!(again, KeysError::KidRemoved), "{again}");
}

#[tokio::test]
async fn a_key_in_wrong_hands_is_replaced_at_once_and_taken_out_and_no_set_is_lost() {
    let operator = Operator::start().await;
    let (rp, producer, sink) =
        (operator.idp.add_receiver("rp").await, operator.idp.add_producer().await, Sink::start().await);
    operator.idp.push_stream(&rp, &sink.url, &["session-revoked"]).await;
    let receiver = Arc::new(std::sync::Mutex::new(Cached::new(&rp, &operator.idp).await));
    let [(old, "active")] = &operator.states().await[..] else { panic!("one key") };
    let refused = operator.keys().retire(&old.as_str().into(), true).await.unwrap_err();
    assert!(matches!(refused, KeysError::InUse(Algorithm::Es256)), "{refused}");
    let rotated = operator.keys().rotate(Some(Algorithm::Es256), true).await.unwrap();
    let [rotated] = &rotated[..] else { panic!("one algorithm") };
    assert_eq!((rotated.replaced.as_ref().unwrap().as_str(), rotated.was_there), (old.as_str(), false));
    assert_eq!(rotated.signs_from, rotated.published_since);
    let already = operator.keys().retire(&old.as_str().into(), false).await.unwrap_err();
    assert!(matches!(already, KeysError::RetiredAlready), "{already}");
    operator.keys().retire(&old.as_str().into(), true).await.unwrap();
    assert_eq!(operator.published().await, [rotated.kid.to_string()]);
    operator.rotate().await;
    // a receiver that keeps the key set does not know the new key, and says so
    let (knows, idp) = (Arc::clone(&receiver), operator.idp.twin().await);
    sink.script(move |request| {
        let verifies = knows.lock().unwrap().verifies(&request.set, &idp);
        if verifies { Answer::status(202) } else { Answer::refusal("invalid_key") }
    });
    operator.idp.revoke(&producer, "s").await;
    operator.idp.drain().await;
    assert_eq!(operator.idp.count("select count(*) from delivery").await, 1, "it is kept");
    *receiver.lock().unwrap() = Cached::new(&rp, &operator.idp).await;
    operator.idp.advance(Duration::from_secs(10));
    operator.idp.drain().await;
    let [first, second] = &sink.requests()[..] else { panic!("sent twice") };
    assert_eq!((first.jti(), kid(&first.set)), (second.jti(), rotated.kid.to_string()));
    assert_eq!(operator.idp.count("select count(*) from delivery_history where outcome = 'acknowledged'").await, 1);
}

#[tokio::test]
async fn without_the_database_the_key_set_is_served_for_a_minute_and_then_not_at_all() {
    let operator = Operator::start().await;
    operator.idp.pool.close().await;
    operator.idp.advance(Duration::from_mins(1));
    assert_eq!(operator.published().await.len(), 1);
    // longer ago, another process may have let another key sign: no answer is better than an old one
    operator.idp.advance(Duration::from_secs(1));
    let away = operator.idp.send(Method::GET, "/jwks.json", &[], "").await;
    assert_eq!((away.status, away.header("retry-after")), (503, "1"));
}

/// The program on the same database, with its configuration.
fn program(operator: &Operator, directory: &Path) -> Process {
    let config = format!(
        "issuer = {{ url = \"{}\", algorithm = \"ES256\" }}\ndatabase = {{ url = \"{}\", max_connections = 4 }}\n\
         keys.sealing_key = \"{SEALING_KEY}\"\n",
        operator.idp.issuer, operator.idp.database.url
    );
    Process::new("keys", binaries::transmitter(), directory, operator.idp.base.clone(), &config).unwrap()
}

#[tokio::test]
async fn an_operator_does_all_of_it_on_the_command_line() {
    let operator = Operator::start().await;
    let scene = operator.stream("rp").await;
    let directory = std::env::temp_dir().join(format!("ssf-test-{}-keys", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let program = program(&operator, &directory);
    let run = |line: &str| program.command(&line.split(' ').collect::<Vec<_>>()).unwrap();
    let fails = |line: &str| program.command(&line.split(' ').collect::<Vec<_>>()).unwrap_err().to_string();
    let of = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let [(old, _)] = &operator.states().await[..] else { panic!("one key") };

    let listed = run("keys list");
    assert!(listed.starts_with(old.as_str()) && listed.contains("ES256  active   since 2026-11-18T"), "{listed}");
    assert!(listed.contains("then retired at 2027-02-16T"), "{listed}");
    let listed = of(&run("keys list --json"));
    assert_eq!(
        (&listed["kid"], &listed["state"], &listed["next_state"]),
        (&json!(old), &json!("active"), &json!("retired"))
    );

    let ahead = run("keys rotate");
    assert!(ahead.contains("(ES256) is next: published since") && ahead.contains(", it signs from "), "{ahead}");
    assert!(run("keys rotate --algorithm ES256").contains("is next already"));
    let at_once = run("keys rotate --now");
    assert!(
        at_once.contains("SIGNS FROM NOW ON") && at_once.contains("WARNING: it was not published for 1d before"),
        "{at_once}"
    );
    assert!(at_once.contains(&format!("ssf-transmitter keys retire {old} --remove")), "{at_once}");
    assert!(run(&format!("keys retire {old} --remove")).contains("no longer published and its private half is erased"));
    assert!(run("keys list --all").starts_with(old.as_str()));
    let active = of(&run("keys list --json"))["kid"].as_str().unwrap().to_owned();
    assert!(fails(&format!("keys retire {active}")).contains("it is the active key of ES256, which is in use"));
    assert!(fails("keys retire nobody").contains("this issuer publishes no key of this id"));

    let file = directory.join("key.json");
    std::fs::write(&file, jwk(Algorithm::Rs256, "brought").to_string()).unwrap();
    let imported = of(&run(&format!("keys import {} --algorithm RS256 --json", file.display())));
    assert_eq!(
        (&imported["kid"], &imported["algorithm"], &imported["was_there"]),
        (&json!("brought"), &json!("RS256"), &json!(false))
    );
    assert!(run("keys retire brought").contains("no longer published"));
    // a thumbprint may begin like an option
    std::fs::write(&file, jwk(Algorithm::Rs256, "--dash").to_string()).unwrap();
    run(&format!("keys import {}", file.display()));
    assert!(run("keys retire --remove --dash").contains("--dash (RS256) is no longer published"));
    std::fs::write(&file, "nonsense").unwrap();
    assert!(
        fails(&format!("keys import {}", file.display())).contains("neither a private key in PEM nor a JSON Web Key")
    );
    assert!(fails("keys import /nowhere/key.pem").contains("/nowhere/key.pem cannot be read"));

    let stream = &scene.id;
    assert!(run(&format!("stream algorithm {stream} RS256")).contains("the stream is signed with RS256 from"));
    assert!(run("stream list").contains("ES256 (RS256 when its key signs)"));
    assert!(run(&format!("stream algorithm {stream} ES256")).contains("is signed with ES256 from now on"));
    assert!(fails("stream algorithm nothing RS256").contains("this issuer has no such stream"));
    run("client add peer --audience https://peer.example --algorithm EdDSA");
    assert!(run("client list").contains("signed with EdDSA"));
    assert!(fails("keys list --issuer https://other.example").contains("is not served here"));
    std::fs::remove_dir_all(&directory).unwrap();
}
