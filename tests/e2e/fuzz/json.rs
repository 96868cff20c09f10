//! Input that is wrong in many ways. JSON is made as text, for much of what is wrong has no value in serde: numbers beyond
//! a double, lone surrogates, members twice. Whatever is made up contains [`CANARY`], so that a quotation is found.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// Stands in every string that is made up here, and in nothing else.
pub(super) const CANARY: &str = "qz7Qcanary";

/// JSON text, or nearly.
#[derive(Clone, Debug)]
pub(super) struct Text(pub(super) String);

/// One fault to put into a good body: where, and which.
#[derive(Clone, Debug)]
pub(super) struct Twist {
    at: Index,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Drop,
    Repeat,
    Rename(String),
    Replace(String),
    Wrap,
}

/// JSON of any shape.
pub(super) fn any_text() -> impl Strategy<Value = Text> {
    let inner = leaf().prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    inner.prop_map(Text)
}

/// Bytes of any kind.
pub(super) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        Just(b"\xff\xfe{\0}\0".to_vec()),
        Just(b"{\"stream_id\":\"\xed\xa0\x80\"}".to_vec()),
        Just(b"\xef\xbb\xbf{}".to_vec()),
        Just(vec![b'['; 100_000]),
        Just("{\"a\":".repeat(50_000).into_bytes()),
        Just(vec![b'\n'; 1_000]),
        Just(vec![0; 10]),
        Just(Vec::new()),
    ]
}

/// A good body with faults in it.
pub(super) fn twisted(valid: &Value, twists: &[Twist]) -> String {
    let mut node = Node::of(valid);
    for twist in twists {
        let slots = node.slots();
        if slots > 0 {
            node.twist(&mut twist.at.index(slots), &twist.what);
        }
    }
    node.to_text()
}

/// NDJSON.
pub(super) fn lines(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

/// A form.
pub(super) fn form(members: &[(&'static str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish()
}

/// A good form with faults in it.
pub(super) fn twisted_form(members: &[(&'static str, String)], twists: &[Twist]) -> String {
    let mut parts: Vec<String> = members.iter().map(|member| form(std::slice::from_ref(member))).collect();
    for twist in twists.iter().take(1) {
        let at = twist.at.index(parts.len());
        match &twist.what {
            What::Drop => drop(parts.remove(at)),
            What::Repeat => parts.push(parts[at].clone()),
            What::Rename(other) | What::Replace(other) => parts[at] = format!("{}={other}", members[at].0),
            What::Wrap => parts[at] = format!("{}=%ff%00%zz%", members[at].0),
        }
    }
    parts.join("&")
}

impl Arbitrary for Twist {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let what = prop_oneof![
            2 => Just(What::Drop),
            1 => Just(What::Repeat),
            2 => key().prop_map(What::Rename),
            6 => any_text().prop_map(|text| What::Replace(text.0)),
            3 => odd().prop_map(What::Replace),
            1 => Just(What::Wrap),
        ];
        (any::<Index>(), what).prop_map(|(at, what)| Self { at, what }).boxed()
    }
}

/// A value without others in it.
fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        (-3_i64..400).prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| quoted(&text)),
        "[ -~]{0,30}".prop_map(|text| quoted(&text)),
        odd(),
    ]
}

/// A value that is odd in itself.
fn odd() -> impl Strategy<Value = String> {
    let odd: Vec<String> = vec![
        "1e400".into(),
        "-1e400".into(),
        "1e-400".into(),
        "-0".into(),
        "-0.0".into(),
        "18446744073709551616".into(),
        "99999999999999999999999999999999999999999999".into(),
        "4294967296".into(),
        "0.1".into(),
        "253402300800".into(),
        "-62135596801".into(),
        format!("\"{CANARY}\\u0000\""),
        "\"\\u0000\"".into(),
        format!("\"\\u0000{CANARY}\\u0000\""),
        format!("\"{CANARY}\\ud800\""),
        format!("\"\\udc00{CANARY}\""),
        format!("\"{CANARY}\\n\\r\\t\\u0007\\u2028\""),
        format!("\"{CANARY}{}\"", "x".repeat(70_000)),
        format!("\"{CANARY}{}\"", "\u{1f600}".repeat(300)),
        format!("{}{}", "[".repeat(100), "]".repeat(100)),
        format!("{}0{}", "[".repeat(200), "]".repeat(200)),
        format!("{}0{}", "{\"a\":".repeat(120), "}".repeat(120)),
        format!("[{}0]", "0,".repeat(5_000)),
        format!("{{{}}}", (0..400).map(|n| format!("\"{CANARY}{n}\":{n}")).collect::<Vec<_>>().join(",")),
        "\"\"".into(),
        "{}".into(),
        "[]".into(),
        "{\"format\":\"complex\"}".into(),
        format!("{{\"format\":\"{CANARY}\"}}"),
        "{\"format\":\"aliases\",\"identifiers\":[{\"format\":\"aliases\",\"identifiers\":[]}]}".into(),
        format!("{{\"format\":\"email\",\"email\":\"{CANARY}@\u{fc}.example\"}}"),
        format!("\"http://127.0.0.1:9/{CANARY}\""),
        format!("\"http://{CANARY}\u{fc}.invalid:99999/\""),
        "NaN".into(),
        "'single'".into(),
        "/* comment */ 0".into(),
    ];
    select(odd)
}

/// A member's name in quotes.
fn key() -> impl Strategy<Value = String> {
    let known = select(vec![
        "stream_id",
        "delivery",
        "method",
        "endpoint_url",
        "status",
        "reason",
        "subject",
        "verified",
        "format",
        "type",
        "events_requested",
        "state",
        "ack",
        "setErrs",
        "maxEvents",
        "max_events",
        "returnImmediately",
        "err",
        "user",
        "lane",
        "txn",
        "occurred_at",
        "event_timestamp",
        "reason_admin",
        "iss",
        "sub",
        "identifiers",
    ]);
    prop_oneof![
        3 => known.prop_map(|name| format!("\"{name}\"")),
        1 => any::<String>().prop_map(|text| quoted(&text)),
        1 => Just(format!("\"{CANARY}\\u0000\"")),
        1 => Just("\"\"".to_owned()),
    ]
}

/// As a JSON string, with the canary in it.
fn quoted(text: &str) -> String {
    Value::from(format!("{CANARY}{text}")).to_string()
}

/// JSON in which members may stand twice, and values be no JSON.
#[derive(Clone, Debug)]
enum Node {
    Raw(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => Self::Array(items.iter().map(Self::of).collect()),
            Value::Object(members) => Self::Object(
                members.iter().map(|(name, value)| (Value::from(name.as_str()).to_string(), Self::of(value))).collect(),
            ),
            other => Self::Raw(other.to_string()),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Raw(text) => text.clone(),
            Self::Array(items) => format!("[{}]", items.iter().map(Self::to_text).collect::<Vec<_>>().join(",")),
            Self::Object(members) => {
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("{name}:{}", value.to_text())).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// How many members and items there are, at every depth.
    fn slots(&self) -> usize {
        match self {
            Self::Raw(_) => 0,
            Self::Array(items) => items.iter().map(|item| 1 + item.slots()).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| 1 + value.slots()).sum(),
        }
    }

    /// Does it to the slot that is `at` further on; whether it was in here.
    fn twist(&mut self, at: &mut usize, what: &What) -> bool {
        let count = match self {
            Self::Raw(_) => 0,
            Self::Array(items) => items.len(),
            Self::Object(members) => members.len(),
        };
        for slot in 0..count {
            if *at == 0 {
                self.twist_here(slot, what);
                return true;
            }
            *at -= 1;
            let inside = match self {
                Self::Raw(_) => return false,
                Self::Array(items) => &mut items[slot],
                Self::Object(members) => &mut members[slot].1,
            };
            if inside.twist(at, what) {
                return true;
            }
        }
        false
    }

    fn twist_here(&mut self, slot: usize, what: &What) {
        match (self, what) {
            (Self::Array(items), What::Drop) => drop(items.remove(slot)),
            (Self::Object(members), What::Drop) => drop(members.remove(slot)),
            (Self::Array(items), What::Repeat) => items.push(items[slot].clone()),
            (Self::Object(members), What::Repeat) => members.push(members[slot].clone()),
            (Self::Raw(_), _) | (Self::Array(_), What::Rename(_)) => {}
            (Self::Object(members), What::Rename(name)) => members[slot].0.clone_from(name),
            (Self::Array(items), What::Replace(text)) => items[slot] = Self::Raw(text.clone()),
            (Self::Object(members), What::Replace(text)) => members[slot].1 = Self::Raw(text.clone()),
            (Self::Array(items), What::Wrap) => items[slot] = Self::Array(vec![items[slot].clone()]),
            (Self::Object(members), What::Wrap) => members[slot].1 = Self::Array(vec![members[slot].1.clone()]),
        }
    }
}
