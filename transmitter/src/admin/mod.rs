//! What an operator does and sees: issuers, clients, streams and their health, decisions, dead letters, keys, the audit
//! log. The admin API and the command line call these; so do tests and the demo's preparations.
//!
//! Whatever changes something takes an [`Actor`](crate::audit::Actor) and writes its entry of the audit log in the same
//! transaction.

mod audit_log;
mod backlog;
mod breaches;
mod clients;
mod credentials;
mod dead_letters;
mod events;
mod issuers;
mod keys;
mod page;
mod store;
mod stream_control;
mod streams;

pub use audit_log::{AuditEntry, AuditVerdict, audit_log, verify_audit_log};
pub use backlog::{
    Backlog, BacklogTotals, LaneBacklog, OutboxBacklog, Outcomes, RingingAlarm, StreamBacklog, backlog, outcomes,
    stream_backlog, whole_backlog,
};
pub use breaches::{Breach, BreachCursor, list_breaches};
pub use clients::{
    Credentials, ListedClient, NewClient, add_client, count_operators, find_client, list_clients, remove_client,
    was_client,
};
pub use credentials::{
    CredentialError, add_token, is_good_for, list_tokens, revoke_token, rotate_secret, set_authentication,
};
pub use dead_letters::{
    Batch, Cursor, DeadLetter, Failure, InspectedDeadLetter, NotACursor, Selection, Which, discard_dead_letters,
    inspect_dead_letter, list_dead_letters, replay_dead_letters,
};
pub use events::{EventCursor, EventDelivery, EventSelection, FollowedEvent, ListedEvent, follow_event, list_events};
pub use issuers::{
    AddIssuerError, add_issuer, ensure_issuer, find_issuer, issuer_of_id, list_issuers, page_issuers, remove_issuer,
    update_issuer,
};
pub use keys::{AlgorithmChange, EnteredKey, IssuerKeys, KeyRules, KeysError, ListedKey, RetiredKey};
pub use page::{MAX_PAGE, Page};
pub use stream_control::{StreamError, set_stream_level, set_stream_status, verify_stream};
pub use streams::{
    Breaker, BreakerState, ListedStream, StreamHealth, Waiting, WaitingDelivery, find_stream, list_streams,
    stream_status, waiting_deliveries,
};
