//! The commands at our own transmitter: it keeps to the specifications, so every command ends well; and what it sends is
//! shown.

use serde_json::{Value, json};
use ssf_harness::idp::uris;
use ssf_transmitter::client::Authentication;

use super::{Bench, Desk};

// SSF 1.0 §8.1.1, §8.1.2.1, §8.1.4.2; RFC 8936 §2
#[tokio::test]
async fn a_stream_is_driven_by_hand_from_its_creation_to_its_end() {
    let bench = Bench::new().await;
    assert_eq!(bench.run(&["stream", "list"]).await.faultless(), json!([]));
    let created = bench
        .run(&["stream", "create", "--events", "session-revoked,credential-change", "--description", "by hand"])
        .await
        .faultless();
    let id = created["stream_id"].as_str().unwrap();
    assert_eq!(created["events_requested"], json!(uris(&["session-revoked", "credential-change"])));
    let of = ["--stream-id", id];
    assert_eq!(bench.run(&[&["stream", "read"], &of[..]].concat()).await.faultless(), created);
    assert_eq!(bench.run(&["stream", "list"]).await.faultless(), json!([created]));
    let updated =
        bench.run(&[&["stream", "update", "--events", "session-revoked"], &of[..]].concat()).await.faultless();
    assert_eq!(updated["description"], "by hand");
    let replaced =
        bench.run(&[&["stream", "replace", "--events", "session-revoked"], &of[..]].concat()).await.faultless();
    assert_eq!(replaced.get("description"), None);
    let status = bench.run(&[&["stream", "status", "get"], &of[..]].concat()).await.faultless();
    assert_eq!(status, json!({"stream_id": id, "status": "enabled"}));

    let asked = bench.run(&[&["verify", "--state", "here I am"], &of[..]].concat()).await;
    assert_eq!((asked.faultless(), asked.err.trim()), (Value::Null, "204 No Content"));
    bench.idp.fan_out().await;
    let polled = bench.run(&[&["poll", "--return-immediately"], &of[..]].concat()).await.faultless();
    let sets = polled["sets"].as_object().unwrap();
    let (jti, set) = sets.iter().next().unwrap();
    let claims = ssf_harness::idp::claims(set.as_str().unwrap());
    let event = &claims["events"]["https://schemas.openid.net/secevent/ssf/event-type/verification"];
    assert_eq!(event["state"], "here I am");
    let acknowledged = bench.run(&[&["poll", "--ack", jti, "--max-events", "0"], &of[..]].concat()).await.faultless();
    assert_eq!(acknowledged["sets"], json!({}));
    let endpoint = created["delivery"]["endpoint_url"].as_str().unwrap();
    let again = bench.run(&["poll", "--return-immediately", "--endpoint-url", endpoint]).await.faultless();
    assert_eq!(again["sets"], json!({}), "what was acknowledged does not come again");

    assert_eq!(bench.run(&[&["stream", "delete"], &of[..]].concat()).await.faultless(), Value::Null);
    let gone = bench.run(&[&["stream", "read"], &of[..]].concat()).await;
    assert_eq!((gone.code, gone.out.as_str()), (1, ""));
    assert!(gone.err.starts_with("error: reading the stream was answered with 404 Not Found: not_found: "), "{gone:?}");
}

// SSF 1.0 §8.1.2.1, §8.1.2.2
#[tokio::test]
async fn a_status_is_set_by_hand_and_read_back() {
    let bench = Bench::new().await;
    let stream = bench.idp.poll_stream(&bench.party, &["session-revoked"]).await;
    let of = ["--stream-id", stream.as_str()];
    let paused = bench.run(&[&["stream", "status", "set", "paused", "--reason", "night"], &of[..]].concat()).await;
    assert_eq!(paused.faultless(), json!({"stream_id": stream, "status": "paused", "reason": "night"}));
    assert_eq!(bench.run(&[&["stream", "status", "get"], &of[..]].concat()).await.faultless()["status"], "paused");
    for status in ["disabled", "enabled"] {
        let set = bench.run(&[&["stream", "status", "set", status], &of[..]].concat()).await;
        assert_eq!(set.faultless(), json!({"stream_id": stream, "status": status}));
    }
}

// SSF 1.0 §8.1.3.2, §8.1.3.3
#[tokio::test]
async fn subjects_are_added_and_removed_by_hand() {
    let bench = Bench::new().await;
    let stream = bench.idp.poll_stream(&bench.party, &["session-revoked"]).await;
    let of = ["--stream-id", stream.as_str()];
    let subject = json!({"format": "email", "email": "somebody@example.com"}).to_string();
    let added = bench.run(&[&["subject", "add", &subject], &of[..]].concat()).await;
    assert_eq!((added.faultless(), added.err.trim()), (Value::Null, "200 OK"));
    let removed = bench.run(&[&["subject", "remove", &subject], &of[..]].concat()).await;
    assert_eq!((removed.faultless(), removed.err.trim()), (Value::Null, "204 No Content"));
    let wrong = bench.run(&[&["subject", "add", r#"{"format":"email"}"#], &of[..]].concat()).await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("adding the subject was answered with 400 Bad Request: invalid_request: "), "{wrong:?}");
}

// SSF 1.0 §8.1.1.1: 409, and what the transmitter says, is not a breach but a no.
#[tokio::test]
async fn a_no_is_told_in_the_transmitters_own_words() {
    let bench = Bench::new().await;
    bench.run(&["stream", "create", "--events", "session-revoked"]).await.faultless();
    let second = bench.run(&["stream", "create", "--events", "session-revoked"]).await;
    assert_eq!(second.code, 1);
    assert!(second.err.contains("creating the stream was answered with 409 Conflict: "), "{second:?}");
    let wrong = bench.desk.secret("wrong", "not the secret");
    let issuer = bench.idp.issuer.as_str();
    let refused = ["stream", "list", "--issuer", issuer, "--client-id", "rp-1", "--client-secret-file", &wrong];
    let refused = bench.desk.run(&refused).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("the token endpoint answered 401 Unauthorized (invalid_client)"), "{refused:?}");
    assert!(!refused.err.contains("not the secret"), "{refused:?}");
}

#[tokio::test]
async fn a_trace_shows_every_exchange_and_no_credential() {
    let bench = Bench::new().await;
    let header = bench.desk.secret("header", "Bearer pushed-by-the-idp");
    let push =
        ["--delivery", "push", "--endpoint-url", "http://127.0.0.1:9/push", "--authorization-header-file", &header];
    let made = bench.run(&[&["stream", "create", "--events", "session-revoked", "--trace"], &push[..]].concat()).await;
    assert_eq!(made.code, 0, "{made:?}");
    let requests: Vec<&str> =
        made.err.lines().filter(|line| line.starts_with("> GET") || line.starts_with("> POST")).collect();
    let at = bench.idp.issuer.as_str();
    assert_eq!(
        requests,
        [
            format!("> GET {at}/.well-known/ssf-configuration"),
            format!("> GET {at}/.well-known/oauth-authorization-server"),
            format!("> POST {at}/oauth2/token"),
            format!("> POST {at}/ssf/streams")
        ]
    );
    for shown in [
        "> authorization: Basic ***",
        "> grant_type=client_credentials&scope=ssf.read ssf.manage",
        "\"access_token\":\"***\"",
        "> authorization: Bearer ***",
        "\"authorization_header\":\"***\"",
        "< 201 Created",
        "< cache-control: no-store",
    ] {
        assert!(made.err.contains(shown), "{shown}: {}", made.err);
    }
    let said = format!("{}{}", made.out, made.err);
    for secret in [bench.party.secret.as_str(), "pushed-by-the-idp"] {
        assert!(!said.contains(secret), "{said}");
    }
    let id = made.json()["stream_id"].as_str().unwrap().to_owned();
    let static_token = ["stream", "read", "--stream-id", &id, "--issuer", at, "--token", &bench.party.token, "--trace"];
    let read = bench.desk.run(&static_token).await;
    assert_eq!(read.code, 0, "{read:?}");
    assert!(!format!("{}{}", read.out, read.err).contains(&bench.party.token), "{read:?}");
    assert!(!read.err.contains("> POST"), "a token that is there is not asked for");
}

// RFC 6749 §2.3.1
#[tokio::test]
async fn a_secret_may_be_shown_in_the_form_and_is_masked_there() {
    let bench = Bench::with(Authentication::SecretPost).await;
    let listed = bench.run(&["stream", "list", "--client-auth", "post", "--trace"]).await;
    assert_eq!((listed.code, listed.json()), (0, json!([])), "{listed:?}");
    assert!(listed.err.contains("&client_id=rp-1&client_secret=***"), "{listed:?}");
    assert!(!listed.err.contains(&bench.party.secret) && !listed.err.contains("Basic"), "{listed:?}");
}

#[tokio::test]
async fn an_upstream_of_the_settings_is_driven_without_its_database() {
    let bench = Bench::with(Authentication::SecretPost).await;
    let secret = bench.desk.secret("client.secret", &bench.party.secret);
    let settings = format!(
        "[database]\nurl = \"postgres://nobody@127.0.0.1:1/nowhere\"\n[privacy]\nsubject_key = \"{}\"\n\
         [upstreams.idp]\nissuer = \"{}\"\ndelivery = \"poll\"\nclient_id = \"rp-1\"\nclient_secret_file = \"{secret}\"\n\
         client_auth = \"client_secret_post\"\n",
        ssf_harness::idp::SEALING_KEY,
        bench.idp.issuer,
    );
    std::fs::write(bench.desk.path().join("ssf-receiver.toml"), settings).unwrap();
    let listed = bench.desk.run(&["stream", "list", "--upstream", "idp"]).await;
    assert_eq!(listed.faultless(), json!([]));
    let unknown = bench.desk.run(&["stream", "list", "--upstream", "ipd"]).await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("upstreams.ipd is not in the settings"), "{unknown:?}");
    assert!(!bench.desk.path().join("data").exists(), "nothing is made");
}

#[tokio::test]
async fn what_cannot_be_meant_ends_with_2_before_anything_is_asked() {
    let desk = Desk::new();
    let at = ["--issuer", "http://127.0.0.1:1", "--token", "t0ken-0"];
    let with = |arguments: &[&'static str]| [arguments, &at[..]].concat();
    let meant: [(Vec<&str>, &str); 11] = [
        (vec!["stream", "list"], "--issuer <URL>"),
        (vec!["stream", "list", "--issuer", "https://idp.example"], "a credential is needed: --client-id"),
        (vec!["stream", "list", "--issuer", "http://idp.example", "--token", "t0ken-0"], "issuer must be https"),
        (
            vec!["stream", "list", "--issuer", "https://a.example", "--client-id", "a"],
            "client_secret is required with client_id",
        ),
        (with(&["stream", "list", "--upstream", "idp"]), "cannot be used with"),
        (
            with(&["stream", "create", "--events", "session-revocked"]),
            "--events: session-revocked is not an event type",
        ),
        (with(&["stream", "create", "--delivery", "push"]), "--delivery push needs an --endpoint-url"),
        (with(&["subject", "add", "--stream-id", "s", "alice"]), "SUBJECT is not JSON, at line 1 column 1"),
        (
            with(&["stream", "status", "set", "asleep", "--stream-id", "s"]),
            "possible values: enabled, paused, disabled",
        ),
        (with(&["tail", "--listen", "127.0.0.1:99999"]), "--listen"),
        (
            with(&["verify", "--stream-id", "s", "--set", "poll.intervall=1s"]),
            "poll.intervall (on the command line) is not a setting",
        ),
    ];
    for (arguments, text) in meant {
        let said = desk.run(&arguments).await;
        assert!(said.code == 2 && said.err.contains(text), "{arguments:?}: {said:?}");
        assert!(!said.err.contains("t0ken-0"), "{said:?}");
    }
    let help = desk.run(&["poll", "--help"]).await;
    assert!(help.out.contains("3  the answer breaks a specification"), "{help:?}");
}
