//! Lanes: what goes first.

use serde::{Deserialize, Serialize};
use ssf_common::event::EventType;
use utoipa::ToSchema;

/// Deliveries are taken in order of lane, then of recording. Within one subject the order of recording always holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Ends access: session-revoked, account-disabled, account-purged, credential-compromise; and control events.
    Urgent,
    /// Every other change of state.
    Prompt,
    /// What the producer marks so: backfills, telemetry.
    Bulk,
}

impl Lane {
    /// The lane of a type unless the producer names another.
    pub const fn of(event_type: &EventType) -> Self {
        match event_type {
            EventType::SessionRevoked
            | EventType::AccountDisabled
            | EventType::AccountPurged
            | EventType::CredentialCompromise
            | EventType::Verification
            | EventType::StreamUpdated => Self::Urgent,
            _ => Self::Prompt,
        }
    }

    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Prompt, Self::Bulk];

    /// As it stands in bodies, labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Prompt => "prompt",
            Self::Bulk => "bulk",
        }
    }

    /// As the database keeps it.
    pub const fn number(self) -> i16 {
        match self {
            Self::Urgent => 0,
            Self::Prompt => 1,
            Self::Bulk => 2,
        }
    }

    /// From the database.
    pub const fn from_number(number: i16) -> Self {
        match number {
            ..=0 => Self::Urgent,
            1 => Self::Prompt,
            2.. => Self::Bulk,
        }
    }
}
