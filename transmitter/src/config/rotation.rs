//! How keys follow each other, checked against those who cache the key set and those who hold SETs.

use std::time::Duration;

use super::{Settings, SettingsError};

/// How long the key set may be kept by whoever minds `Cache-Control` (RFC 9111 §5.2.2.1).
pub const KEY_SET_MAX_AGE: Duration = Duration::from_mins(5);

/// How long a process may go on signing with, and publishing, the keys it read last.
pub const OUT_OF_TOUCH: Duration = Duration::from_mins(1);

/// The shortest time a key must be published before it signs: a receiver may read the key set from a cache on the way
/// that has kept it for [`KEY_SET_MAX_AGE`], may itself keep it for an hour whatever we say, and may have asked a
/// process that had been [out of touch](OUT_OF_TOUCH) with the database.
pub const SHORTEST_AHEAD: Duration =
    Duration::from_secs(A_RECEIVERS_CACHE.as_secs() + KEY_SET_MAX_AGE.as_secs() + OUT_OF_TOUCH.as_secs());

impl Settings {
    pub(super) fn check_rotation(&self) -> Result<(), SettingsError> {
        let wrong = |key, remedy| Err(SettingsError::Value { key, remedy });
        let (every, ahead, after) =
            (self.keys.rotate_every.duration(), self.keys.publish_ahead.duration(), self.keys.publish_after.duration());
        if ahead < SHORTEST_AHEAD {
            return wrong(
                "keys.publish_ahead",
                "must be at least 1h6m: receivers keep the key set they have for an hour",
            );
        }
        if after < self.delivery.retention.duration() + AN_HOUR {
            return wrong(
                "keys.publish_after",
                "must be an hour longer than delivery.retention: for so long a receiver may hold a SET that it polled before it looks at the signature",
            );
        }
        if every.is_zero() {
            return Ok(());
        }
        if every < ahead {
            return wrong(
                "keys.rotate_every",
                "must be at least keys.publish_ahead, or no key is published long enough; 0s means by hand only",
            );
        }
        if every.saturating_mul(MOST_RETIRED) < after {
            return wrong(
                "keys.rotate_every",
                "must be at least a tenth of keys.publish_after, or the key set grows longer than receivers read",
            );
        }
        Ok(())
    }
}

const AN_HOUR: Duration = Duration::from_hours(1);
const A_RECEIVERS_CACHE: Duration = AN_HOUR;
/// So many retired keys of one algorithm at most.
const MOST_RETIRED: u32 = 10;
