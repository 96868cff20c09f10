//! `/docs`: a page to read and try every endpoint. It is whole in itself: nothing is loaded from anywhere but the
//! document beside it, and the policy it is served with lets nothing else run.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use sha2::{Digest as _, Sha256};

/// A page to read and try every endpoint
#[utoipa::path(get, path = "/docs", tag = "metadata", operation_id = "docs",
    responses((status = 200, description = "HTML", content_type = "text/html", body = String)))]
pub(super) async fn page() -> Response {
    let headers = [
        (CACHE_CONTROL, "max-age=300"),
        (CONTENT_SECURITY_POLICY, PAGE.policy.as_str()),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(PAGE.html.as_str())).into_response()
}

struct Page {
    html: String,
    policy: String,
}

/// Style and script stand inside the page, named in its policy by their digests.
static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
    html: include_str!("docs/page.html").replace("/*style*/", STYLE).replace("/*script*/", SCRIPT),
    policy: format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    ),
});

fn digest(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

const STYLE: &str = include_str!("docs/page.css");
const SCRIPT: &str = include_str!("docs/page.js");
