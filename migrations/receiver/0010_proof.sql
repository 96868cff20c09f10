-- How long it took until nobody was let in any more: each cut-off from the decision on, and when an enforcement point last
-- said yes to something that it cuts off. Nothing here names a subject or a session: keys and digests only.

-- No primary key: the inbox has claimed (upstream_id, jti) in the same statement, and a third index that nothing reads would
-- cost every SET one more write.
create table enforcement (
    upstream_id uuid        not null,
    jti         text        not null,
    issuer_id   uuid        not null,
    key         bytea       not null,
    is_first    boolean     not null,
    event_type  text        not null,
    effect      text        not null,
    level       text        not null,
    decided_at  timestamptz not null,
    cut_at      timestamptz not null,
    received_at timestamptz not null,
    feed_seq    bigint      not null,
    batch_id    uuid        not null,
    constraint enforcement_key_has_16_bytes check (octet_length(key) = 16),
    constraint enforcement_effect check (effect in ('revoke', 'revalidate', 'block')),
    constraint enforcement_level check (level in ('sl2', 'sl3'))
);
comment on table enforcement is 'Every applied SET that cut something off, one row per subject key it names; committed with its effect.';
comment on column enforcement.upstream_id is 'The upstream it came through.';
comment on column enforcement.jti is 'The SET''s id.';
comment on column enforcement.issuer_id is 'The issuer whose decision it is.';
comment on column enforcement.key is 'The subject it cuts off, as in cutoff.key.';
comment on column enforcement.is_first is 'True in one row of each SET: reports count that one.';
comment on column enforcement.event_type is 'Short name of the event type.';
comment on column enforcement.effect is 'What it became: revoke, revalidate, block (which also revokes).';
comment on column enforcement.level is 'The level agreed with the issuer when it arrived: whose windows hold for it.';
comment on column enforcement.decided_at is 'Issuer''s clock: when the IdP decided, from the timeline claim, else the first instant of the time the event tells.';
comment on column enforcement.cut_at is 'Assertions not later than this are cut off: the last instant of the decision.';
comment on column enforcement.received_at is 'When its bytes had arrived, by our clock, before verification.';
comment on column enforcement.feed_seq is 'The commit it was applied in, as numbered by feed: which replica saw it when is told by that number.';
comment on column enforcement.batch_id is 'The commit it was applied in; applied_batch says when that commit was done.';
-- Reports ask for a span of arrival, receipts for what came after the last one sent, a denial for what hit its keys.
create index enforcement_by_arrival on enforcement (upstream_id, received_at, jti);
create index enforcement_in_order on enforcement (upstream_id, feed_seq) where is_first;
create index enforcement_by_key on enforcement (issuer_id, key, received_at);

create table denial (
    upstream_id       uuid        not null,
    jti               text        not null,
    enforcement_point text        not null,
    asked             bytea       not null,
    binding_class     text        not null,
    last_allowed_at   timestamptz not null,
    first_denied_at   timestamptz not null,
    primary key (upstream_id, jti, enforcement_point, asked),
    constraint denial_point_is_plain check (enforcement_point ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    constraint denial_asked_has_16_bytes check (octet_length(asked) = 16),
    constraint denial_binding_class check (binding_class in ('bearer', 'bound'))
);
comment on table denial is 'A session or token that an enforcement point was allowed and then denied: once per cut-off that hits it. Written from memory after the answer; a crash in between loses the row and no effect.';
comment on column denial.upstream_id is 'The upstream of the cut-off.';
comment on column denial.jti is 'The SET of the cut-off.';
comment on column denial.enforcement_point is 'Who asked, by the name it gives itself; api if it gives none.';
comment on column denial.asked is 'What was asked for: a digest of the session''s name, or of the description''s first key and its times; with the point''s name.';
comment on column denial.binding_class is 'Its binding: bearer, or bound to a key of the client.';
comment on column denial.last_allowed_at is 'When the point was last told that it is active, by our clock.';
comment on column denial.first_denied_at is 'When the point was first told that it is not, by our clock.';
