-- What the transmitter says about a stream's status, and when; receivers that speak the words of old RISC.

-- ── Announcements ──────────────────────────────────────────────────────────────────────────────────────────────────
alter table delivery add column announces boolean not null default false;
comment on column delivery.announces is 'A stream-updated event (SSF 1.0 §8.1.5): goes out whatever the stream''s status is, and before everything else on it.';
-- nearly always empty; what claims look at first
create index delivery_that_announces on delivery (stream_id, seq) where announces;
comment on column delivery_history.outcome is 'acknowledged; refused by the receiver; expired by our retention; discarded because its stream was disabled or deleted.';

-- ── Streams ────────────────────────────────────────────────────────────────────────────────────────────────────────
alter table stream
    add column heartbeat_at        timestamptz,
    add column heartbeat_event_id  uuid,
    add column legacy_words        boolean not null default false,
    add column format              text;
comment on column stream.heartbeat_at is 'When an unsolicited verification event was last due.';
comment on column stream.heartbeat_event_id is 'The last unsolicited verification event: there is no second one before it is settled.';
comment on column stream.legacy_words is 'Whether the receiver named its delivery method by a URI of old RISC, and is answered so.';
comment on column stream.format is 'A receiver of the legacy profile: the subject format it named, kept and shown again.';
comment on column stream.last_activity_at is 'Last management call or poll by the receiver, or when the stream was last enabled.';
-- not on last_activity_at: every poll writes that one, and should touch no index
create index stream_that_may_idle on stream (id) where inactivity_timeout_s is not null and status = 'enabled';
create index stream_by_heartbeat on stream (coalesce(heartbeat_at, created_at)) where status = 'enabled';
create index stream_that_is_disabled on stream (id) where status = 'disabled';

-- ── Clients ────────────────────────────────────────────────────────────────────────────────────────────────────────
alter table client add column profile text not null default 'strict' check (profile in ('strict', 'legacy'));
comment on column client.profile is 'strict: SSF 1.0 as it is written. legacy: the delivery URIs and the format member of old RISC are understood too.';
