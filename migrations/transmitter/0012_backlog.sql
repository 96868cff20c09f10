-- What waits, counted while it comes and goes; windows, alarms before one is missed, and breaches; batches.

-- ── Windows ────────────────────────────────────────────────────────────────────────────────────────────────────────
create table promise (
    one_row  boolean primary key default true check (one_row),
    level    text not null default 'sl2' check (level in ('sl2', 'sl3')),
    sl2      interval not null default '5 minutes' check (sl2 > '0'),
    sl3      interval not null default '60 seconds' check (sl3 > '0')
);
comment on table promise is 'One row: the windows of the settings, for what the database itself judges. The service brings it up to date at start.';
comment on column promise.one_row is 'Always true.';
comment on column promise.level is 'The level of streams that have none of their own.';
comment on column promise.sl2 is 'The strictest window of SL2: a decision must be acknowledged within it.';
comment on column promise.sl3 is 'The strictest window of SL3.';
insert into promise default values;

alter table stream add column level text check (level in ('sl2', 'sl3'));
comment on column stream.level is 'Whose windows hold on this stream; null means as promise.level says.';

-- ── Batches ────────────────────────────────────────────────────────────────────────────────────────────────────────
create table batch (
    id          uuid primary key,
    issuer_id   uuid not null references issuer,
    created_at  timestamptz not null,
    announced   bigint check (announced >= 0),
    fanned_out  bigint not null default 0
);
create index batch_by_age on batch (created_at);
comment on table batch is 'Decisions handed in together, to be followed together.';
comment on column batch.id is 'Its id; of a file, made from the file and what was said with it.';
comment on column batch.issuer_id is 'Who decided.';
comment on column batch.created_at is 'When its first decisions were recorded.';
comment on column batch.announced is 'How many decisions it will have, if that was known; null: as many as were recorded.';
comment on column batch.fanned_out is 'How many have left the outbox, as far as tally was added up.';

create table batch_portion (
    batch_id     uuid not null references batch on delete cascade,
    portion      integer not null check (portion >= 0),
    events       integer not null check (events > 0),
    recorded_at  timestamptz not null,
    primary key (batch_id, portion)
);
comment on table batch_portion is 'What was recorded of a batch, each portion in the transaction of its decisions: whoever asks again sends nothing twice.';
comment on column batch_portion.batch_id is 'Of which batch.';
comment on column batch_portion.portion is 'Which portion, from 0.';
comment on column batch_portion.events is 'How many decisions it had.';
comment on column batch_portion.recorded_at is 'When.';

create table batch_stream (
    batch_id         uuid not null,
    stream_id        uuid not null,
    waiting          bigint not null default 0,
    acknowledged     bigint not null default 0,
    refused          bigint not null default 0,
    expired          bigint not null default 0,
    discarded        bigint not null default 0,
    last_settled_at  timestamptz,
    primary key (batch_id, stream_id)
) with (fillfactor = 70);
comment on table batch_stream is 'How a batch stands at each stream, as far as tally was added up.';
comment on column batch_stream.batch_id is 'Which batch.';
comment on column batch_stream.stream_id is 'Which stream; it may be gone.';
comment on column batch_stream.waiting is 'Deliveries not yet settled.';
comment on column batch_stream.acknowledged is 'Deliveries the receiver has.';
comment on column batch_stream.refused is 'Deliveries it refused.';
comment on column batch_stream.expired is 'Deliveries whose retention ended.';
comment on column batch_stream.discarded is 'Deliveries discarded with their stream.';
comment on column batch_stream.last_settled_at is 'When the last one of them was settled.';

alter table outbox add column batch_id uuid;
alter table event add column batch_id uuid;
alter table delivery add column batch_id uuid, add column overdue boolean not null default false;
alter table delivery_history add column batch_id uuid;
alter table dead_letter add column batch_id uuid;
comment on column outbox.batch_id is 'The batch it was handed in with; null if alone.';
comment on column event.batch_id is 'As in outbox.';
comment on column delivery.batch_id is 'As in outbox.';
comment on column delivery.overdue is 'Whether its window was seen to pass while it waited: the breach is written down.';
comment on column delivery_history.batch_id is 'As in outbox.';
comment on column dead_letter.batch_id is 'As in outbox: sent again, it counts there again.';

-- the oldest decision of a lane, seen to be late or not, without what streams say about themselves
create index delivery_by_age on delivery (stream_id, lane, overdue, occurred_at)
 where event_type not like 'https://schemas.openid.net/secevent/ssf/%';

-- ── Counts ─────────────────────────────────────────────────────────────────────────────────────────────────────────
create table tally (
    seq              bigint generated always as identity primary key,
    stream_id        uuid,
    lane             smallint,
    batch_id         uuid,
    slot             timestamptz,
    waiting          integer not null default 0,
    acknowledged     integer not null default 0,
    refused          integer not null default 0,
    expired          integer not null default 0,
    discarded        integer not null default 0,
    breached         integer not null default 0,
    replayed         integer not null default 0,
    fanned_out       integer not null default 0,
    last_at          timestamptz
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index tally_of_stream on tally (stream_id, lane) where stream_id is not null;
create index tally_of_batch on tally (batch_id) where batch_id is not null;
comment on table tally is 'Differences: every statement that makes or settles deliveries appends what it changed, so that none waits for another''s count. Added up into stream_backlog and batch_stream once a second.';
comment on column tally.seq is 'Order of writing.';
comment on column tally.stream_id is 'Of which stream.';
comment on column tally.lane is 'In which lane.';
comment on column tally.batch_id is 'Of which batch, if of one.';
comment on column tally.slot is 'The five seconds in which these were settled.';
comment on column tally.waiting is 'So many more wait.';
comment on column tally.acknowledged is 'So many were acknowledged.';
comment on column tally.refused is 'So many were refused.';
comment on column tally.expired is 'So many expired.';
comment on column tally.discarded is 'So many were discarded.';
comment on column tally.breached is 'So many missed their window.';
comment on column tally.replayed is 'Outcomes taken back, because their SETs were sent again.';
comment on column tally.fanned_out is 'So many decisions left the outbox.';
comment on column tally.last_at is 'The last of what was settled.';

create table stream_backlog (
    stream_id     uuid not null,
    lane          smallint not null check (lane between 0 and 2),
    waiting       bigint not null default 0,
    acknowledged  bigint not null default 0,
    refused       bigint not null default 0,
    expired       bigint not null default 0,
    discarded     bigint not null default 0,
    breached      bigint not null default 0,
    primary key (stream_id, lane)
) with (fillfactor = 70);
comment on table stream_backlog is 'What waits on each stream and what became of the rest, per lane, as far as tally was added up.';
comment on column stream_backlog.stream_id is 'Which stream; it may be gone.';
comment on column stream_backlog.lane is '0 urgent, 1 prompt, 2 bulk.';
comment on column stream_backlog.waiting is 'Deliveries not yet settled.';
comment on column stream_backlog.acknowledged is 'Deliveries acknowledged so far; never less.';
comment on column stream_backlog.refused is 'Deliveries refused so far.';
comment on column stream_backlog.expired is 'Deliveries expired so far.';
comment on column stream_backlog.discarded is 'Deliveries discarded so far.';
comment on column stream_backlog.breached is 'Windows missed so far.';

create table stream_drain (
    stream_id  uuid not null,
    slot       timestamptz not null,
    settled    bigint not null,
    primary key (stream_id, slot)
) with (fillfactor = 70);
create index stream_drain_by_age on stream_drain (slot);
comment on table stream_drain is 'How many SETs each receiver took or refused in every five seconds of the last minutes.';
comment on column stream_drain.stream_id is 'Which stream.';
comment on column stream_drain.slot is 'From when.';
comment on column stream_drain.settled is 'How many.';

create table stream_watch (
    stream_id   uuid primary key,
    busy_since  timestamptz not null
);
comment on table stream_watch is 'Streams on which something waits: a rate says what a receiver can do only while there was something to do.';
comment on column stream_watch.stream_id is 'Which stream.';
comment on column stream_watch.busy_since is 'Since when something has waited on it without a break.';

-- ── Alarms and breaches ────────────────────────────────────────────────────────────────────────────────────────────
create table backlog_alarm (
    id            uuid primary key,
    stream_id     uuid,
    lane          smallint not null check (lane between 0 and 2),
    cause         text not null check (cause in ('held', 'failing', 'stalled', 'slow', 'fan_out')),
    waiting       bigint not null,
    oldest_at     timestamptz not null,
    predicted_ms  bigint not null,
    window_ms     bigint not null,
    raised_at     timestamptz not null,
    cleared_at    timestamptz,
    check (cleared_at >= raised_at),
    check ((stream_id is null) = (cause = 'fan_out'))
);
create unique index backlog_alarm_that_rings on backlog_alarm (coalesce(stream_id, '00000000-0000-0000-0000-000000000000'), lane) where cleared_at is null;
create index backlog_alarm_newest on backlog_alarm (raised_at, id);
comment on table backlog_alarm is 'Queues of which something would miss its window: raised before it does, cleared when it would no longer.';
comment on column backlog_alarm.id is 'Our id, the id of its webhooks.';
comment on column backlog_alarm.stream_id is 'Which stream; null: the outbox, what is not fanned out.';
comment on column backlog_alarm.lane is 'Which lane of it.';
comment on column backlog_alarm.cause is 'held by a paused stream; failing: its receiver is in trouble; stalled: nothing is taken; slow: taken more slowly than needed; fan_out: not fanned out.';
comment on column backlog_alarm.waiting is 'How many waited in this lane when it was raised.';
comment on column backlog_alarm.oldest_at is 'The oldest decision then.';
comment on column backlog_alarm.predicted_ms is 'How long after its decision the slowest was expected to be settled.';
comment on column backlog_alarm.window_ms is 'The window.';
comment on column backlog_alarm.raised_at is 'When it was raised.';
comment on column backlog_alarm.cleared_at is 'When it was cleared; null while it rings.';

create table alarm_notice (
    alarm_id    uuid not null references backlog_alarm on delete cascade,
    kind        text not null check (kind in ('raised', 'cleared')),
    attempts    integer not null default 0 check (attempts >= 0),
    due_at      timestamptz not null,
    primary key (alarm_id, kind)
);
create index alarm_notice_due on alarm_notice (due_at);
comment on table alarm_notice is 'Webhooks that are to be sent; a row leaves when it was taken or given up.';
comment on column alarm_notice.alarm_id is 'Which alarm.';
comment on column alarm_notice.kind is 'That it was raised, or cleared.';
comment on column alarm_notice.attempts is 'How often it was tried.';
comment on column alarm_notice.due_at is 'The next attempt.';

create table breach (
    jti             uuid primary key,
    issuer_id       uuid not null,
    stream_id       uuid not null,
    event_id        uuid not null,
    event_type      text not null,
    lane            smallint not null check (lane between 0 and 2),
    window_ms       bigint not null check (window_ms > 0),
    held            boolean not null,
    occurred_at     timestamptz not null,
    recorded_at     timestamptz not null,
    fanned_out_at   timestamptz not null,
    first_taken_at  timestamptz,
    sent_at         timestamptz,
    settled_at      timestamptz,
    outcome         text check (outcome in ('acknowledged', 'refused', 'expired', 'discarded')),
    found_at        timestamptz not null,
    check ((outcome is null) = (settled_at is null))
);
create index breach_of_issuer on breach (issuer_id, found_at, jti);
create index breach_of_stream on breach (stream_id, found_at, jti);
create index breach_by_age on breach (found_at);
comment on table breach is 'Deliveries that missed their window, each once: found while they waited, or settled too late.';
comment on column breach.jti is 'Of its SET.';
comment on column breach.issuer_id is 'Who decided.';
comment on column breach.stream_id is 'To whom; the stream may be gone.';
comment on column breach.event_id is 'What.';
comment on column breach.event_type is 'Type URI.';
comment on column breach.lane is 'The lane it was in.';
comment on column breach.window_ms is 'The window it missed.';
comment on column breach.held is 'Whether its stream was paused when it was found.';
comment on column breach.occurred_at is 'The decision.';
comment on column breach.recorded_at is 'In the outbox.';
comment on column breach.fanned_out_at is 'The delivery was made.';
comment on column breach.first_taken_at is 'First taken for sending.';
comment on column breach.sent_at is 'Sending began, in the attempt that settled it; for poll, handed out last.';
comment on column breach.settled_at is 'When it was settled; null while it waits.';
comment on column breach.outcome is 'How; null while it waits.';
comment on column breach.found_at is 'When it was written down.';

-- ── Who counts ─────────────────────────────────────────────────────────────────────────────────────────────────────
-- Triggers, so that no statement can forget it, whatever program it belongs to. Per statement, and append-only.
create function tally_made() returns trigger language plpgsql as $$
begin
    insert into tally (stream_id, lane, batch_id, waiting)
    select n.stream_id, n.lane, n.batch_id, count(*) from made n group by 1, 2, 3;
    return null;
end $$;
comment on function tally_made is 'Counts deliveries that were made.';
create trigger tally_made after insert on delivery referencing new table as made for each statement execute function tally_made();

create function tally_promoted() returns trigger language plpgsql as $$
begin
    insert into tally (stream_id, lane, waiting) values (old.stream_id, old.lane, -1), (new.stream_id, new.lane, 1);
    return null;
end $$;
comment on function tally_promoted is 'Counts a delivery that went over into another lane.';
create trigger tally_promoted after update of lane on delivery for each row when (old.lane is distinct from new.lane) execute function tally_promoted();

create function tally_settled() returns trigger language plpgsql as $$
begin
    insert into tally (stream_id, lane, batch_id, slot, waiting, acknowledged, refused, expired, discarded, last_at)
    select n.stream_id, n.lane, n.batch_id, date_bin('5 seconds', n.settled_at, 'epoch'), -count(*),
           count(*) filter (where n.outcome = 'acknowledged'), count(*) filter (where n.outcome = 'refused'),
           count(*) filter (where n.outcome = 'expired'), count(*) filter (where n.outcome = 'discarded'),
           max(n.settled_at)
      from settled n group by 1, 2, 3, 4;
    insert into breach as b (jti, issuer_id, stream_id, event_id, event_type, lane, window_ms, held, occurred_at, recorded_at, fanned_out_at,
           first_taken_at, sent_at, settled_at, outcome, found_at)
    select n.id, n.issuer_id, n.stream_id, n.event_id, n.event_type, n.lane, floor(extract(epoch from w.longest) * 1000), w.held, n.occurred_at,
           n.recorded_at, n.fanned_out_at, n.first_taken_at, n.sent_at, n.settled_at, n.outcome, n.settled_at
      from settled n cross join lateral (
               select case coalesce((select s.level from stream s where s.id = n.stream_id), p.level) when 'sl3' then p.sl3 else p.sl2 end as longest,
                      coalesce((select s.status = 'paused' from stream s where s.id = n.stream_id), false) as held
                 from promise p) w
     -- most need no look at their stream
     where n.settled_at - n.occurred_at > (select least(sl2, sl3) from promise)
       and n.settled_at - n.occurred_at > w.longest and n.event_type not like 'https://schemas.openid.net/secevent/ssf/%'
     order by n.id
        on conflict (jti) do update set settled_at = excluded.settled_at, outcome = excluded.outcome, sent_at = excluded.sent_at,
           first_taken_at = excluded.first_taken_at;
    return null;
end $$;
comment on function tally_settled is 'Counts deliveries that were settled, and writes down which missed their window.';
create trigger tally_settled after insert on delivery_history referencing new table as settled for each statement execute function tally_settled();

create function tally_taken_back() returns trigger language plpgsql as $$
begin
    -- sums of a stream only grow; a batch is told of what is open in it
    insert into tally (batch_id, stream_id, lane, replayed, acknowledged, refused, expired, discarded)
    select n.batch_id, n.stream_id, n.lane, 1, -count(*) filter (where n.outcome = 'acknowledged'), -count(*) filter (where n.outcome = 'refused'),
           -count(*) filter (where n.outcome = 'expired'), -count(*) filter (where n.outcome = 'discarded')
      from gone n where n.batch_id is not null group by 1, 2, 3;
    return null;
end $$;
comment on function tally_taken_back is 'Takes outcomes back out of their batch, because their SETs are sent again.';
create trigger tally_taken_back after delete on delivery_history referencing old table as gone for each statement execute function tally_taken_back();

create function tally_breached() returns trigger language plpgsql as $$
begin
    insert into tally (stream_id, lane, breached) select n.stream_id, n.lane, count(*) from new_ones n group by 1, 2;
    return null;
end $$;
comment on function tally_breached is 'Counts windows that were missed.';
create trigger tally_breached after insert on breach referencing new table as new_ones for each statement execute function tally_breached();

create function tally_fanned_out() returns trigger language plpgsql as $$
begin
    insert into tally (batch_id, fanned_out) select n.batch_id, count(*) from fanned_out n where n.batch_id is not null group by 1;
    return null;
end $$;
comment on function tally_fanned_out is 'Counts decisions of batches that left the outbox.';
create trigger tally_fanned_out after insert on event referencing new table as fanned_out for each statement execute function tally_fanned_out();

-- what waits already; nobody writes while the triggers are being made
insert into stream_backlog (stream_id, lane, waiting) select stream_id, lane, count(*) from delivery group by 1, 2;
