//! `ssf_emit` takes JSON too, in the IdP's own transaction: whatever it is, the function either refuses it as bad input or
//! the event is fanned out or rejected; never does it stop the fan-out.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use ssf_common::runtime::worker::Worker as _;

use super::json::{CANARY, Text, Twist, any_text, twisted};
use super::world::{World, property};

#[test]
fn whatever_sql_hands_in_is_refused_rejected_or_sent() {
    let subject = prop_oneof![
        any_text().prop_map(|text| text.0),
        prop::collection::vec(any::<Twist>(), 0..3).prop_map(|twists| twisted(&subject(), &twists)),
    ];
    let payload = prop_oneof![
        any_text().prop_map(|text: Text| text.0),
        prop::collection::vec(any::<Twist>(), 0..3).prop_map(|twists| twisted(&payload(), &twists)),
    ];
    let names = ["session-revoked", "credential-change", "revalidate", "https://example.com/our-own", "nonsense"];
    let case = (any::<Index>(), subject, payload);
    property(400, case, &async |world: &World, (name, subject, payload): (Index, String, String)| {
        let emitted =
            sqlx::query_scalar::<_, String>("select ssf_transmitter.ssf_emit($1, $2::jsonb, $3::jsonb)::text")
                .bind(*name.get(&names))
                .bind(&subject)
                .bind(&payload)
                .fetch_one(&world.idp.pool)
                .await;
        let event = match emitted {
            Ok(event) => event,
            Err(fault) => {
                let code = fault.as_database_error().and_then(|fault| fault.code().map(Cow::into_owned));
                // data exceptions, and what is too deep or too long for PostgreSQL itself
                let is_refusal = code.as_deref().is_some_and(|code| code.starts_with("22") || code.starts_with("54"));
                prop_assert!(is_refusal, "{code:?}: {fault}");
                return Ok(());
            }
        };
        while world.idp.transmitter.fan_out.tick().await.map_err(|fault| TestCaseError::fail(format!("{fault:?}")))? > 0
        {
        }
        let progress = world.progress(&event).await;
        let state = progress["state"].as_str().unwrap_or_default();
        prop_assert!(matches!(state, "fanned_out" | "rejected"), "{progress}");
        let reason = progress["rejection"].as_str().unwrap_or_default();
        prop_assert!((state == "rejected") != reason.is_empty() && !reason.contains(CANARY), "{progress}");
        Ok(())
    });
}

fn subject() -> Value {
    json!({"format": "complex", "user": {"format": "email", "email": "user@example.com"}, "session": {"format": "opaque", "id": "s"}})
}

fn payload() -> Value {
    json!({
        "event_timestamp": 1_794_961_560,
        "credential_type": "password",
        "change_type": "update",
        "reason_admin": {"en": "because"},
        "requirement": {"interaction": "any", "max_age": 60},
        "our_own": [1, {"a": 0.5}],
    })
}
