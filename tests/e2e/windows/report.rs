//! The figures against the windows, in every form in which they are told.

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::clock::Timestamp;
use ssf_receiver::proof::{WindowsReport, chart, text};

use super::{asks, at, cutoffs, decided, login, pass, row, settle, windows, with_gateway};
use crate::rp::{Rp, START};

#[tokio::test]
async fn a_report_tells_the_outcome_its_shares_and_what_guarantees_it() {
    let rp = with_gateway().await;
    login(&rp, "s", "alice", "bearer").await;
    pass(&rp, 9_900);
    assert_eq!(asks(&rp, "api", "s").await, "active");
    pass(&rp, 100);
    for (n, ms_ago) in [100, 200, 300, 4_000].into_iter().enumerate() {
        decided(&rp, ms_ago, &format!("set-{n}"), "session-revoked", if n == 1 { "alice" } else { "nobody" }).await;
    }
    assert_eq!(asks(&rp, "api", "s").await, "revoked");
    settle(&rp).await;
    let report = windows(&rp).await;
    let bearer = row(&report, "bearer");
    let distribution = |p50: f64, p90: f64, count: i64| json!({"count": count, "p50_ms": p50, "p90_ms": p90, "p99_ms": p90, "max_ms": p90});
    // the gateway may have lived on a yes for 20 s more; api may not
    assert_eq!(bearer["outcome"], distribution(20_200.0, 24_000.0, 4), "{bearer}");
    assert_eq!(row(&report, "bound")["outcome"], distribution(200.0, 4_000.0, 4));
    assert_eq!(bearer["idp"], distribution(200.0, 4_000.0, 4));
    assert_eq!(bearer["rp"], distribution(20_000.0, 20_000.0, 4));
    assert_eq!(bearer["seen"], distribution(100.0, 100.0, 1), "alice was let in 100 ms after the decision");
    assert_eq!(
        [&bearer["upstream"], &bearer["level"], &bearer["window_ms"], &bearer["share_of_window"], &bearer["breaches"]],
        [&json!("idp"), &json!("sl2"), &json!(300_000.0), &json!(0.08), &json!(0)]
    );
    let histogram = json!([{"up_to_ms": 32_768, "count": 4}]);
    assert_eq!((&bearer["histogram"], &report["breaches"]), (&histogram, &json!([])));
    let gateway = &report["points"][1];
    assert_eq!((&gateway["name"], &gateway["mechanism"]), (&json!("gateway"), &json!("cached")));
    let bounds = json!([
        {"level": "sl2", "class": "bearer", "bound_ms": 300_000.0, "window_ms": 300_000.0},
        {"level": "sl3", "class": "bearer", "bound_ms": 60_000.0, "window_ms": 60_000.0},
    ]);
    assert_eq!(gateway["bounds"], bounds);
    // what is left of the window when the gateway has had its part: so long a silent issuer is believed
    let api = &report["points"][0]["bounds"];
    assert_eq!(api.as_array().unwrap().len(), 4, "api serves both classes");
    assert_eq!(api[0], json!({"level": "sl2", "class": "bearer", "bound_ms": 280_000.0, "window_ms": 300_000.0}));
}

#[tokio::test]
async fn breaches_are_listed_one_by_one_with_the_leg_that_took_the_time() {
    let rp = Rp::start().await;
    login(&rp, "s", "alice", "bearer").await;
    pass(&rp, 1_000_000);
    decided(&rp, 1_000, "in-time", "session-revoked", "bob").await;
    // five minutes are the window; the IdP had it for 400 s
    decided(&rp, 400_000, "late", "session-revoked", "alice").await;
    settle(&rp).await;
    let report = windows(&rp).await;
    let breaches = report["breaches"].as_array().unwrap();
    assert_eq!(breaches.len(), 1, "{report}");
    let breach = &breaches[0];
    assert_eq!((&breach["cutoff"]["jti"], &breach["class"]), (&json!("late"), &json!("bearer")));
    assert_eq!((&breach["outcome_ms"], &breach["window_ms"]), (&json!(400_000.0), &json!(300_000.0)));
    assert_eq!(
        (&breach["slowest"], &breach["is_certain"]),
        (&json!("way"), &json!(false)),
        "nobody compared the clocks"
    );
    assert_eq!((&breach["cutoff"]["decided_at"], &breach["last_possible_at"]), (&at(600_000), &at(1_000_000)));
    assert_eq!((&row(&report, "bearer")["breaches"], &row(&report, "bound")["breaches"]), (&json!(1), &json!(0)));
    let of_each: Vec<Value> = cutoffs(&rp).await.iter().map(|c| c["breached"].clone()).collect();
    assert_eq!(of_each, [json!([]), json!(["bearer"])]);
    let one: WindowsReport = serde_json::from_value(report).unwrap();
    let said = text::text(&one);
    assert!(said.contains("Breaches: 1") && said.contains("late") && said.contains("6.7 min of 5 min"), "{said}");
    assert!(said.contains("most of it: way") && said.contains("how far its clock is from ours is not known"), "{said}");
}

#[tokio::test]
async fn clocks_that_are_apart_are_taken_into_account_and_told() {
    let rp = Rp::start().await;
    pass(&rp, 1_000_000);
    // the issuer's clock is ten minutes ahead: its decision of "just now" is ten minutes old
    let verified = "update upstream set verified_asked_at = $1, verified_answered_at = $1 + interval '50 ms',
                      verified_occurred_at = $1 + interval '10 min 20 ms', verified_taken_at = $1 + interval '10 min 30 ms'";
    sqlx::query(verified).bind(Timestamp::from_unix_seconds(START)).execute(&rp.pool).await.unwrap();
    decided(&rp, 1_000, "ahead", "session-revoked", "alice").await;
    settle(&rp).await;
    let report = windows(&rp).await;
    let bearer = row(&report, "bearer");
    assert_eq!(bearer["clock_offset_ms"], json!({"min": 599_980.0, "max": 600_020.0}), "{bearer}");
    assert_eq!(bearer["outcome"]["max_ms"], 600_980.0);
    assert_eq!(report["breaches"][0]["is_certain"], true, "no offset within the bounds explains it");
}

#[tokio::test]
async fn cut_offs_are_read_page_by_page_each_once() {
    let rp = Rp::start().await;
    for n in 0..7 {
        decided(&rp, 100, &format!("set/{n}"), "session-revoked", "alice").await;
        pass(&rp, if n % 2 == 0 { 0 } else { 10 });
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/windows/cutoffs?since={START}&upstream=idp&limit=3{after}");
        let (status, page) = rp.call(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{page}");
        found.extend(page["cutoffs"].as_array().unwrap().iter().map(|c| c["jti"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", next.replace('/', "%2F")),
            None => break,
        }
    }
    assert_eq!(found, (0..7).map(|n| format!("set/{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named() {
    let rp = Rp::start().await;
    for (path, named) in [
        ("/v1/windows?since=yesterday", "since: "),
        ("/v1/windows/cutoffs?limit=0", "limit: "),
        ("/v1/windows/cutoffs?limit=1001", "limit: "),
        ("/v1/windows/cutoffs?after=x", "after: "),
    ] {
        let (status, said) = rp.call(Method::GET, path, None).await;
        assert_eq!(status, 400, "{path}");
        assert!(said["error_description"].as_str().unwrap().starts_with(named), "{path}: {said}");
    }
    assert_eq!(windows(&rp).await["rows"], json!([]));
    for path in ["/v1/windows", "/v1/windows/cutoffs", "/v1/latency"] {
        for name in ["nobody", "%00"] {
            let (status, said) = rp.call(Method::GET, &format!("{path}?upstream={name}"), None).await;
            assert_eq!((status, &said["error"]), (404, &json!("not_found")), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn the_chart_is_a_picture_with_a_title_the_window_and_every_breach() {
    let rp = Rp::start().await;
    pass(&rp, 1_000_000);
    for (ms_ago, jti) in [(100, "a"), (5_000, "b"), (400_000, "late <&> \"one\""), (900_000, "later")] {
        decided(&rp, ms_ago, jti, "session-revoked", "alice").await;
    }
    settle(&rp).await;
    let report: WindowsReport = serde_json::from_value(windows(&rp).await).unwrap();
    let svg = chart::svg(&report);
    let picture = roxmltree::Document::parse(&svg).unwrap();
    let root = picture.root_element();
    assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    let texts = |tag: &str| -> Vec<String> {
        let nodes = root.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", tag)));
        nodes.map(|node| node.text().unwrap_or_default().to_owned()).collect()
    };
    assert!(texts("title")[0].starts_with("Windows kept since"), "{svg}");
    assert_eq!(texts("desc").len(), 1);
    assert!(texts("desc")[0].contains("idp sl2 bearer: 4 decisions, longest 15 min of 5 min"), "{svg}");
    assert_eq!(texts("text").iter().filter(|text| text.starts_with("window ")).count(), 2);
    let breaches: Vec<&str> = root
        .descendants()
        .filter(|node| node.attribute("class") == Some("breach"))
        .filter_map(|node| node.first_element_child()?.text())
        .collect();
    assert_eq!(breaches, ["late <&> \"one\" took 6.7 min", "later took 15 min"]);
    let empty = WindowsReport { rows: Vec::new(), breaches: Vec::new(), ..report };
    roxmltree::Document::parse(&chart::svg(&empty)).unwrap();
    assert!(text::text(&empty).contains("Nothing was cut off."));
}

#[tokio::test]
async fn a_crash_before_the_time_of_the_commit_was_written_loses_that_figure_only() {
    let rp = Rp::start().await;
    decided(&rp, 100, "over", "session-revoked", "alice").await;
    let all = cutoffs(&rp).await;
    assert_eq!((&all[0]["applied_at"], &all[0]["outcome_ms"]["bearer"]), (&Value::Null, &json!(100.0)));
}
