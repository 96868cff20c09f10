//! Who is let in at `/admin`.

use ssf_harness::idp::Idp;

use super::pair::{Rp, empty};

async fn asked(settings: &[(&str, &str)], token: Option<&str>) -> (u16, String) {
    let idp = Idp::start().await;
    let rp = Rp::on(empty().await, &idp, settings).await;
    let request = rp.http.get(format!("{}/admin/upstreams", rp.base));
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.unwrap();
    (status, body["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_operators_token_opens_the_administration_and_the_applications_does_not() {
    let both = [("admin.token", "of-the-operator"), ("api.token", "of-the-application")];
    assert_eq!(asked(&both, Some("of-the-operator")).await, (200, String::new()));
    for wrong in [Some("of-the-application"), Some("of-the-operato"), Some(""), None] {
        assert_eq!(asked(&both, wrong).await, (401, "invalid_token".to_owned()), "{wrong:?}");
    }
    assert_eq!(asked(&both[..1], None).await, (401, "invalid_token".to_owned()));
    assert_eq!(asked(&both[..1], Some("of-the-operator")).await.0, 200);
}

#[tokio::test]
async fn without_a_token_of_its_own_it_is_closed_where_the_application_has_one_and_open_where_nobody_has() {
    for token in [Some("of-the-application"), None] {
        let closed = asked(&[("api.token", "of-the-application")], token).await;
        assert_eq!(closed, (403, "access_denied".to_owned()), "{token:?}");
    }
    assert_eq!(asked(&[], None).await, (200, String::new()), "only loopback is allowed then");
}
