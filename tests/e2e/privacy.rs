//! What the receiver must not keep: subjects and credentials, planted wherever they come in and then looked for in its
//! whole database and in its log.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::{Client, Method as Verb};
use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::random::{Random, SystemRandom};
use ssf_common::runtime::{Wake, Worker as _};
use ssf_common::set::Refusal;
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{TestCluster, binaries};
use ssf_receiver::SCHEMA;
use ssf_receiver::config::{AuthoritySettings, Rules};
use ssf_receiver::effects::Spread;
use ssf_receiver::inbox::Refused;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::peer::{AUDIENCE, jws, ok, publish};
use crate::rp::Rp;

fn canary() -> Value {
    json!({"format": "email", "email": "canary@example.com"})
}

/// Every row of every table as text, bytes in both of their spellings; with the names of the tables.
async fn everything_stored(pool: &PgPool) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables where table_schema = 'ssf_receiver'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() >= 8);
    let mut stored = Vec::new();
    for table in tables {
        let sql =
            format!("select t::text || encode(convert_to(t::text, 'utf8'), 'escape') from ssf_receiver.{table} t");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
        stored.extend(rows.into_iter().map(|row| (table.clone(), row)));
    }
    stored
}

/// Looks for the text, and for its bytes as PostgreSQL shows them.
fn is_in(text: &str, secret: &str) -> bool {
    let hexed = secret.bytes().fold(String::new(), |hexed, byte| format!("{hexed}{byte:02x}"));
    text.contains(secret) || text.contains(&hexed)
}

fn tables_in(stored: &[(String, String)]) -> usize {
    stored.iter().map(|(table, _)| table).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test]
async fn an_address_planted_everywhere_is_nowhere_in_the_database() {
    let rp = Rp::start().await;
    let everywhere = json!({"format": "complex", "user": canary(), "device": canary(), "session": canary()});
    let session =
        json!({"subject": [canary()], "session": canary(), "device": canary(), "tenant": "canary@example.com"});
    rp.register("s", session).await;
    rp.tell("session-revoked", &canary(), &json!({"reason_admin": {"en": "canary@example.com"}})).await;
    rp.tell("account-disabled", &everywhere, &json!({"reason": "canary@example.com"})).await;
    rp.tell("identifier-changed", &canary(), &json!({"new-value": "canary@example.com"})).await;
    rp.tell("https://example.com/other", &canary(), &json!({"mail": "canary@example.com"})).await;
    let pin = json!({"credential_type": "canary@example.com", "change_type": "update", "friendly_name": "canary"});
    rp.tell("credential-change", &everywhere, &pin).await;
    let level = json!({"namespace": "canary@example.com", "current_level": "canary@example.com"});
    rp.tell("assurance-level-change", &canary(), &level).await;
    rp.tell("token-claims-change", &canary(), &json!({"claims": {"canary": "canary@example.com"}})).await;
    let risk = json!({"principal": "canary@example.com", "current_level": "HIGH", "risk_reason": "canary"});
    rp.tell("risk-level-change", &canary(), &risk).await;
    let nobody = Rules {
        authority: AuthoritySettings { formats: vec!["opaque".to_owned()], ..AuthoritySettings::default() },
        ..Rules::default()
    };
    let withheld = rp.set("account-purged", &everywhere, &json!({"reason_admin": {"en": "canary@example.com"}}));
    rp.inbox.receive_under(&nobody, withheld, rp.context()).await.unwrap();
    for kept in ["select count(*) from fact", "select count(*) from withheld"] {
        let rows: i64 = sqlx::query_scalar(kept).fetch_one(&rp.pool).await.unwrap();
        assert!(rows > 0, "{kept}");
    }
    let body = json!({"issuer": crate::rp::ISSUER, "subject": {"format": "email", "email": "canary2@example.com"}});
    assert_eq!(rp.call(Verb::POST, "/admin/forget", Some(&body)).await.0, 200);
    let spread = Spread::new(rp.pool.clone(), rp.env.clone(), std::time::Duration::ZERO, Wake::new());
    while spread.tick().await.unwrap() > 0 {}
    let told: i64 = sqlx::query_scalar("select count(*) from effect").fetch_one(&rp.pool).await.unwrap();
    assert_eq!(told, 1, "the session was told of");
    let raw = b"e30.eyJqdGkiOiJjYW5hcnlAZXhhbXBsZS5jb20ifQ.c2ln";
    rp.inbox.refuse(&Refused::new(&rp.context(), &Refusal::BadSignature, raw)).await.unwrap();
    let stored = everything_stored(&rp.pool).await;
    assert!(tables_in(&stored) >= 6, "too few tables were written to");
    for (table, row) in stored {
        assert!(!is_in(&row, "canary"), "{table}: {row}");
    }
}

#[tokio::test]
async fn a_running_receiver_logs_and_keeps_neither_subjects_nor_credentials() {
    let mut house = House::start().await;
    let authorization = house.authorization().await;
    house.call(Verb::PUT, "/v1/sessions/s-1", json!({"subject": [canary()], "device": canary()})).await;
    house.call(Verb::POST, "/v1/check", json!({"subject": [canary()], "tenant": "canary@example.com"})).await;
    house.call(Verb::PUT, "/v1/sessions/s-2", json!({"subject": "canary@example.com", "canary@example.com": 1})).await;

    let answer = house.verification().await;
    assert_eq!(house.push(&authorization, house.signed(&answer)).await, 202);
    let good = house.claims("set-1", &canary());
    assert_eq!(house.push(&authorization, house.signed(&good)).await, 202);
    let (mut strange, mut malformed) = (good.clone(), good.clone());
    strange["aud"] = json!("https://canary.example");
    malformed["sub_id"] = json!({"format": "email", "email": "canary at example", "canary@example.com": 1});
    for refused in [&strange, &malformed, &house.claims("canary@example.com", &json!("canary@example.com"))] {
        assert_eq!(house.push(&authorization, house.signed(refused)).await, 400);
    }
    let stranger = SigningKey::generate(Algorithm::Rs256).unwrap();
    let header = json!({"typ": "secevent+jwt", "alg": "RS256", "kid": "canary@example.com"});
    let forged = jws(&header, &good, |message| stranger.sign(message).unwrap());
    assert_eq!(house.push(&authorization, forged).await, 400);
    assert_eq!(house.push("Bearer hush-wrong", house.signed(&good)).await, 400);

    let called = house.callback().await;
    assert!(called.contains("\"sid\":\"s-1\"") && called.contains("\"change\":\"revoked\""), "{called}");
    assert!(!is_in(&called, "canary"), "the application is told: {called}");
    let checked = house.call(Verb::GET, "/v1/sessions/s-1", Value::Null).await;
    assert_eq!(checked["state"], "revoked", "all of it went through the whole receiver: {checked}");
    house.process.stop().await.unwrap();
    let log = std::fs::read_to_string(house.desk.0.join("rp.log")).unwrap();
    assert!(log.contains("DEBUG") && log.contains("a SET is refused"), "{log}");
    assert!(log.contains("a verification event has come"), "{log}");
    let stored = everything_stored(&house.pool).await;
    assert!(tables_in(&stored) >= 6, "too few tables were written to");
    let bearer = authorization.trim_start_matches("Bearer ");
    let signing = WEBHOOK_SECRET.trim_start_matches("whsec_");
    for secret in ["canary", "hush-", bearer, &house.subject_key, signing] {
        for line in log.lines() {
            assert!(!is_in(line, secret), "the log says: {line}");
        }
        for (table, row) in &stored {
            assert!(!is_in(row, secret), "{table}: {row}");
        }
    }
}

/// A real receiver that logs everything it can, and a transmitter that answers as it should.
struct House {
    process: Process,
    transmitter: MockServer,
    application: MockServer,
    key: SigningKey,
    pool: PgPool,
    subject_key: String,
    http: Client,
    desk: Desk,
}

/// Signs callbacks.
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A directory that goes with the story.
struct Desk(PathBuf);

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl House {
    async fn start() -> Self {
        let random: &dyn Random = &SystemRandom;
        let desk = Desk(std::env::temp_dir().join(format!("ssf-house-{}", random.secret())));
        std::fs::create_dir(&desk.0).unwrap();
        let (transmitter, key) = (MockServer::start().await, SigningKey::generate(Algorithm::Rs256).unwrap());
        publish(&transmitter, &key).await;
        let application = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(204)).mount(&application).await;
        let issuer = transmitter.uri();
        let base = format!("http://127.0.0.1:{}", free_port().unwrap());
        let stream = json!({
            "stream_id": "stream-1", "iss": issuer, "aud": AUDIENCE, "events_requested": [], "events_delivered": [],
            "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": format!("{base}/ssf/push/idp")},
        });
        let token = json!({"access_token": "hush-access-token", "token_type": "bearer", "expires_in": 600});
        for (verb, at, answer) in [
            ("POST", "/oauth2/token", ok(&token)),
            ("POST", "/ssf/streams", ok(&stream)),
            ("POST", "/ssf/verify", ResponseTemplate::new(204)),
        ] {
            Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(&transmitter).await;
        }
        let database = TestCluster::shared().await.scratch_database("privacy").await.unwrap();
        let subject_key = random.secret();
        let config = format!(
            "[server]\nlisten = \"{listen}\"\npublic_url = \"{base}\"\n[api]\ntoken = \"hush-api-token\"\n\
             [database]\nurl = \"{url}\"\n[privacy]\nsubject_key = \"{subject_key}\"\n[log]\nfilter = \"debug\"\n\
             [upstreams.idp]\nissuer = \"{issuer}\"\ndelivery = \"push\"\nclient_id = \"rp\"\n\
             client_secret = \"hush-client-secret\"\ntoken_url = \"{issuer}/oauth2/token\"\n\
             [effects.app]\nurl = \"{application}/hush-path\"\nsecret = \"{WEBHOOK_SECRET}\"\n",
            application = application.uri(),
            listen = base.trim_start_matches("http://"),
            url = database.url,
        );
        let http = Client::builder().no_proxy().build().unwrap();
        let mut process = Process::new("rp", binaries::receiver(), &desk.0, base, &config).unwrap();
        process.start().unwrap();
        process.ready(&http).await.unwrap();
        let pool = ssf_common::runtime::postgres::connect(database.options.clone(), SCHEMA, 2, "e2e").await.unwrap();
        Self { process, transmitter, application, key, pool, subject_key, http, desk }
    }

    /// What the receiver registered to be pushed with, as soon as the stream is there and a verification was asked for.
    async fn authorization(&self) -> String {
        let begin = Instant::now();
        loop {
            let requests = self.transmitter.received_requests().await.unwrap();
            let is_kept = requests.iter().any(|request| request.url.path() == "/ssf/verify");
            let created = requests.iter().find(|request| request.url.path() == "/ssf/streams");
            if let Some(created) = created.filter(|_| is_kept) {
                let asked: Value = serde_json::from_slice(&created.body).unwrap();
                return asked["delivery"]["authorization_header"].as_str().unwrap().to_owned();
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "no stream: {}", self.process.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the application was called back with, headers and body.
    async fn callback(&self) -> String {
        let begin = Instant::now();
        loop {
            if let Some(called) = self.application.received_requests().await.unwrap().first() {
                return format!("{:?} {}", called.headers, String::from_utf8_lossy(&called.body));
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "no callback: {}", self.process.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A revocation of now; the receiver runs on the real clock.
    fn claims(&self, jti: &str, subject: &Value) -> Value {
        let now = ssf_common::runtime::Env::system().now().unix_seconds();
        let revoked = json!({"event_timestamp": now, "reason_admin": {"en": "canary@example.com"}});
        json!({
            "iss": self.transmitter.uri(), "aud": AUDIENCE, "jti": jti, "iat": now, "sub_id": subject,
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": revoked},
        })
    }

    /// The answer to the verification that was asked for last.
    async fn verification(&self) -> Value {
        let requests = self.transmitter.received_requests().await.unwrap();
        let asked = requests.iter().rev().find(|request| request.url.path() == "/ssf/verify").unwrap();
        let asked: Value = serde_json::from_slice(&asked.body).unwrap();
        let mut claims = self.claims("verification-1", &json!({"format": "opaque", "id": "stream-1"}));
        claims["events"] =
            json!({"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": asked["state"]}});
        claims
    }

    fn signed(&self, claims: &Value) -> String {
        let header = json!({"typ": "secevent+jwt", "alg": "RS256", "kid": self.key.key_id()});
        jws(&header, claims, |message| self.key.sign(message).unwrap())
    }

    async fn push(&self, authorization: &str, set: String) -> u16 {
        let request = self.http.post(format!("{}/ssf/push/idp", self.process.base)).body(set);
        let request = request.header("content-type", "application/secevent+jwt").header("authorization", authorization);
        request.send().await.unwrap().status().as_u16()
    }

    /// A call of the application, with its token; a session began an hour ago at the issuer.
    async fn call(&self, verb: Verb, at: &str, mut body: Value) -> Value {
        let request = self.http.request(verb, format!("{}{at}", self.process.base)).bearer_auth("hush-api-token");
        let request = match body.as_object_mut() {
            Some(members) => {
                let began = ssf_common::runtime::Env::system().now().unix_seconds() - 3_600;
                members.insert("issuer".to_owned(), json!(self.transmitter.uri()));
                members.insert("origin".to_owned(), json!(began));
                request.json(&body)
            }
            None => request,
        };
        request.send().await.unwrap().json().await.unwrap_or_default()
    }
}
