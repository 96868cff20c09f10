//! A receiver's answers are input too: whatever one says to a push, or reports in a poll, concerns its own SET only.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use ssf_harness::sink::{Answer, Sink};

use super::json::{Text, Twist, any_text, twisted};
use super::world::{World, property};

#[test]
fn whatever_a_receiver_answers_only_its_own_set_is_concerned() {
    let status = select(vec![200_u16, 201, 202, 204, 301, 400, 400, 400, 400, 401, 404, 413, 418, 429, 500, 503, 599]);
    let code = select(vec!["invalid_request", "invalid_key", "invalid_state", "other"]);
    let body = prop_oneof![
        any_text().prop_map(|text: Text| text.0),
        (code, prop::collection::vec(any::<Twist>(), 0..3))
            .prop_map(|(code, twists)| twisted(&json!({"err": code, "description": "why"}), &twists)),
    ];
    let retry =
        select(vec!["", "0", "5", "-1", "99999999999999999999", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "\u{fc}"]);
    let content = select(vec!["application/json", "text/html", ""]);
    property(150, (status, body, retry, content), &async |world: &World, case: (u16, String, &str, &'static str)| {
        let (status, body, retry, content) = case;
        let (odd, good) = (Sink::start().await, Sink::start().await);
        let answer = Answer::status(status).saying(if matches!(status, 204) { "" } else { &body });
        let answer = answer.with("retry-after", retry).with("content-type", content);
        odd.script(move |_| answer.clone());
        let event = world.push_to_both(&odd, &good).await;
        let progress = world.progress(&event).await;
        // the good one's is settled; the odd one's is settled or waits to be sent again
        prop_assert!(good.requests().len() == 1 && progress["delivered"].as_u64() >= Some(1), "{progress}");
        world.idp.advance(Duration::from_mins(1));
        world.idp.drain().await;
        prop_assert_eq!(good.requests().len(), 1, "sent twice");
        let settled = matches!(status, 200 | 202 | 204) || world.progress(&event).await["refused"] == 1;
        prop_assert!(settled || odd.requests().len() > 1, "{status} is neither settled nor tried again");
        Ok(())
    });
}
