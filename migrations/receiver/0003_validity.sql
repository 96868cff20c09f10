-- What a session's validity is decided from: cut-offs per subject key, and the sessions the application registered.
-- Subjects are never stored: a key is HMAC-SHA-256, cut to 16 bytes, under a key of the issuer.

create table feed (
    one boolean primary key default true,
    seq bigint  not null,
    constraint feed_has_one_row check (one),
    constraint feed_counts_up_from_zero check (seq >= 0)
);
comment on table feed is 'One row: the number of the last commit that touched cut-offs. Incremented in the same transaction, so numbers become visible in order (a sequence would not do that).';
comment on column feed.one is 'Always true: there is one row.';
comment on column feed.seq is 'The number of the last commit that touched cut-offs.';
insert into feed (seq) values (0);

create table cutoff (
    issuer_id         uuid        not null,
    key               bytea       not null,
    revoked_before    timestamptz,
    revalidate_before timestamptz,
    blocked_at        timestamptz,
    unblocked_at      timestamptz,
    feed_seq          bigint      not null,
    updated_at        timestamptz not null,
    primary key (issuer_id, key),
    constraint cutoff_key_has_16_bytes check (octet_length(key) = 16),
    constraint cutoff_says_something check (
        num_nonnulls(revoked_before, revalidate_before, blocked_at, unblocked_at) > 0
    ),
    constraint cutoff_block_revokes check (blocked_at is null or revoked_before >= blocked_at)
);
comment on table cutoff is 'Per issuer and subject key, registers that only move forward: whatever the order of arrival, the end is the same.';
comment on column cutoff.issuer_id is 'The issuer whose word this is.';
comment on column cutoff.key is 'The subject, or conjunction of subjects, as a keyed digest of 16 bytes.';
comment on column cutoff.revoked_before is 'Sessions whose origin is not later are revoked. The last instant the issuer''s time may mean.';
comment on column cutoff.revalidate_before is 'Sessions whose newest assertion is not later must be revalidated. The last instant the issuer''s time may mean.';
comment on column cutoff.blocked_at is 'The account was last disabled or purged then; the last instant the issuer''s time may mean.';
comment on column cutoff.unblocked_at is 'The account was last enabled then; the first instant the issuer''s time may mean. Blocked while blocked_at is not earlier.';
comment on column cutoff.feed_seq is 'The commit that last moved this row, as numbered by feed.';
comment on column cutoff.updated_at is 'When that was, by our clock.';
-- Replicas read what moved since the number they know.
create index cutoff_feed on cutoff (feed_seq);

create table session (
    sid        text        primary key,
    issuer_id  uuid        not null references issuer (id),
    keys       bytea[]     not null,
    origin     timestamptz not null,
    validated  timestamptz not null,
    expires_at timestamptz,
    binding    text        not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    ended_at   timestamptz,
    constraint session_sid_is_short check (length(sid) between 1 and 256),
    constraint session_has_1_to_64_keys check (cardinality(keys) between 1 and 64),
    constraint session_binding check (binding in ('bearer', 'dpop', 'mtls')),
    constraint session_validated_not_before_origin check (validated >= origin)
);
comment on table session is 'The sessions the application told us of. Holds digests of who they belong to, never the subjects themselves.';
comment on column session.sid is 'The application''s own name for the session, stored as given: it must be opaque, never an address or a user name.';
comment on column session.issuer_id is 'The issuer whose assertion started the session.';
comment on column session.keys is 'Every subject key an event may name this session by, derived once at registration; sorted, without repetition.';
comment on column session.origin is 'The assertion that started the session: the first instant its time may mean.';
comment on column session.validated is 'The newest assertion about the session: the first instant its time may mean.';
comment on column session.expires_at is 'From then on the session must be revalidated whatever else holds; null for no limit.';
comment on column session.binding is 'What its tokens are bound to: bearer (nothing), dpop, mtls.';
comment on column session.created_at is 'When it was first registered, by our clock.';
comment on column session.updated_at is 'When the row last changed, by our clock.';
comment on column session.ended_at is 'When the application ended the session itself, by our clock; null while it lives.';
-- Ended sessions wait only for removal.
create index session_ended on session (ended_at) where ended_at is not null;
