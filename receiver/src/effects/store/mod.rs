//! SQL of effects, callbacks and watching.

pub(super) mod callbacks;
pub(super) mod desk;
pub(super) mod gaps;
pub(super) mod spread;
pub(super) mod upkeep;
pub(super) mod watch;

use super::Change;

fn change(name: &str) -> Result<Change, sqlx::Error> {
    Change::from_name(name).ok_or_else(|| sqlx::Error::Decode("a column holds no known change".into()))
}
