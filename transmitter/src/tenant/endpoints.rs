//! Where an issuer's endpoints are, and which issuer a request means.

use ssf_common::id::{IssuerUrl, StreamId};
use url::Url;

/// The URLs of one issuer's endpoints, all below the issuer's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    base: String,
    authority: String,
    path: String,
}

impl Endpoints {
    /// The endpoints of `issuer`.
    pub fn of(issuer: &IssuerUrl) -> Self {
        let base = issuer.as_str().trim_end_matches('/').to_owned();
        let url = base.parse::<Url>().ok();
        let authority = url.as_ref().map(|url| url.authority().to_owned()).unwrap_or_default();
        let path = url.map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        Self { base, authority, path }
    }

    /// The issuer's path, without a slash at the end; empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether `host` (a `Host` header) is the issuer's; the port may be said or left out where it is the scheme's own.
    pub fn is_host(&self, host: &str) -> bool {
        let own_port = if self.base.starts_with("https:") { ":443" } else { ":80" };
        self.authority.eq_ignore_ascii_case(host.strip_suffix(own_port).unwrap_or(host))
    }

    /// What is left of `path` below the issuer, beginning with a slash; `None` if it is not below.
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.path.as_str()).filter(|rest| rest.starts_with('/'))
    }

    /// The URL of the endpoint at `path` below the issuer.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where a document of the issuer is found: the well-known part stands between host and path (SSF 1.0 §7.2.1, RFC 8615).
    pub fn well_known(&self, name: &str) -> String {
        let origin = self.base.strip_suffix(self.path.as_str()).unwrap_or(&self.base);
        format!("{origin}/.well-known/{name}{}", self.path)
    }

    /// Where `stream` is polled.
    pub fn poll(&self, stream: &StreamId) -> String {
        format!("{}/ssf/poll/{stream}", self.base)
    }
}

/// Which of `issuers` is meant by a request for `path` at `host`, as its place in the list; `rest` tells what is left of
/// the path below an issuer. The issuers of that host come first, so that two of them may share a path; behind a proxy
/// that hides the host the path alone decides. The longest path wins, then the earliest in the list.
pub(super) fn meant<'a>(
    issuers: &[&Endpoints],
    host: Option<&str>,
    rest: impl Fn(&Endpoints) -> Option<&'a str>,
) -> Option<(usize, &'a str)> {
    let fitting = issuers.iter().enumerate().filter_map(|(at, endpoints)| Some((at, *endpoints, rest(endpoints)?)));
    let best = fitting.max_by_key(|(at, endpoints, _)| {
        (host.is_some_and(|host| endpoints.is_host(host)), endpoints.path.len(), std::cmp::Reverse(*at))
    });
    best.map(|(at, _, rest)| (at, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stand_between_host_and_path() {
        let endpoints = Endpoints::of(&"https://idp.example/tenant/one".into());
        assert_eq!(endpoints.at("/jwks.json"), "https://idp.example/tenant/one/jwks.json");
        assert_eq!(endpoints.well_known("x"), "https://idp.example/.well-known/x/tenant/one");
        let at_root = Endpoints::of(&"https://idp.example".into());
        assert_eq!(at_root.well_known("x"), "https://idp.example/.well-known/x");
        assert_eq!((at_root.below("/ssf"), endpoints.below("/tenant/one/ssf")), (Some("/ssf"), Some("/ssf")));
        assert_eq!((endpoints.below("/tenant/ones"), endpoints.below("/tenant/one")), (None, None));
    }

    #[test]
    fn the_host_decides_first_then_the_longest_path_then_the_list() {
        let all = ["https://a.example", "https://a.example/x", "https://b.example", "https://b.example/x/y"]
            .map(|url| Endpoints::of(&url.into()));
        let all: Vec<&Endpoints> = all.iter().collect();
        let meant = |host: Option<&str>, path: &'static str| meant(&all, host, |e| e.below(path));
        assert_eq!(meant(Some("a.example"), "/x/y/z"), Some((1, "/y/z")));
        assert_eq!(meant(Some("B.EXAMPLE"), "/x/y/z"), Some((3, "/z")));
        assert_eq!(meant(Some("b.example"), "/x/z"), Some((2, "/x/z")));
        assert_eq!(meant(Some("b.example:443"), "/x/z"), Some((2, "/x/z")));
        assert_eq!(
            meant(Some("b.example:8443"), "/x/z"),
            Some((1, "/z")),
            "that is nobody's, so the path alone decides"
        );
        assert_eq!(meant(Some("proxy.internal"), "/x/y/z"), Some((3, "/z")));
        assert_eq!(meant(None, "/z"), Some((0, "/z")));
    }
}
