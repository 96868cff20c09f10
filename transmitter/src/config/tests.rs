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
        (&[("streams.verify_every", "9s")], "streams.verify_every must be 0s"),
        (&[("tokens.lifetime", "2h")], "tokens.lifetime must be"),
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
