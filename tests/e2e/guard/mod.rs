//! Stories about who is let through: gateways that ask `/v1/authz`, an application behind the tower layer, the unix
//! socket, and sessions of OIDC, SAML and opaque tokens. The receiver is the whole one; events reach it as pushed SETs.

mod assertions;
mod authz;
mod example;
mod layer;
mod nginx;
mod socket;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use ssf_common::runtime::Shutdown;
use ssf_common::runtime::http::{Server, UnixDoor};

use crate::peer::Peer;
use crate::rp::START;

/// A receiver at work, also at a unix socket, and what its transmitter must show.
pub(crate) struct Gate {
    pub(crate) peer: Peer,
    pub(crate) folder: Folder,
    authorization: String,
    serving: Shutdown,
    told: AtomicU32,
}

impl Gate {
    pub(crate) async fn open() -> Self {
        // the subjects of a SAML IdP carry its entity id, which is not its issuer of SETs
        let saml = ("upstreams.idp.authority.issuers", "[\"https://idp.example/saml\"]");
        let peer = Peer::start_with("push", &[saml]).await;
        peer.is_helpful().await;
        peer.keep().await;
        let authorization = peer.authorization().await;
        let (folder, serving) = (Folder::new("gate"), Shutdown::default());
        let door = UnixDoor::bind(&folder.0.join("api.sock"), 0o600, "server.socket").unwrap();
        let (router, stop) = (peer.receiver.socket_router(), serving.clone());
        serving.spawn("socket", async move { Server::default().serve_unix(door, router, &stop).await.unwrap() });
        let gate = Self { peer, folder, authorization, serving, told: AtomicU32::new(0) };
        // a sign of life: who was never heard of is out of touch
        gate.tell("session-revoked", &json!({"format": "opaque", "id": "nobody"})).await;
        gate.peer.receiver.replica().follow_changes().await.unwrap();
        gate
    }

    /// The unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.0.join("api.sock")
    }

    /// The issuer of the events.
    pub(crate) fn issuer(&self) -> String {
        self.peer.server.uri()
    }

    /// Registers a session of this user, begun a while ago unless told otherwise; gives back its state.
    pub(crate) async fn register(&self, sid: &str, mut description: Value) -> String {
        for (member, value) in [("issuer", json!(self.issuer())), ("origin", json!(START - 1_000))] {
            description.as_object_mut().unwrap().entry(member).or_insert(value);
        }
        let url = format!("{}/v1/sessions/{sid}", self.peer.base);
        let answer = self.peer.http.put(url).json(&description).send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert!(status.is_success(), "{body}");
        body["state"].as_str().unwrap().to_owned()
    }

    /// The issuer decides, now, and tells it by push.
    pub(crate) async fn tell(&self, event: &str, subject: &Value) {
        let number = self.told.fetch_add(1, Ordering::Relaxed);
        let uri = match event {
            "revalidate" => "urn:uuid:0d607c6e-95de-5e8e-bc1d-e33d8059032c".to_owned(),
            other => format!("https://schemas.openid.net/secevent/caep/event-type/{other}"),
        };
        let mut claims = self.peer.claims(&format!("set-{number}"));
        let now = ssf_common::clock::Clock::now(&*self.peer.clock).unix_seconds();
        claims["iat"] = json!(now);
        claims["sub_id"] = subject.clone();
        claims["events"] = json!({uri: {"event_timestamp": now}});
        let answer = self.peer.push(&self.authorization, self.peer.signed(&claims)).await;
        assert_eq!(answer, (202, String::new()));
    }

    /// The stop of the socket.
    pub(crate) async fn close(&self) {
        self.serving.begin();
        self.serving.wait().await;
    }
}

/// A bare subject.
pub(crate) fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// A directory that goes away with the story.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ssf-{}-{name}{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
