//! Stories about the management API (SSF 1.0 §7, §8.1): here what anybody may read, and what nobody may. `callers` is about
//! who may call, `streams` about a stream's life.

mod callers;
mod streams;

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use ssf_harness::idp::{Idp, Party, Reply, uris};
use ssf_harness::sink::Sink;

#[tokio::test]
async fn the_metadata_say_what_a_receiver_needs_and_nothing_that_is_not_there() {
    let idp = Idp::start().await;
    let reply = idp.send(Method::GET, "/.well-known/ssf-configuration", &[("accept", "text/html")], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let text = reply.body.to_string().replace(idp.issuer.as_str(), "ISSUER");
    let shown: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "spec_version": "1_0",
        "issuer": "ISSUER",
        "jwks_uri": "ISSUER/jwks.json",
        "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
        "configuration_endpoint": "ISSUER/ssf/streams",
        "status_endpoint": "ISSUER/ssf/status",
        "add_subject_endpoint": "ISSUER/ssf/subjects/add",
        "remove_subject_endpoint": "ISSUER/ssf/subjects/remove",
        "verification_endpoint": "ISSUER/ssf/verify",
        "enforcement_receipts_endpoint": "ISSUER/receipts",
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": "ALL",
    });
    assert_eq!(shown, expected);
    let old = idp.send(Method::GET, "/.well-known/risc-configuration", &[], "").await;
    assert_eq!(old.body, reply.body);
    let oauth = idp.send(Method::GET, "/.well-known/oauth-authorization-server", &[], "").await;
    assert_eq!(oauth.text("token_endpoint"), format!("{}/oauth2/token", idp.issuer));
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_metadata_between_host_and_path() {
    let at_root = Idp::start().await;
    let issuer = format!("{}/tenant/one", at_root.issuer);
    let idp = Idp::start_with(&[("issuer.url", &issuer)]).await;
    let reply = idp.send(Method::GET, "/.well-known/ssf-configuration/tenant/one", &[], "").await;
    assert_eq!((reply.status, reply.text("issuer")), (200, issuer.as_str()));
    let jwks_path = reply.text("jwks_uri").strip_prefix(at_root.issuer.as_str()).unwrap().to_owned();
    assert_eq!(jwks_path, "/tenant/one/jwks.json");
    assert_eq!(idp.send(Method::GET, &jwks_path, &[], "").await.status, 200);
    assert_eq!(at_root.send(Method::GET, "/.well-known/ssf-configuration/tenant/one", &[], "").await.status, 404);
}

#[tokio::test]
async fn the_key_set_is_public_and_holds_public_members_only() {
    for algorithm in ["RS256", "ES256", "PS256", "EdDSA"] {
        let idp = Idp::start_with(&[("issuer.algorithm", algorithm)]).await;
        let served = idp.send(Method::GET, "/jwks.json", &[], "").await;
        let [key] = served.body["keys"].as_array().unwrap().as_slice() else { panic!("{}", served.body) };
        assert_eq!((key["alg"].as_str(), key["use"].as_str()), (Some(algorithm), Some("sig")));
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{algorithm} shows {private}");
        }
    }
}

// SSF 1.0 §7.1, §3.6
#[tokio::test]
async fn critical_members_are_announced_if_there_are_any() {
    let idp = Idp::start_with(&[("issuer.critical_subject_members", "[\"tenant\", \"user\"]")]).await;
    let metadata = idp.send(Method::GET, "/.well-known/ssf-configuration", &[], "").await;
    assert_eq!(metadata.body["critical_subject_members"], json!(["tenant", "user"]));
    let idp = Idp::start().await;
    let metadata = idp.send(Method::GET, "/.well-known/ssf-configuration", &[], "").await;
    assert!(metadata.body.get("critical_subject_members").is_none());
}

#[tokio::test]
async fn no_secret_stands_in_the_database_as_it_is() {
    let idp = Idp::start_with(&[("issuer.algorithm", "RS256")]).await;
    let (rp, producer) = (idp.add_receiver("rp").await, idp.add_producer().await);
    let sink = Sink::start().await;
    let issued = token(&idp, &rp, "").await.text("access_token").to_owned();
    let delivery =
        json!({"method": "urn:ietf:rfc:8935", "endpoint_url": sink.url, "authorization_header": "Bearer push-secret"});
    idp.post("/ssf/streams", &rp, &json!({"delivery": delivery, "events_requested": uris(&["session-revoked"])})).await;
    idp.revoke(&producer, "one").await;
    idp.drain().await;
    assert_eq!(sink.requests()[0].header("authorization"), Some("Bearer push-secret"));
    let secrets = [&rp.secret, &rp.token, &producer.token, &issued, "push-secret", "\"d\"", "\"dp\""];
    let cells = every_cell(&idp).await;
    assert!(cells.iter().any(|(place, _)| place == "event.subject"), "the search looks at everything");
    for (place, bytes) in cells {
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {place}");
        }
    }
}

/// Every text, JSON and binary value of the schema, with its place.
async fn every_cell(idp: &Idp) -> Vec<(String, Vec<u8>)> {
    let columns = sqlx::query(
        "select table_name::text, column_name::text, data_type::text from information_schema.columns
          where table_schema = current_schema and data_type in ('text', 'character varying', 'jsonb', 'json', 'bytea', 'ARRAY')",
    );
    let mut cells = Vec::new();
    for column in columns.fetch_all(&idp.pool).await.unwrap() {
        let [table, name, kind]: [String; 3] = [0, 1, 2].map(|at| column.get(at));
        let bytes = if kind == "bytea" { name.clone() } else { format!("convert_to({name}::text, 'UTF8')") };
        let query = format!("select {bytes} from {table} where {name} is not null");
        let rows = sqlx::query_scalar::<_, Vec<u8>>(sqlx::AssertSqlSafe(query)).fetch_all(&idp.pool).await.unwrap();
        cells.extend(rows.into_iter().map(|value| (format!("{table}.{name}"), value)));
    }
    cells
}

/// Asks for a token with the secret in the header.
async fn token(idp: &Idp, party: &Party, scope: &str) -> Reply {
    let body = form(&[("grant_type", "client_credentials"), ("scope", scope)]);
    idp.send(Method::POST, "/oauth2/token", &[FORM, ("authorization", &basic(party))], body).await
}

fn basic(party: &Party) -> String {
    let encoded = |text: &str| form(&[("", text)]).split_off(1);
    let pair = format!("{}:{}", encoded(&party.client_id), encoded(&party.secret));
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
