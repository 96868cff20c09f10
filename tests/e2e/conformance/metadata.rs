//! Transmitter metadata (SSF 1.0 §7, CAEP interop §2.3).

use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::claims;

use super::{Answer, Scene, text};

// SSF 1.0 §7.2.1, §7.2.2: GET between host and path of the issuer, 200, JSON, no authentication (MUST)
#[tokio::test]
async fn the_document_stands_between_host_and_path_for_everybody() {
    let root = Scene::start().await;
    for accept in ["application/json", "text/html", "*/*;q=0.1", "image/png"] {
        let url = format!("{}/.well-known/ssf-configuration", root.origin());
        let answer = root.send(Method::GET, &url, &[("accept", accept)], "").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{accept}");
        assert_eq!(answer.json()["issuer"], root.idp.issuer.as_str());
    }
    let issuer = format!("{}/tenant/one", root.origin());
    let below = Scene::start_with(&[("issuer.url", &issuer)]).await;
    let at = |path: &str| format!("{}{path}", below.origin());
    let found = below.send(Method::GET, &at("/.well-known/ssf-configuration/tenant/one"), &[], "").await;
    assert_eq!((found.status, text(&found.json(), "issuer")), (200, issuer.as_str()));
    for elsewhere in
        ["", "/tenant", "/tenant/one/two", "/x"].map(|path| format!("/.well-known/ssf-configuration{path}"))
    {
        let answer = below.send(Method::GET, &at(&elsewhere), &[], "").await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (404, Some("not_found")), "{elsewhere}");
    }
}

// SSF 1.0 §7.2: RISC clients look under their own name (MAY)
#[tokio::test]
async fn old_risc_clients_find_the_same_document_under_their_name() {
    let scene = Scene::start().await;
    let (new, old) = (scene.document("ssf-configuration").await, scene.document("risc-configuration").await);
    assert_eq!((old.status, old.header("content-type")), (200, "application/json"));
    assert_eq!(old.bytes, new.bytes);
}

// SSF 1.0 §7.1 `issuer`: an https URL without query and fragment, identical to what was asked for and to `iss` (MUST)
#[tokio::test]
async fn the_issuer_is_identical_to_what_was_asked_for_and_to_iss_in_sets() {
    let scene = Scene::start().await;
    let issuer = text(&scene.metadata, "issuer").to_owned();
    assert_eq!(issuer, scene.origin());
    assert!(!issuer.contains(['?', '#']) && !issuer.ends_with('/'));
    let stream = scene.create_poll(&[]).await;
    assert_eq!(stream["iss"], json!(issuer));
    scene.verify(text(&stream, "stream_id"), "s").await;
    let [(_, set)] = scene.polled(&stream, &json!({})).await.try_into().unwrap();
    assert_eq!(claims(&set)["iss"], json!(issuer));
}

// SSF 1.0 §7.1: every URL https (MUST); asked for by its host, as behind a proxy
#[tokio::test]
async fn every_url_of_an_issuer_on_https_is_https_and_below_it() {
    let idp = ssf_harness::idp::Idp::start_with(&[("issuer.url", "https://idp.example/tenant")]).await;
    let host = [("host", "idp.example")];
    let reply = idp.send(Method::GET, "/.well-known/ssf-configuration/tenant", &host, "").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let document = reply.body.as_object().unwrap();
    let urls: Vec<&str> = document
        .iter()
        .filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
        .map(|(_, url)| url.as_str().unwrap())
        .collect();
    assert!(urls.len() >= 4, "{urls:?}");
    for url in urls {
        let parsed: url::Url = url.parse().unwrap();
        assert!(url.starts_with("https://idp.example/tenant/"), "{url}");
        assert!(parsed.query().is_none() && parsed.fragment().is_none(), "{url}");
    }
    for insecure in ["http://idp.example", "https://idp.example?a=b", "https://idp.example/#f"] {
        assert!(ssf_transmitter::config::check_issuer_url(insecure).is_err(), "{insecure}");
    }
}

// CAEP interop §2.3.1 `spec_version` (MUST)
#[tokio::test]
async fn the_version_is_written_with_an_underscore() {
    assert_eq!(Scene::start().await.metadata["spec_version"], "1_0");
}

// CAEP interop §2.3.3 `jwks_uri` (MUST): public members only, for everybody
#[tokio::test]
async fn the_keys_are_public_and_for_everybody() {
    for algorithm in ["RS256", "ES256"] {
        let scene = Scene::start_with(&[("issuer.algorithm", algorithm)]).await;
        let served = scene.send(Method::GET, &scene.endpoint("jwks_uri"), &[], "").await;
        assert_eq!(served.status, 200, "{served}");
        assert!(served.header("content-type").starts_with("application/"), "{served}");
        let keys = served.json()["keys"].as_array().unwrap().clone();
        assert!(!keys.is_empty());
        for key in &keys {
            for member in ["kty", "kid", "alg"] {
                assert!(key[member].is_string(), "a key has no {member}: {key}");
            }
            assert_eq!(key["use"], "sig");
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(key.get(private).is_none(), "{private} is public");
            }
        }
        assert!(keys.iter().any(|key| key["alg"] == algorithm));
    }
}

// CAEP interop §2.3.2 `delivery_methods_supported` (MUST)
#[tokio::test]
async fn push_and_poll_are_offered_by_their_urns() {
    let metadata = Scene::start().await.metadata;
    assert_eq!(metadata["delivery_methods_supported"], json!(["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"]));
}

// CAEP interop §2.3.4–§2.3.6 `configuration_endpoint`, `status_endpoint`, `verification_endpoint` (MUST)
#[tokio::test]
async fn the_endpoints_that_interop_asks_for_are_there_and_answer() {
    let scene = Scene::start().await;
    for member in ["configuration_endpoint", "status_endpoint", "verification_endpoint"] {
        let url = scene.endpoint(member);
        assert!(url.starts_with(scene.origin()) && !url.contains(['?', '#']), "{member}: {url}");
        let bare = scene.send(Method::POST, &url, &[], "").await;
        assert!(matches!(bare.status, 401 | 405), "{member}: {bare}");
    }
    assert_eq!(scene.send(Method::POST, &scene.endpoint("verification_endpoint"), &[], "").await.status, 401);
}

// CAEP interop §2.3.7 `authorization_schemes` (MUST)
#[tokio::test]
async fn oauth_is_the_authorization_scheme() {
    let schemes = Scene::start().await.metadata["authorization_schemes"].clone();
    assert!(schemes.as_array().unwrap().contains(&json!({"spec_urn": "urn:ietf:rfc:6749"})), "{schemes}");
}

// SSF 1.0 §7.1 `default_subjects` (MAY): ALL, as interop receivers assume, unless it is set otherwise
#[tokio::test]
async fn default_subjects_are_all_unless_set_otherwise() {
    assert_eq!(Scene::start().await.metadata["default_subjects"], "ALL");
    let none = Scene::start_with(&[("streams.default_subjects", "NONE")]).await;
    assert_eq!(none.metadata["default_subjects"], "NONE");
}

// SSF 1.0 §7.1 `critical_subject_members` (MAY), §7.2.2: what would be empty is left out (MUST)
#[tokio::test]
async fn no_member_is_empty_and_none_is_null() {
    let metadata = Scene::start().await.metadata;
    for (member, value) in metadata.as_object().unwrap() {
        assert!(!value.is_null() && *value != json!([]) && *value != json!({}) && *value != json!(""), "{member}");
    }
    assert!(metadata.get("critical_subject_members").is_none(), "nothing is critical");
}

// Other methods of a document that is read only
#[tokio::test]
async fn the_document_cannot_be_written() {
    let scene = Scene::start().await;
    let url = format!("{}/.well-known/ssf-configuration", scene.origin());
    for verb in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer: Answer = scene.send(verb.clone(), &url, &[], "{}").await;
        let body: Value = answer.json();
        assert_eq!((answer.status, body["error"].as_str()), (405, Some("method_not_allowed")), "{verb}");
    }
}
