-- A credential that is being changed, and times in which events may have been lost.

alter table upstream
    add column next_push_authorization_hash bytea,
    add constraint upstream_next_authorization_is_a_digest check (octet_length(next_push_authorization_hash) = 32);
comment on column upstream.next_push_authorization_hash is 'SHA-256 of the Authorization value we are about to register: accepted beside the present one until the transmitter has confirmed it, so that no SET is turned away in between.';

create table upstream_gap (
    id          bigint      generated always as identity primary key,
    upstream_id uuid        not null references upstream (id),
    since       timestamptz not null,
    until       timestamptz not null,
    cause       text        not null,
    constraint upstream_gap_cause check (cause in ('stream_vanished')),
    constraint upstream_gap_has_an_order check (until >= since)
);
comment on table upstream_gap is 'Times in which events of an upstream may have been lost: what was decided then may be unknown here.';
comment on column upstream_gap.id is 'Order of discovery.';
comment on column upstream_gap.upstream_id is 'Whose events.';
comment on column upstream_gap.since is 'The last good contact before it, by our clock.';
comment on column upstream_gap.until is 'When it was found, by our clock.';
comment on column upstream_gap.cause is 'stream_vanished: the transmitter no longer knew the stream.';
create index upstream_gap_newest on upstream_gap (upstream_id, id desc);
