-- Many issuers in one service, operators above them, and a record of who did what.

-- ── Issuers ────────────────────────────────────────────────────────────────────────────────────────────────────────
alter table issuer
    add column algorithm                    text check (algorithm in ('RS256', 'PS256', 'ES256', 'EdDSA')),
    add column default_subjects             text check (default_subjects in ('ALL', 'NONE')),
    add column min_verification_interval_s  integer check (min_verification_interval_s >= 0),
    add column inactivity_timeout_s         integer check (inactivity_timeout_s >= 0),
    add column max_streams                  integer check (max_streams between 0 and 10000),
    add column removed_at                   timestamptz;
comment on column issuer.algorithm is 'How new streams are signed; null means as configured.';
comment on column issuer.default_subjects is 'Whether a new stream has all subjects or none (SSF 1.0 §7.1); null means as configured.';
comment on column issuer.min_verification_interval_s is 'Seconds between two verification requests of a new stream; null means as configured.';
comment on column issuer.inactivity_timeout_s is 'Seconds without activity before a new stream may be paused, 0 for never; null means as configured.';
comment on column issuer.max_streams is 'How many streams a new receiver may have; null means one.';
comment on column issuer.removed_at is 'When it was removed: from then on it is not served.';

-- ── Clients ────────────────────────────────────────────────────────────────────────────────────────────────────────
alter table client
    add column is_operator boolean not null default false,
    add constraint client_operator_administers check (not is_operator or 'ssf.admin' = any (scopes));
comment on column client.is_operator is 'Operates the whole service: its ssf.admin is good at every issuer, and it may add and remove issuers.';

-- ── Audit ──────────────────────────────────────────────────────────────────────────────────────────────────────────
create table audit (
    issuer_id  uuid not null references issuer,
    seq        bigint not null check (seq > 0),
    at         timestamptz not null,
    actor      text not null check (actor <> ''),
    action     text not null check (action <> ''),
    target     text not null,
    details    text not null check (details::jsonb is not null),
    previous   bytea not null check (length(previous) = 32),
    hash       bytea not null check (length(hash) = 32),
    primary key (issuer_id, seq)
);
comment on table audit is 'Who did what, per issuer: append-only, each row bound to the one before it by its hash.';
comment on column audit.issuer_id is 'At which issuer.';
comment on column audit.seq is 'From 1 without a gap.';
comment on column audit.at is 'When.';
comment on column audit.actor is 'Who: client:<client_id>, operator:<client_id>, cli:<user of the system>, service.';
comment on column audit.action is 'What, such as stream.deleted.';
comment on column audit.target is 'To what: an id, never a subject.';
comment on column audit.details is 'A JSON object, as it was hashed: no secrets, no subjects.';
comment on column audit.previous is 'hash of the row before; zeros in the first.';
comment on column audit.hash is 'SHA-256 of the row before''s hash and this row''s members.';

create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end $$;
comment on function audit_is_append_only is 'Refuses to change or remove what was written.';
create trigger audit_is_append_only before update or delete on audit for each row execute function audit_is_append_only();
create trigger audit_is_not_emptied before truncate on audit execute function audit_is_append_only();

-- ── ssf_emit: only issuers that are served ─────────────────────────────────────────────────────────────────────────
create or replace function ssf_emit(
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
     where (ssf_emit.issuer is null or i.url = ssf_emit.issuer) and i.removed_at is null;
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
