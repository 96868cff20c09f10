-- How clients show who they are: one method each, keys instead of secrets, secrets that overlap, static tokens by name.

-- ── Clients ────────────────────────────────────────────────────────────────────────────────────────────────────────
alter table client
    add column auth_method text not null default 'client_secret_basic'
        check (auth_method in ('client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none')),
    add column jwks                   jsonb,
    add column jwks_uri               text check (jwks_uri <> ''),
    add column previous_secret_digest bytea check (length(previous_secret_digest) = 32),
    add column previous_secret_until  timestamptz,
    -- the keys are here or there, and only where they are used
    add constraint client_keys check ((auth_method = 'private_key_jwt') = (num_nonnulls(jwks, jwks_uri) = 1) and num_nonnulls(jwks, jwks_uri) < 2),
    add constraint client_previous_secret check ((previous_secret_digest is null) = (previous_secret_until is null));
comment on column client.auth_method is 'The one way it shows who it is at the token endpoint (RFC 8414 §2, token_endpoint_auth_methods_supported).';
comment on column client.jwks is 'private_key_jwt: its public keys, a JWK set (RFC 7517 §5).';
comment on column client.jwks_uri is 'private_key_jwt: where its public keys are published.';
comment on column client.previous_secret_digest is 'SHA-256 of the secret before the last rotation, as long as that is good too.';
comment on column client.previous_secret_until is 'When the secret before the last rotation ends.';

create table client_assertion (
    client_id   uuid not null references client,
    jti_digest  bytea not null check (length(jti_digest) = 32),
    expires_at  timestamptz not null,
    primary key (client_id, jti_digest)
);
create index client_assertion_expired on client_assertion (expires_at);
comment on table client_assertion is 'Client assertions that were used (RFC 7523 §3): none is good twice.';
comment on column client_assertion.client_id is 'Whose.';
comment on column client_assertion.jti_digest is 'SHA-256 of its jti.';
comment on column client_assertion.expires_at is 'When it ends by itself, and the row may go.';

-- ── Static tokens ──────────────────────────────────────────────────────────────────────────────────────────────────
-- the default also names the tokens of a process that does not know this column
alter table access_token
    add column id    uuid not null default gen_random_uuid(),
    add column label text check (label <> '');
create unique index access_token_labelled on access_token (client_id, label) where label is not null;
comment on column access_token.id is 'What an operator calls it by; says nothing of the token.';
comment on column access_token.label is 'static: what it is for, in the operator''s words; unique among its client''s.';
