-- What issuers tell beside cut-offs, and what they decided about others than their own.

alter table received_set
    drop constraint received_set_effect,
    add constraint received_set_effect check (
        effect in (
            'revoke', 'revalidate', 'block', 'unblock', 'verified', 'stream_status', 'fact', 'none', 'ignored', 'withheld'
        )
    );
comment on column received_set.effect is 'What it became: revoke, revalidate, block (which also revokes), unblock, verified, stream_status, fact (recorded only), none (type unknown), ignored (by the policy), withheld (the issuer may not decide that here; see withheld).';

create table fact (
    issuer_id   uuid        not null,
    key         bytea       not null,
    kind        text        not null,
    name        text        not null,
    value       text        not null,
    weight      smallint    not null,
    occurred_at timestamptz not null,
    received_at timestamptz not null,
    event_type  text        not null,
    about       bytea       not null,
    primary key (issuer_id, key, kind, name),
    constraint fact_key_has_16_bytes check (octet_length(key) = 16),
    constraint fact_about_is_keys check (octet_length(about) % 16 = 0),
    constraint fact_value_is_short check (length(value) between 1 and 64)
);
comment on table fact is 'What issuers told of a subject: of each kind and name the newest by the issuer''s time, whatever the order of arrival. Decides nothing; the application may ask for it.';
comment on column fact.issuer_id is 'Who told it.';
comment on column fact.key is 'The subject, as in cutoff.key.';
comment on column fact.kind is 'What it is about: device, credential, assurance, risk, claims, account, identifier, recovery, participation, session.';
comment on column fact.name is 'Which of them: a listed credential type, namespace or principal; other if it is not listed; empty if there is but one.';
comment on column fact.value is 'How it stands, in a word of the standard or of ours; never an identifier or the value of a claim.';
comment on column fact.weight is 'Of two told for the same time the weightier counts.';
comment on column fact.occurred_at is 'When it came to be so, by the issuer''s clock.';
comment on column fact.received_at is 'When its SET had arrived, by our clock.';
comment on column fact.event_type is 'Short name of the event type that told it.';
comment on column fact.about is 'The keys of everybody the subject names, one behind the other: whoever is forgotten is found by them.';

create table withheld (
    id                bigint      generated always as identity primary key,
    upstream_id       uuid        not null,
    issuer_id         uuid        not null,
    jti               text        not null,
    event_type        text        not null,
    txn               text,
    effect            text        not null,
    reason            text        not null,
    level             text        not null,
    decided_at        timestamptz not null,
    received_at       timestamptz not null,
    revoked_before    timestamptz,
    revalidate_before timestamptz,
    blocked_at        timestamptz,
    unblocked_at      timestamptz,
    about             bytea       not null,
    state             text        not null default 'waiting',
    settled_at        timestamptz,
    settled_by        text,
    constraint withheld_effect check (effect in ('revoke', 'revalidate', 'block', 'unblock', 'fact')),
    constraint withheld_reason check (
        reason in ('format', 'issuer', 'email_domain', 'uri_prefix', 'tenant', 'tenant_wide', 'tenant_wide_limit')
    ),
    constraint withheld_state check (state in ('waiting', 'applied', 'discarded')),
    constraint withheld_settling_is_whole check (
        (state = 'waiting') = (settled_at is null) and (settled_at is null) = (settled_by is null)
    ),
    constraint withheld_about_is_keys check (octet_length(about) % 16 = 0),
    constraint withheld_cut_says_something check (
        effect = 'fact' or num_nonnulls(revoked_before, revalidate_before, blocked_at, unblocked_at) > 0
    )
);
comment on table withheld is 'What an issuer decided about subjects it may not decide about here, or further than it may: without effect until an operator applies it.';
comment on column withheld.id is 'Order of arrival.';
comment on column withheld.upstream_id is 'The upstream it came through.';
comment on column withheld.issuer_id is 'The issuer that decided it.';
comment on column withheld.jti is 'The SET''s id.';
comment on column withheld.event_type is 'Short name of the event type, or its URI.';
comment on column withheld.txn is 'The transaction the SET belongs to, if it says so.';
comment on column withheld.effect is 'What it would have become.';
comment on column withheld.reason is 'Why it is withheld.';
comment on column withheld.level is 'The level agreed with the issuer when it arrived.';
comment on column withheld.decided_at is 'When the issuer decided it, by the issuer''s clock.';
comment on column withheld.received_at is 'When it had arrived, by our clock.';
comment on column withheld.revoked_before is 'The register it would move, as in cutoff.';
comment on column withheld.revalidate_before is 'The register it would move, as in cutoff.';
comment on column withheld.blocked_at is 'The register it would move, as in cutoff.';
comment on column withheld.unblocked_at is 'The register it would move, as in cutoff.';
comment on column withheld.about is 'The keys of everybody the subject names, one behind the other: whoever is forgotten is found by them.';
comment on column withheld.state is 'waiting, applied or discarded by an operator.';
comment on column withheld.settled_at is 'When an operator applied or discarded it, by our clock.';
comment on column withheld.settled_by is 'Who did: cli and the number of the user, or admin-api.';
create index withheld_waiting on withheld (upstream_id, id) where state = 'waiting';
-- A redelivery asks for its own.
create index withheld_by_set on withheld (upstream_id, jti);

create table withheld_key (
    withheld_id bigint not null references withheld (id) on delete cascade,
    key         bytea  not null,
    primary key (withheld_id, key),
    constraint withheld_key_has_16_bytes check (octet_length(key) = 16)
);
comment on table withheld_key is 'The subject keys that a withheld decision would cut off.';
comment on column withheld_key.withheld_id is 'Of which.';
comment on column withheld_key.key is 'As in cutoff.key.';

create table wide_grant (
    upstream_id uuid        not null,
    jti         text        not null,
    granted_at  timestamptz not null,
    primary key (upstream_id, jti)
);
comment on table wide_grant is 'Decisions about a whole tenant, unit or group that were let through: authority.tenant_wide counts them. Rows are removed after a week.';
comment on column wide_grant.upstream_id is 'The upstream it came through.';
comment on column wide_grant.jti is 'The SET''s id; a redelivery is not counted twice.';
comment on column wide_grant.granted_at is 'When, by our clock.';
create index wide_grant_by_time on wide_grant (upstream_id, granted_at);

alter table upstream_history
    drop constraint upstream_history_what,
    add constraint upstream_history_what check (
        what in (
            'added', 'changed', 'removed', 'created', 'adopted', 'recreated', 'reauthorized', 'vanished', 'released',
            'verified', 'silent', 'paused', 'disabled', 'enabled', 'refused', 'trouble', 'healed', 'withheld'
        )
    );
comment on column upstream_history.what is 'added, changed, removed: by an operator; created, adopted, recreated, reauthorized, vanished, released: its stream; verified, silent, paused, disabled, enabled: the stream''s state; refused (our credential), trouble, healed; withheld: a decision it may not take here.';
