//! Which row counts, and which rows are refused.

use super::*;

fn rows(written: &[(&str, &str)]) -> PolicyRows {
    PolicyRows(written.iter().map(|(key, effect)| ((*key).to_owned(), (*effect).to_owned())).collect())
}

fn policy(global: &[(&str, &str)], upstream: &[(&str, &str)], tenant: &[(&str, &str)]) -> EffectPolicy {
    let tenants = BTreeMap::from([("acme".to_owned(), TenantSettings { policy: rows(tenant) })]);
    EffectPolicy::new(&rows(global), &rows(upstream), &tenants, &Vocabulary::default())
}

fn refused(key: &str, effect: &str) -> String {
    rows(&[(key, effect)]).read("policy", &Vocabulary::default()).unwrap_err().to_string()
}

#[test]
fn the_nearest_table_counts_and_in_it_the_finer_row() {
    let revoke = [("credential-change.revoke", "revoke")];
    let global = policy(&revoke, &[], &[]);
    let of = |policy: &EffectPolicy, condition, tenant| policy.becomes("credential-change", Some(condition), tenant);
    assert_eq!(of(&global, "revoke", None), Some((Becomes::Revoke, Source::Policy)));
    assert_eq!(of(&global, "delete", None), Some((Becomes::Revalidate, Source::Default)));
    let coarse = policy(&revoke, &[("credential-change", "fact")], &[("credential-change.delete", "block")]);
    assert_eq!(of(&coarse, "revoke", None), Some((Becomes::Fact, Source::Upstream)), "nearer, though less fine");
    assert_eq!(of(&coarse, "delete", Some("acme")), Some((Becomes::Block, Source::Tenant)));
    assert_eq!(of(&coarse, "delete", Some("other")), Some((Becomes::Fact, Source::Upstream)));
    let both = policy(&[("credential-change", "ignore"), ("credential-change.revoke", "revoke")], &[], &[]);
    assert_eq!(of(&both, "revoke", None).unwrap().0, Becomes::Revoke);
    assert_eq!(of(&both, "create", None).unwrap().0, Becomes::Ignore);
}

#[test]
fn a_uri_names_its_type_and_an_unknown_one_has_an_effect_only_if_told() {
    let compliance = "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change";
    let finer = format!("{compliance}.not-compliant");
    let ours = policy(&[(compliance, "fact"), (&finer, "revoke"), ("urn:example:fired", "revoke")], &[], &[]);
    let of = |condition| ours.becomes("device-compliance-change", Some(condition), None).unwrap().0;
    assert_eq!((of("compliant"), of("not-compliant")), (Becomes::Fact, Becomes::Revoke));
    assert_eq!(ours.becomes("urn:example:fired", None, None), Some((Becomes::Revoke, Source::Policy)));
    assert_eq!(ours.becomes("urn:example:other", None, None), None);
    assert!(ours.table(None).contains(&("urn:example:fired".to_owned(), Becomes::Revoke, Source::Policy)));
}

#[test]
fn what_the_issuer_must_be_obeyed_in_cannot_be_lowered() {
    for (key, effect) in [
        ("session-revoked", "revalidate"),
        ("session-revoked", "fact"),
        ("sessions-revoked", "ignore"),
        ("https://schemas.openid.net/secevent/caep/event-type/session-revoked", "fact"),
        ("account-disabled", "revalidate"),
        ("account-purged", "ignore"),
        ("revalidate", "fact"),
        ("credential-compromise", "fact"),
    ] {
        let text = refused(key, effect);
        assert!(text.starts_with(&format!("policy.{key:?} must be")) && text.contains("remove the row"), "{text}");
    }
    assert!(rows(&[("session-revoked", "block"), ("revalidate", "revoke")]).read("", &Vocabulary::default()).is_ok());
}

#[test]
fn what_is_unknown_or_makes_no_sense_is_named() {
    assert!(refused("session-revokd", "revoke").starts_with("policy.\"session-revokd\" is no event type"));
    assert!(refused("credential-change.steal", "revoke").contains("is no event type"));
    assert!(refused("session-revoked", "kill").contains("must be one of revoke, revalidate"));
    assert!(refused("verification", "fact").contains("about the stream itself"));
    assert!(refused("risk-level-change.LOW", "unblock").contains("only account-enabled"));
    assert!(refused("account-enabled", "revoke").contains("cuts nothing off"));
    assert!(refused("session-presented", "revoke").contains("decides nothing"));
}

#[test]
fn every_known_type_but_those_of_the_stream_has_a_default_and_the_settings_show_it() {
    for known in EventType::known() {
        let is_there = DEFAULTS.iter().any(|row| row.name == known.name());
        let is_control = matches!(known, EventType::Verification | EventType::StreamUpdated);
        assert_ne!(is_there, is_control, "{known}");
    }
    for row in &DEFAULTS {
        let key = if row.condition.is_some() { format!("{:?}", row.key()) } else { row.key() };
        let line = format!("# {key} = {:?}", row.becomes.as_str());
        assert!(super::super::DEFAULTS.lines().any(|shown| shown == line), "config.default.toml lacks: {line}");
    }
}

#[test]
fn a_condition_may_stand_in_the_key_or_behind_a_dot() {
    let quoted: PolicyRows = serde_json::from_str(r#"{"credential-change.create": "ignore"}"#).unwrap();
    let nested: PolicyRows = serde_json::from_str(r#"{"credential-change": {"create": "ignore"}}"#).unwrap();
    assert_eq!(quoted, nested);
    let text = serde_json::from_str::<PolicyRows>(r#"{"session-revoked": 7}"#).unwrap_err().to_string();
    assert!(text.starts_with("what an event becomes must be a text"), "{text}");
}

#[test]
fn a_start_with_a_table_that_lowers_a_revocation_is_refused_wherever_it_stands() {
    let load = |key: &str, value: &str| {
        let idp = [("issuer", "https://idp.example"), ("delivery", "push"), ("token", "t")];
        let mut overrides: Vec<(String, String)> =
            idp.iter().map(|(key, value)| (format!("upstreams.idp.{key}"), (*value).to_owned())).collect();
        overrides.push((key.to_owned(), value.to_owned()));
        let layers = ssf_common::runtime::config::Layers {
            environment: Vec::new(),
            overrides,
            ..ssf_common::runtime::config::Layers::new("receiver", super::super::DEFAULTS)
        };
        super::super::Settings::load(&layers).map_err(|error| error.to_string())
    };
    for table in ["policy", "upstreams.idp.policy", "upstreams.idp.tenants.acme.policy"] {
        let text = load(&format!("{table}.session-revoked"), "fact").unwrap_err();
        assert!(text.contains("policy.\"session-revoked\" must be \"revoke\""), "{table}: {text}");
        let settings = load(&format!("{table}.risk-level-change.HIGH"), "revoke").unwrap();
        let rules = settings.upstreams["idp"].rules(&settings.policy);
        assert_eq!(rules.policy.becomes("risk-level-change", Some("HIGH"), Some("acme")).unwrap().0, Becomes::Revoke);
    }
    for (key, value, says) in [
        ("lineage.cap", "30m", "lineage.cap must be 1d"),
        ("inbox.replay_horizon", "1h", "inbox.replay_horizon must be 1d"),
        (
            "upstreams.idp.authority.tenant_wide",
            "{limit = 0, per = \"1h\"}",
            "authority.tenant_wide.limit must be at least 1",
        ),
        ("upstreams.idp.authority.tenant_wide", "{limit = 1, per = \"30d\"}", "authority.tenant_wide.per must be"),
        ("upstreams.idp.authority.email_domains", "[\"@example.com\"]", "authority.email_domains must hold domains"),
        ("upstreams.idp.authority.formats", "[\"emial\"]", "upstreams.idp.authority.formats holds a name that is not"),
    ] {
        let text = load(key, value).unwrap_err();
        assert!(text.contains(says), "{key}: {text}");
    }
}
