//! What becomes of what issuers decide: by whose table, about whom, for how long it is kept, and who is forgotten.

mod authority;
mod cleaning;
mod commands;
mod facts;
mod forgetting;
mod table;

use serde_json::{Value, json};
use ssf_receiver::config::{PolicyRows, Rules, UpstreamSettings};
use ssf_receiver::inbox::Receipt;

use crate::rp::{ISSUER, Rp};

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

fn mail(address: &str) -> Value {
    json!({"format": "email", "email": address})
}

/// Members of a complex subject, each an opaque id.
fn complex(members: &[(&str, &str)]) -> Value {
    let mut subject = json!({"format": "complex"});
    for (name, id) in members {
        subject[*name] = opaque(id);
    }
    subject
}

/// The rules of an upstream with these settings.
fn rules(said: &Value) -> Rules {
    let mut settings = json!({"issuer": ISSUER, "delivery": "push", "token": "t"});
    settings.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    serde_json::from_value::<UpstreamSettings>(settings).unwrap().rules(&PolicyRows::default())
}

/// Hands an event in under these rules, as the doors do.
async fn tell(rp: &Rp, rules: &Rules, event: &str, subject: &Value, payload: &Value) -> Receipt {
    rp.inbox.receive_under(rules, rp.set(event, subject, payload), rp.context()).await.unwrap()
}

async fn number(rp: &Rp, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&rp.pool).await.unwrap()
}
