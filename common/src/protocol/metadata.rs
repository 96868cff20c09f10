//! Transmitter metadata (SSF 1.0 §7.1) and where it is found (§7.2).

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::id::IssuerUrl;

/// The transmitter configuration metadata. Members that would be empty are left out; unknown ones are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Metadata {
    /// `"1_0"`, with an underscore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec_version: Option<String>,
    /// The issuer, identical to `iss` in SETs.
    pub issuer: IssuerUrl,
    /// Where the public keys are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// How SETs can be delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery_methods_supported: Vec<String>,
    /// Create, read, update, delete streams (§8.1.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_endpoint: Option<String>,
    /// Read and set a stream's status (§8.1.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_endpoint: Option<String>,
    /// Add a subject (§8.1.3.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_subject_endpoint: Option<String>,
    /// Remove a subject (§8.1.3.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_subject_endpoint: Option<String>,
    /// Ask for a verification event (§8.1.4.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification_endpoint: Option<String>,
    /// Members of complex subjects that a receiver must understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical_subject_members: Vec<String>,
    /// How to be authorized (§7.1.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_schemes: Vec<AuthorizationScheme>,
    /// Where receivers tell what they have enforced ([`Receipts`](super::Receipts)); a member of ours that others ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement_receipts_endpoint: Option<String>,
    /// Whether a new stream has all subjects or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_subjects: Option<DefaultSubjects>,
}

/// One entry of `authorization_schemes` (§7.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorizationScheme {
    /// A URN such as `urn:ietf:rfc:6749`.
    pub spec_urn: String,
}

/// `default_subjects` (§7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DefaultSubjects {
    /// A new stream carries events of every subject.
    All,
    /// A new stream carries only events of subjects that were added.
    None,
}

/// A delivery method, by its URN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryMethod {
    /// RFC 8935.
    Push,
    /// RFC 8936.
    Poll,
}

impl DeliveryMethod {
    /// The URN (SSF 1.0 §6.1).
    pub const fn urn(self) -> &'static str {
        match self {
            Self::Push => "urn:ietf:rfc:8935",
            Self::Poll => "urn:ietf:rfc:8936",
        }
    }

    /// `push` or `poll`, as stores and reports call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }

    /// The URI that old RISC peers know it by.
    pub const fn legacy_uri(self) -> &'static str {
        match self {
            Self::Push => "https://schemas.openid.net/secevent/risc/delivery-method/push",
            Self::Poll => "https://schemas.openid.net/secevent/risc/delivery-method/poll",
        }
    }

    /// From its URN, or from one of the URIs of old RISC peers.
    pub fn from_urn(urn: &str) -> Option<Self> {
        [Self::Push, Self::Poll].into_iter().find(|method| urn == method.urn() || urn == method.legacy_uri())
    }
}

/// Where the metadata of `issuer` is: the well-known part stands between host and path (§7.2.1). `None` if the issuer is
/// not a URL that can have a path.
pub fn well_known_path(issuer: &IssuerUrl, well_known: &str) -> Option<Url> {
    let mut url: Url = issuer.as_str().parse().ok()?;
    if url.cannot_be_a_base() {
        return None;
    }
    let path = format!("/.well-known/{well_known}{}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_stands_between_host_and_path() {
        let of = |issuer: &str| well_known_path(&issuer.into(), "ssf-configuration").unwrap().to_string();
        // SSF 1.0 §7.2.1's own examples
        assert_eq!(of("https://tr.example.com"), "https://tr.example.com/.well-known/ssf-configuration");
        assert_eq!(
            of("https://tr.example.com/issuer1"),
            "https://tr.example.com/.well-known/ssf-configuration/issuer1"
        );
        assert_eq!(of("https://tr.example.com/a/b/"), "https://tr.example.com/.well-known/ssf-configuration/a/b");
        assert_eq!(well_known_path(&"mailto:a@b".into(), "x"), None);
    }
}
