//! `server.socket` of a real `ssf-receiver serve`: what is served there, to whom, and what a killed process leaves.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use ssf_harness::processes::{Process, free_port};
use ssf_harness::road::an_hour_ago;
use ssf_harness::{TestCluster, binaries};

use super::Folder;

fn over(socket: &std::path::Path) -> Client {
    Client::builder().unix_socket(socket.to_owned()).timeout(Duration::from_secs(20)).build().unwrap()
}

#[tokio::test]
async fn the_socket_serves_the_application_without_a_token_and_survives_a_crash() {
    let (folder, port) = (Folder::new("serve"), free_port().unwrap());
    let database = TestCluster::shared().await.scratch_database("socket").await.unwrap();
    let socket = folder.path().join("run").join("api.sock");
    let config = |more: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nsocket = \"{}\"\n{more}\n[api]\ntoken = \"of-the-application\"\n\
             [database]\nurl = \"{}\"\n[privacy]\nsubject_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n\
             [upstreams.idp]\nissuer = \"http://127.0.0.1:9\"\ndelivery = \"push\"\ntoken = \"t\"\n",
            socket.display(),
            database.url
        )
    };
    let base = format!("http://127.0.0.1:{port}");
    let process = |name: &str, more: &str| {
        Process::new(name, binaries::receiver(), folder.path(), base.clone(), &config(more)).unwrap()
    };
    let http = Client::builder().no_proxy().build().unwrap();
    let mut receiver = process("first", "socket_mode = \"0640\"");
    receiver.start().unwrap();
    receiver.ready(&http).await.unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o640);

    let local = over(&socket);
    let register =
        json!({"issuer": "http://127.0.0.1:9", "subject": {"format": "opaque", "id": "u"}, "origin": an_hour_ago()});
    assert_eq!(local.put("http://x/v1/sessions/s").json(&register).send().await.unwrap().status(), 201);
    let checked: Value =
        local.post("http://x/v1/check").json(&json!({"sid": "s"})).send().await.unwrap().json().await.unwrap();
    assert_eq!(checked["state"], "active");
    let status = async |path: &str| {
        local.get(format!("http://x{path}")).header("x-session-id", "s").send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("/v1/authz").await, 200);
    assert_eq!(status("/health/live").await, 200);
    for elsewhere in ["/admin/audit", "/ssf/push/idp", "/"] {
        assert_eq!(status(elsewhere).await, 404, "{elsewhere}");
    }
    assert_eq!(http.get(format!("{base}/v1/authz")).send().await.unwrap().status(), 401, "TCP asks for the token");
    let shown = http.get(format!("{base}/v1/authz")).bearer_auth("of-the-application").header("x-session-id", "s");
    assert_eq!(shown.send().await.unwrap().status(), 200);

    receiver.kill().unwrap();
    assert!(socket.exists(), "a killed process leaves its socket");
    let mut second = process("second", "socket_admin = true");
    second.start().unwrap();
    second.ready(&http).await.unwrap();
    assert_eq!(over(&socket).get("http://x/admin/audit").send().await.unwrap().status(), 200);

    let refused =
        process("third", "").command(&["serve", "--set", &format!("server.listen=127.0.0.1:{}", free_port().unwrap())]);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("server.socket = ") && said.contains("is listened at by another process"), "{said}");
    assert_eq!(over(&socket).get("http://x/health/live").send().await.unwrap().status(), 200, "and left alone");
    second.stop().await.unwrap();
    assert!(!socket.exists(), "an orderly stop clears it away");
}
