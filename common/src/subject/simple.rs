//! [`Simple`]: one subject identifier, in every format the standards define and in those they do not.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::SubjectError;
use super::parse::{Dialect, simple};

/// One subject identifier (RFC 9493 §3; SSF 1.0 §3.2 and §3.5).
///
/// The fields hold the members as they were written; [`Simple::parse`] has checked them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Simple {
    /// `account`: a user account at a service provider (RFC 9493 §3.2.1).
    Account {
        /// An `acct:` URI (RFC 7565).
        uri: String,
    },
    /// `email` (RFC 9493 §3.2.2).
    Email {
        /// An addr-spec (RFC 5322 §3.4.1).
        email: String,
    },
    /// `iss_sub`: the pair of claims a JWT carries (RFC 9493 §3.2.3).
    IssSub {
        /// The issuer.
        iss: String,
        /// The subject at that issuer.
        sub: String,
    },
    /// `opaque` (RFC 9493 §3.2.4).
    Opaque {
        /// Text that means something to the two parties only.
        id: String,
    },
    /// `phone_number` (RFC 9493 §3.2.5).
    PhoneNumber {
        /// An E.164 number with its `+`; visual separators are allowed.
        phone_number: String,
    },
    /// `did` (RFC 9493 §3.2.6).
    Did {
        /// A DID or a DID URL.
        url: String,
    },
    /// `uri` (RFC 9493 §3.2.7).
    Uri {
        /// Any URI.
        uri: String,
    },
    /// `aliases`: several identifiers of the same subject (RFC 9493 §3.2.8).
    Aliases {
        /// At least one, none of them `aliases`.
        identifiers: Vec<Simple>,
    },
    /// `jwt_id`: a JWT (SSF 1.0 §3.5.1).
    JwtId {
        /// Its issuer.
        iss: String,
        /// Its `jti`.
        jti: String,
    },
    /// `saml_assertion_id`: a SAML 2.0 assertion (SSF 1.0 §3.5.2).
    SamlAssertionId {
        /// Its `Issuer`.
        issuer: String,
        /// Its `ID`.
        assertion_id: String,
    },
    /// `ip-addresses`: addresses seen by the transmitter (SSF 1.0 §3.5.3).
    IpAddresses {
        /// At least one address in its usual text form (RFC 4001).
        ip_addresses: Vec<String>,
    },
    /// A format agreed between two parties (SSF 1.0 §3.4), kept as it is.
    Proprietary {
        /// The value of `format`: none of the names above, nor `complex`.
        format: String,
        /// All other members.
        members: Map<String, Value>,
    },
}

impl Simple {
    /// The formats of the standards, as `format` names them (RFC 9493 §3.2; SSF 1.0 §3.5).
    pub const FORMATS: [&str; 11] = [
        "account",
        "email",
        "iss_sub",
        "opaque",
        "phone_number",
        "did",
        "uri",
        "aliases",
        "jwt_id",
        "saml_assertion_id",
        "ip-addresses",
    ];

    /// From JSON; refuses `complex`. Members that the format does not define are ignored.
    pub fn parse(value: &Value) -> Result<Self, SubjectError> {
        simple(value, Dialect::Standard)
    }

    /// The value of the member `format`.
    pub fn format(&self) -> &str {
        match self {
            Self::Account { .. } => "account",
            Self::Email { .. } => "email",
            Self::IssSub { .. } => "iss_sub",
            Self::Opaque { .. } => "opaque",
            Self::PhoneNumber { .. } => "phone_number",
            Self::Did { .. } => "did",
            Self::Uri { .. } => "uri",
            Self::Aliases { .. } => "aliases",
            Self::JwtId { .. } => "jwt_id",
            Self::SamlAssertionId { .. } => "saml_assertion_id",
            Self::IpAddresses { .. } => "ip-addresses",
            Self::Proprietary { format, .. } => format,
        }
    }

    /// As JSON: `format` first, then the members in the order of their standard.
    pub fn to_value(&self) -> Value {
        let mut object = Map::new();
        object.insert("format".to_owned(), self.format().into());
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        match self {
            Self::Account { uri } | Self::Uri { uri } => {
                put("uri", uri.as_str().into());
            }
            Self::Email { email } => {
                put("email", email.as_str().into());
            }
            Self::IssSub { iss, sub } => {
                put("iss", iss.as_str().into());
                put("sub", sub.as_str().into());
            }
            Self::Opaque { id } => {
                put("id", id.as_str().into());
            }
            Self::PhoneNumber { phone_number } => {
                put("phone_number", phone_number.as_str().into());
            }
            Self::Did { url } => {
                put("url", url.as_str().into());
            }
            Self::Aliases { identifiers } => {
                put("identifiers", identifiers.iter().map(Self::to_value).collect());
            }
            Self::JwtId { iss, jti } => {
                put("iss", iss.as_str().into());
                put("jti", jti.as_str().into());
            }
            Self::SamlAssertionId { issuer, assertion_id } => {
                put("issuer", issuer.as_str().into());
                put("assertion_id", assertion_id.as_str().into());
            }
            Self::IpAddresses { ip_addresses } => {
                put("ip-addresses", ip_addresses.as_slice().into());
            }
            Self::Proprietary { members, .. } => {
                for (name, value) in members {
                    put(name, value.clone());
                }
            }
        }
        Value::Object(object)
    }
}

impl Serialize for Simple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Simple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
