-- Who we listen to: the issuers whose word counts here, and the stream we hold at each transmitter.

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
    audiences                      text[]      not null default '{}',
    events_delivered               text[]      not null default '{}',
    poll_endpoint                  text,
    push_authorization_hash        bytea,
    verification_state             text,
    verification_sent_at           timestamptz,
    last_verified_at               timestamptz,
    verification_round_trip_micros bigint,
    last_contact_at                timestamptz,
    trouble                        text,
    trouble_at                     timestamptz,
    created_at                     timestamptz not null,
    updated_at                     timestamptz not null,
    constraint upstream_name_fits_a_path check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    constraint upstream_delivery_method check (delivery_method in ('push', 'poll')),
    constraint upstream_stream_status check (stream_status in ('absent', 'enabled', 'paused', 'disabled')),
    constraint upstream_stream_exists_unless_absent check ((stream_id is null) = (stream_status = 'absent')),
    constraint upstream_absent_has_no_reason check (stream_status <> 'absent' or (status_reason is null and status_at is null)),
    constraint upstream_push_is_authenticated check (delivery_method <> 'push' or push_authorization_hash is not null),
    constraint upstream_authorization_is_a_digest check (octet_length(push_authorization_hash) = 32),
    constraint upstream_pending_verification_is_whole check ((verification_state is null) = (verification_sent_at is null)),
    constraint upstream_round_trip_is_not_negative check (verification_round_trip_micros >= 0),
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
comment on column upstream.status_at is 'When the transmitter says the status was set; an older stream-updated does not overrule a newer one.';
comment on column upstream.audiences is 'The values of `aud` that mean us on this stream.';
comment on column upstream.events_delivered is 'The event type URIs the transmitter said it delivers: the only list to rely on.';
comment on column upstream.poll_endpoint is 'Where to poll; null for push.';
comment on column upstream.push_authorization_hash is 'SHA-256 of the Authorization header value the transmitter must present when it pushes.';
comment on column upstream.verification_state is 'The state of the verification we asked for and still wait for; null when none is pending.';
comment on column upstream.verification_sent_at is 'When we asked for the pending verification, by our clock.';
comment on column upstream.last_verified_at is 'When a good verification event last arrived, by our clock.';
comment on column upstream.verification_round_trip_micros is 'From asking for a verification to its event, microseconds on our clock: bounds the offset between the two clocks.';
comment on column upstream.last_contact_at is 'When the transmitter last answered a management call or poll, by our clock; the arrival of SETs is in received_set.';
comment on column upstream.trouble is 'What is wrong with the upstream at present, safe to show; null when nothing is.';
comment on column upstream.trouble_at is 'Since when, by our clock.';
comment on column upstream.created_at is 'When the upstream was first configured, by our clock.';
comment on column upstream.updated_at is 'When the row last changed, by our clock.';
