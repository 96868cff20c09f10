//! Upstreams that are made, changed and removed over HTTP while the service runs.

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::clock::Clock as _;
use ssf_harness::idp::{Idp, Party};
use ssf_transmitter::issuer::OwnDefaults;

use super::pair::{Pair, Rp, empty, revoked, upstream};

/// A receiver with nobody to listen to, and a transmitter.
async fn strangers() -> (Idp, Party, Rp) {
    let idp = Idp::start().await;
    let party = idp.add_receiver("rp").await;
    let rp = Rp::on(empty().await, &idp, &[]).await;
    (idp, party, rp)
}

fn said(name: &str, idp: &Idp, party: &Party, delivery: &str) -> Value {
    json!({
        "name": name, "issuer": idp.issuer, "delivery": delivery,
        "client_id": party.client_id, "client_secret": party.secret,
    })
}

async fn add(rp: &Rp, body: &Value) -> (u16, Value) {
    rp.call(Method::POST, "/admin/upstreams", Some(body)).await
}

async fn settle(rp: &Rp, idp: &Idp, name: &str) {
    for _ in 0..4 {
        rp.keep(name).await;
        idp.drain().await;
        rp.poll(name).await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_made_while_running_is_listened_to() {
    for delivery in ["push", "poll"] {
        let (idp, party, rp) = strangers().await;
        let door = || rp.call(Method::POST, "/ssf/push/blue", None);
        assert_eq!(door().await.0, 404);
        let (status, made) = add(&rp, &said("blue", &idp, &party, delivery)).await;
        assert_eq!((status, made["state"].as_str(), made["source"].as_str()), (201, Some("joining"), Some("managed")));
        assert_eq!(rp.look().await, 1);
        assert_eq!(rp.look().await, 0, "nothing has changed since");
        assert_eq!(door().await.0, if delivery == "push" { 415 } else { 404 });
        settle(&rp, &idp, "blue").await;
        let producer = idp.add_producer().await;
        idp.emit(&producer, &revoked("s-1")).await;
        settle(&rp, &idp, "blue").await;
        let received = "select count(*) from received_set where event_type = 'session-revoked'";
        assert_eq!(rp.number(received).await, 1, "{delivery}");
        let shown = rp.show("blue").await;
        assert_eq!(shown["state"], "verified", "{shown}");
        assert!(!shown["last_set_at"].is_null() && !shown["last_contact_at"].is_null(), "{shown}");
        assert_eq!(rp.history("blue").await, ["added", "created", "verified"]);
    }
}

#[tokio::test]
async fn its_secret_is_sealed_and_comes_out_nowhere() {
    let (idp, party, rp) = strangers().await;
    let (_, made) = add(&rp, &said("blue", &idp, &party, "poll")).await;
    let (_, listed) = rp.call(Method::GET, "/admin/upstreams", None).await;
    let (_, audit) = rp.call(Method::GET, "/admin/audit", None).await;
    for answer in [&made, &listed, &audit] {
        assert!(!answer.to_string().contains(&party.secret), "{answer}");
    }
    assert_eq!(made["settings"]["secrets"], "***");
    let dump = rp.texts("select m::text from managed_upstream m union all select a::text from audit a").await;
    assert_eq!(dump.len(), 2);
    assert!(dump.iter().all(|row| !row.contains(&party.secret)), "{dump:?}");
    let plain = "select count(*) from managed_upstream where position(convert_to($1, 'utf8') in sealed) > 0";
    let found: i64 = sqlx::query_scalar(plain).bind(&party.secret).fetch_one(&rp.pool).await.unwrap();
    assert_eq!((found, rp.number("select count(sealed) from managed_upstream").await), (0, 1));
    // A process with another root secret cannot open it, says so, and works on.
    sqlx::query(
        "update managed_upstream set sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1), version = version + 1",
    )
    .execute(&rp.pool)
    .await
    .unwrap();
    assert_eq!(rp.look().await, 0);
    let (status, refused) = rp.call(Method::PATCH, "/admin/upstreams/blue", Some(&json!({"scope": "x"}))).await;
    assert_eq!(status, 409);
    assert!(
        refused["error_description"].as_str().unwrap().contains("do not open with privacy.subject_key"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_change_is_taken_up_and_the_stream_follows() {
    let (idp, party, rp) = strangers().await;
    add(&rp, &said("blue", &idp, &party, "poll")).await;
    rp.look().await;
    settle(&rp, &idp, "blue").await;
    let change = json!({"delivery": "push", "events_requested": ["session-revoked"], "description": "blue"});
    let (status, changed) = rp.call(Method::PATCH, "/admin/upstreams/blue", Some(&change)).await;
    assert_eq!((status, changed["delivery"].as_str()), (200, Some("push")), "{changed}");
    assert_eq!(rp.look().await, 1);
    settle(&rp, &idp, "blue").await;
    assert!(rp.link("blue").poller.is_none());
    assert_eq!(idp.count("select count(*) from stream where delivery_method = 'push'").await, 1);
    let producer = idp.add_producer().await;
    idp.emit(&producer, &revoked("s-1")).await;
    idp.drain().await;
    assert_eq!(rp.number("select count(*) from received_set where method = 'push' and effect = 'revoke'").await, 1);
    let reverted = json!({"description": null});
    assert_eq!(rp.call(Method::PATCH, "/admin/upstreams/blue", Some(&reverted)).await.0, 200);
    assert!(rp.show("blue").await["settings"].get("description").is_none());
    let told = rp.texts("select action || ' ' || target from audit order by id").await;
    assert_eq!(told, ["upstream.add blue", "upstream.change blue", "upstream.change blue"]);
    let other = json!({"token_url": "http://127.0.0.1:9/token"});
    let (status, refused) = rp.call(Method::PATCH, "/admin/upstreams/blue", Some(&other)).await;
    assert_eq!(status, 400);
    assert!(
        refused["error_description"].as_str().unwrap().starts_with("token_url: the credential is not carried over")
    );
}

#[tokio::test]
async fn what_an_upstream_decided_stays_in_force_when_it_is_removed_and_the_time_until_it_is_back_is_a_gap() {
    let (idp, party, rp) = strangers().await;
    add(&rp, &said("blue", &idp, &party, "push")).await;
    rp.look().await;
    settle(&rp, &idp, "blue").await;
    let session = json!({
        "issuer": idp.issuer, "subject": {"format": "opaque", "id": "u"}, "session": "s-1", "origin": 1_794_999_000,
    });
    assert_eq!(rp.call(Method::PUT, "/v1/sessions/sid", Some(&session)).await.0, 201);
    let producer = idp.add_producer().await;
    idp.emit(&producer, &revoked("s-1")).await;
    settle(&rp, &idp, "blue").await;

    let (status, removed) = rp.call(Method::DELETE, "/admin/upstreams/blue", None).await;
    assert_eq!((status, removed["stream"]["is_deleted"].as_bool()), (200, Some(true)), "{removed}");
    assert_eq!(idp.count("select count(*) from stream").await, 0);
    assert_eq!(rp.look().await, 1);
    assert!(rp.receiver.upstream("blue").is_none());
    assert_eq!(rp.call(Method::POST, "/ssf/push/blue", None).await.0, 404);
    assert_eq!(rp.call(Method::GET, "/v1/sessions/sid", None).await.1["state"], "revoked");
    assert_eq!(rp.show("blue").await["state"], "removed");
    assert_eq!(rp.call(Method::GET, "/admin/upstreams", None).await.1, json!({"upstreams": []}));
    let (_, all) = rp.call(Method::GET, "/admin/upstreams?removed=true", None).await;
    assert_eq!(all["upstreams"][0]["name"], "blue");
    assert_eq!(rp.call(Method::DELETE, "/admin/upstreams/blue", None).await.0, 404);

    idp.advance(std::time::Duration::from_mins(10));
    assert_eq!(add(&rp, &said("blue", &idp, &party, "push")).await.0, 201);
    rp.look().await;
    settle(&rp, &idp, "blue").await;
    let shown = rp.show("blue").await;
    assert_eq!(
        (shown["state"].as_str(), shown["gaps"][0]["cause"].as_str()),
        (Some("verified"), Some("stream_released"))
    );
    assert_eq!(rp.number("select extract(epoch from until - since)::int8 from upstream_gap").await, 600);
    let told = rp.history("blue").await;
    assert_eq!(told, ["added", "created", "verified", "removed", "added", "created", "verified"]);
}

#[tokio::test]
async fn an_upstream_whose_transmitter_is_away_is_removed_all_the_same_and_that_is_said() {
    let (idp, party, rp) = strangers().await;
    add(&rp, &said("blue", &idp, &party, "poll")).await;
    rp.look().await;
    settle(&rp, &idp, "blue").await;
    idp.execute("delete from access_token; update client set secret_digest = decode(repeat('00', 32), 'hex')").await;
    let (status, removed) = rp.call(Method::DELETE, "/admin/upstreams/blue", None).await;
    assert_eq!((status, removed["stream"]["is_deleted"].as_bool()), (200, Some(false)), "{removed}");
    assert!(!removed["stream"]["reason"].as_str().unwrap().is_empty() && removed["stream"]["stream_id"].is_string());
    assert_eq!(rp.show("blue").await["state"], "removed");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_its_reason_and_changes_nothing() {
    let idp = Idp::start().await;
    let party = idp.add_receiver("rp").await;
    let file = [
        ("upstreams.idp.issuer", idp.issuer.as_str()),
        ("upstreams.idp.delivery", "poll"),
        ("upstreams.idp.token", "t"),
    ];
    let rp = Rp::on(empty().await, &idp, &file).await;
    assert_eq!(add(&rp, &said("blue", &idp, &party, "poll")).await.0, 201);
    let with = |member: &str, value: Value| {
        let mut body = said("red", &idp, &party, "poll");
        body[member] = value;
        body
    };
    let table = [
        (said("idp", &idp, &party, "poll"), 409, "upstreams.idp stands in the settings"),
        (said("blue", &idp, &party, "poll"), 409, "there is an upstream blue already"),
        (with("name", json!(7)), 400, "name: must be there, and a text"),
        (with("name", json!("a b")), 400, "upstreams.a b must be named by"),
        (with("issuer", json!("http://idp.example")), 400, "upstreams.red.issuer must be https"),
        (with("delivery", json!("pull")), 400, "unknown variant `pull`"),
        (with("isuer", json!("x")), 400, "unknown field `isuer`"),
        (with("name", json!("a\0")), 400, "upstreams.a\0 must be named by"),
        (with("description", json!("a\0")), 400, "description: must not contain NUL"),
        (with("authority", json!({"formats": ["emial"]})), 400, "upstreams.red.authority.formats holds a name"),
        (with("client_secret", json!(7)), 400, "client_secret: must be a text"),
        (with("token_file", json!("/etc/passwd")), 400, "token_file: files are named in the settings"),
    ];
    for (body, status, start) in table {
        let (answered, refused) = add(&rp, &body).await;
        let text = refused["error_description"].as_str().unwrap();
        assert!(answered == status && text.starts_with(start), "{answered} {text}");
    }
    let nul = rp.call(Method::PATCH, "/admin/upstreams/blue", Some(&json!({"description": "a\0"}))).await;
    assert_eq!((nul.0, nul.1["error_description"].as_str()), (400, Some("description: must not contain NUL")));
    for verb in [Method::PATCH, Method::DELETE] {
        let (status, refused) = rp.call(verb.clone(), "/admin/upstreams/idp", Some(&json!({"scope": "x"}))).await;
        assert_eq!((status, refused["error"].as_str()), (409, Some("conflict")), "{verb} {refused}");
        assert_eq!(rp.call(verb, "/admin/upstreams/nobody", Some(&json!({}))).await.0, 404);
    }
    assert_eq!(rp.call(Method::GET, "/admin/upstreams/nobody", None).await.0, 404);
    assert_eq!(rp.call(Method::GET, "/admin/upstreams/nobody/history", None).await.0, 404);
    assert_eq!(rp.call(Method::GET, "/admin/upstreams/blue/history?limit=0", None).await.0, 400);
    assert_eq!(rp.number("select count(*) from managed_upstream").await, 1);
    assert_eq!(rp.number("select count(*) from audit").await, 1, "what was refused was not done");
}

#[tokio::test]
async fn any_number_of_transmitters_is_listened_to_at_once_each_in_its_own_way() {
    let (idp, party, rp) = strangers().await;
    add(&rp, &said("root", &idp, &party, "push")).await;
    let mut others = Vec::new();
    for (place, delivery) in ["push", "poll", "push", "poll"].into_iter().enumerate() {
        let tenant = idp.tenant(&format!("/t/{place}"), &OwnDefaults::default()).await;
        let party = tenant.add_receiver("rp").await;
        let name = format!("tenant-{place}");
        assert_eq!(add(&rp, &said(&name, &tenant, &party, delivery)).await.0, 201);
        others.push((name, tenant));
    }
    assert_eq!(rp.look().await, 5);
    for (name, tenant) in &others {
        settle(&rp, tenant, name).await;
        let producer = tenant.add_producer().await;
        tenant.emit(&producer, &revoked("s-1")).await;
        settle(&rp, tenant, name).await;
        assert_eq!(rp.show(name).await["state"], "verified", "{name}");
    }
    let received = "select count(distinct upstream_id) from received_set where event_type = 'session-revoked'";
    assert_eq!(rp.number(received).await, 4);
    assert_eq!(rp.number("select count(distinct issuer_id) from cutoff").await, 4, "each speaks for its own issuer");
}

#[tokio::test]
async fn an_upstream_that_the_settings_name_no_more_is_waited_for_by_nobody_and_returns_with_its_name() {
    let pair = Pair::start("push").await;
    pair.settle().await;
    let pool = pair.rp.pool.clone();
    let under = async |name: &str| {
        let settings = upstream(name, &pair.idp, "push", &pair.party);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Rp::on(pool.clone(), &pair.idp, &settings).await
    };
    let session = json!({
        "issuer": pair.idp.issuer, "subject": {"format": "opaque", "id": "s-1"}, "origin": pair.idp.clock.now().unix_seconds(),
    });
    // while the one with the old settings lives, it is not for the other to say that they are old
    let renamed = under("blue").await;
    renamed.look().await;
    assert_eq!(renamed.show("idp").await["source"], Value::Null);
    assert!(pair.rp.texts("select name from upstream where removed_at is not null").await.is_empty());
    pair.rp.receiver.close().await;
    assert_eq!(renamed.look().await, 1);
    assert_eq!(renamed.show("idp").await["state"], "removed");
    assert_eq!(renamed.history("idp").await.last().map(String::as_str), Some("removed"));
    for _ in 0..3 {
        pair.later(60);
        renamed.keep("blue").await;
        pair.idp.drain().await;
        renamed.keep("blue").await;
    }
    assert_eq!(renamed.show("blue").await["state"], "verified", "its stream is the new name's");
    renamed.receiver.replica().follow_changes().await.unwrap();
    assert_eq!(renamed.call(Method::PUT, "/v1/sessions/s-1", Some(&session)).await.1["state"], "active");
    for _ in 0..6 {
        pair.later(60);
        renamed.keep("blue").await;
        pair.idp.drain().await;
        renamed.receiver.replica().follow_changes().await.unwrap();
    }
    let (_, answer) = renamed.call(Method::GET, "/v1/sessions/s-1", None).await;
    assert_eq!((&answer["state"], &answer["stale"]), (&json!("active"), &json!(false)), "{answer}");
    renamed.receiver.close().await;
    let again = under("idp").await;
    again.look().await;
    assert_eq!(again.show("idp").await["state"], "joining");
    assert_eq!(again.texts("select name from upstream where removed_at is not null").await, ["blue"]);
}

#[tokio::test]
async fn nobody_logs_in_with_an_issuer_whose_upstream_is_removed_and_strange_names_are_nobodys() {
    let (idp, party, rp) = strangers().await;
    add(&rp, &said("blue", &idp, &party, "poll")).await;
    rp.look().await;
    let session = json!({
        "issuer": idp.issuer, "subject": {"format": "opaque", "id": "s-1"}, "origin": idp.clock.now().unix_seconds(),
    });
    assert_eq!(rp.call(Method::PUT, "/v1/sessions/s-1", Some(&session)).await.0, 201);
    let open = json!({"issuer": idp.issuer, "for": "1h", "reason": "it is down"});
    assert_eq!(rp.call(Method::POST, "/admin/break-glass", Some(&open)).await.0, 200);
    rp.call(Method::DELETE, "/admin/upstreams/blue", None).await;
    rp.look().await;
    let (status, said) = rp.call(Method::PUT, "/v1/sessions/s-2", Some(&session)).await;
    assert_eq!(status, 400, "{said}");
    assert_eq!(rp.call(Method::POST, "/admin/break-glass", Some(&open)).await.0, 400);
    for (verb, path) in [
        (Method::GET, "/admin/upstreams/%00"),
        (Method::DELETE, "/admin/upstreams/%00"),
        (Method::GET, "/admin/upstreams/%00/history"),
        (Method::GET, "/admin/upstreams/%ff"),
    ] {
        let (status, said) = rp.call(verb, path, None).await;
        assert_eq!((status, &said["error"]), (404, &json!("not_found")), "{path}");
    }
    let change = json!({"level": "sl3"});
    assert_eq!(rp.call(Method::PATCH, "/admin/upstreams/%00", Some(&change)).await.0, 404);
    let nobody = json!({"issuer": "https://idp.example/\u{0}", "for": "1h", "reason": "none"});
    assert_eq!(rp.call(Method::POST, "/admin/break-glass", Some(&nobody)).await.0, 400);
    assert_eq!(rp.call(Method::DELETE, "/admin/break-glass", Some(&json!({"issuer": "\u{0}"}))).await.0, 404);
}
