//! How a receiver is let in: a signed assertion (RFC 7523) in place of a secret, at the transmitter that is our own.

use serde_json::json;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::random::{Random, SystemRandom};
use ssf_harness::idp::Idp;
use ssf_transmitter::admin::NewClient;
use ssf_transmitter::client::{Authentication, ClientKeys, PublicKeys};

use super::pair::{Rp, empty};

/// A file that goes with the story.
struct KeyFile(std::path::PathBuf);

impl KeyFile {
    fn holding(key: &SigningKey) -> Self {
        let random: &dyn Random = &SystemRandom;
        let file = Self(std::env::temp_dir().join(format!("ssf-key-{}-{}", std::process::id(), random.secret())));
        file.hold(key);
        file
    }

    fn hold(&self, key: &SigningKey) {
        std::fs::write(&self.0, secrecy::ExposeSecret::expose_secret(&key.to_private_jwk())).unwrap();
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn knows(keys: &[&SigningKey]) -> Authentication {
    let set = json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()});
    Authentication::Keys(ClientKeys::Here(PublicKeys::parse(set.to_string().as_bytes()).unwrap()))
}

#[tokio::test]
async fn a_receiver_signs_who_it_is_with_every_algorithm_for_the_endpoint_or_the_issuer() {
    let idp = Idp::start().await;
    for (place, algorithm) in Algorithm::ALL.into_iter().enumerate() {
        let key = SigningKey::generate(algorithm).unwrap();
        let name = format!("rp-{place}");
        let new = NewClient::receiver(&name, &format!("https://{name}.example"));
        idp.add_client(NewClient { authentication: knows(&[&key]), with_secret: false, ..new }).await;
        let file = KeyFile::holding(&key);
        let audience = if place % 2 == 0 { "token_endpoint" } else { "issuer" };
        let settings = [
            ("upstreams.idp.issuer", idp.issuer.as_str()),
            ("upstreams.idp.delivery", "poll"),
            ("upstreams.idp.client_id", &name),
            ("upstreams.idp.client_auth", "private_key_jwt"),
            ("upstreams.idp.client_key_file", file.0.to_str().unwrap()),
            ("upstreams.idp.assertion_audience", audience),
        ];
        let rp = Rp::on(empty().await, &idp, &settings).await;
        rp.keep("idp").await;
        assert_eq!(rp.number("select count(stream_id) from upstream").await, 1, "{algorithm} for the {audience}");
    }
    assert_eq!(
        idp.count("select count(*) from client_assertion").await,
        4,
        "one assertion each, and none of them twice"
    );
}

#[tokio::test]
async fn a_key_that_is_replaced_in_its_file_is_used_for_the_next_token() {
    let (old, new) = (SigningKey::generate(Algorithm::Es256).unwrap(), SigningKey::generate(Algorithm::EdDsa).unwrap());
    let idp = Idp::start().await;
    let client = NewClient::receiver("rp", "https://rp.example");
    idp.add_client(NewClient { authentication: knows(&[&old]), with_secret: false, ..client }).await;
    let file = KeyFile::holding(&old);
    let settings = [
        ("upstreams.idp.issuer", idp.issuer.as_str()),
        ("upstreams.idp.delivery", "poll"),
        ("upstreams.idp.client_id", "rp"),
        ("upstreams.idp.client_auth", "private_key_jwt"),
        ("upstreams.idp.client_key_file", file.0.to_str().unwrap()),
    ];
    let rp = Rp::on(empty().await, &idp, &settings).await;
    rp.keep("idp").await;
    let (tokens, keeper) = (&rp.link("idp").upstream.client, &rp.link("idp").keeper);
    let metadata = keeper.metadata().await.unwrap();
    // The transmitter forgets the old key; the token that was issued is good for half an hour yet.
    let set = json!({"keys": [new.public_jwk()]});
    sqlx::query("update client set jwks = $1").bind(&set).execute(&idp.pool).await.unwrap();
    file.hold(&new);
    assert_eq!(tokens.list(&metadata).await.unwrap().len(), 1);
    idp.advance(std::time::Duration::from_mins(31));
    assert_eq!(tokens.list(&metadata).await.unwrap().len(), 1, "with a token for which the new key signed");
    file.hold(&old);
    idp.advance(std::time::Duration::from_mins(31));
    let refused = tokens.list(&metadata).await.unwrap_err();
    let said = ssf_common::runtime::telemetry::chain(&refused);
    assert!(said.contains("invalid_client") && said.contains("check client_id and client_key"), "{said}");
}
