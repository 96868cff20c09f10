//! Poll delivery (RFC 8936 §2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::Jti;
use crate::set::ErrorCode;

/// What a receiver asks for (§2.2). Unknown members are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollRequest {
    /// The most SETs to hand out; 0 only acknowledges. `max_events`, as some clients write it, is understood too.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "max_events")]
    pub max_events: Option<u32>,
    /// Answer at once even if there is nothing; default false: the answer waits (§2.4).
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "return_immediately")]
    pub return_immediately: Option<bool>,
    /// SETs accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ack: Vec<Jti>,
    /// SETs refused, with the reason.
    #[serde(default, rename = "setErrs", alias = "set_errs", skip_serializing_if = "BTreeMap::is_empty")]
    pub set_errs: BTreeMap<Jti, SetError>,
}

/// What a transmitter answers (§2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollResponse {
    /// Compact SETs by their `jti`; present even if empty.
    pub sets: BTreeMap<Jti, String>,
    /// More are waiting. Left out when false: some clients fail on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_available: bool,
}

/// Why one SET was refused (RFC 8935 §2.3, RFC 8936 §2.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetError {
    /// The code.
    pub err: ErrorCode,
    /// Text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_read_as_rfc_8936_writes_them() {
        // RFC 8936 §2.4.3
        let request: PollRequest = serde_json::from_value(json!({
            "ack": ["3d0c3cf797584bd193bd0fb1bd4e7d30"],
            "setErrs": {"4d3559ec67504aaba65d40b0363faad8": {"err": "authentication_failed", "description": "The SET could not be authenticated"}},
            "returnImmediately": true
        }))
        .unwrap();
        assert_eq!(request.set_errs[&"4d3559ec67504aaba65d40b0363faad8".into()].err, ErrorCode::AuthenticationFailed);
        assert_eq!((request.ack.len(), request.return_immediately, request.max_events), (1, Some(true), None));
        let snake: PollRequest = serde_json::from_value(json!({"max_events": 3})).unwrap();
        assert_eq!(snake.max_events, Some(3));
    }

    #[test]
    fn an_empty_answer_has_sets_and_nothing_else() {
        insta::assert_json_snapshot!(PollResponse::default(), @r#"
        {
          "sets": {}
        }
        "#);
    }
}
