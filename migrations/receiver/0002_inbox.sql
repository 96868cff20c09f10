-- What arrived: every SET that was applied, every SET that was refused. Neither table holds a SET or a subject.
-- received_set (and cutoff) have no foreign key: their one writer takes the id from the upstream's row in the same
-- statement, and looking it up again for every row made that statement half as long again (measured).

create table received_set (
    upstream_id   uuid        not null,
    jti           text        not null,
    event_type    text        not null,
    txn           text,
    method        text        not null,
    effect        text        not null,
    occurred_at   timestamptz,
    recorded_at   timestamptz,
    fanned_out_at timestamptz,
    taken_at      timestamptz,
    received_at   timestamptz not null,
    batch_id      uuid        not null,
    primary key (upstream_id, jti),
    constraint received_set_method check (method in ('push', 'poll')),
    constraint received_set_effect check (
        effect in ('revoke', 'revalidate', 'block', 'unblock', 'verified', 'stream_status', 'fact', 'none')
    )
);
comment on table received_set is 'Every SET that was applied, once: the row and its effect are committed together, before the acknowledgement.';
comment on column received_set.upstream_id is 'The upstream it came through; an upstream has one issuer, so (upstream, jti) is (issuer, jti) or finer.';
comment on column received_set.jti is 'The SET''s id (RFC 8417 §2.2); a second SET with it is acknowledged and changes nothing.';
comment on column received_set.event_type is 'Short name of the event type, or its URI if we do not know the type.';
comment on column received_set.txn is 'The transaction the SET belongs to (RFC 8417 §2.2), if it says so.';
comment on column received_set.method is 'How it reached us: push or poll.';
comment on column received_set.effect is 'What it became: revoke, revalidate, block (which also revokes), unblock, verified, stream_status, fact (recorded only), none (type unknown).';
comment on column received_set.occurred_at is 'Timeline claim, issuer''s clock: when the IdP decided.';
comment on column received_set.recorded_at is 'Timeline claim, issuer''s clock: when the event was committed to the outbox.';
comment on column received_set.fanned_out_at is 'Timeline claim, issuer''s clock: when its deliveries were made.';
comment on column received_set.taken_at is 'Timeline claim, issuer''s clock: when this delivery was taken up to be signed and sent.';
comment on column received_set.received_at is 'When its bytes had arrived, by our clock, before verification.';
comment on column received_set.batch_id is 'The commit it was applied in; applied_batch says when that commit was done.';

-- Reports ask for a span of arrival, upstream by upstream. A BRIN index would be cheaper still, but needs bitmap scans,
-- which our connections switch off.
create index received_set_by_arrival on received_set (upstream_id, received_at);

create table applied_batch (
    id         uuid        primary key,
    applied_at timestamptz not null
);
comment on table applied_batch is 'When each commit of the inbox was done. Written after that commit; a crash in between leaves a gap, the SETs are applied all the same.';
comment on column applied_batch.id is 'The batch, as in received_set.batch_id.';
comment on column applied_batch.applied_at is 'Read from our clock right after the commit returned: from then on every check sees the effect.';

create table refusal (
    id          bigint      generated always as identity primary key,
    upstream_id uuid        not null references upstream (id),
    refused_at  timestamptz not null,
    method      text        not null,
    code        text        not null,
    description text        not null,
    jti         text,
    constraint refusal_method check (method in ('push', 'poll')),
    constraint refusal_code_is_short check (length(code) between 1 and 64),
    constraint refusal_description_is_short check (length(description) <= 1024),
    constraint refusal_jti_is_plain check (jti ~ '^[A-Za-z0-9._:-]{1,128}$')
);
comment on table refusal is 'The newest SETs we refused, per upstream; older rows are removed as new ones come, so a flood cannot fill the disk.';
comment on column refusal.id is 'Order of refusal.';
comment on column refusal.upstream_id is 'The upstream it came through.';
comment on column refusal.refused_at is 'When, by our clock.';
comment on column refusal.method is 'How it reached us: push or poll.';
comment on column refusal.code is 'The error code we answered (RFC 8935 §2.4).';
comment on column refusal.description is 'The reason we answered; says what was wrong, never quotes the SET.';
comment on column refusal.jti is 'The SET''s id if it could be read and is plain enough to be kept; unverified.';
create index refusal_newest on refusal (upstream_id, id desc);
