//! Ids are types. [`uuid_id!`](crate::uuid_id) makes one of ours (UUIDv7, sorted by birth), [`text_id!`](crate::text_id)
//! one that a stranger chose.
//!
//! Crates declare the ids of their own tables with these macros; the ones both parties speak of stand here.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::random::Random;

/// A UUIDv7 born at `at`, with chance from `random` (RFC 9562 §5.7).
pub fn uuid_v7(at: Timestamp, random: &dyn Random) -> Uuid {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.unix_millis()).unwrap_or(0), &bytes).into_uuid()
}

/// Declares newtypes around a UUIDv7 that go to PostgreSQL as `uuid` and to JSON as text.
#[macro_export]
macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize, ::sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub ::uuid::Uuid);

        $crate::described_as!($name, $crate::schema::text(Some("uuid")));

        impl $name {
            /// A new id, born at `at`.
            pub fn new(at: $crate::clock::Timestamp, random: &dyn $crate::random::Random) -> Self {
                Self($crate::id::uuid_v7(at, random))
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = ::uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

/// Declares newtypes around text that goes to PostgreSQL as `text` and to JSON as a string.
#[macro_export]
macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize, ::sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub String);

        $crate::described_as!($name, $crate::schema::text(None));

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::convert::From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl ::std::convert::From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    )+};
}

text_id! {
    /// The `jti` of a SET (RFC 8417 §2.2): unique at its issuer, compared byte for byte.
    Jti;
    /// The `txn` of a SET (RFC 8417 §2.2): the same for all SETs of one cause.
    Txn;
    /// A stream as the transmitter names it (SSF 1.0 §8.1.1).
    StreamId;
    /// The key id in a JWS header and a JWK (RFC 7517 §4.5).
    KeyId;
    /// An issuer: an https URL without query and fragment, compared byte for byte (SSF 1.0 §7.1).
    IssuerUrl;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn ids_sort_by_birth() {
        let random = SeededRandom::new(1);
        let ids: Vec<Uuid> =
            (0..100).map(|ms| uuid_v7(Timestamp::from_unix_millis(1_700_000_000_000 + ms), &random)).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
