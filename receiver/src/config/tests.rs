//! What the settings accept and how they refuse.

use ssf_common::random::{Random, SystemRandom};

use super::*;
use ssf_common::runtime::config::Layers;

fn chance() -> &'static dyn Random {
    &SystemRandom
}

const IDP: [(&str, &str); 3] =
    [("upstreams.idp.issuer", "https://idp.example"), ("upstreams.idp.delivery", "push"), ("upstreams.idp.token", "t")];

fn load(overrides: &[(&str, &str)]) -> Result<Settings, String> {
    let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { environment: Vec::new(), overrides, ..Layers::new("receiver", DEFAULTS) };
    Settings::load(&layers).map_err(|error| error.to_string())
}

fn with_idp(overrides: &[(&str, &str)]) -> Result<Settings, String> {
    load(&[&IDP, overrides].concat())
}

#[test]
fn the_defaults_stand_on_their_own() {
    let settings = load(&[]).unwrap();
    assert!(settings.is_embedded() && settings.upstreams.is_empty());
    assert_eq!(settings.push_endpoint("idp"), "http://127.0.0.1:8702/ssf/push/idp");
}

#[test]
fn an_upstream_needs_an_issuer_a_delivery_and_a_credential() {
    let settings = with_idp(&[]).unwrap();
    let idp = &settings.upstreams["idp"];
    assert!(idp.is_push() && !idp.is_development());
    assert_eq!(idp.event_uris().len(), 23);
    assert!(matches!(idp.credential("idp"), Ok(Credential::Static(_))));
}

#[test]
fn an_upstream_can_come_from_the_environment() {
    let variables =
        IDP.map(|(key, value)| (format!("SSF_RECEIVER__{}", key.to_uppercase().replace('.', "__")), value.to_owned()));
    let layers = Layers { environment: variables.into(), ..Layers::new("receiver", DEFAULTS) };
    assert_eq!(Settings::load(&layers).unwrap().upstreams["idp"].issuer, "https://idp.example".into());
}

#[test]
fn event_types_are_asked_for_by_short_name_or_uri() {
    let settings =
        with_idp(&[("upstreams.idp.events_requested", "[session-revoked, \"urn:x:y\", revalidate]")]).unwrap();
    assert_eq!(
        settings.upstreams["idp"].event_uris(),
        [
            "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
            "urn:x:y",
            "urn:uuid:0d607c6e-95de-5e8e-bc1d-e33d8059032c"
        ]
    );
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_its_key() {
    let refused = [
        (&[("server.listen", "0.0.0.0:8702")][..], "api.token is required when server.listen is not on loopback"),
        (&[("server.listen", "0.0.0.0:1"), ("api.token", "t")], "server.public_url is required for push"),
        (&[("server.public_url", "http://rp.example")], "server.public_url must be https"),
        (&[("inbox.max_set_bytes", "99999999")], "inbox.max_set_bytes must be at least 1 and at most"),
        (&[("server.socket_mode", "rw")], "server.socket_mode must be permissions in octal"),
        (&[("server.socket_mode", "7777")], "server.socket_mode must be permissions in octal"),
        (&[("authz.session_cookie", "a=b")], "authz.session_cookie must be the name of a cookie"),
        (&[("authz.session_header", "X Session")], "authz.session_header must be the name of a header"),
        (&[("authz.token_headers", "X Token")], "authz.token_headers must be what header names begin with"),
        (&[("authz.session_cookie", ""), ("authz.session_header", "")], "authz.session_cookie is required when"),
        (&[("authz.realm", "a\"b")], "authz.realm must be printable ASCII"),
        (&[("authz.acr_values", "[\"a b\"]")], "authz.acr_values must be printable ASCII"),
        (&[("database.schema", "a;b")], "database.schema must be a plain SQL name"),
        (&[("database.url", "postgres://db/x")], "privacy.subject_key is required with database.url"),
        (&[("api.token", "")], "api.token is empty"),
        (&[("upstreams.idp.issuer", "http://idp.example")], "upstreams.idp.issuer must be https"),
        (&[("upstreams.idp.issuer", "https://idp.example/")], "upstreams.idp.issuer must have no query"),
        (
            &[("upstreams.idp.delivery", "pull")],
            "upstreams.idp.delivery (on the command line) is \"pull\"; choose one of",
        ),
        (
            &[("upstreams.idp.client_auth", "basic")],
            "upstreams.idp.client_auth (on the command line) is \"basic\"; choose one of",
        ),
        (&[("upstreams.idp.verify_patience", "0s")], "upstreams.idp.verify_patience must be more than 0"),
        (&[("upstreams.idp.event_aliases", "{\"urn:x:y\" = \"logout\"}")], "upstreams.idp.event_aliases must map URIs"),
        (
            &[("upstreams.idp.event_aliases", "{plain = \"session-revoked\"}")],
            "upstreams.idp.event_aliases: \"plain\" is not an absolute URI",
        ),
        (
            &[("upstreams.idp.profile", "strict"), ("upstreams.idp.legacy_shapes", "true")],
            "upstreams.idp.legacy_shapes is the old spelling of profile",
        ),
        (&[("upstreams.idp.client_key", "k")], "upstreams.idp.client_key is used with client_auth"),
        (
            &[("upstreams.idp.client_auth", "private_key_jwt")],
            "upstreams.idp.token and client_auth = \"private_key_jwt\"",
        ),
        (&[("upstreams.idp.client_id", "rp")], "upstreams.idp.token and client_id or client_secret are both set"),
        (&[("upstreams.idp.verify_every", "0s")], "upstreams.idp.verify_every must be more than 0"),
        (&[("upstreams.idp.timeline_claim", "iss")], "upstreams.idp.timeline_claim must not"),
        (&[("upstreams.idp.events_requested", "[session-ended]")], "upstreams.idp.events_requested holds a name"),
        (&[("upstreams.idp.revalidate_uri", "plain")], "upstreams.idp.revalidate_uri: \"plain\" is not"),
        (&[("upstreams.idp.token_url", "http://a.example/t")], "upstreams.idp.token_url must be an https URL"),
        (&[("upstreams.idp.isuer", "x")], "upstreams.idp.isuer (on the command line) is not a setting"),
        (
            &[("upstreams.i/d.issuer", "https://a.example"), ("upstreams.i/d.delivery", "poll")],
            "upstreams.i/d must be named",
        ),
    ];
    for (overrides, start) in refused {
        let said = with_idp(overrides).unwrap_err();
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn a_missing_credential_is_refused_with_what_to_do() {
    let said = load(&IDP[..2]).unwrap_err();
    assert!(said.starts_with("upstreams.idp.client_id has no value; register this receiver"), "{said}");
    let said = load(&[&IDP[..2], &[("upstreams.idp.client_id", "rp")]].concat()).unwrap_err();
    assert!(said.starts_with("upstreams.idp.client_secret is required with client_id"), "{said}");
    let said = load(&[&IDP[..2], &[("upstreams.idp.token_file", "/nowhere")]].concat()).unwrap_err();
    assert!(said.starts_with("upstreams.idp.token_file = /nowhere cannot be read"), "{said}");
}

#[test]
fn a_signing_client_needs_a_name_and_a_private_key_and_nothing_else() {
    let signing = [&IDP[..2], &[("upstreams.idp.client_auth", "private_key_jwt")]].concat();
    let said = |more: &[(&str, &str)]| load(&[&signing, more].concat()).unwrap_err();
    assert!(said(&[]).starts_with("upstreams.idp.client_id is required with client_auth"), "{}", said(&[]));
    let named = ("upstreams.idp.client_id", "rp");
    assert!(said(&[named]).starts_with("upstreams.idp.client_key is required"), "{}", said(&[named]));
    let public = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----";
    let refused = said(&[named, ("upstreams.idp.client_key", public)]);
    let expected = "upstreams.idp.client_key: this is a public key or a certificate; the private key is needed";
    assert_eq!(refused, expected);
    let key = ssf_common::jwks::SigningKey::generate(ssf_common::jwks::Algorithm::EdDsa).unwrap().to_private_jwk();
    let given = ("upstreams.idp.client_key", secrecy::ExposeSecret::expose_secret(&key));
    assert!(
        said(&[named, given, ("upstreams.idp.client_secret", "s")])
            .starts_with("upstreams.idp.client_secret has no use")
    );
    let settings = load(&[&signing, &[named, given][..]].concat()).unwrap();
    assert!(matches!(settings.upstreams["idp"].credential("idp"), Ok(Credential::Key { .. })));
    let (plain, _) = settings.upstreams["idp"].without_secrets();
    assert!(plain.client_key.is_none());
}

#[test]
fn a_command_reaches_a_service_that_listens_everywhere() {
    for (listen, url) in [
        ("127.0.0.1:8702", "http://127.0.0.1:8702"),
        ("0.0.0.0:8702", "http://127.0.0.1:8702"),
        ("[::]:8702", "http://[::1]:8702"),
    ] {
        let settings = load(&[("server.listen", listen), ("api.token", "t")]).unwrap();
        assert_eq!(settings.local_url(), url);
    }
}

#[test]
fn the_subject_key_is_made_once_and_found_again() {
    let dir = std::env::temp_dir().join(format!("ssf-receiver-{}", chance().secret()));
    let settings = load(&[("data.dir", dir.to_str().unwrap())]).unwrap();
    let key = settings.subject_key(&SystemRandom).unwrap();
    assert_eq!(
        secrecy::ExposeSecret::expose_secret(&key),
        secrecy::ExposeSecret::expose_secret(&settings.subject_key(&SystemRandom).unwrap())
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_subject_key_is_its_bytes_in_whichever_alphabet_they_are_written() {
    // 32 bytes whose text differs: `+/` in one alphabet is `-_` in the other.
    let written = |text: &str| {
        let root = load(&[("privacy.subject_key", text)]).unwrap().subject_key(&SystemRandom).unwrap();
        secrecy::ExposeSecret::expose_secret(&root).to_vec()
    };
    let root = written("+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/8=");
    assert_eq!(root, written("-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8"));
    assert_eq!(root, written(" -_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8=\n"));
    assert_ne!(root, written("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

#[test]
fn a_subject_key_that_is_not_32_bytes_is_refused() {
    let settings = load(&[("privacy.subject_key", "c2hvcnQ=")]).unwrap();
    let said = settings.subject_key(&SystemRandom).unwrap_err().to_string();
    assert!(said.starts_with("privacy.subject_key must be 32 bytes in base64"), "{said}");
}

#[test]
fn the_windows_have_the_defaults_of_the_levels() {
    let settings = with_idp(&[("upstreams.idp.level", "sl3")]).unwrap();
    let seconds = |level, class| settings.windows.window(level, class).as_secs();
    let table = Level::ALL.map(|level| BindingClass::ALL.map(|class| seconds(level, class)));
    assert_eq!(table, [[300, 3_600], [60, 300]]);
    assert_eq!(settings.windows, Windows::default());
    assert_eq!(settings.upstreams["idp"].level, Level::Sl3);
}

#[test]
fn a_point_that_exceeds_the_window_of_a_level_in_use_stops_the_start() {
    let gateway = ("enforcement_points.gateway.mechanism", "cached");
    let cached = |level, seconds| {
        let point = ("enforcement_points.gateway.cache_for", seconds);
        with_idp(&[("upstreams.idp.level", level), gateway, point])
    };
    assert!(cached("sl3", "20s").is_ok() && cached("sl2", "61s").is_ok());
    let refused = cached("sl3", "61s").unwrap_err();
    let named = "enforcement_points.gateway.cache_for: this point may let somebody in for 1m1s after a decision (1m1s of it \
                 on one answer), and windows.sl3.bearer is 1m; shorten it";
    assert!(refused.starts_with(named), "{refused}");
    assert!(
        load(&[("enforcement_points.Gate.mechanism", "checked")])
            .unwrap_err()
            .starts_with("enforcement_points.Gate must")
    );
    assert!(load(&[("proof.keep", "1h")]).unwrap_err().starts_with("proof.keep must be at least 1d"));
}

#[test]
fn windows_that_are_no_promise_are_refused() {
    for (key, value, named) in [
        ("windows.sl2.bearer", "0s", "windows.sl2.bearer must be more than 0"),
        ("windows.sl2.bound", "25h", "windows.sl2.bound must be more than 0 and at most 24h"),
        ("windows.sl2.bearer", "60m", "windows.sl2.bearer must be shorter than bound"),
        ("windows.sl3.bearer", "5m", "windows.sl3.bearer must be shorter than bound"),
        ("windows.sl3.bound", "60m", "windows.sl3.bound must be shorter than that of sl2"),
        ("windows.sl2.bearer", "1m", "windows.sl3.bearer must be shorter than that of sl2"),
    ] {
        let refused = load(&[(key, value)]).unwrap_err();
        assert!(refused.starts_with(named), "{key}={value}: {refused}");
    }
}

const APP: [(&str, &str); 2] = [
    ("effects.app.url", "http://127.0.0.1:3000/ssf"),
    ("effects.app.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
];

#[test]
fn a_target_is_on_loopback_public_or_opened_and_has_a_secret_that_signs() {
    let with = |overrides: &[(&str, &str)]| load(&[&APP, overrides].concat());
    assert_eq!(with(&[]).unwrap().effects["app"].secrets("app").unwrap().len(), 1);
    for url in ["https://app.example/hook", "http://[::1]:3000/", "http://localhost:3000/", "https://127.0.0.1/x?y=z"] {
        assert!(with(&[("effects.app.url", url)]).is_ok(), "{url}");
    }
    assert!(with(&[("effects.app.url", "https://10.0.0.7/"), ("callbacks.allow", "[\"10.0.0.0/8\"]")]).is_ok());
    for (key, value, remedy) in [
        ("effects.app.url", "app", "effects.app.url is not a URL"),
        ("effects.app.url", "http://app.example/", "effects.app.url must be https"),
        ("effects.app.url", "https://10.0.0.7/", "callbacks.allow"),
        ("effects.app.url", "https://user@app.example/", "effects.app.url must be https"),
        ("effects.app.secret", "short", "effects.app.secret must be 24 to 64 bytes"),
        ("effects.app.old_secret", "whsec_c2hvcnQ=", "effects.app.old_secret must be 24 to 64 bytes"),
        ("effects.app.changes", "[\"gone\"]", "effects.app.changes"),
        ("effects.App.url", "https://app.example", "effects.App"),
        ("callbacks.lease", "5s", "callbacks.lease"),
        ("callbacks.keep", "24h", "callbacks.keep"),
        ("callbacks.window", "0", "callbacks.window"),
        ("watch.heartbeat", "0s", "watch.heartbeat"),
    ] {
        let said = with(&[(key, value)]).unwrap_err();
        assert!(said.contains(remedy), "{key} = {value}: {said}");
    }
    let unreadable = with(&[("effects.app.url", "https://10.0.0.7/"), ("callbacks.allow", "[\"?\"]")]).unwrap_err();
    assert!(unreadable.contains("callbacks.allow holds something"), "{unreadable}");
    assert!(load(&[APP[0]]).unwrap_err().contains("effects.app.secret is required"));
}

#[test]
fn what_follows_from_the_windows_leaves_room_for_what_lives_on_one_answer() {
    let limits = |settings: &Settings, level, class| {
        let limits = settings.staleness().limits(level, class);
        (limits.soft.as_secs(), limits.hard.as_secs())
    };
    let settings = with_idp(&[]).unwrap();
    assert_eq!(limits(&settings, Level::Sl2, BindingClass::Bearer), (150, 300));
    assert_eq!(limits(&settings, Level::Sl3, BindingClass::Bound), (150, 300));
    let settings = with_idp(&[
        ("enforcement_points.gateway.mechanism", "cached"),
        ("enforcement_points.gateway.cache_for", "20s"),
        ("staleness.sl2.bound.hard", "10m"),
    ])
    .unwrap();
    assert_eq!(limits(&settings, Level::Sl2, BindingClass::Bearer), (140, 280));
    assert_eq!(limits(&settings, Level::Sl2, BindingClass::Bound), (300, 600));
    let seconds =
        |level| with_idp(&[("upstreams.idp.level", level)]).unwrap().upstreams["idp"].verify_every().as_secs();
    assert_eq!((seconds("sl2"), seconds("sl3")), (60, 15));
}

#[test]
fn staleness_that_breaks_a_window_or_suspends_the_healthy_stops_the_start() {
    let refused = |of: &[(&str, &str)]| with_idp(of).unwrap_err();
    for (set, named) in [
        (&[("staleness.sl2.bearer.hard", "6m")][..], "staleness.sl2.bearer.hard must not exceed the window"),
        (&[("staleness.sl2.bound.soft", "60m")], "staleness.sl2.bound.soft must be shorter than hard"),
        (&[("staleness.spread", "0s")], "staleness.spread must be more than 0"),
        (&[("upstreams.idp.verify_every", "5m")], "upstreams.idp.verify_every is too long"),
        (&[("staleness.sl2.bearer.hard", "2m")], "upstreams.idp.verify_every is too long"),
        (
            &[("upstreams.idp.level", "sl3"), ("upstreams.idp.verify_every", "1m")],
            "upstreams.idp.verify_every is too long",
        ),
        (
            &[
                ("upstreams.idp.level", "sl3"),
                ("enforcement_points.g.mechanism", "cached"),
                ("enforcement_points.g.cache_for", "60s"),
            ],
            "staleness.sl3.bearer.hard is nothing",
        ),
    ] {
        let said = refused(set);
        assert!(said.starts_with(named), "{set:?}: {said}");
    }
    // a level that nobody is at is not looked at
    assert!(
        with_idp(&[("enforcement_points.g.mechanism", "cached"), ("enforcement_points.g.cache_for", "60s")]).is_ok()
    );
}
