-- Received SETs by the day on which they were issued, one partition per day: a SET that comes again is the same SET, so it
-- meets the day it was filed in the first time, and what is older than the horizon goes with its partition.
-- SETs that were received before this migration share one partition, which goes when its last day does; there a jti is
-- known again whatever day it is filed under.

alter table received_set rename to received_set_before;
alter table received_set_before rename constraint received_set_pkey to received_set_before_pkey;
alter index received_set_by_arrival rename to received_set_before_by_arrival;

create table received_set (
    upstream_id   uuid        not null,
    jti           text        not null,
    event_type    text        not null,
    txn           text,
    method        text        not null,
    effect        text        not null,
    occurred_at   timestamptz,
    recorded_at   timestamptz,
    fanned_out_at timestamptz,
    taken_at      timestamptz,
    received_at   timestamptz not null,
    batch_id      uuid        not null,
    day           date        not null,
    primary key (upstream_id, jti, day),
    constraint received_set_method check (method in ('push', 'poll')),
    constraint received_set_effect check (
        effect in (
            'revoke', 'revalidate', 'block', 'unblock', 'verified', 'stream_status', 'fact', 'none', 'ignored', 'withheld'
        )
    )
) partition by range (day);
comment on table received_set is 'Every SET that was applied, once: the row and its effect are committed together, before the acknowledgement. A partition per day of issue; days older than inbox.replay_horizon are dropped.';
comment on column received_set.upstream_id is 'The upstream it came through; an upstream has one issuer, so (upstream, jti) is (issuer, jti) or finer.';
comment on column received_set.jti is 'The SET''s id (RFC 8417 §2.2); a second SET with it is acknowledged and changes nothing.';
comment on column received_set.event_type is 'Short name of the event type, or its URI if we do not know the type.';
comment on column received_set.txn is 'The transaction the SET belongs to (RFC 8417 §2.2), if it says so.';
comment on column received_set.method is 'How it reached us: push or poll.';
comment on column received_set.effect is 'What it became: revoke, revalidate, block (which also revokes), unblock, verified, stream_status, fact (recorded only), none (type unknown), ignored (by the policy), withheld (the issuer may not decide that here; see withheld).';
comment on column received_set.occurred_at is 'Timeline claim, issuer''s clock: when the IdP decided.';
comment on column received_set.recorded_at is 'Timeline claim, issuer''s clock: when the event was committed to the outbox.';
comment on column received_set.fanned_out_at is 'Timeline claim, issuer''s clock: when its deliveries were made.';
comment on column received_set.taken_at is 'Timeline claim, issuer''s clock: when this delivery was taken up to be signed and sent.';
comment on column received_set.received_at is 'When its bytes had arrived, by our clock, before verification.';
comment on column received_set.batch_id is 'The commit it was applied in; applied_batch says when that commit was done.';
comment on column received_set.day is 'The day (UTC) of its iat, the partition; of one that was issued before the horizon, the oldest day that is kept.';
create index received_set_by_arrival on received_set (upstream_id, received_at);

do $$
declare
    newest date;
begin
    select (max(received_at) at time zone 'UTC')::date + 1 into newest from received_set_before;
    if newest is null then
        drop table received_set_before;
        return;
    end if;
    -- one day for all of them, told by the catalogue: no row is written again
    execute format('alter table received_set_before add column day date not null default %L', newest);
    alter table received_set_before alter column day drop default;
    alter table received_set_before
        add constraint received_set_before_once unique (upstream_id, jti),
        drop constraint received_set_before_pkey;
    execute format('alter table received_set attach partition received_set_before for values from (minvalue) to (%L)', newest + 1);
    execute format('alter table received_set_before rename to %I', 'received_set_until_' || to_char(newest, 'YYYYMMDD'));
end $$;

-- Both lock the table for a moment. Who reads it for long must not make the inbox stand in line behind them: they give up
-- and come again.
create function ensure_received_set_day(day date) returns void
    language plpgsql
    set search_path from current
    set lock_timeout = '2s'
    as $$
declare
    child constant text := 'received_set_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(child) is not null then
        return;
    end if;
    -- two who miss the same day make it one after the other
    perform pg_advisory_xact_lock(hashtext('received_set'), 0);
    if to_regclass(child) is not null then
        return;
    end if;
    execute format('create table %I partition of received_set for values from (%L) to (%L)', child, day, day + 1);
    execute format('comment on table %I is %L', child, 'The received SETs of one day of issue.');
exception
    when invalid_object_definition then
        -- the day lies within the partition of those that were received before there were days
        null;
    when duplicate_table then
        -- made by somebody else a moment ago: the catalogue was looked up before we had the lock
        null;
end $$;
comment on function ensure_received_set_day(date) is 'Makes the partition of received_set for a day, unless a partition holds that day already.';

create function drop_received_set_days(before date) returns integer
    language plpgsql
    set search_path from current
    set lock_timeout = '2s'
    as $$
declare
    child   text;
    dropped integer := 0;
begin
    for child in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'received_set'::regclass
          -- other tables are looked at before they are joined away
          and case when c.relname ~ '_[0-9]{8}$' then to_date(right(c.relname, 8), 'YYYYMMDD') < before end
        order by c.relname
    loop
        -- another process may be faster
        execute format('drop table if exists %I', child);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;
comment on function drop_received_set_days(date) is 'Drops the partitions of received_set whose last day lies before the given one; returns how many.';
