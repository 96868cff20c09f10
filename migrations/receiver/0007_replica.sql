-- Every process of the receiver holds all cut-offs in memory. This is how each hears of what the others changed, and
-- what each has to say of itself.

-- Whoever counts the feed up rings, in the transaction that does so. A notification is only a doorbell: it may be lost,
-- and the followers look by themselves all the time.
create function ring_cutoff() returns trigger
    language plpgsql
    set search_path from current
    as $$
begin
    perform pg_notify('ssf_cutoff', '');
    return null;
end
$$;
comment on function ring_cutoff() is 'Rings the followers of the feed; fires when it is counted up.';
create trigger feed_rings after update on feed for each statement execute function ring_cutoff();

-- Sessions are changed far too often for a counter in one row, which everybody would wait for. A change carries the number
-- of its transaction instead; a follower remembers below which number every transaction had ended when it looked, and
-- looks from there on the next time. That loses nothing, whatever the order of commits, and costs some repetition.
create table session_change (
    xid bigint not null,
    sid text   not null,
    primary key (xid, sid)
);
comment on table session_change is 'Sessions that were changed or removed lately: a process that holds one in memory drops it and reads it again. Rows are removed after a quarter of an hour.';
comment on column session_change.xid is 'The transaction that changed it (pg_current_xact_id).';
comment on column session_change.sid is 'The session.';

create function note_session_change() returns trigger
    language plpgsql
    set search_path from current
    as $$
begin
    insert into session_change (xid, sid)
    select pg_current_xact_id()::text::bigint, changed.sid from changed
    on conflict do nothing;
    return null;
end
$$;
comment on function note_session_change() is 'Notes in session_change which sessions a statement changed or removed.';
create trigger session_update_is_noted after update on session
    referencing old table as changed for each statement execute function note_session_change();
create trigger session_removal_is_noted after delete on session
    referencing old table as changed for each statement execute function note_session_change();

create table cutoff_removal (
    xid       bigint not null,
    issuer_id uuid   not null,
    key       bytea  not null,
    primary key (xid, issuer_id, key)
);
comment on table cutoff_removal is 'Cut-offs that were removed lately, because they can no longer matter or because a subject is forgotten: processes remove them from memory. Rows are removed after a quarter of an hour.';
comment on column cutoff_removal.xid is 'The transaction that removed it (pg_current_xact_id).';
comment on column cutoff_removal.issuer_id is 'The issuer whose word it was.';
comment on column cutoff_removal.key is 'The subject key.';

create function note_cutoff_removal() returns trigger
    language plpgsql
    set search_path from current
    as $$
begin
    insert into cutoff_removal (xid, issuer_id, key)
    select pg_current_xact_id()::text::bigint, removed.issuer_id, removed.key from removed
    on conflict do nothing;
    return null;
end
$$;
comment on function note_cutoff_removal() is 'Notes in cutoff_removal which cut-offs a statement removed.';
create trigger cutoff_removal_is_noted after delete on cutoff
    referencing old table as removed for each statement execute function note_cutoff_removal();

create table replica (
    name       text        primary key,
    run_id     uuid        not null,
    started_at timestamptz not null,
    seen_seq   bigint      not null,
    as_of      timestamptz,
    seen_at    timestamptz not null,
    constraint replica_name_is_short check (length(name) between 1 and 255),
    constraint replica_seen_seq_is_a_number_of_feed check (seen_seq >= 0)
);
comment on table replica is 'One process that answers questions from its memory. Rows of processes that were not heard of for a day are removed.';
comment on column replica.name is 'The process by a name that survives its restarts: its host and where it listens, unless configured.';
comment on column replica.run_id is 'This run of it: another one under the same name takes the row over.';
comment on column replica.started_at is 'When this run began, by its clock.';
comment on column replica.seen_seq is 'Everything up to this number of feed is in its memory. The next run does not answer before it has seen as much.';
comment on column replica.as_of is 'The newest as_of it may have given in an answer, by its clock; null before its first. The next run goes on from there, never behind it.';
comment on column replica.seen_at is 'When it last wrote this, by its clock: about once a second while it lives.';

create table replica_seen (
    replica    text        not null references replica (name) on delete cascade,
    last_seq   bigint      not null,
    first_seq  bigint      not null,
    visible_at timestamptz not null,
    primary key (replica, last_seq),
    constraint replica_seen_is_a_range check (first_seq <= last_seq)
);
comment on table replica_seen is 'When commits of cut-offs became visible in each process: one row per look that found something. Kept for replica.keep_seen.';
comment on column replica_seen.replica is 'Where.';
comment on column replica_seen.last_seq is 'The last number of feed of those that became visible.';
comment on column replica_seen.first_seq is 'The first one.';
comment on column replica_seen.visible_at is 'From then on every answer of that process takes them into account; by its clock, read after they were in memory.';
-- What is old is removed.
create index replica_seen_by_age on replica_seen (visible_at);
