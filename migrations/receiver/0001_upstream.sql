-- Who we listen to: the issuers whose word counts here, the stream we hold at each transmitter, and when we lost it.

create table issuer (
    id         uuid        primary key,
    url        text        not null unique,
    created_at timestamptz not null,
    constraint issuer_url_is_short check (length(url) between 1 and 2048)
);
comment on table issuer is 'The issuers whose events have effect here; sessions, cut-offs and upstreams belong to one.';
comment on column issuer.id is 'Our name for the issuer.';
comment on column issuer.url is 'The issuer as it writes itself in `iss`, compared byte for byte (SSF 1.0 §7.1).';
comment on column issuer.created_at is 'When we first heard of it, by our clock.';

create table upstream (
    id                             uuid        primary key,
    name                           text        not null unique,
    issuer_id                      uuid        not null references issuer (id),
    delivery_method                text        not null,
    stream_id                      text,
    stream_status                  text        not null default 'absent',
    status_reason                  text,
    status_at                      timestamptz,
    status_received_at             timestamptz,
    status_read_at                 timestamptz,
    audiences                      text[]      not null default '{}',
    events_delivered               text[]      not null default '{}',
    poll_endpoint                  text,
    push_authorization_hash        bytea,
    next_push_authorization_hash   bytea,
    verification_state             text,
    verification_sent_at           timestamptz,
    last_verified_at               timestamptz,
    verified_asked_at              timestamptz,
    verified_answered_at           timestamptz,
    verified_occurred_at           timestamptz,
    verified_taken_at              timestamptz,
    last_contact_at                timestamptz,
    trouble                        text,
    trouble_at                     timestamptz,
    created_at                     timestamptz not null,
    updated_at                     timestamptz not null,
    constraint upstream_name_fits_a_path check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    constraint upstream_delivery_method check (delivery_method in ('push', 'poll')),
    constraint upstream_stream_status check (stream_status in ('absent', 'enabled', 'paused', 'disabled')),
    constraint upstream_stream_exists_unless_absent check ((stream_id is null) = (stream_status = 'absent')),
    constraint upstream_absent_has_no_reason check (
        stream_status <> 'absent' or num_nonnulls(status_reason, status_at, status_received_at, status_read_at) = 0
    ),
    constraint upstream_updated_status_is_whole check ((status_at is null) = (status_received_at is null)),
    constraint upstream_push_is_authenticated check (delivery_method <> 'push' or push_authorization_hash is not null),
    constraint upstream_authorization_is_a_digest check (octet_length(push_authorization_hash) = 32),
    constraint upstream_next_authorization_is_a_digest check (octet_length(next_push_authorization_hash) = 32),
    constraint upstream_pending_verification_is_whole check ((verification_state is null) = (verification_sent_at is null)),
    constraint upstream_round_trip_is_whole check ((verified_asked_at is null) = (verified_answered_at is null)),
    constraint upstream_issuers_half_is_whole check (
        num_nonnulls(verified_occurred_at, verified_taken_at) in (0, 2)
        and (verified_occurred_at is null or verified_asked_at is not null)
    ),
    constraint upstream_trouble_is_whole check ((trouble is null) = (trouble_at is null))
);
comment on table upstream is 'One transmitter we listen to and the stream we hold there: one row per configured upstream.';
comment on column upstream.id is 'Our name for the upstream in the database.';
comment on column upstream.name is 'The operator''s name for it: in the configuration, in reports and in the path of its push endpoint.';
comment on column upstream.issuer_id is 'The issuer whose SETs this upstream delivers; a SET of any other issuer is refused.';
comment on column upstream.delivery_method is 'push (RFC 8935) or poll (RFC 8936), as configured.';
comment on column upstream.stream_id is 'The stream at the transmitter; null until one is created or adopted.';
comment on column upstream.stream_status is 'absent: no stream yet; enabled, paused, disabled: as the transmitter last said (SSF 1.0 §8.1.2).';
comment on column upstream.status_reason is 'The reason the transmitter gave with that status, if any.';
comment on column upstream.status_at is 'Of the newest stream-updated that had effect: when the issuer decided it, by the issuer''s clock; one with an older time does not overrule it.';
comment on column upstream.status_received_at is 'When that stream-updated arrived, by our clock; an answer to a question asked before does not overrule it.';
comment on column upstream.status_read_at is 'When we last asked for the status over HTTP and took the answer, by our clock: newer than every stream-updated received before it.';
comment on column upstream.audiences is 'The values of `aud` that mean us on this stream.';
comment on column upstream.events_delivered is 'The event type URIs the transmitter said it delivers: the only list to rely on.';
comment on column upstream.poll_endpoint is 'Where to poll; null for push.';
comment on column upstream.push_authorization_hash is 'SHA-256 of the Authorization header value the transmitter must present when it pushes.';
comment on column upstream.next_push_authorization_hash is 'SHA-256 of the Authorization value we are about to register: accepted beside the present one until the transmitter has confirmed it, so that no SET is turned away in between.';
comment on column upstream.verification_state is 'The state of the verification we asked for and still wait for; null when none is pending.';
comment on column upstream.verification_sent_at is 'When we asked for the pending verification, by our clock.';
comment on column upstream.last_verified_at is 'When a good verification event last arrived, by our clock.';
comment on column upstream.verified_asked_at is 'The last verification we asked for and got: when we asked, by our clock.';
comment on column upstream.verified_answered_at is 'The last verification we asked for and got: when its SET arrived, by our clock.';
comment on column upstream.verified_occurred_at is 'The last verification we asked for and got: when the transmitter took the request, by its clock (timeline claim); null if it does not say. With the other three it bounds how far the clocks are apart.';
comment on column upstream.verified_taken_at is 'The last verification we asked for and got: when the transmitter took the SET up to send it, by its clock (timeline claim).';
comment on column upstream.last_contact_at is 'When the transmitter last answered a management call or poll, by our clock; the arrival of SETs is in received_set.';
comment on column upstream.trouble is 'What is wrong with the upstream at present, safe to show; null when nothing is.';
comment on column upstream.trouble_at is 'Since when, by our clock.';
comment on column upstream.created_at is 'When the upstream was first configured, by our clock.';
comment on column upstream.updated_at is 'When the row last changed, by our clock.';

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
