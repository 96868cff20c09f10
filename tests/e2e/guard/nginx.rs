//! A real nginx in front of a page, with `auth_request` to the receiver, over its unix socket and over TCP.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use reqwest::{Client, Response};
use serde_json::json;
use ssf_harness::processes::free_port;

use super::{Folder, Gate, opaque};

/// An nginx of its own, in its own directory, on its own port; ended with the story.
struct Nginx {
    child: Child,
    base: String,
    _folder: Folder,
}

impl Nginx {
    /// Guards `page` (an address) by asking `receiver` (what `proxy_pass` takes).
    async fn start(receiver: &str, page: &str) -> Self {
        let folder = Folder::new("nginx");
        let port = free_port().unwrap();
        let at = folder.path().display();
        let configuration = format!(
            r#"
            daemon off; master_process off; worker_processes 1; pid {at}/nginx.pid; error_log stderr warn;
            events {{ worker_connections 64; }}
            http {{
                access_log off;
                client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
                fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                upstream receiver {{ server {receiver}; keepalive 8; }}
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        auth_request /_authz;
                        auth_request_set $ssf_state $upstream_http_x_ssf_state;
                        add_header X-Session-State $ssf_state always;
                        proxy_pass http://{page};
                    }}
                    location = /_authz {{
                        internal;
                        proxy_pass http://receiver/v1/authz;
                        proxy_http_version 1.1;
                        proxy_set_header Connection "";
                        proxy_set_header X-Session-Id "";
                        proxy_pass_request_body off;
                        proxy_set_header Content-Length "";
                    }}
                }}
            }}"#
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
        let child = command.spawn().expect("nginx is missing: run .ci/bootstrap, or apt-get install nginx-light");
        let nginx = Self { child, base: format!("http://127.0.0.1:{port}"), _folder: folder };
        nginx.listening(port).await
    }

    async fn listening(mut self, port: u16) -> Self {
        let patience = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "nginx ended; its complaint stands above");
            assert!(patience.elapsed() < Duration::from_secs(20), "nginx does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The application: a page that never asks who is there.
async fn page() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = Router::new().route("/page", get(|| async { "for your eyes only" }));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

fn seen(answer: &Response) -> (u16, String, String) {
    let text = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), text("x-session-state"), text("www-authenticate"))
}

/// The whole story, by whichever way nginx asks.
async fn is_guarded_by(gate: &Gate, receiver: &str) {
    let nginx = Nginx::start(receiver, &page().await).await;
    let http = Client::builder().no_proxy().build().unwrap();
    let ask = |cookie: &'static str| http.get(format!("{}/page", nginx.base)).header("cookie", cookie).send();

    let passed = ask("session=s-1").await.unwrap();
    assert_eq!(seen(&passed), (200, "active".to_owned(), String::new()));
    assert_eq!(passed.text().await.unwrap(), "for your eyes only");
    let nobody = http.get(format!("{}/page", nginx.base)).header("x-session-id", "s-1").send().await.unwrap();
    assert_eq!(seen(&nobody), (401, String::new(), "Bearer".to_owned()), "nginx removes the header a client wrote");

    gate.tell("revalidate", &opaque("alice")).await;
    let (status, state, challenge) = seen(&ask("session=s-1").await.unwrap());
    assert_eq!((status, state.as_str()), (401, "revalidate_required"));
    assert!(challenge.starts_with("Bearer error=\"insufficient_user_authentication\""), "{challenge}");
    assert!(challenge.ends_with(",acr_values=\"urn:gold\",max_age=\"300\""), "{challenge}");

    gate.tell("session-revoked", &opaque("alice")).await;
    let over = ask("session=s-1").await.unwrap();
    let (status, state, challenge) = seen(&over);
    assert_eq!((status, state.as_str()), (401, "revoked"));
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    assert!(!over.text().await.unwrap().contains("for your eyes only"));
    assert_eq!(seen(&ask("session=s-2").await.unwrap()).0, 200, "the others go on");
}

async fn with_two_sessions() -> Gate {
    let gate = Gate::open().await;
    gate.register("s-1", json!({"subject": opaque("alice")})).await;
    gate.register("s-2", json!({"subject": opaque("bob")})).await;
    gate
}

#[tokio::test]
async fn nginx_asks_over_the_unix_socket_and_lets_nobody_through_when_it_is_gone() {
    let gate = with_two_sessions().await;
    is_guarded_by(&gate, &format!("unix:{}", gate.socket().display())).await;

    let nginx = Nginx::start(&format!("unix:{}", gate.socket().display()), &page().await).await;
    let http = Client::builder().no_proxy().build().unwrap();
    let ask = || http.get(format!("{}/page", nginx.base)).header("cookie", "session=s-2").send();
    assert_eq!(ask().await.unwrap().status(), 200);
    gate.close().await;
    let away = ask().await.unwrap();
    assert_eq!(away.status(), 500, "auth_request knows no other answer");
    assert!(!away.text().await.unwrap().contains("for your eyes only"));
}

#[tokio::test]
async fn nginx_asks_over_tcp() {
    let gate = with_two_sessions().await;
    let address = gate.peer.base.strip_prefix("http://").unwrap().to_owned();
    is_guarded_by(&gate, &address).await;
}
