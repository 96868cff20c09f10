//! What the settings refuse.

use ssf_common::runtime::config::Layers;

use super::*;

fn load(overrides: &[(&str, &str)]) -> Result<Settings, String> {
    let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("transmitter", DEFAULTS) };
    Settings::load(&layers).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_stand_on_their_own() {
    let settings = load(&[]).unwrap();
    assert!(settings.is_embedded() && settings.is_development());
}

#[test]
fn keys_may_follow_each_other_as_fast_as_caches_allow_or_never_by_themselves() {
    let fast = [
        ("keys.rotate_every", "1h6m"),
        ("keys.publish_ahead", "1h6m"),
        ("keys.publish_after", "2h"),
        ("delivery.retention", "1h"),
    ];
    load(&fast).unwrap();
    load(&[("keys.rotate_every", "0s")]).unwrap();
    assert_eq!(SHORTEST_AHEAD, std::time::Duration::from_mins(66), "as the text says");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_its_key() {
    let refused = [
        (&[("issuer.url", "http://idp.example")][..], "issuer.url must be https"),
        (&[("issuer.url", "https://idp.example/?x")], "issuer.url must have no query"),
        (&[("issuer.url", "https://ops@idp.example")], "issuer.url must have no user name"),
        (&[("issuer.url", "https://idp.example/a/../b")], "issuer.url must be in its normal form"),
        (&[("issuer.url", "https://idp.example:443/a")], "issuer.url must be in its normal form"),
        (&[("issuer.url", "https://IdP.example")], "issuer.url must be in its normal form"),
        (&[("streams.max_streams", "10001")], "streams.max_streams must be"),
        (&[("issuer.critical_subject_members", "[\"format\"]")], "issuer.critical_subject_members must be"),
        (&[("streams.max_subjects", "2000000000")], "streams.max_subjects must be"),
        (&[("streams.removal_grace", "400d")], "streams.removal_grace must be"),
        (&[("backlog.share", "1.0")], "backlog.share must be"),
        (&[("backlog.keep", "1h")], "backlog.keep must be"),
        (&[("backlog.webhook_url", "https://ops.example")], "backlog.webhook_secret is required"),
        (&[("backlog.webhook_secret", "abc")], "backlog.webhook_secret has no use"),
        (
            &[("backlog.webhook_url", "http://ops.example"), ("backlog.webhook_secret", "abc")],
            "backlog.webhook_url must be an https URL",
        ),
        (&[("windows.sl3.bearer", "5m")], "windows.sl3.bearer must be shorter than bound"),
        (&[("push.lease", "4s")], "push.lease must be longer than push.timeout"),
        (&[("streams.verify_every", "9s")], "streams.verify_every must be 0s"),
        (&[("tls.certificate_file", "a.pem")], "tls.key_file and tls.certificate_file must be set together"),
        (
            &[("tls.certificate_file", "a.pem"), ("tls.key_file", "a.key")],
            "issuer.url must be https where TLS is served",
        ),
        (&[("tls.development", "true"), ("issuer.url", "http://127.0.0.1:9000")], "issuer.url must be https where TLS"),
        (&[("tls.client_certificates", "required")], "tls.client_certificates needs TLS"),
        (&[("tls.development", "true"), ("tls.client_certificates", "optional")], "tls.client_ca_file is required"),
        (&[("proxy.trusted", "[proxy.internal]")], "proxy.trusted holds something"),
        (&[("push.allow", "[\"https://rp.example/\"]")], "push.allow holds something"),
        (&[("push.max_per_host", "0")], "push.max_per_host must be"),
        (&[("server.max_bytes_in_flight", "1000000")], "server.max_bytes_in_flight must be"),
        (&[("server.max_header_bytes", "100")], "server.max_header_bytes must be"),
        (&[("server.header_timeout", "0s")], "server.header_timeout must be more"),
        (&[("intake.max_waiting", "10000")], "intake.max_waiting must be"),
        (&[("poll.max_waiting", "0")], "poll.max_waiting must be"),
        (&[("tokens.lifetime", "2h")], "tokens.lifetime must be"),
        (&[("tokens.max_assertion_lifetime", "0s")], "tokens.max_assertion_lifetime must be"),
        (
            &[("authorization.servers", r#"[{issuer="http://as.example"}]"#)],
            "authorization.servers need an issuer that is",
        ),
        (
            &[("authorization.servers", r#"[{issuer="https://a", jwks_uri="ftp://a/"}]"#)],
            "authorization.servers need a jwks_uri",
        ),
        (
            &[("authorization.servers", r#"[{issuer="https://a", algorithms=[]}]"#)],
            "authorization.servers need at least",
        ),
        (
            &[(
                "authorization.servers",
                r#"[{issuer="https://a", jwks_uri="https://a/", introspection_endpoint="https://a/i", client_id="c", client_secret="s"}]"#,
            )],
            "authorization.servers have either",
        ),
        (
            &[("authorization.servers", r#"[{issuer="https://a", introspection_endpoint="https://a/i"}]"#)],
            "authorization.servers that are asked",
        ),
        (&[("timeline.claim", "iss")], "timeline.claim must not"),
        (&[("database.schema", "a;b")], "database.schema must be a plain SQL name"),
        (&[("database.url", "mysql://db/x")], "database.url must be a PostgreSQL URL"),
        (&[("database.url", "postgres://db/x")], "keys.sealing_key is required"),
        (&[("keys.publish_ahead", "65m")], "keys.publish_ahead must be at least 1h6m"),
        (&[("keys.publish_after", "7d")], "keys.publish_after must be an hour longer than delivery.retention"),
        (&[("delivery.retention", "8d")], "keys.publish_after must be an hour longer than delivery.retention"),
        (&[("keys.rotate_every", "23h")], "keys.rotate_every must be at least keys.publish_ahead"),
        (&[("keys.rotate_every", "24h"), ("keys.publish_after", "11d")], "keys.rotate_every must be at least a tenth"),
    ];
    for (overrides, start) in refused {
        let said = load(overrides).unwrap_err();
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn tls_for_development_moves_the_usual_issuer_to_https_and_stays_development() {
    let settings = load(&[("tls.development", "true")]).unwrap();
    assert_eq!(settings.issuer.url.as_str(), "https://127.0.0.1:8701");
    assert!(settings.is_development());
    let own = load(&[("tls.development", "true"), ("issuer.url", "https://idp.localhost:9000")]).unwrap();
    assert_eq!(own.issuer.url.as_str(), "https://idp.localhost:9000");
    assert!(!load(&[("issuer.url", "https://idp.example")]).unwrap().is_development());
}
