//! The steps in their order, and which stream is ours.

use serde_json::json;
use ssf_common::runtime::config::Span;

use super::*;
use crate::config::Delivery as Configured;

const REFRESH: Duration = Duration::from_hours(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_795_000_000 + seconds)
}

fn settings() -> UpstreamSettings {
    let settings = UpstreamSettings::new("https://idp.example".into(), Configured::Push);
    UpstreamSettings { verify_every: Some(Span::from_secs(300)), ..settings }
}

fn stream(id: &str, endpoint: &str, description: &str) -> StreamConfiguration {
    serde_json::from_value(json!({
        "stream_id": id, "iss": "https://idp.example", "aud": ["rp"], "events_delivered": ["urn:b", "urn:a"],
        "events_requested": ["urn:a", "urn:b"], "description": description,
        "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint}
    }))
    .unwrap()
}

fn wanted() -> CreateStream {
    CreateStream {
        events_requested: Some(vec!["urn:b".to_owned(), "urn:a".to_owned()]),
        delivery: Some(Delivery::push("https://rp.example/ssf/push/idp".to_owned(), None)),
        description: Some("ssf-receiver idp".to_owned()),
        aud: None,
        format: None,
    }
}

#[test]
fn the_steps_come_in_their_order() {
    let mut progress = Progress::default();
    let mut held = Held::default();
    let next = |progress: &Progress, held: &Held, now| progress.next(held, &settings(), REFRESH, now);
    assert_eq!(next(&progress, &held, at(0)), Step::Discover);
    progress.discovered_at = Some(at(0));
    assert_eq!(next(&progress, &held, at(0)), Step::ReadKeys);
    progress.keys_at = Some(at(0));
    assert_eq!(next(&progress, &held, at(0)), Step::Create);
    held.stream_id = Some("s".into());
    assert_eq!(next(&progress, &held, at(0)), Step::Inspect("s".into()));
    progress.inspected_at = Some(at(0));
    assert_eq!(next(&progress, &held, at(0)), Step::Verify("s".into(), at(-60)));
    held.verification_sent_at = Some(at(0));
    assert_eq!(next(&progress, &held, at(59)), Step::Rest);
    assert_eq!(next(&progress, &held, at(60)), Step::Verify("s".into(), at(0)));
    (held.verification_sent_at, held.last_verified_at) = (None, Some(at(1)));
    assert_eq!(next(&progress, &held, at(300)), Step::Rest);
    assert_eq!(next(&progress, &held, at(301)), Step::Verify("s".into(), at(241)));
    held.last_verified_at = Some(at(3_500));
    assert_eq!(next(&progress, &held, at(3_600)), Step::Discover);
}

#[test]
fn a_verification_is_never_asked_for_faster_than_the_transmitter_allows() {
    let mut progress = Progress {
        discovered_at: Some(at(0)),
        keys_at: Some(at(0)),
        inspected_at: Some(at(0)),
        min_interval: Duration::from_mins(10),
        ..Progress::default()
    };
    let mut held = Held { stream_id: Some("s".into()), verification_sent_at: Some(at(0)), ..Held::default() };
    let next = |progress: &Progress, held: &Held, now| progress.next(held, &settings(), REFRESH, now);
    assert_eq!(next(&progress, &held, at(599)), Step::Rest);
    assert_eq!(next(&progress, &held, at(600)), Step::Verify("s".into(), at(0)));
    (held.verification_sent_at, held.last_verified_at) = (None, Some(at(0)));
    assert_eq!(next(&progress, &held, at(599)), Step::Rest);
    progress.not_before = Some(at(700));
    assert_eq!(next(&progress, &held, at(699)), Step::Rest, "the transmitter asked for patience");
    assert_eq!(next(&progress, &held, at(700)), Step::Verify("s".into(), at(100)));
}

#[test]
fn a_fresh_authorization_is_given_for_a_reason_and_once_a_minute() {
    let mut progress = Progress {
        discovered_at: Some(at(0)),
        keys_at: Some(at(0)),
        inspected_at: Some(at(0)),
        authorized_at: Some(at(0)),
        is_refused: true,
        ..Progress::default()
    };
    let mut held = Held { stream_id: Some("s".into()), last_verified_at: Some(at(0)), ..Held::default() };
    let next = |progress: &Progress, held: &Held, now| progress.next(held, &settings(), REFRESH, now);
    let fresh = |mismatch| Step::Reauthorize("s".into(), mismatch);
    assert_eq!(next(&progress, &held, at(59)), Step::Rest);
    assert_eq!(next(&progress, &held, at(60)), fresh(Mismatch::Refused));
    let polling = UpstreamSettings { delivery: Configured::Poll, ..settings() };
    assert_eq!(progress.next(&held, &polling, REFRESH, at(60)), Step::Rest);
    progress.is_refused = false;
    (held.verification_sent_at, progress.asked_at) = (Some(at(10)), Some(at(10)));
    assert_eq!(next(&progress, &held, at(69)), Step::Rest);
    assert_eq!(next(&progress, &held, at(70)), fresh(Mismatch::Unverified));
    held.status = Some(StreamStatus::Paused);
    assert_eq!(next(&progress, &held, at(70)), Step::Rest, "it would be held back, too");
    (held.status, progress.asked_at) = (None, None);
    assert_eq!(next(&progress, &held, at(70)), Step::Verify("s".into(), at(10)), "nobody granted it");
}

#[test]
fn a_stream_of_another_issuer_audience_or_method_is_not_accepted() {
    let good = stream("s", "https://rp.example/ssf/push/idp", "");
    assert!(accepted(&good, &settings(), Method::Push).is_ok());
    let other = StreamConfiguration { iss: "https://evil.example".into(), ..good.clone() };
    assert_eq!(accepted(&other, &settings(), Method::Push), Err(StreamFault::Issuer));
    let choosy = UpstreamSettings { audiences: vec!["rp-2".to_owned()], ..settings() };
    assert_eq!(accepted(&good, &choosy, Method::Push), Err(StreamFault::Audience));
    assert_eq!(accepted(&good, &settings(), Method::Poll), Err(StreamFault::Method));
    let mut nowhere = good;
    nowhere.delivery = Delivery::poll(None);
    assert_eq!(accepted(&nowhere, &settings(), Method::Poll), Err(StreamFault::Endpoint));
}

#[test]
fn a_stream_is_as_wanted_whatever_the_order_of_its_events() {
    let found = stream("s", "https://rp.example/ssf/push/idp", "ssf-receiver idp");
    assert!(is_as_wanted(&found, &wanted()));
    assert!(!is_as_wanted(&stream("s", "https://other.example/", ""), &wanted()));
    assert!(!is_as_wanted(&StreamConfiguration { events_requested: Some(vec![]), ..found.clone() }, &wanted()));
    assert!(is_as_wanted(&StreamConfiguration { events_requested: None, ..found }, &wanted()));
}

#[test]
fn a_stream_that_goes_elsewhere_is_told_by_method_and_host_and_nothing_else() {
    let said = |endpoint| elsewhere(&stream("s", endpoint, ""), &wanted());
    let places = |theirs: &str| Some((theirs.to_owned(), "push at rp.example".to_owned()));
    assert_eq!(said("https://rp.example/ssf/push/idp"), None);
    assert_eq!(said("https://rp.example/ssf/push/other"), places("push at rp.example"));
    assert_eq!(said("https://me:secret@other.example:8443/push?key=secret"), places("push at other.example:8443"));
    assert_eq!(said("secret"), places("push"));
    let polled = StreamConfiguration {
        delivery: Delivery::poll(Some("https://idp.example/p".to_owned())),
        ..stream("s", "", "")
    };
    assert_eq!(elsewhere(&polled, &wanted()), places("poll at idp.example"));
    let wanted = CreateStream { delivery: Some(Delivery::poll(None)), ..wanted() };
    assert_eq!(elsewhere(&polled, &wanted), None);
}

#[test]
fn ours_is_the_stream_at_our_endpoint_or_of_our_description_or_the_only_one() {
    let (there, called) =
        (stream("there", "https://rp.example/ssf/push/idp", ""), stream("called", "x", "ssf-receiver idp"));
    let (strange, stranger) = (stream("strange", "y", ""), stream("stranger", "z", ""));
    let id = |streams: &[StreamConfiguration], of_others: &[StreamId]| {
        ours(streams, &wanted(), of_others).map(|stream| stream.stream_id.to_string())
    };
    assert_eq!(id(&[strange.clone(), called.clone(), there], &[]).as_deref(), Some("there"));
    assert_eq!(id(&[strange.clone(), called.clone()], &[]).as_deref(), Some("called"));
    assert_eq!(id(&[strange.clone(), called], &["called".into()]).as_deref(), Some("strange"));
    assert_eq!(id(std::slice::from_ref(&strange), &[]).as_deref(), Some("strange"));
    assert_eq!(id(&[strange, stranger], &[]), None);
    assert_eq!(id(&[], &[]), None);
}
