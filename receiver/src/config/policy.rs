//! `[policy]`, `[upstreams.<name>.policy]` and `[upstreams.<name>.tenants.<id>.policy]`: what each event becomes here.
//!
//! A row says what an event type becomes, or what it becomes under one of its conditions (`credential-change.revoke`).
//! The nearest table that says something counts: that of the tenant, else that of the upstream, else `[policy]`, else
//! the defaults, which stand in [`DEFAULTS`]; within one table a row with the condition counts before one without.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use ssf_common::event::{EventType, Vocabulary};

use super::authority::AuthoritySettings;
use super::settings::SettingsError;

/// What an event becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Becomes {
    /// Sessions asserted until then are over.
    Revoke,
    /// Sessions asserted until then must be asserted again.
    Revalidate,
    /// The subject is shut out until it is let in again, and its sessions are over.
    Block,
    /// The subject is let in again.
    Unblock,
    /// Kept as a fact to be asked for; touches no session.
    Fact,
    /// Acknowledged and counted, nothing else.
    Ignore,
}

impl Becomes {
    /// As it stands in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Revalidate => "revalidate",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Fact => "fact",
            Self::Ignore => "ignore",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Revoke, Self::Revalidate, Self::Block, Self::Unblock, Self::Fact, Self::Ignore];
        all.into_iter().find(|one| one.as_str() == name)
    }
}

/// Which table a row came from, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `[upstreams.<name>.tenants.<id>.policy]`.
    Tenant,
    /// `[upstreams.<name>.policy]`.
    Upstream,
    /// `[policy]`.
    Policy,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tenant => "tenant",
            Self::Upstream => "upstream",
            Self::Policy => "policy",
            Self::Default => "default",
        })
    }
}

/// A table as it is written: event type, perhaps with a condition, and what it becomes. In TOML the key of a row with a
/// condition may be quoted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Written>", into = "BTreeMap<String, String>")]
pub struct PolicyRows(pub BTreeMap<String, String>);

impl PolicyRows {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Read and checked; `table` is what errors call it.
    pub(super) fn read(&self, table: &str, vocabulary: &Vocabulary) -> Result<Rows, SettingsError> {
        let read = |(written, effect): (&String, &String)| {
            let fault = |remedy| SettingsError::Value { key: format!("{table}.{written:?}"), remedy };
            let becomes = Becomes::from_name(effect).ok_or_else(|| fault(EFFECTS))?;
            let row = RowKey::parse(written, vocabulary).map_err(fault)?;
            permitted(&row, becomes).map_err(fault)?;
            Ok((row.text(), becomes))
        };
        self.0.iter().map(read).collect::<Result<_, _>>().map(Rows)
    }

    /// The rows of a table that [was checked](Self::read) before.
    fn known(&self, vocabulary: &Vocabulary) -> Rows {
        self.read("", vocabulary).unwrap_or_default()
    }
}

/// The value of a key: without quotes, TOML makes a table of what stands behind the dot.
#[derive(Deserialize)]
#[serde(untagged, expecting = "what an event becomes must be a text such as \"revoke\"")]
enum Written {
    Row(String),
    Conditions(BTreeMap<String, String>),
}

impl From<BTreeMap<String, Written>> for PolicyRows {
    fn from(written: BTreeMap<String, Written>) -> Self {
        let mut rows = BTreeMap::new();
        for (key, value) in written {
            match value {
                Written::Row(effect) => drop(rows.insert(key, effect)),
                Written::Conditions(conditions) => {
                    rows.extend(
                        conditions.into_iter().map(|(condition, effect)| (format!("{key}.{condition}"), effect)),
                    );
                }
            }
        }
        Self(rows)
    }
}

impl From<PolicyRows> for BTreeMap<String, String> {
    fn from(rows: PolicyRows) -> Self {
        rows.0
    }
}

/// A table in force: what is written of an event type, under its canonical name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows(BTreeMap<String, Becomes>);

impl Rows {
    fn find(&self, event_type: &str, condition: Option<&str>) -> Option<Becomes> {
        if self.0.is_empty() {
            return None;
        }
        let finer = condition.and_then(|condition| self.0.get(&format!("{event_type}.{condition}")));
        finer.or_else(|| self.0.get(event_type)).copied()
    }
}

/// The tables that hold for one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectPolicy {
    tenants: BTreeMap<String, Rows>,
    upstream: Rows,
    global: Rows,
}

impl EffectPolicy {
    /// From tables that were checked when they were loaded.
    pub fn new(
        global: &PolicyRows,
        upstream: &PolicyRows,
        tenants: &BTreeMap<String, TenantSettings>,
        vocabulary: &Vocabulary,
    ) -> Self {
        Self {
            tenants: tenants.iter().map(|(id, tenant)| (id.clone(), tenant.policy.known(vocabulary))).collect(),
            upstream: upstream.known(vocabulary),
            global: global.known(&Vocabulary::default()),
        }
    }

    /// What an event of this type, under this condition of its own, becomes for a subject of this tenant; and which
    /// table says so. `None`: nobody knows the type.
    pub fn becomes(
        &self,
        event_type: &str,
        condition: Option<&str>,
        tenant: Option<&str>,
    ) -> Option<(Becomes, Source)> {
        let of_tenant = tenant.and_then(|tenant| self.tenants.get(tenant));
        let tables = [
            (of_tenant, Source::Tenant),
            (Some(&self.upstream), Source::Upstream),
            (Some(&self.global), Source::Policy),
        ];
        let said = tables.into_iter().find_map(|(rows, source)| Some((rows?.find(event_type, condition)?, source)));
        said.or_else(|| {
            let row = DEFAULTS.iter().find(|row| row.name == event_type && row.condition == condition)?;
            Some((row.becomes, Source::Default))
        })
    }

    /// Every row of the defaults as it holds here, and every row of a type that has no default.
    pub fn table(&self, tenant: Option<&str>) -> Vec<(String, Becomes, Source)> {
        let known = DEFAULTS.iter().filter_map(|row| {
            let (becomes, source) = self.becomes(row.name, row.condition, tenant)?;
            Some((row.key(), becomes, source))
        });
        let of_tenant = tenant.and_then(|tenant| self.tenants.get(tenant));
        let tables = [of_tenant, Some(&self.upstream), Some(&self.global)];
        let others: std::collections::BTreeSet<&String> =
            tables.into_iter().flatten().flat_map(|rows| rows.0.keys()).filter(|key| key.contains(':')).collect();
        let others = others.into_iter().filter_map(|uri| {
            let (becomes, source) = self.becomes(uri, None, tenant)?;
            Some((uri.clone(), becomes, source))
        });
        known.chain(others).collect()
    }

    /// The tenants that have a table of their own.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.tenants.keys().map(String::as_str)
    }
}

/// What is done with the decisions of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What each becomes.
    pub policy: EffectPolicy,
    /// About whom it may decide.
    pub authority: AuthoritySettings,
}

/// One tenant of an upstream: `[upstreams.<name>.tenants.<id>]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSettings {
    /// What events about its subjects become.
    #[serde(default, skip_serializing_if = "PolicyRows::is_empty")]
    pub policy: PolicyRows,
}

/// A key of a table.
struct RowKey {
    event_type: EventType,
    condition: Option<&'static str>,
}

impl RowKey {
    fn parse(written: &str, vocabulary: &Vocabulary) -> Result<Self, &'static str> {
        let bare = EventType::from_name(written, vocabulary);
        let with_condition = || {
            let (name, condition) = written.rsplit_once('.')?;
            let event_type = EventType::from_name(name, vocabulary)?;
            let row = DEFAULTS.iter().find(|row| row.name == event_type.name() && row.condition == Some(condition))?;
            Some(Self { condition: row.condition, event_type })
        };
        match bare {
            // the condition of a URI would be read as part of it
            Some(EventType::Other(_)) => match with_condition() {
                Some(row) => Ok(row),
                None => bare.map(|event_type| Self { event_type, condition: None }).ok_or(KEYS),
            },
            Some(event_type) => Ok(Self { event_type, condition: None }),
            None => with_condition().ok_or(KEYS),
        }
    }

    fn text(&self) -> String {
        match self.condition {
            Some(condition) => format!("{}.{condition}", self.event_type.name()),
            None => self.event_type.name().to_owned(),
        }
    }
}

/// What may not be softened, whoever wishes it: an RP that only revalidates where the issuer revoked has not obeyed.
fn permitted(row: &RowKey, becomes: Becomes) -> Result<(), &'static str> {
    use Becomes::{Block, Fact, Ignore, Revalidate, Revoke, Unblock};
    let (may, remedy): (&[Becomes], &'static str) = match row.event_type {
        EventType::Verification | EventType::StreamUpdated => {
            (&[], "is about the stream itself (SSF 1.0 §8.1) and has a fixed effect; remove the row")
        }
        EventType::SessionRevoked | EventType::SessionsRevoked => (
            &[Revoke, Block],
            "must be \"revoke\" (or \"block\"): a revocation may not be lowered; remove the row, or filter the event type at the transmitter (events_requested)",
        ),
        EventType::AccountDisabled | EventType::AccountPurged => (
            &[Block, Revoke],
            "must be \"block\" or \"revoke\": an account that is gone may not stay logged in; remove the row",
        ),
        EventType::CredentialCompromise => (
            &[Revoke, Block, Revalidate],
            "must be \"revoke\", \"block\" or \"revalidate\": a stolen credential may not be without effect; remove the row",
        ),
        EventType::Revalidate => (
            &[Revalidate, Revoke],
            "must be \"revalidate\" or \"revoke\": what the issuer asks for may not be dropped; remove the row",
        ),
        EventType::AccountEnabled => (
            &[Unblock, Fact, Ignore],
            "must be \"unblock\", \"fact\" or \"ignore\": letting somebody in again cuts nothing off",
        ),
        EventType::SessionEstablished | EventType::SessionPresented => {
            (&[Fact, Ignore], "must be \"fact\" or \"ignore\": it tells of a session and decides nothing")
        }
        _ => (
            &[Revoke, Revalidate, Block, Fact, Ignore],
            "cannot be \"unblock\": only account-enabled lets a subject in again",
        ),
    };
    if may.contains(&becomes) { Ok(()) } else { Err(remedy) }
}

/// What an event type becomes unless somebody says otherwise.
struct Row {
    name: &'static str,
    condition: Option<&'static str>,
    becomes: Becomes,
}

impl Row {
    fn key(&self) -> String {
        match self.condition {
            Some(condition) => format!("{}.{condition}", self.name),
            None => self.name.to_owned(),
        }
    }
}

const fn row(name: &'static str, becomes: Becomes) -> Row {
    Row { name, condition: None, becomes }
}

const fn when(name: &'static str, condition: &'static str, becomes: Becomes) -> Row {
    Row { name, condition: Some(condition), becomes }
}

/// An assurance change that does not say its direction may be a decrease.
static DEFAULTS: [Row; 31] = [
    row("session-revoked", Becomes::Revoke),
    row("sessions-revoked", Becomes::Revoke),
    row("credential-compromise", Becomes::Revoke),
    row("revalidate", Becomes::Revalidate),
    when("credential-change", "create", Becomes::Fact),
    when("credential-change", "revoke", Becomes::Revalidate),
    when("credential-change", "update", Becomes::Revalidate),
    when("credential-change", "delete", Becomes::Revalidate),
    when("assurance-level-change", "increase", Becomes::Fact),
    when("assurance-level-change", "decrease", Becomes::Revalidate),
    when("assurance-level-change", "unstated", Becomes::Revalidate),
    row("token-claims-change", Becomes::Revalidate),
    row("account-credential-change-required", Becomes::Revalidate),
    when("risk-level-change", "LOW", Becomes::Fact),
    when("risk-level-change", "MEDIUM", Becomes::Fact),
    when("risk-level-change", "HIGH", Becomes::Revalidate),
    when("device-compliance-change", "compliant", Becomes::Fact),
    when("device-compliance-change", "not-compliant", Becomes::Revalidate),
    row("account-disabled", Becomes::Block),
    row("account-purged", Becomes::Block),
    row("account-enabled", Becomes::Unblock),
    row("identifier-changed", Becomes::Fact),
    row("identifier-recycled", Becomes::Revoke),
    row("recovery-activated", Becomes::Fact),
    row("recovery-information-changed", Becomes::Fact),
    row("opt-in", Becomes::Fact),
    row("opt-out-initiated", Becomes::Fact),
    row("opt-out-cancelled", Becomes::Fact),
    row("opt-out-effective", Becomes::Fact),
    row("session-established", Becomes::Fact),
    row("session-presented", Becomes::Fact),
];
const EFFECTS: &str = "must be one of revoke, revalidate, block, unblock, fact, ignore";
const KEYS: &str = "is no event type; write a short name such as session-revoked, a URI, or one with its condition such as \"credential-change.revoke\" (`ssf-receiver policy` lists them)";

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
