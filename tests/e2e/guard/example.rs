//! The example application as a program: log in, a page, a revoke that ends it, a revalidate that sends it to the identity
//! provider and back.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::{Client, Method, StatusCode, redirect};
use rustix::process::{Pid, Signal, kill_process};
use ssf_harness::binaries;

/// The example as a process; ended with the value.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// A browser: it keeps cookies, follows redirects and says where it ended.
struct Browser {
    http: Client,
    cookies: BTreeMap<String, String>,
    /// Where it was, from the first page to the last, without queries.
    way: Vec<String>,
}

impl Browser {
    fn new() -> Self {
        let http = Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new(), way: Vec::new() }
    }

    /// Opens a page or sends a form, and follows to where that leads: status, URL, text.
    async fn go(&mut self, method: Method, url: &str, form: &[(&str, &str)]) -> (StatusCode, String, String) {
        let (mut method, mut url, mut form) = (method, url.to_owned(), form);
        self.way.clear();
        for _ in 0..10 {
            self.way.push(url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned());
            let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            let request = self.http.request(method.clone(), &url).header("accept", "text/html");
            let request = request.header("cookie", cookies.join("; "));
            let request = if method == Method::POST { request.form(form) } else { request };
            let answer = request.send().await.unwrap();
            for cookie in answer.headers().get_all("set-cookie") {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            if !answer.status().is_redirection() {
                return (answer.status(), url, answer.text().await.unwrap());
            }
            let location = answer.headers()["location"].to_str().unwrap();
            url = answer.url().join(location).unwrap().to_string();
            (method, form) = (Method::GET, &[]);
        }
        panic!("the redirects do not end: {:?}", self.way);
    }

    async fn get(&mut self, url: &str) -> (StatusCode, String, String) {
        self.go(Method::GET, url, &[]).await
    }
}

#[tokio::test]
async fn the_example_ends_what_is_revoked_and_sends_what_must_be_revalidated_to_the_idp_and_back() {
    let mut command = Command::new(binaries::example_relying_party());
    command.arg("127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut example = Example(command.spawn().unwrap());
    let mut lines = BufReader::new(example.0.stdout.take().unwrap()).lines();
    let said = tokio::task::spawn_blocking(move || lines.find_map(|l| l.ok().filter(|l| l.contains("the shop is at"))));
    let said = said.await.unwrap().expect("it says where it listens");
    let addresses: Vec<&str> = said.split([' ', ',']).filter(|word| word.starts_with("http://")).collect();
    let [shop, idp, _] = addresses[..] else { panic!("{said}") };
    let (cart, decide) = (format!("{shop}/cart"), format!("{idp}/decide"));

    let mut browser = Browser::new();
    let (status, at_login, form) = browser.get(&cart).await;
    assert!(status.is_success() && form.contains("Who are you?"), "nobody is sent to log in: {form}");
    assert_eq!(browser.way, ["cart", "login", "authorize"]);
    let (status, _, page) = browser.go(Method::POST, &at_login, &[("user", "alice")]).await;
    assert!(status.is_success() && page.contains("The cart of alice"), "{page}");
    assert_eq!(browser.way, ["authorize", "callback", "cart"]);
    let (_, _, page) = browser.go(Method::POST, &cart, &[("item", "a kettle")]).await;
    assert!(page.contains("a kettle"), "{page}");
    let script = browser.http.get(&cart).header("cookie", format!("session={}", browser.cookies["session"]));
    assert_eq!(script.send().await.unwrap().status(), 200);

    tell(&browser.http, &decide, "revalidate").await;
    let script = browser.http.get(&cart).header("cookie", format!("session={}", browser.cookies["session"]));
    let refused = script.send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
    let session = browser.cookies["session"].clone();
    let (_, at_login, form) = browser.get(&cart).await;
    assert!(form.contains("Who are you?"), "it must be proved again: {form}");
    assert_eq!(browser.way, ["cart", "login", "authorize"]);
    let (_, _, page) = browser.go(Method::POST, &at_login, &[("user", "alice")]).await;
    assert!(page.contains("The cart of alice") && page.contains("a kettle"), "the cart was kept: {page}");
    assert_eq!(browser.cookies["session"], session, "it is the same session");

    tell(&browser.http, &decide, "session-revoked").await;
    let (_, _, form) = browser.get(&cart).await;
    assert!(form.contains("Who are you?"), "it is over: {form}");
    let (_, at_login, _) = browser.get(&cart).await;
    let (_, _, page) = browser.go(Method::POST, &at_login, &[("user", "alice")]).await;
    assert!(page.contains("The cart of alice") && !page.contains("a kettle"), "a new session begins: {page}");
    assert_ne!(browser.cookies["session"], session);

    let pid = Pid::from_raw(i32::try_from(example.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || example.0.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
}

/// The identity provider decides; its stream may not be there yet.
async fn tell(http: &Client, decide: &str, event: &str) {
    loop {
        let answer = http.post(decide).form(&[("event", event), ("user", "alice")]).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => return,
            StatusCode::CONFLICT => tokio::task::yield_now().await,
            other => panic!("{other}"),
        }
    }
}
