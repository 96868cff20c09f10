-- Keys that rotate: published before they sign, published after they signed, then gone; and an algorithm per stream.

-- ── Keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────
create unique index signing_key_one_next on signing_key (issuer_id, algorithm) where state = 'next';
comment on table signing_key is 'Signing keys. All states are published; only the active one signs. A removed key leaves for removed_key.';
comment on column signing_key.kid is 'Key id: the RFC 7638 thumbprint, or what an imported key brought along.';
comment on column signing_key.activated_at is 'When it began to sign; null while it is next.';
comment on column signing_key.retired_at is 'When another took its place; from then on it only verifies.';

create table removed_key (
    id            uuid primary key,
    issuer_id     uuid not null references issuer,
    kid           text not null,
    algorithm     text not null check (algorithm in ('RS256', 'PS256', 'ES256', 'EdDSA')),
    public_jwk    jsonb not null,
    created_at    timestamptz not null,
    activated_at  timestamptz,
    retired_at    timestamptz,
    removed_at    timestamptz not null,
    unique (issuer_id, kid)
);
comment on table removed_key is 'Keys that are no longer published. Their private halves are gone; their ids are not used again.';
comment on column removed_key.id is 'As it was in signing_key.';
comment on column removed_key.issuer_id is 'Whose key it was.';
comment on column removed_key.kid is 'Key id.';
comment on column removed_key.algorithm is 'What it signed with.';
comment on column removed_key.public_jwk is 'The public half, for those who look at an old SET.';
comment on column removed_key.created_at is 'When it was made, and from then on published.';
comment on column removed_key.activated_at is 'When it began to sign; null if it never did.';
comment on column removed_key.retired_at is 'When it ended signing; null if it was never retired.';
comment on column removed_key.removed_at is 'When it left the published set and its private half was erased.';

-- ── Algorithms per client and stream ───────────────────────────────────────────────────────────────────────────────
alter table client add column algorithm text check (algorithm in ('RS256', 'PS256', 'ES256', 'EdDSA'));
comment on column client.algorithm is 'How its new streams are signed; null means as the issuer''s.';

alter table stream
    add column algorithm_wanted text check (algorithm_wanted in ('RS256', 'PS256', 'ES256', 'EdDSA')),
    add constraint stream_changes_algorithm check (algorithm_wanted <> algorithm);
comment on column stream.algorithm is 'How its SETs are signed: there is an active key for it.';
comment on column stream.algorithm_wanted is 'How they will be signed, once a key for it has been published long enough; null if nothing changes.';

-- which algorithms are in use, and which streams wait for a key
create index stream_by_algorithm on stream (issuer_id, algorithm);
create index stream_that_changes_algorithm on stream (issuer_id, algorithm_wanted) where algorithm_wanted is not null;
create index client_by_algorithm on client (issuer_id, algorithm) where algorithm is not null and removed_at is null;
