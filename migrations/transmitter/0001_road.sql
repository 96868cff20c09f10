-- The transmitter's schema: who may call, what was decided, what waits for whom, what became of it.
-- The service sets search_path to its own schema; nothing here is qualified.

-- ── Issuers ────────────────────────────────────────────────────────────────────────────────────────────────────────
create table issuer (
    id          uuid primary key,
    url         text not null unique check (url <> ''),
    created_at  timestamptz not null
);
comment on table issuer is 'An issuer (tenant): every other row belongs to one.';
comment on column issuer.id is 'Our id.';
comment on column issuer.url is 'The issuer URL, byte for byte as in metadata and in SETs (SSF 1.0 §7.1).';
comment on column issuer.created_at is 'When it was first served.';

-- ── Event types ────────────────────────────────────────────────────────────────────────────────────────────────────
create table event_type (
    name  text primary key check (name <> ''),
    uri   text not null unique check (uri like '%:%'),
    lane  smallint not null check (lane between 0 and 2)
);
comment on table event_type is 'The types known by a short name, for ssf_emit. The service brings it up to date at start.';
comment on column event_type.name is 'Short name, such as session-revoked.';
comment on column event_type.uri is 'The type URI as it stands in SETs.';
comment on column event_type.lane is 'Default lane: 0 urgent, 1 prompt, 2 bulk.';

-- ── Keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────
create table signing_key (
    id                  uuid primary key,
    issuer_id           uuid not null references issuer,
    kid                 text not null,
    algorithm           text not null check (algorithm in ('RS256', 'PS256', 'ES256', 'EdDSA')),
    state               text not null check (state in ('next', 'active', 'retired')),
    public_jwk          jsonb not null,
    private_jwk_sealed  bytea not null,
    created_at          timestamptz not null,
    activated_at        timestamptz,
    retired_at          timestamptz,
    unique (issuer_id, kid),
    -- next → active → retired, never back
    check ((state = 'next') = (activated_at is null)),
    check ((state = 'retired') = (retired_at is not null))
);
create unique index signing_key_one_active on signing_key (issuer_id, algorithm) where state = 'active';
comment on table signing_key is 'Signing keys. All states are published; only the active one signs.';
comment on column signing_key.id is 'Our id.';
comment on column signing_key.issuer_id is 'Whose key.';
comment on column signing_key.kid is 'Key id, the RFC 7638 thumbprint.';
comment on column signing_key.algorithm is 'The one algorithm it signs with.';
comment on column signing_key.state is 'next: published, not yet used. active: signs. retired: verifies what it signed.';
comment on column signing_key.public_jwk is 'The public half, as published.';
comment on column signing_key.private_jwk_sealed is 'The private JWK, AES-256-GCM under the configured key; bound to kid.';
comment on column signing_key.created_at is 'When it was made, and from then on published.';
comment on column signing_key.activated_at is 'When it began to sign.';
comment on column signing_key.retired_at is 'When it stopped signing.';

-- ── Clients ────────────────────────────────────────────────────────────────────────────────────────────────────────
create table client (
    id                uuid primary key,
    issuer_id         uuid not null references issuer,
    client_id         text not null check (client_id <> ''),
    secret_digest     bytea check (length(secret_digest) = 32),
    scopes            text[] not null check (scopes <@ array['ssf.read', 'ssf.manage', 'ssf.emit', 'ssf.admin']),
    audience          text[] not null default '{}',
    max_streams       integer not null default 1 check (max_streams between 0 and 10000),
    events_supported  text[],
    created_at        timestamptz not null,
    removed_at        timestamptz
);
create unique index client_living on client (issuer_id, client_id) where removed_at is null;
comment on table client is 'Who may call: receivers (ssf.read, ssf.manage) and producers (ssf.emit).';
comment on column client.id is 'Our id.';
comment on column client.issuer_id is 'At which issuer.';
comment on column client.client_id is 'The name it authenticates with; unique among the living of an issuer.';
comment on column client.secret_digest is 'SHA-256 of its secret. Secrets are generated with 256 bits, so a plain digest suffices.';
comment on column client.scopes is 'The most it may ever be granted.';
comment on column client.audience is 'aud of the SETs on its streams.';
comment on column client.max_streams is 'How many streams it may have at once; one more answers 409.';
comment on column client.events_supported is 'The types offered to it; null means all.';
comment on column client.created_at is 'When it was added.';
comment on column client.removed_at is 'When it was removed: from then on nothing of it is accepted.';

create table access_token (
    digest      bytea primary key check (length(digest) = 32),
    client_id   uuid not null references client,
    kind        text not null check (kind in ('static', 'issued')),
    scopes      text[] not null,
    created_at  timestamptz not null,
    expires_at  timestamptz,
    check (kind = 'static' or expires_at is not null)
);
create index access_token_expired on access_token (expires_at) where expires_at is not null;
create index access_token_of_client on access_token (client_id);
comment on table access_token is 'Bearer tokens by their SHA-256; the tokens themselves are nowhere.';
comment on column access_token.digest is 'SHA-256 of the token.';
comment on column access_token.client_id is 'Whose it is.';
comment on column access_token.kind is 'static: given by the operator, lives as long as the client. issued: from the token endpoint.';
comment on column access_token.scopes is 'What it allows.';
comment on column access_token.created_at is 'When it was made.';
comment on column access_token.expires_at is 'When it ends; null for static ones.';

-- ── Streams ────────────────────────────────────────────────────────────────────────────────────────────────────────
create table stream (
    id                          uuid primary key,
    issuer_id                   uuid not null references issuer,
    client_id                   uuid not null references client,
    audience                    text[] not null check (cardinality(audience) > 0),
    status                      text not null check (status in ('enabled', 'paused', 'disabled')),
    status_reason               text,
    delivery_method             text not null check (delivery_method in ('push', 'poll')),
    endpoint_url                text,
    authorization_sealed        bytea,
    events_requested            text[],
    events_delivered            text[] not null,
    description                 text,
    algorithm                   text not null check (algorithm in ('RS256', 'PS256', 'ES256', 'EdDSA')),
    timeline_claim              boolean not null default true,
    min_verification_interval_s integer not null check (min_verification_interval_s >= 0),
    inactivity_timeout_s        integer check (inactivity_timeout_s > 0),
    last_activity_at            timestamptz not null,
    last_verification_at        timestamptz,
    created_at                  timestamptz not null,
    updated_at                  timestamptz not null,
    check ((delivery_method = 'push') = (endpoint_url is not null)),
    check (delivery_method = 'push' or authorization_sealed is null)
);
create index stream_of_client on stream (client_id);
create index stream_that_sends on stream (issuer_id) where status <> 'disabled';
comment on table stream is 'A stream: one receiver''s wish to hear of certain events (SSF 1.0 §8.1.1).';
comment on column stream.id is 'stream_id on the wire: 122 random bits.';
comment on column stream.issuer_id is 'iss of its SETs.';
comment on column stream.client_id is 'The receiver it belongs to.';
comment on column stream.audience is 'aud of its SETs, fixed for life.';
comment on column stream.status is 'enabled transmits, paused holds, disabled does neither (§8.1.2).';
comment on column stream.status_reason is 'Why it has this status, if somebody said so.';
comment on column stream.delivery_method is 'push (RFC 8935) or poll (RFC 8936).';
comment on column stream.endpoint_url is 'Push: where to.';
comment on column stream.authorization_sealed is 'Push: the Authorization header to send, AES-256-GCM under the configured key; bound to the stream id.';
comment on column stream.events_requested is 'Type URIs the receiver asked for; null if it did not say.';
comment on column stream.events_delivered is 'Type URIs that are sent.';
comment on column stream.description is 'The receiver''s words.';
comment on column stream.algorithm is 'What its SETs are signed with.';
comment on column stream.timeline_claim is 'Whether SETs carry our timeline claim.';
comment on column stream.min_verification_interval_s is 'Seconds between two verification requests.';
comment on column stream.inactivity_timeout_s is 'Seconds without activity before the stream may be paused; null means never.';
comment on column stream.last_activity_at is 'Last management call or poll by the receiver.';
comment on column stream.last_verification_at is 'Last verification request granted.';
comment on column stream.created_at is 'When it was created.';
comment on column stream.updated_at is 'When its configuration or status last changed.';

create table stream_health (
    stream_id        uuid primary key references stream on delete cascade,
    failures         integer not null default 0 check (failures >= 0),
    retry_at         timestamptz,
    trouble          text,
    last_success_at  timestamptz,
    last_failure_at  timestamptz,
    -- a breaker is open (failures, a time to probe) or closed (neither)
    check ((failures = 0) = (retry_at is null)),
    check ((failures = 0) = (trouble is null))
) with (fillfactor = 70);
comment on table stream_health is 'The breaker of a push stream: a row only where something was sent.';
comment on column stream_health.stream_id is 'Which stream.';
comment on column stream_health.failures is 'Failures in a row; 0 means the breaker is closed.';
comment on column stream_health.retry_at is 'Open breaker: when one SET may probe.';
comment on column stream_health.trouble is 'Open breaker: what the receiver answered last, in our words.';
comment on column stream_health.last_success_at is 'Last acknowledgement.';
comment on column stream_health.last_failure_at is 'Last failure.';

-- ── Outbox ─────────────────────────────────────────────────────────────────────────────────────────────────────────
create table outbox (
    seq            bigint generated always as identity primary key,
    event_id       uuid not null unique,
    issuer_id      uuid not null references issuer,
    stream_id      uuid references stream on delete cascade,
    event_type     text not null,
    subject        jsonb not null check (jsonb_typeof(subject) = 'object'),
    order_key      bigint not null generated always as (hashtextextended(subject::text, 0)) stored,
    lane           smallint not null check (lane between 0 and 2),
    txn            text not null check (txn <> ''),
    payload        jsonb not null check (jsonb_typeof(payload) = 'object'),
    checked        boolean not null default false,
    occurred_at    timestamptz not null check (occurred_at >= 'epoch' and occurred_at < 'infinity'),
    recorded_at    timestamptz not null check (recorded_at >= 'epoch' and recorded_at < 'infinity')
);
create index outbox_in_order on outbox (lane, seq);
create index outbox_of_subject on outbox (order_key, seq);
comment on table outbox is 'Hot: decisions recorded but not yet fanned out. A row leaves for event with its fan-out.';
comment on column outbox.seq is 'Order of recording.';
comment on column outbox.event_id is 'Our id, given back to the producer.';
comment on column outbox.issuer_id is 'Who decided.';
comment on column outbox.stream_id is 'Control events only: the one stream addressed.';
comment on column outbox.event_type is 'Type URI.';
comment on column outbox.subject is 'sub_id as the producer gave it.';
comment on column outbox.order_key is 'Hash of the subject: events with equal keys keep their order (two subjects with one hash are merely kept in order too).';
comment on column outbox.lane is '0 urgent, 1 prompt, 2 bulk.';
comment on column outbox.txn is 'The cause, the same in every SET of this event.';
comment on column outbox.payload is 'Members of the event.';
comment on column outbox.checked is 'Whether the event was validated at the door; what came by SQL is validated at fan-out.';
comment on column outbox.occurred_at is 'The decision.';
comment on column outbox.recorded_at is 'When this row was written; its commit follows at once.';

create table event (
    event_id       uuid not null,
    recorded_at    timestamptz not null,
    seq            bigint not null,
    issuer_id      uuid not null,
    stream_id      uuid,
    event_type     text not null,
    subject        jsonb not null,
    lane           smallint not null check (lane between 0 and 2),
    txn            text not null,
    payload        jsonb not null,
    occurred_at    timestamptz not null,
    fanned_out_at  timestamptz not null,
    streams        integer not null check (streams >= 0),
    state          text not null check (state in ('fanned_out', 'rejected')),
    rejection      text,
    primary key (event_id, recorded_at),
    check ((state = 'rejected') = (rejection is not null)),
    check (state = 'fanned_out' or streams = 0)
) partition by range (recorded_at);
create table event_rest partition of event default;
comment on table event is 'History: every decision once it was fanned out, by day of recording.';
comment on table event_rest is 'Events of days without a partition of their own.';
comment on column event.event_id is 'As in outbox.';
comment on column event.recorded_at is 'As in outbox; the partition.';
comment on column event.seq is 'As in outbox.';
comment on column event.issuer_id is 'As in outbox.';
comment on column event.stream_id is 'As in outbox.';
comment on column event.event_type is 'As in outbox.';
comment on column event.subject is 'As in outbox.';
comment on column event.lane is 'As in outbox.';
comment on column event.txn is 'As in outbox.';
comment on column event.payload is 'As in outbox.';
comment on column event.occurred_at is 'As in outbox.';
comment on column event.fanned_out_at is 'When its deliveries were made.';
comment on column event.streams is 'How many deliveries were made.';
comment on column event.state is 'fanned_out; rejected: emitted by SQL and not a valid event.';
comment on column event.rejection is 'Why it was rejected.';

create table idempotency_key (
    client_id       uuid not null references client,
    key             text not null check (length(key) between 1 and 255),
    request_digest  bytea not null check (length(request_digest) = 32),
    answer          jsonb not null,
    created_at      timestamptz not null,
    primary key (client_id, key)
);
create index idempotency_key_age on idempotency_key (created_at);
comment on table idempotency_key is 'Intake requests already answered: the same key gives the same answer.';
comment on column idempotency_key.client_id is 'The producer.';
comment on column idempotency_key.key is 'Its Idempotency-Key header.';
comment on column idempotency_key.request_digest is 'SHA-256 of the body, so that a key cannot be used for another request.';
comment on column idempotency_key.answer is 'The body of the answer.';
comment on column idempotency_key.created_at is 'When; kept for a day.';

-- ── Deliveries ─────────────────────────────────────────────────────────────────────────────────────────────────────
create table delivery (
    id              uuid primary key,
    seq             bigint generated always as identity,
    issuer_id       uuid not null,
    stream_id       uuid not null references stream on delete cascade,
    event_id        uuid not null,
    recorded_at     timestamptz not null,
    event_type      text not null,
    order_key       bigint not null,
    lane            smallint not null check (lane between 0 and 2),
    state           text not null default 'waiting' check (state in ('waiting', 'leased')),
    due_at          timestamptz not null,
    lease_id        uuid,
    attempts        integer not null default 0 check (attempts >= 0),
    occurred_at     timestamptz not null,
    fanned_out_at   timestamptz not null,
    first_taken_at  timestamptz,
    sent_at         timestamptz,
    last_error      text,
    check ((state = 'leased') = (lease_id is not null)),
    check (state = 'waiting' or first_taken_at is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index delivery_in_order on delivery (stream_id, lane, seq);
create index delivery_of_subject on delivery (stream_id, order_key, seq);
create index delivery_of_event on delivery (event_id);
comment on table delivery is 'Hot: SETs not yet settled. Claims, leases and retries touch no indexed column. A settled row leaves for delivery_history.';
comment on column delivery.id is 'jti of the SET, fixed at birth: a retry is the same SET.';
comment on column delivery.seq is 'Order of fan-out.';
comment on column delivery.issuer_id is 'iss.';
comment on column delivery.stream_id is 'To whom.';
comment on column delivery.event_id is 'What.';
comment on column delivery.recorded_at is 'When the event was recorded; finds its partition.';
comment on column delivery.event_type is 'Type URI.';
comment on column delivery.order_key is 'Deliveries of one stream with equal keys go out in order of seq.';
comment on column delivery.lane is '0 urgent, 1 prompt, 2 bulk; a delivery may be promoted, never demoted.';
comment on column delivery.state is 'waiting: due at due_at. leased: somebody sends it until due_at, then it is due again.';
comment on column delivery.due_at is 'waiting: next attempt. leased: end of the lease.';
comment on column delivery.lease_id is 'Who may settle it.';
comment on column delivery.attempts is 'How often it was taken.';
comment on column delivery.occurred_at is 'The decision.';
comment on column delivery.fanned_out_at is 'When this row was made; its whole second is iat.';
comment on column delivery.first_taken_at is 'When it was first taken for sending.';
comment on column delivery.sent_at is 'Poll: when it was last handed out.';
comment on column delivery.last_error is 'What went wrong last, in our words.';

create table delivery_history (
    id               uuid not null,
    settled_at       timestamptz not null,
    seq              bigint not null,
    issuer_id        uuid not null,
    stream_id        uuid not null,
    event_id         uuid not null,
    event_type       text not null,
    delivery_method  text not null check (delivery_method in ('push', 'poll')),
    lane             smallint not null check (lane between 0 and 2),
    outcome          text not null check (outcome in ('acknowledged', 'refused', 'expired', 'discarded')),
    error_code       text,
    attempts         integer not null,
    occurred_at      timestamptz not null,
    recorded_at      timestamptz not null,
    fanned_out_at    timestamptz not null,
    first_taken_at   timestamptz,
    signed_at        timestamptz,
    sent_at          timestamptz,
    primary key (id, settled_at),
    check (outcome = 'acknowledged' or error_code is not null)
) partition by range (settled_at);
create table delivery_history_rest partition of delivery_history default;
create index delivery_history_of_event on delivery_history (event_id);
create index delivery_history_by_time on delivery_history (issuer_id, settled_at);
comment on table delivery_history is 'Settled deliveries by day of settling: the transmitter''s part of the timeline.';
comment on table delivery_history_rest is 'Settled deliveries of days without a partition of their own.';
comment on column delivery_history.id is 'jti.';
comment on column delivery_history.settled_at is 'Acknowledged, refused, expired or discarded at; the partition. Since a receiver commits before it acknowledges, an acknowledgement bounds enforcement.';
comment on column delivery_history.seq is 'As in delivery.';
comment on column delivery_history.issuer_id is 'As in delivery.';
comment on column delivery_history.stream_id is 'As in delivery.';
comment on column delivery_history.event_id is 'As in delivery.';
comment on column delivery_history.event_type is 'As in delivery.';
comment on column delivery_history.delivery_method is 'push or poll.';
comment on column delivery_history.lane is 'The lane it left in.';
comment on column delivery_history.outcome is 'acknowledged; refused by the receiver; expired by our retention; discarded with its stream.';
comment on column delivery_history.error_code is 'Unless acknowledged: RFC 8935 code, or our word for it.';
comment on column delivery_history.attempts is 'How often it was taken.';
comment on column delivery_history.occurred_at is 'The decision.';
comment on column delivery_history.recorded_at is 'In the outbox.';
comment on column delivery_history.fanned_out_at is 'The delivery was made.';
comment on column delivery_history.first_taken_at is 'First taken for sending.';
comment on column delivery_history.signed_at is 'Signed, in the attempt that settled it.';
comment on column delivery_history.sent_at is 'Sending began, in the attempt that settled it; for poll, handed out.';

create table dead_letter (
    id             uuid primary key,
    issuer_id      uuid not null,
    stream_id      uuid not null references stream on delete cascade,
    event_id       uuid not null,
    event_type     text not null,
    subject        jsonb not null,
    payload        jsonb not null,
    txn            text not null,
    lane           smallint not null check (lane between 0 and 2),
    attempts       integer not null,
    error_code     text not null,
    error          text not null,
    occurred_at    timestamptz not null,
    recorded_at    timestamptz not null,
    fanned_out_at  timestamptz not null,
    died_at        timestamptz not null
);
create index dead_letter_of_stream on dead_letter (stream_id, died_at);
comment on table dead_letter is 'SETs that will not be tried again by themselves, whole enough to be replayed with the same jti, iat and txn.';
comment on column dead_letter.id is 'jti.';
comment on column dead_letter.issuer_id is 'iss.';
comment on column dead_letter.stream_id is 'To whom.';
comment on column dead_letter.event_id is 'What.';
comment on column dead_letter.event_type is 'Type URI.';
comment on column dead_letter.subject is 'sub_id.';
comment on column dead_letter.payload is 'Members of the event.';
comment on column dead_letter.txn is 'The cause.';
comment on column dead_letter.lane is 'The lane it was in.';
comment on column dead_letter.attempts is 'How often it was taken.';
comment on column dead_letter.error_code is 'RFC 8935 code of the refusal, or expired.';
comment on column dead_letter.error is 'What the receiver said, shortened.';
comment on column dead_letter.occurred_at is 'The decision.';
comment on column dead_letter.recorded_at is 'In the outbox.';
comment on column dead_letter.fanned_out_at is 'Made; its whole second is iat.';
comment on column dead_letter.died_at is 'When it was given up.';

-- ── Functions ──────────────────────────────────────────────────────────────────────────────────────────────────────
create function ssf_uuid_v7(at timestamptz) returns uuid language sql volatile parallel safe
return encode(
    set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid())
                placing substring(int8send(floor(extract(epoch from at) * 1000)::bigint) from 3) from 1 for 6),
        52, 1), 53, 1), 'hex')::uuid;
comment on function ssf_uuid_v7 is 'A UUIDv7 born at the given time (RFC 9562 §5.7).';

create function ssf_emit(
    event_type   text,
    subject      jsonb,
    payload      jsonb default '{}',
    occurred_at  timestamptz default clock_timestamp(),
    txn          text default null,
    lane         text default null,
    issuer       text default null
) returns uuid language plpgsql security definer set search_path from current as $$
declare
    of_issuer  uuid;
    issuers    bigint;
    of_type    record;
    of_lane    smallint;
    new_id     uuid;
begin
    select count(*), min(i.id::text)::uuid into issuers, of_issuer from issuer i
     where ssf_emit.issuer is null or i.url = ssf_emit.issuer;
    if issuers = 0 then
        raise exception 'ssf_emit: issuer % is not served here', coalesce(ssf_emit.issuer, '(none)') using errcode = 'invalid_parameter_value';
    elsif issuers > 1 then
        raise exception 'ssf_emit: several issuers are served here; name one with issuer => ''…''' using errcode = 'invalid_parameter_value';
    end if;
    select t.uri, t.lane into of_type from event_type t where t.name = ssf_emit.event_type or t.uri = ssf_emit.event_type;
    if not found then
        if ssf_emit.event_type is null or ssf_emit.event_type not like '%:%' then
            raise exception 'ssf_emit: event type % is neither a known short name nor a URI', coalesce(ssf_emit.event_type, '(null)')
                using errcode = 'invalid_parameter_value';
        end if;
        select ssf_emit.event_type as uri, 1::smallint as lane into of_type;
    end if;
    if of_type.uri like 'https://schemas.openid.net/secevent/ssf/event-type/%' then
        raise exception 'ssf_emit: % is a control event, which the transmitter sends by itself', ssf_emit.event_type using errcode = 'invalid_parameter_value';
    end if;
    if jsonb_typeof(ssf_emit.subject) is distinct from 'object' or ssf_emit.subject ->> 'format' is null then
        raise exception 'ssf_emit: subject must be a JSON object with a member "format" (RFC 9493)' using errcode = 'invalid_parameter_value';
    end if;
    if jsonb_typeof(ssf_emit.payload) is distinct from 'object' then
        raise exception 'ssf_emit: payload must be a JSON object' using errcode = 'invalid_parameter_value';
    end if;
    if octet_length(ssf_emit.subject::text) + octet_length(ssf_emit.payload::text) > 32768 then
        raise exception 'ssf_emit: subject and payload together are longer than 32768 bytes' using errcode = 'invalid_parameter_value';
    end if;
    if length(ssf_emit.event_type) > 1024 or length(ssf_emit.txn) not between 1 and 255 then
        raise exception 'ssf_emit: event_type must have at most 1024 characters, txn 1 to 255' using errcode = 'invalid_parameter_value';
    end if;
    if ssf_emit.occurred_at < 'epoch'::timestamptz then
        raise exception 'ssf_emit: occurred_at lies before 1970' using errcode = 'invalid_parameter_value';
    end if;
    if ssf_emit.occurred_at > clock_timestamp() + interval '60 seconds'
       or (jsonb_typeof(ssf_emit.payload -> 'event_timestamp') = 'number'
           and (ssf_emit.payload ->> 'event_timestamp')::numeric > extract(epoch from clock_timestamp()) + 60) then
        raise exception 'ssf_emit: occurred_at or event_timestamp lies more than 60 s in the future' using errcode = 'invalid_parameter_value';
    end if;
    of_lane := case ssf_emit.lane when 'urgent' then 0 when 'prompt' then 1 when 'bulk' then 2 end;
    if ssf_emit.lane is not null and of_lane is null then
        raise exception 'ssf_emit: lane must be urgent, prompt or bulk' using errcode = 'invalid_parameter_value';
    end if;
    new_id := ssf_uuid_v7(clock_timestamp());
    insert into outbox (event_id, issuer_id, event_type, subject, lane, txn, payload, occurred_at, recorded_at)
    values (new_id, of_issuer, of_type.uri, ssf_emit.subject, coalesce(of_lane, of_type.lane),
            coalesce(ssf_emit.txn, new_id::text), ssf_emit.payload, coalesce(ssf_emit.occurred_at, clock_timestamp()), clock_timestamp());
    perform pg_notify('ssf_outbox', '');
    return new_id;
end $$;
comment on function ssf_emit is 'Records a decision in the caller''s own transaction: it goes out if, and only if, that transaction commits. Returns the event id.';

create function ensure_partitions(first_day date, last_day date) returns integer language plpgsql as $$
declare
    day     date;
    parent  text;
    child   text;
    made    integer := 0;
begin
    foreach parent in array array['event', 'delivery_history'] loop
        day := first_day;
        while day <= last_day loop
            child := parent || '_' || to_char(day, 'YYYYMMDD');
            if to_regclass(child) is null then
                begin
                    execute format('create table %I partition of %I for values from (%L) to (%L)', child, parent,
                                   day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
                    made := made + 1;
                exception when check_violation then
                    -- rows of that day already stand in the default partition; they stay there
                    null;
                end;
            end if;
            day := day + 1;
        end loop;
    end loop;
    return made;
end $$;
comment on function ensure_partitions is 'Makes the partitions of the given days where missing; returns how many it made.';

create function drop_partitions(before date) returns integer language plpgsql as $$
declare
    child    text;
    dropped  integer := 0;
begin
    for child in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
         where p.oid in ('event'::regclass, 'delivery_history'::regclass)
           and c.relname ~ '_[0-9]{8}$' and to_date(right(c.relname, 8), 'YYYYMMDD') < before
    loop
        execute format('drop table %I', child);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;
comment on function drop_partitions is 'Ends the retention of every whole day before the given one; returns how many partitions it dropped.';
