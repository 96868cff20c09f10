//! Stories about `ssf-transmitter client` and its like: what an operator does to credentials and issuers on the command line
//! is in force at once.

use std::process::{Command, Output};

use http::Method;
use serde_json::{Value, json};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_harness::binaries;
use ssf_harness::idp::{Idp, Party, SEALING_KEY};

/// `ssf-transmitter client …` beside this transmitter.
fn run(idp: &Idp, settings: &[&str], arguments: &[&str]) -> Output {
    command(idp, settings, &[&["client"], arguments].concat())
}

/// `ssf-transmitter …` beside this transmitter.
fn command(idp: &Idp, settings: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::transmitter());
    command.current_dir(std::env::temp_dir()).args(["--set", &format!("issuer.url={}", idp.issuer)]);
    command.args([
        "--set",
        &format!("database.url={}", idp.database.url),
        "--set",
        &format!("keys.sealing_key={SEALING_KEY}"),
    ]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.args(arguments).output().unwrap()
}

/// Its answer as JSON.
fn done(idp: &Idp, settings: &[&str], arguments: &[&str]) -> Value {
    let output = run(idp, settings, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Its one sentence.
fn refused(idp: &Idp, arguments: &[&str]) -> String {
    let output = run(idp, &[], arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn reads(idp: &Idp, token: &Value) -> u16 {
    idp.call(Method::GET, "/ssf/streams", token.as_str().unwrap(), None).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_given_changed_and_taken_away_on_the_command_line() {
    let idp = Idp::start().await;
    let added = done(&idp, &[], &["add", "rp", "--audience", "https://rp.example", "--token", "--json"]);
    assert_eq!(reads(&idp, &added["token"]).await, 200);
    let second = done(&idp, &[], &["token", "add", "rp", "--label", "blue", "--scope", "ssf.read", "--json"]);
    assert_eq!(reads(&idp, &second["token"]).await, 200);
    let listed = String::from_utf8(run(&idp, &[], &["token", "list", "rp", "--json"]).stdout).unwrap();
    assert_eq!(listed.lines().count(), 2);
    assert!(!listed.contains(second["token"].as_str().unwrap()), "no token is ever shown again");
    done(&idp, &[], &["token", "revoke", "rp", "blue"]);
    assert_eq!((reads(&idp, &second["token"]).await, reads(&idp, &added["token"]).await), (401, 200));

    let other = done(&idp, &[], &["add", "other", "--audience", "o", "--auth-method", "client_secret_post", "--json"]);
    let rotated = done(&idp, &[], &["rotate-secret", "other", "--overlap", "24h", "--json"]);
    for secret in [&other["client_secret"], &rotated["client_secret"]] {
        let pairs =
            [("grant_type", "client_credentials"), ("client_id", "other"), ("client_secret", secret.as_str().unwrap())];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(idp.send(Method::POST, "/oauth2/token", &headers, form).await.status, 200);
    }

    let operator = done(&idp, &[], &["add", "op", "--operator", "--json"]);
    assert_eq!((operator["scopes"].as_str(), reads(&idp, &operator["token"]).await), (Some("ssf.admin"), 403));
    let actors = idp.count("select count(*) from audit where actor like 'cli:%' and action like 'client.%'").await;
    assert_eq!(actors, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_registered_from_a_file_or_by_their_address_and_a_mistake_is_one_sentence() {
    let idp = Idp::start().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let file = std::env::temp_dir().join(format!("ssf-test-{}-keys.json", std::process::id()));
    let (path, write) = (file.to_str().unwrap(), |keys: Value| std::fs::write(&file, keys.to_string()).unwrap());
    write(json!({"keys": [key.public_jwk()]}));
    done(&idp, &[], &["add", "keys", "--audience", "k", "--auth-method", "private_key_jwt", "--jwks", path, "--json"]);
    done(&idp, &[], &["add", "uri", "--audience", "u", "--jwks-uri", "https://rp.example/jwks.json", "--json"]);
    let changed = done(&idp, &[], &["set-method", "uri", "--auth-method", "client_secret_basic", "--json"]);
    assert!(changed["client_secret"].is_string());
    write(serde_json::from_str(secrecy::ExposeSecret::expose_secret(&key.to_private_jwk())).unwrap());
    let mistakes = [
        (&["add", "x", "--audience", "x", "--jwks", path][..], "not a JWK set"),
        (&["add", "x", "--audience", "x", "--auth-method", "private_key_jwt"], "--jwks FILE or --jwks-uri URL"),
        (&["add", "x", "--audience", "x", "--jwks-uri", "http://rp.example/"], "must be an https URL"),
        (&["add", "x", "--audience", "x", "--auth-method", "none"], "tokens.allow_public_clients"),
        (&["rotate-secret", "keys"], "by private_key_jwt, not by a secret"),
        (&["rotate-secret", "nobody"], "no client named nobody"),
        (&["token", "revoke", "keys", "nothing"], "no such static token"),
    ];
    for (arguments, says) in mistakes {
        let said = refused(&idp, arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    done(
        &idp,
        &["tokens.allow_public_clients=true"],
        &["add", "x", "--audience", "x", "--auth-method", "none", "--json"],
    );
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_with_a_secret_needs_no_static_token() {
    let idp = Idp::start().await;
    let added = done(&idp, &[], &["add", "idp", "--producer", "--auth-method", "client_secret_basic", "--json"]);
    assert!(added["client_secret"].is_string() && added["token"].is_null());
    let party = Party {
        client_id: "idp".to_owned(),
        audience: String::new(),
        secret: String::new(),
        token: added["client_secret"].as_str().unwrap().to_owned(),
    };
    assert_eq!(idp.get("/latency", &party).await.status, 401, "a secret is no token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_read_and_verified_on_the_command_line() {
    let idp = Idp::start().await;
    for name in ["a", "b"] {
        done(&idp, &[], &["add", name, "--producer", "--json"]);
    }
    let listed = command(&idp, &[], &["audit", "list", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let entries: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let added: Vec<&Value> = entries.iter().filter(|entry| entry["action"] == "client.added").collect();
    assert_eq!((added.len(), &added[0]["target"], &added[1]["target"]), (2, &json!("a"), &json!("b")));
    let actor = added[0]["actor"].as_str().unwrap();
    assert!(actor.starts_with("cli:") && actor.contains("uid "), "whoever it was by number: {actor}");
    let last = command(&idp, &[], &["audit", "list", "--after", &(entries.len() - 1).to_string()]);
    assert_eq!(String::from_utf8(last.stdout).unwrap().lines().count(), 1);
    let whole = command(&idp, &[], &["audit", "verify"]);
    assert!(whole.status.success() && String::from_utf8_lossy(&whole.stdout).starts_with("intact: "));
    idp.execute("alter table audit disable trigger all").await;
    idp.execute("update audit set action = 'client.removed' where target = 'b'").await;
    let broken = command(&idp, &[], &["audit", "verify"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("BROKEN at entry"));
}

/// What it printed, line by line, as JSON.
fn printed(idp: &Idp, arguments: &[&str]) -> Vec<Value> {
    let output = command(idp, &[], arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_is_added_changed_listed_and_removed_on_the_command_line_beside_a_running_service() {
    let idp = Idp::start().await;
    let url = format!("{}/tenants/blue", idp.issuer);
    let document = "/.well-known/ssf-configuration/tenants/blue";
    let metadata = async || {
        idp.transmitter.tenants.refresh().await.unwrap();
        idp.send(Method::GET, document, &[], "").await
    };
    assert_eq!(metadata().await.status, 404);
    let said = printed(
        &idp,
        &["issuer", "add", &url, "--algorithm", "EdDSA", "--default-subjects", "none", "--max-streams", "2"],
    );
    assert!(said[0].as_str().unwrap().contains(&format!("--issuer {url}")), "{said:?}");
    let served = metadata().await;
    assert_eq!((served.status, served.text("issuer"), served.text("default_subjects")), (200, url.as_str(), "NONE"));
    let keys = idp.send(Method::GET, "/tenants/blue/jwks.json", &[], "").await.body;
    assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][1]), (&json!("EdDSA"), &Value::Null));

    let added = ["--issuer", &url, "client", "add", "rp", "--audience", "rp", "--token", "--json"];
    let token = printed(&idp, &added)[0]["token"].as_str().unwrap().to_owned();
    let create = async || idp.call(Method::POST, "/tenants/blue/ssf/streams", &token, Some(&json!({}))).await;
    assert_eq!(create().await.body["min_verification_interval"], json!(10), "as the service is configured");
    printed(&idp, &["issuer", "set", &url, "--min-verification-interval", "77"]);
    idp.transmitter.tenants.refresh().await.unwrap();
    let created = create().await;
    assert_eq!((created.status, &created.body["min_verification_interval"]), (201, &json!(77)));
    let listed = printed(&idp, &["issuer", "list", "--json"]);
    assert_eq!(listed.len(), 2);
    let of = |url: &str| listed.iter().find(|issuer| issuer["url"] == url).unwrap();
    assert_eq!((&of(idp.issuer.as_str())["primary"], &of(&url)["primary"]), (&json!(true), &json!(false)));
    let own = ["algorithm", "default_subjects", "max_streams", "min_verification_interval"].map(|name| &of(&url)[name]);
    assert_eq!(own, [&json!("EdDSA"), &json!("NONE"), &json!(2), &json!(77)], "what is not given stays");

    printed(&idp, &["issuer", "remove", &url]);
    assert_eq!(metadata().await.status, 404);
    assert_eq!(create().await.status, 404);
    assert_eq!(printed(&idp, &["issuer", "list"]), [json!(format!("{}  (issuer.url)", idp.issuer))]);
    assert_eq!(idp.count("select count(*) from stream where status <> 'disabled'").await, 0);
    for (url, says) in [(url.as_str(), "is not served here"), (idp.issuer.as_str(), "is always served")] {
        let output = command(&idp, &[], &["issuer", "remove", url]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
    }
    let written = sqlx::query_as::<_, (String, bool)>(
        "select action, actor like 'cli:%' from audit where action like 'issuer.%' and details::jsonb ->> 'url' is distinct from $1
          order by issuer_id, seq",
    );
    let written = written.bind(idp.issuer.as_str()).fetch_all(&idp.pool).await.unwrap();
    let by_hand = |action: &str| (action.to_owned(), true);
    assert_eq!(written, ["issuer.added", "issuer.updated", "issuer.removed"].map(by_hand));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_can_do_nothing_fails_and_says_why() {
    let idp = Idp::start().await;
    let unknown = "018f0000-0000-7000-8000-000000000000";
    for (arguments, says) in [
        (&["--issuer", "https://idp.example", "config"][..], "--issuer is for commands about one issuer"),
        (&["--issuer", "https://idp.example", "stream", "list"], "is not served here"),
        (&["dead-letter", "replay", unknown], "0 sent again; 1 were left"),
        (&["dead-letter", "discard", unknown, "--reason", "x"], "0 discarded; 1 were left"),
        (&["issuer", "add", idp.issuer.as_str()], "the issuer is served already"),
        (&["issuer", "set", "https://nobody.example", "--max-streams", "3"], "is not served here"),
        (
            &["client", "set-method", "x", "--authorization-server", "https://as.example"],
            "none of authorization.servers",
        ),
    ] {
        let output = command(&idp, &[], arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(says), "{arguments:?}: {said}");
    }
    let changed = command(&idp, &[], &["issuer", "set", idp.issuer.as_str(), "--max-streams", "3"]);
    assert!(changed.status.success());
    assert_eq!(idp.count("select max_streams::bigint from issuer").await, 3);
    let nowhere = std::env::temp_dir().join(format!("ssf-test-{}-nowhere", std::process::id()));
    std::fs::create_dir_all(&nowhere).unwrap();
    let mut elsewhere = Command::new(binaries::transmitter());
    let output = elsewhere.current_dir(&nowhere).args(["stream", "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no transmitter under"));
    assert!(!nowhere.join("data").exists(), "and nothing was begun there");
    std::fs::remove_dir_all(&nowhere).unwrap();
}
