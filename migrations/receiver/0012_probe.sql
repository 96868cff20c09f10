-- Probes: a session that exists only to be revoked, timed from outside.
create table probe (
    id              bigint      generated always as identity primary key,
    upstream_id     uuid        not null references upstream (id) on delete cascade,
    level           text        not null,
    started_at      timestamptz not null,
    last_allowed_at timestamptz,
    denied_at       timestamptz,
    outcome         text        not null,
    fault           text,
    constraint probe_level check (level in ('sl2', 'sl3')),
    constraint probe_outcome check (outcome in ('denied', 'late', 'failed')),
    constraint probe_denied_has_its_time check (outcome <> 'denied' or denied_at is not null),
    constraint probe_failed_says_why check ((outcome = 'failed') = (fault is not null)),
    constraint probe_fault_is_short check (length(fault) between 1 and 1024)
);
comment on table probe is 'Every probe of an upstream: a session registered and asked for over the service''s own address, and revoked at the issuer.';
comment on column probe.id is 'Order of their ends.';
comment on column probe.upstream_id is 'Whose issuer was asked to revoke.';
comment on column probe.level is 'Whose window for bearer tokens held.';
comment on column probe.started_at is 'When the issuer was about to be asked, by our clock: the decision was not earlier.';
comment on column probe.last_allowed_at is 'When a check from outside last said active, by our clock.';
comment on column probe.denied_at is 'When a check from outside first said that it is not, by our clock; null if it never did.';
comment on column probe.outcome is 'denied within the window; late: not within it; failed: the probe could not be made.';
comment on column probe.fault is 'Of a failed one: why, safe to show.';
create index probe_newest on probe (upstream_id, started_at);
