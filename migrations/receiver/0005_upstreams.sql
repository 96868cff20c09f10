-- Upstreams that come and go while the service runs, who looks after each, and what has become of them.

alter table upstream
    add column state            text not null default 'joining',
    add column state_since      timestamptz,
    add column unanswered_since timestamptz,
    add column lost_since       timestamptz,
    add column lost_cause       text,
    add column removed_at       timestamptz,
    add constraint upstream_state check (
        state in ('joining', 'unverified', 'verified', 'silent', 'paused', 'disabled', 'troubled', 'removed')
    ),
    add constraint upstream_lost_cause check (
        lost_cause in ('stream_vanished', 'stream_disabled', 'stream_released')
    ),
    add constraint upstream_loss_is_whole check ((lost_since is null) = (lost_cause is null));
comment on column upstream.state is 'The state that was last told in upstream_history: joining (no stream yet), unverified, verified, silent (a verification is not answered), paused, disabled, troubled, removed.';
comment on column upstream.state_since is 'Since when, by our clock; null until the first is told.';
comment on column upstream.unanswered_since is 'When the first verification was granted that has had no answer since, by our clock; older than last_verified_at: there was one.';
comment on column upstream.lost_since is 'Events may be lost since then, because of lost_cause; becomes a row of upstream_gap when the stream flows again.';
comment on column upstream.lost_cause is 'Why events may be lost at present: as upstream_gap.cause.';
comment on column upstream.removed_at is 'When an operator removed the upstream, by our clock; what it had decided stays in force.';

alter table upstream_gap
    drop constraint upstream_gap_cause,
    add constraint upstream_gap_cause check (cause in ('stream_vanished', 'stream_disabled', 'stream_released'));
comment on column upstream_gap.until is 'When the stream flowed again, by our clock.';
comment on column upstream_gap.since is 'The last time before it at which nothing was lost: the last good contact, or when the issuer disabled the stream.';
comment on column upstream_gap.cause is 'stream_vanished: the transmitter no longer knew the stream; stream_disabled: it had disabled it; stream_released: we had given it up ourselves.';

create table managed_upstream (
    name       text        primary key,
    settings   jsonb       not null,
    sealed     bytea,
    version    bigint      not null default 1,
    created_at timestamptz not null,
    changed_at timestamptz not null,
    constraint managed_upstream_name_fits_a_path check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    constraint managed_upstream_settings_is_an_object check (jsonb_typeof(settings) = 'object'),
    constraint managed_upstream_settings_hold_no_secret check (
        not jsonb_exists_any(settings, array['client_secret', 'client_key', 'token'])
    )
);
comment on table managed_upstream is 'The upstreams that were made while the service ran, by command or over HTTP; those of the settings are not here.';
comment on column managed_upstream.name is 'As upstream.name; one of the settings goes before one of the same name here.';
comment on column managed_upstream.settings is 'What [upstreams.<name>] would say, without secrets.';
comment on column managed_upstream.sealed is 'The secrets: a JSON object sealed with AES-256-GCM under a key derived from the root secret; null if there are none, or they are in files.';
comment on column managed_upstream.version is 'Counts the changes, so that every process notices one.';
comment on column managed_upstream.created_at is 'When it was made, by our clock.';
comment on column managed_upstream.changed_at is 'When it was last changed, by our clock.';

create table upstream_lease (
    upstream_id uuid        primary key references upstream (id),
    holder      uuid        not null,
    until       timestamptz not null
);
comment on table upstream_lease is 'Which process looks after an upstream (keeper and poll loop): one at a time. Pushes may arrive at any.';
comment on column upstream_lease.upstream_id is 'Whose.';
comment on column upstream_lease.holder is 'The process, by a number it drew at its start.';
comment on column upstream_lease.until is 'Until when, by the holder''s clock; renewed long before. Another may take over after that.';

create table upstream_history (
    id          bigint      generated always as identity primary key,
    upstream_id uuid        not null references upstream (id),
    at          timestamptz not null,
    what        text        not null,
    reason      text,
    constraint upstream_history_what check (
        what in (
            'added', 'changed', 'removed', 'created', 'adopted', 'recreated', 'reauthorized', 'vanished', 'released',
            'verified', 'silent', 'paused', 'disabled', 'enabled', 'refused', 'trouble', 'healed'
        )
    ),
    constraint upstream_history_reason_is_short check (length(reason) <= 1024)
);
comment on table upstream_history is 'What became of each upstream, the newest of it; older rows are removed as new ones come.';
comment on column upstream_history.id is 'Order of writing.';
comment on column upstream_history.upstream_id is 'Of which.';
comment on column upstream_history.at is 'When, by our clock.';
comment on column upstream_history.what is 'added, changed, removed: by an operator; created, adopted, recreated, reauthorized, vanished, released: its stream; verified, silent, paused, disabled, enabled: the stream''s state; refused (our credential), trouble, healed.';
comment on column upstream_history.reason is 'Why, safe to show: what the transmitter said, or what went wrong.';
create index upstream_history_newest on upstream_history (upstream_id, id desc);
