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
fn a_configuration_that_cannot_work_is_refused_by_its_key() {
    let refused = [
        (&[("issuer.url", "http://idp.example")][..], "issuer.url must be https"),
        (&[("issuer.url", "https://idp.example/?x")], "issuer.url must have no query"),
        (&[("push.lease", "4s")], "push.lease must be longer than push.timeout"),
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
    ];
    for (overrides, start) in refused {
        let said = load(overrides).unwrap_err();
        assert!(said.starts_with(start), "{said}");
    }
}
