//! The operator's commands beside a running service: the policy in force, what is withheld, what is known, who is forgotten.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use ssf_common::event::{Event, EventType, Vocabulary};
use ssf_common::jwks::{Algorithm, SigningKey, VerifyingKeys};
use ssf_common::runtime::Env;
use ssf_common::set::{self, Audience, Claims, Policy};
use ssf_common::subject::Subject;
use ssf_harness::idp::Idp;
use ssf_harness::processes::{Process, free_port};
use ssf_harness::{TestCluster, binaries};
use ssf_receiver::config::{AuthoritySettings, Level, Rules};
use ssf_receiver::inbox::{Context, Inbox};
use ssf_receiver::replica::{Plan, Replica};
use ssf_receiver::session::Keyring;
use ssf_receiver::upstream::{Method, UpstreamId};

use crate::folder::Folder;

/// A second process of the receiver, as far as taking SETs in goes.
struct Beside {
    inbox: Inbox,
    upstream: UpstreamId,
    issuer: String,
    key: SigningKey,
    env: Env,
}

impl Beside {
    async fn on(pool: &PgPool, issuer: &str) -> Self {
        let env = Env::system();
        let plan = Plan { name: "beside".to_owned(), sessions: 10, keep_seen: Duration::from_mins(1) };
        let replica = Replica::open(pool.clone(), env.clone(), plan).await.unwrap();
        let inbox = Inbox::new(pool.clone(), env.clone(), Keyring::new(&vec![0; 32].into()), replica);
        let upstream = sqlx::query_scalar("select id from upstream").fetch_one(pool).await.unwrap();
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        Self { inbox, upstream: UpstreamId(upstream), issuer: issuer.to_owned(), key, env }
    }

    async fn tell(&self, event: &str, subject: &Value, payload: &Value) {
        let (vocabulary, now) = (Vocabulary::default(), self.env.now());
        let claims = Claims {
            iss: self.issuer.as_str().into(),
            aud: Audience(vec!["https://rp.example".to_owned()]),
            jti: event.into(),
            iat: now,
            txn: None,
            toe: None,
            sub_id: Subject::parse(subject).unwrap(),
            event: Event::parse(EventType::from_name(event, &vocabulary).unwrap(), payload).unwrap(),
            timeline: None,
        };
        let raw = set::sign(&claims, &vocabulary, &self.key, None).unwrap();
        let policy = Policy::new(self.issuer.as_str().into(), vec!["https://rp.example".to_owned()]);
        let published = json!({"keys": [self.key.public_jwk()]}).to_string();
        let published = VerifyingKeys::parse(published.as_bytes()).unwrap();
        let set = set::verify(raw.as_bytes(), &policy, &published, now).unwrap();
        let authority = AuthoritySettings { formats: vec!["opaque".to_owned()], ..AuthoritySettings::default() };
        let context = Context { upstream_id: self.upstream, received_at: now, method: Method::Push, level: Level::Sl2 };
        let rules = Rules { authority, ..Rules::default() };
        self.inbox.receive_under(&rules, set, context).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_decided_about_is_seen_and_settled_by_command() {
    let (idp, folder, port) = (Idp::start().await, Folder::new(), free_port().unwrap());
    let database = TestCluster::shared().await.scratch_database("decisions").await.unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[database]\nurl = \"{url}\"\n[privacy]\n\
         subject_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n[policy]\ncredential-change.create = \"ignore\"\n\
         [upstreams.idp]\nissuer = \"{issuer}\"\ndelivery = \"push\"\ntoken = \"t\"\n\
         tenants.acme.policy = {{ token-claims-change = \"revoke\" }}\nauthority = {{ formats = [\"opaque\"] }}\n",
        url = database.url,
        issuer = idp.issuer,
    );
    let mut service = Process::new("receiver", binaries::receiver(), &folder.0, base.clone(), &config).unwrap();
    service.start().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    service.ready(&http).await.unwrap();
    let run = |arguments: &[&str]| service.command(arguments).unwrap();
    let row = |table: &str, event: &str| -> String {
        table
            .lines()
            .find(|line| line.starts_with(&format!("{event} ")))
            .unwrap()
            .split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let table = run(&["policy"]);
    assert_eq!(row(&table, "credential-change.create"), "ignore policy");
    assert_eq!(row(&table, "session-revoked"), "revoke default");
    let of_tenant = run(&["policy", "--upstream", "idp", "--tenant", "acme"]);
    assert_eq!(row(&of_tenant, "token-claims-change"), "revoke tenant");
    assert!(
        service.command(&["policy", "--upstream", "nobody"]).unwrap_err().to_string().contains("no upstream nobody")
    );

    let user = json!({"format": "email", "email": "a@example.com"});
    let origin = Env::system().now().unix_seconds() - 100;
    let session = json!({"issuer": idp.issuer, "subject": user, "session": "s", "origin": origin});
    let put = http.put(format!("{base}/v1/sessions/s")).json(&session).send().await.unwrap();
    assert_eq!(put.status().as_u16(), 201);
    // another process of the same receiver takes SETs in
    let pool = sqlx::PgPool::connect_with(database.options.clone().options([("search_path", ssf_receiver::SCHEMA)]))
        .await
        .unwrap();
    let beside = Beside::on(&pool, idp.issuer.as_str()).await;
    let compliant = json!({"current_status": "compliant", "previous_status": "not-compliant"});
    beside.tell("device-compliance-change", &json!({"format": "opaque", "id": "s"}), &compliant).await;
    beside.tell("session-revoked", &user, &json!({})).await;
    let known = run(&["facts", "s"]);
    assert!(known.starts_with("device") && known.contains("compliant"), "{known}");
    let listed: Value = serde_json::from_str(&run(&["withheld", "list", "--json"])).unwrap();
    assert_eq!((&listed[0]["reason"], &listed[0]["effect"]), (&json!("format"), &json!("revoke")));
    let id = listed[0]["id"].to_string();
    assert!(run(&["withheld", "list"]).contains("session-revoked would revoke  held back: format"));
    assert_eq!(run(&["withheld", "apply", &id]), "it is in force\n");
    assert!(service.command(&["withheld", "discard", &id]).unwrap_err().to_string().contains("nothing of this number"));
    assert_eq!(run(&["withheld", "list"]), "nothing is withheld\n");
    let done: Value =
        serde_json::from_str(&run(&["forget", "subject", "--issuer", idp.issuer.as_str(), &user.to_string()])).unwrap();
    assert_eq!((&done["sessions"], &done["cutoffs_kept"]), (&json!(1), &json!(1)), "{done}");
    let nobody = service.command(&["forget", "subject", "--issuer", idp.issuer.as_str(), "{"]).unwrap_err().to_string();
    assert!(nobody.contains("the subject is not JSON"), "{nobody}");
    service.stop().await.unwrap();
}
