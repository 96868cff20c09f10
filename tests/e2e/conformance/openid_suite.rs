//! What the modules of the OpenID Foundation's test plans have in common: a receiver that prepares itself as the suite
//! does, and the checks it makes of every SET.

use std::time::Duration;

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use ssf_harness::idp::{Idp, Party, claims};
use ssf_harness::sink::Sink;
use ssf_transmitter::admin::NewClient;

use super::{Answer, POLL, PUSH, Scene, header_of, text};

/// How SETs are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Push,
    Poll,
}

/// Where the token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Static,
    Dynamic,
}

/// The suite as one variant of a module runs it: a receiver of its own, with one stream at most.
pub(super) struct Suite {
    pub(super) scene: Scene,
    pub(super) mode: Mode,
    pub(super) token: String,
    pub(super) sink: Sink,
    rp: Party,
}

impl Mode {
    pub(super) const ALL: [Self; 2] = [Self::Push, Self::Poll];

    pub(super) const fn urn(self) -> &'static str {
        match self {
            Self::Push => PUSH,
            Self::Poll => POLL,
        }
    }
}

impl Auth {
    pub(super) const ALL: [Self; 2] = [Self::Static, Self::Dynamic];
}

/// Plays a module in every variant.
pub(super) async fn play(module: impl AsyncFn(&Suite)) {
    play_with(&Mode::ALL, &Auth::ALL, module).await;
}

/// Plays a module in these variants.
pub(super) async fn play_with(modes: &[Mode], auths: &[Auth], module: impl AsyncFn(&Suite)) {
    let mut scene = Some(Scene::start_with(&[("issuer.algorithm", "RS256")]).await);
    for mode in modes {
        for auth in auths {
            let suite = Suite::prepare(scene.take().unwrap(), *mode, *auth).await;
            module(&suite).await;
            scene = Some(suite.scene);
        }
    }
}

impl Suite {
    async fn prepare(scene: Scene, mode: Mode, auth: Auth) -> Self {
        let name = format!("suite-{mode:?}-{auth:?}");
        let new = NewClient { with_token: true, ..NewClient::receiver(&name, &format!("https://{name}.example")) };
        let rp = scene.idp.add_client(new).await;
        let mut suite = Self { scene, mode, token: rp.token.clone(), sink: Sink::start().await, rp };
        if auth == Auth::Dynamic {
            let granted = suite.token("ssf.read ssf.manage").await;
            assert!(granted["expires_in"].as_u64().is_some_and(|seconds| seconds <= 3_600), "{granted}");
            text(&granted, "access_token").clone_into(&mut suite.token);
        }
        suite
    }

    /// A token from the announced endpoint; the suite names its client in the body as well.
    pub(super) async fn token(&self, scope: &str) -> Value {
        let server = self.scene.document("oauth-authorization-server").await.json();
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", scope)
            .append_pair("client_id", &self.rp.client_id)
            .finish();
        let basic = base64::prelude::BASE64_STANDARD.encode(format!("{}:{}", self.rp.client_id, self.rp.secret));
        let basic = format!("Basic {basic}");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic.as_str())];
        let granted = self.scene.send(Method::POST, text(&server, "token_endpoint"), &headers, form).await;
        granted.assert_json(200)
    }

    /// What the suite sends to create, update and replace its stream.
    pub(super) fn wanted(&self, id: Option<&str>, description: &str) -> Value {
        let caep = ["session-revoked", "credential-change", "device-compliance-change"];
        let requested: Vec<String> = caep.iter().map(|name| format!("{}{name}", super::CAEP)).collect();
        let delivery = match self.mode {
            Mode::Push => {
                json!({"method": PUSH, "endpoint_url": self.sink.url, "authorization_header": self.push_token()})
            }
            Mode::Poll => json!({"method": POLL}),
        };
        let mut body = json!({"description": description, "events_requested": requested, "delivery": delivery});
        if let Some(id) = id {
            body["stream_id"] = json!(id);
        }
        body
    }

    /// What the suite wants to see in `Authorization` of each push.
    pub(super) fn push_token(&self) -> String {
        format!("Bearer push_token_{}", self.rp.client_id)
    }

    pub(super) async fn configure(&self, verb: Method, body: &Value) -> Answer {
        self.scene.call(verb, &self.scene.endpoint("configuration_endpoint"), &self.token, Some(body)).await
    }

    pub(super) async fn create(&self) -> Value {
        let stream = self.configure(Method::POST, &self.wanted(None, "created")).await.assert_json(201);
        for member in ["stream_id", "iss", "aud", "events_delivered", "delivery"] {
            assert!(stream.get(member).is_some(), "{member} is missing in {stream}");
        }
        assert_eq!(stream["delivery"]["method"], self.mode.urn());
        if self.mode == Mode::Push {
            assert_eq!(stream["delivery"]["endpoint_url"], json!(self.sink.url));
        }
        stream
    }

    pub(super) async fn create_id(&self) -> String {
        text(&self.create().await, "stream_id").to_owned()
    }

    /// The id of a stream that was created and deleted.
    pub(super) async fn gone(&self) -> String {
        let id = self.create_id().await;
        self.delete(&id).await.assert_empty(204);
        id
    }

    pub(super) async fn read(&self, id: &str) -> Answer {
        self.scene.call(Method::GET, &self.scene.about("configuration_endpoint", id), &self.token, None).await
    }

    pub(super) async fn status(&self, id: &str) -> Answer {
        self.scene.call(Method::GET, &self.scene.about("status_endpoint", id), &self.token, None).await
    }

    /// Sets the status and is answered with it.
    pub(super) async fn set_status(&self, id: &str, status: &str) {
        let wish = json!({"stream_id": id, "status": status});
        let url = self.scene.endpoint("status_endpoint");
        let answer = self.scene.call(Method::POST, &url, &self.token, Some(&wish)).await.assert_json(200);
        assert_eq!(answer["status"], status);
    }

    pub(super) async fn delete(&self, id: &str) -> Answer {
        self.scene.call(Method::DELETE, &self.scene.about("configuration_endpoint", id), &self.token, None).await
    }

    /// A body that is not JSON, to the configuration endpoint.
    pub(super) async fn broken(&self, verb: Method) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.scene.send(verb, &self.scene.endpoint("configuration_endpoint"), &headers, "{broken json").await
    }

    pub(super) async fn assert_challenged(&self, verb: Method, member: &str, body: &Value) {
        self.assert_challenged_at(verb, &self.scene.endpoint(member), Some(body)).await;
    }

    /// Asserts that a token nobody gave is answered 401 with a challenge that says so.
    pub(super) async fn assert_challenged_at(&self, verb: Method, url: &str, body: Option<&Value>) {
        let answer = self.scene.call(verb, url, "invalid", body).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!(answer.status, 401, "{answer}");
        assert!(challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""), "{challenge}");
    }

    /// Asserts that a stream shows what was sent.
    pub(super) fn assert_reflects(&self, shown: &Value, sent: &Value) {
        for member in ["description", "events_requested"] {
            assert_eq!(shown.get(member), sent.get(member), "{member}");
        }
        assert_eq!(shown["delivery"]["method"], sent["delivery"]["method"]);
        if self.mode == Mode::Push {
            assert_eq!(shown["delivery"]["endpoint_url"], sent["delivery"]["endpoint_url"]);
        }
        let requested = sent["events_requested"].as_array().unwrap();
        assert!(shown["events_delivered"].as_array().unwrap().iter().all(|uri| requested.contains(uri)));
    }

    /// Asks for a verification event, not too soon.
    pub(super) async fn trigger_verification(&self, id: &str, state: &str) {
        self.scene.idp.advance(Duration::from_secs(10));
        let body = json!({"stream_id": id, "state": state});
        let url = self.scene.endpoint("verification_endpoint");
        let answer = self.scene.call(Method::POST, &url, &self.token, Some(&body)).await;
        assert_eq!((answer.status, answer.bytes.len()), (204, 0), "{answer}");
    }

    /// Polls as the suite does, with these members besides; the answer's `sets`, in which nothing is but SETs.
    pub(super) async fn poll(&self, stream: &Value, more: &Value) -> Vec<(String, String)> {
        self.scene.idp.fan_out().await;
        let mut body = json!({"maxEvents": 10, "returnImmediately": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let url = text(&stream["delivery"], "endpoint_url");
        let bearer = format!("Bearer {}", self.token);
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("content-language", "en")];
        let answer = self.scene.send(Method::POST, url, &headers, body.to_string()).await.assert_json(200);
        let sets = answer["sets"].as_object().unwrap();
        assert!(sets.len() <= usize::try_from(body["maxEvents"].as_u64().unwrap()).unwrap());
        sets.iter().map(|(jti, set)| (jti.clone(), set.as_str().unwrap().to_owned())).collect()
    }

    /// What was delivered until now, as compact SETs; by poll, acknowledged.
    pub(super) async fn delivered(&self, stream: &Value) -> Vec<String> {
        match self.mode {
            Mode::Push => {
                self.scene.idp.drain().await;
                for request in self.sink.requests() {
                    assert_eq!(request.header("authorization"), Some(self.push_token().as_str()));
                }
                self.sink.requests().into_iter().map(|request| request.set).collect()
            }
            Mode::Poll => {
                let (mut all, mut acked) = (Vec::new(), Vec::new());
                loop {
                    let sets = self.poll(stream, &json!({"ack": acked})).await;
                    if sets.is_empty() {
                        return all;
                    }
                    acked = sets.iter().map(|(jti, _)| jti.clone()).collect();
                    all.extend(sets.into_iter().map(|(_, set)| set));
                }
            }
        }
    }

    /// Asserts what the suite asserts of every SET; its only event, as type and payload.
    pub(super) async fn assert_set(&self, set: &str, stream: &Value) -> (String, Value) {
        let idp: &Idp = &self.scene.idp;
        idp.verify(set, &self.rp).await;
        let header = header_of(set);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("secevent+jwt"), &json!("RS256")));
        let claims = claims(set);
        assert!(claims.get("sub").is_none() && claims.get("exp").is_none(), "{claims}");
        assert_eq!((&claims["iss"], &claims["aud"]), (&stream["iss"], &stream["aud"]));
        let now = ssf_common::clock::Clock::now(&*idp.clock).unix_seconds();
        assert!(claims["iat"].as_i64().is_some_and(|iat| iat <= now), "{claims}");
        assert!(claims["jti"].is_string() && claims["txn"].is_string() && claims["sub_id"].is_object(), "{claims}");
        let mut events = claims["events"].as_object().unwrap().clone().into_iter();
        let (Some((uri, payload)), None) = (events.next(), events.next()) else { panic!("not one event: {claims}") };
        assert!(payload.is_object());
        (uri, payload)
    }

    /// Asserts that a SET is the verification event of this stream with this state.
    pub(super) async fn assert_verification(&self, set: &str, stream: &Value, state: &str) {
        let (uri, payload) = self.assert_set(set, stream).await;
        assert_eq!((uri.as_str(), &payload), (super::VERIFICATION, &json!({"state": state})));
        assert_eq!(claims(set)["sub_id"], json!({"format": "opaque", "id": stream["stream_id"]}));
    }

    /// Whether its receiver has not asked for anything since it made the stream.
    pub(super) async fn is_idle(&self, id: &str) -> bool {
        let query = "select last_activity_at = created_at from stream where id = $1::uuid";
        sqlx::query_scalar(query).bind(id).fetch_one(&self.scene.idp.pool).await.unwrap()
    }

    /// Hands in a decision on the transmitter's side.
    pub(super) async fn decide(&self, event: &Value) {
        self.scene.idp.emit(&self.scene.producer, event).await;
    }
}
