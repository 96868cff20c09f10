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
