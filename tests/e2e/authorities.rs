//! Stories about servers whose certificates nobody outside knows: with `outgoing.ca_file` they are believed wherever the
//! transmitter asks others, for keys and about tokens; without it they are not.

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Json, Router};
use http::Method;
use serde_json::json;
use ssf_common::clock::{Clock as _, SystemClock};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::random::SystemRandom;
use ssf_common::runtime::http::Server;
use ssf_common::runtime::tls::{ClientCertificates, DevelopmentFiles, Tls, TlsFiles, development};
use ssf_common::runtime::{Env, Shutdown};
use ssf_harness::idp::Idp;
use ssf_transmitter::admin;
use ssf_transmitter::audit::Actor;
use ssf_transmitter::client::Authentication;
use tokio::net::TcpListener;

use crate::authorization::sign;
use crate::folder::Folder;

/// An authorization server behind a certificate of its own authority: its URL.
async fn outside(files: DevelopmentFiles, key: &SigningKey) -> String {
    let files = TlsFiles {
        certificate: files.certificate,
        key: files.key,
        client_ca: None,
        client_certificates: ClientCertificates::Off,
    };
    let tls = Tls::open(files, Arc::new(SystemClock)).unwrap();
    let keys = json!({"keys": [key.public_jwk()]});
    let good = json!({"active": true, "client_id": "asked", "scope": "ssf.read"});
    let router = Router::new()
        .route("/keys", get(async move || Json(keys)))
        .route("/introspect", post(async move || Json(good)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let server = Server { tls: Some(tls), ..Server::default() };
    tokio::spawn(async move { server.serve(listener, router, &Shutdown::default()).await.unwrap() });
    url
}

#[tokio::test]
async fn keys_and_answers_about_tokens_are_read_from_whom_an_authority_of_ones_own_names() {
    let folder = Folder::new();
    let files = development(&folder.0, "localhost", SystemClock.now(), &SystemRandom).unwrap();
    let ca_file = files.authority.to_str().unwrap().to_owned();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let url = outside(files, &key).await;
    let servers = format!(
        "[{{issuer={url:?}, jwks_uri=\"{url}/keys\"}},
          {{issuer=\"{url}/other\", introspection_endpoint=\"{url}/introspect\", client_id=\"idp\", client_secret=\"s\"}}]"
    );
    for (trusts, status) in [(true, 200), (false, 503)] {
        let mut settings = vec![("authorization.servers", servers.as_str())];
        settings.extend(trusts.then_some(("outgoing.ca_file", ca_file.as_str())));
        let idp = Idp::start_with(&settings).await;
        let env = Env { clock: idp.clock.clone(), ..Env::system() };
        for (name, by) in [("signed", url.clone()), ("asked", format!("{url}/other"))] {
            idp.add_receiver(name).await;
            let (by, name) = (Authentication::Outside(by), name.into());
            let bound = admin::set_authentication(&idp.pool, &idp.row, &name, &by, &Actor::Service, &env);
            bound.await.unwrap();
        }
        let now = idp.clock.now().unix_seconds();
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": key.key_id()});
        let claims = json!({"iss": url, "aud": idp.issuer, "sub": "signed", "client_id": "signed", "iat": now,
                            "exp": now + 300, "jti": "1", "scope": "ssf.read"});
        for token in [sign(&key, &header, &claims), "opaque-token".to_owned()] {
            let reply = idp.call(Method::GET, "/ssf/streams", &token, None).await;
            assert_eq!(reply.status, status, "{trusts} {}", reply.body);
        }
    }
}
