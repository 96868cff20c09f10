//! The closed word lists of event payloads. Lists that leave room for "any other value agreed" are plain text instead.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A word is not in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of: {allowed}")]
pub struct UnknownWord {
    /// The list.
    pub allowed: &'static str,
}

/// Declares an enum of words: as text, from text, and in JSON.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $allowed:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        crate::described_as!($name, crate::schema::word(&[$($word),+]));

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { allowed: $allowed }),
                }
            }
        }

        impl From<$name> for Value {
            fn from(word: $name) -> Self {
                word.as_str().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Who brought the event about (CAEP 1.0 §2).
    InitiatingEntity, "admin, user, policy, system" {
        /// An administrator.
        Admin = "admin",
        /// The user.
        User = "user",
        /// A policy that was evaluated.
        Policy = "policy",
        /// A system or platform.
        System = "system",
    }
}

words! {
    /// What became of a credential (CAEP 1.0 §3.3.1).
    ChangeType, "create, revoke, update, delete" {
        /// It was created.
        Create = "create",
        /// It was revoked.
        Revoke = "revoke",
        /// It was updated.
        Update = "update",
        /// It was deleted.
        Delete = "delete",
    }
}

words! {
    /// Which way an assurance level went (CAEP 1.0 §3.4.1).
    ChangeDirection, "increase, decrease" {
        /// Up.
        Increase = "increase",
        /// Down.
        Decrease = "decrease",
    }
}

words! {
    /// Whether a device complies (CAEP 1.0 §3.5.1).
    ComplianceStatus, "compliant, not-compliant" {
        /// It does.
        Compliant = "compliant",
        /// It does not.
        NotCompliant = "not-compliant",
    }
}

words! {
    /// How great a risk is (CAEP 1.0 §3.8.1).
    RiskLevel, "LOW, MEDIUM, HIGH" {
        /// Low.
        Low = "LOW",
        /// Medium.
        Medium = "MEDIUM",
        /// High.
        High = "HIGH",
    }
}

words! {
    /// Whether a stream transmits (SSF 1.0 §8.1.2).
    StreamStatus, "enabled, paused, disabled" {
        /// Events are transmitted.
        Enabled = "enabled",
        /// Events are held for later.
        Paused = "paused",
        /// Events are neither transmitted nor held.
        Disabled = "disabled",
    }
}

words! {
    /// What a new assertion must come from to satisfy a `revalidate`.
    Interaction, "any, reauthenticate" {
        /// Anything the issuer accepts, silent renewal included.
        Any = "any",
        /// The user proving who they are.
        Reauthenticate = "reauthenticate",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that declares the words knows no default")]
impl Default for Interaction {
    fn default() -> Self {
        Self::Any
    }
}

words! {
    /// What a `revalidate` does to work that runs without the user.
    Background, "suspend, exempt" {
        /// It waits as well.
        Suspend = "suspend",
        /// It goes on.
        Exempt = "exempt",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that declares the words knows no default")]
impl Default for Background {
    fn default() -> Self {
        Self::Suspend
    }
}
