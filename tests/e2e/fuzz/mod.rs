//! Nothing that anybody sends gives a 5xx, and nothing of it is quoted: whatever a body, a path, a query or a header is,
//! the answer is a good one or a 4xx in JSON with a sentence, and the service works as before.
//!
//! `doors` lists what takes input, one line each; `json` makes the input; the properties are here and in `sql`.

mod answers;
mod doors;
mod json;
mod sql;
mod world;

use doors::{Body, DOORS, Door};
use http::Method;
use json::{Text, Twist, any_bytes, any_text, twisted};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use world::{World, property};

// RFC 8259, at every door: what is not the JSON that is asked for
#[test]
fn an_arbitrary_json_body_is_answered_without_a_fault() {
    property(600, (any::<Index>(), any_text()), &async |world: &World, (door, body): (Index, Text)| {
        world.knock(door.get(&DOORS), body.0.into_bytes(), &[]).await
    });
}

// The same, close to what is asked for: members dropped, repeated, renamed, retyped, huge, deep
#[test]
fn a_good_body_with_faults_in_it_is_answered_without_a_fault() {
    let case = (any::<Index>(), prop::collection::vec(any::<Twist>(), 1..4));
    property(1_000, case, &async |world: &World, (door, twists): (Index, Vec<Twist>)| {
        let door = door.get(&DOORS);
        let body = match &door.body {
            Body::Json(valid) => twisted(&valid(world), &twists),
            Body::Lines(valid) => valid(world).iter().map(|line| twisted(line, &twists) + "\n").collect(),
            Body::Form(valid) => json::twisted_form(&valid(world), &twists),
        };
        world.knock(door, body.into_bytes(), &[]).await
    });
}

// Bytes that are no text, cut off, and sent as something else than they are
#[test]
fn a_body_of_any_bytes_and_any_content_type_is_answered_without_a_fault() {
    let types = select(vec![
        "",
        "application/json",
        "application/json; charset=utf-16",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "image/png",
        "\u{fc}/\u{fc}",
    ]);
    let case = (any::<Index>(), any_bytes(), any::<Option<Index>>(), types);
    property(
        500,
        case,
        &async |world: &World, (door, noise, cut, content_type): (Index, Vec<u8>, Option<Index>, &str)| {
            let door = door.get(&DOORS);
            let mut body = match (&door.body, cut) {
                (Body::Json(valid), Some(cut)) => {
                    let mut text = valid(world).to_string().into_bytes();
                    text.truncate(cut.index(text.len()));
                    text
                }
                _ => Vec::new(),
            };
            body.extend(noise);
            world.knock(door, body, &[("content-type", content_type)]).await
        },
    );
}

// Paths, queries, methods and headers nobody thought of
#[test]
fn any_path_query_method_and_header_is_answered_without_a_fault() {
    let verb = select(vec![Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]);
    let path = select(doors::PATHS.to_vec());
    let tail = prop_oneof![Just(String::new()), "/[!-~]{0,40}", "(%[0-9a-fA-F]{2}){1,8}", "/[^/?#]{1,20}"];
    let query = prop_oneof![
        Just(String::new()),
        "[?](stream_id|since|limit|after|cursor|access_token|issuer)=[!-~]{0,60}",
        "[?]stream_id=(%[0-9a-fA-F]{2}){0,6}",
        "[?](stream_id=a&?){2,3}",
        "[?][!-~]{0,80}",
    ];
    let name =
        select(vec!["authorization", "accept", "idempotency-key", "host", "x-forwarded-host", "cookie", "expect"]);
    let value =
        prop_oneof!["[ -~]{0,80}", "Bearer [!-~]{0,40}", "Basic [A-Za-z0-9+/=]{0,40}", "[ -~\u{80}-\u{ff}]{0,40}"];
    let case = (verb, path, tail, query, proptest::option::of((name, value)));
    property(1_200, case, &async |world: &World, (verb, path, tail, query, header): Request| {
        let url = format!("{}{tail}{query}", world.filled(path));
        world.ask(&verb, &url, header.as_ref().map(|(name, value)| (*name, value.as_str()))).await
    });
}

type Request = (Method, &'static str, String, String, Option<(&'static str, String)>);

// Every door is found and takes what is meant for it: without this, a property could be content with 404s
#[tokio::test]
async fn every_door_takes_what_is_meant_for_it() {
    let world = World::open().await;
    for door in &DOORS {
        let body = match &door.body {
            Body::Json(valid) => valid(&world).to_string(),
            Body::Lines(valid) => json::lines(&valid(&world)),
            Body::Form(valid) => json::form(&valid(&world)),
        };
        let answer = world.request(door, body.into_bytes(), &[]).send().await.unwrap();
        assert!(answer.status().is_success(), "{} {}: {answer:?}", door.verb, door.path);
    }
    world.assert_works().await;
}

impl Door {
    fn verb(&self) -> Method {
        self.verb.parse().unwrap()
    }
}
