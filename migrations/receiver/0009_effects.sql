-- What the application is told: which sessions a cut-off reached, in the order in which that was committed, and the
-- callbacks that carry it to the application. No personal data: a session is the application's own opaque name.

create table session_key (
    issuer_id uuid  not null,
    key       bytea not null,
    sid       text  not null,
    primary key (issuer_id, key, sid)
);
comment on table session_key is 'Which living sessions a subject key reaches: session.keys the other way round, kept by a trigger so that no writer can forget it.';
comment on column session_key.issuer_id is 'The session''s issuer.';
comment on column session_key.key is 'One of the session''s keys.';
comment on column session_key.sid is 'The session.';

create function session_keys_follow() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op <> 'INSERT' then
        delete from session_key
        using unnest(old.keys) as gone (key)
        where session_key.issuer_id = old.issuer_id and session_key.key = gone.key and session_key.sid = old.sid;
    end if;
    if tg_op = 'DELETE' then
        delete from effect_told where effect_told.sid = old.sid;
    elsif new.ended_at is null then
        insert into session_key (issuer_id, key, sid)
        select new.issuer_id, key, new.sid from unnest(new.keys) as own (key)
        on conflict do nothing;
    end if;
    return null;
end
$$;
comment on function session_keys_follow() is 'Keeps session_key as session is: an ended session has no rows there, a removed one is forgotten by effect_told too.';
create trigger session_key_of_new after insert or delete on session
    for each row execute function session_keys_follow();
-- Most updates are newer assertions, which touch no key.
create trigger session_key_of_changed after update on session for each row
    when ((old.sid, old.issuer_id, old.keys, old.ended_at is null)
        is distinct from (new.sid, new.issuer_id, new.keys, new.ended_at is null))
    execute function session_keys_follow();
insert into session_key (issuer_id, key, sid)
select distinct s.issuer_id, k.key, s.sid from session s cross join unnest(s.keys) as k (key) where s.ended_at is null;

create table effect_source (
    id          bigint      generated always as identity primary key,
    steps       integer     not null default 0,
    issuer_id   uuid        not null,
    key         bytea       not null,
    cut         text        not null,
    upstream_id uuid,
    jti         text,
    txn         text,
    event_type  text        not null,
    decided_at  timestamptz not null,
    received_at timestamptz not null,
    feed_seq    bigint      not null,
    noted_at    timestamptz not null,
    reached     text        not null default '',
    constraint effect_source_cut check (cut in ('revoke', 'revalidate', 'block', 'unblock')),
    constraint effect_source_steps check (steps >= 0)
);
comment on table effect_source is 'Cut-offs that moved and whose sessions were not all looked at yet. Written by the statement that moves the cut-off; a row goes when its last session was looked at.';
comment on column effect_source.id is 'Order of writing.';
comment on column effect_source.steps is 'How many pages of sessions were looked at; those with fewer go first, so a mass event delays nobody.';
comment on column effect_source.issuer_id is 'Whose word it was.';
comment on column effect_source.key is 'The subject key whose cut-off moved.';
comment on column effect_source.cut is 'What was done to it: revoke, revalidate, block, unblock.';
comment on column effect_source.upstream_id is 'The upstream it came through; null if no SET did it.';
comment on column effect_source.jti is 'The SET that did it.';
comment on column effect_source.txn is 'The transaction of that SET, if it named one.';
comment on column effect_source.event_type is 'Short name of its event type, or its URI.';
comment on column effect_source.decided_at is 'When the issuer decided it, by the issuer''s clock.';
comment on column effect_source.received_at is 'When its bytes had arrived, by our clock.';
comment on column effect_source.feed_seq is 'The commit that moved the cut-off, as numbered by feed.';
comment on column effect_source.noted_at is 'When that was, by our clock.';
comment on column effect_source.reached is 'Sessions up to this name were looked at.';
create index effect_source_next on effect_source (steps, id);

create table effect_told (
    sid       text        primary key,
    change    text        not null,
    origin    timestamptz not null,
    validated timestamptz not null,
    constraint effect_told_change check (change in ('revoked', 'revalidate_required', 'active'))
);
comment on table effect_told is 'Per session the last effect: another is made only when the state is another one, so repetition and order of arrival make no second effect.';
comment on column effect_told.sid is 'The session.';
comment on column effect_told.change is 'The state it was told to be in.';
comment on column effect_told.origin is 'The origin it had then; with another one nothing was told yet.';
comment on column effect_told.validated is 'Its newest assertion then; with another one a told revalidate_required no longer counts.';

create table effect_feed (
    one       boolean primary key default true,
    position  bigint  not null,
    forgotten bigint  not null,
    constraint effect_feed_has_one_row check (one),
    constraint effect_feed_order check (forgotten between 0 and position)
);
comment on table effect_feed is 'One row: the position of the last effect. Whoever makes effects holds it locked until its commit, so positions become visible in order.';
comment on column effect_feed.one is 'Always true: there is one row.';
comment on column effect_feed.position is 'The position of the last effect.';
comment on column effect_feed.forgotten is 'Effects up to this position may have been removed: who resumes from before it must read anew.';
insert into effect_feed (position, forgotten) values (0, 0);

create table effect (
    position    bigint      primary key,
    id          uuid        not null unique,
    sid         text        not null,
    issuer      text        not null,
    change      text        not null,
    reason      text,
    event_type  text        not null,
    jti         text,
    txn         text,
    decided_at  timestamptz not null,
    received_at timestamptz not null,
    made_at     timestamptz not null,
    feed_seq    bigint      not null,
    constraint effect_change check (change in ('revoked', 'revalidate_required', 'active')),
    constraint effect_reason_unless_active check ((reason is null) = (change = 'active'))
);
comment on table effect is 'What the application was or is to be told, one row per session whose state changed; removed after callbacks.keep.';
comment on column effect.position is 'Its place, in the order of commits; the id of a server-sent event.';
comment on column effect.id is 'Its name (UUIDv7), the same in every attempt: the application knows a repetition by it.';
comment on column effect.sid is 'The session, by the application''s own opaque name.';
comment on column effect.issuer is 'The issuer whose decision it was.';
comment on column effect.change is 'The state the session is in now: revoked, revalidate_required, or active again after an unblock.';
comment on column effect.reason is 'Why, as GET /v1/sessions/{sid} says it; null when active.';
comment on column effect.event_type is 'Short name of the event type that brought it about, or its URI.';
comment on column effect.jti is 'The SET that brought it about.';
comment on column effect.txn is 'The transaction of that SET, if it named one.';
comment on column effect.decided_at is 'When the issuer decided it, by the issuer''s clock.';
comment on column effect.received_at is 'When its SET had arrived, by our clock.';
comment on column effect.made_at is 'When the effect was made, by our clock.';
comment on column effect.feed_seq is 'The commit that moved the cut-off, as numbered by feed.';

create table effect_target (
    name            text        primary key,
    changes         text[]      not null,
    removed_at      timestamptz,
    last_success_at timestamptz,
    failures        integer     not null default 0,
    retry_at        timestamptz,
    trouble         text,
    trouble_at      timestamptz,
    constraint effect_target_name check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    constraint effect_target_breaker_is_whole check (
        (failures = 0 and retry_at is null) or (failures > 0 and retry_at is not null and trouble is not null)
    ),
    constraint effect_target_trouble_is_whole check ((trouble is null) = (trouble_at is null))
);
comment on table effect_target is 'Where callbacks go, one row per [effects.<name>] ever configured, and how its application answers. Addresses and secrets are in the settings only.';
comment on column effect_target.name is 'The operator''s name for it.';
comment on column effect_target.changes is 'Which changes it is told of; all if empty.';
comment on column effect_target.removed_at is 'Since when it is in no settings any more, by our clock; it gets nothing new.';
comment on column effect_target.last_success_at is 'When it last took one, by our clock, to about a second.';
comment on column effect_target.failures is 'Failures of the target in a row; above 0 the breaker is open.';
comment on column effect_target.retry_at is 'When an open breaker lets the next one through.';
comment on column effect_target.trouble is 'What was wrong last, safe to show; null after a success that followed.';
comment on column effect_target.trouble_at is 'When that was, by our clock.';

create table callback (
    target    text        not null references effect_target (name),
    position  bigint      not null,
    sid       text        not null,
    attempts  integer     not null default 0,
    due_at    timestamptz not null,
    lease_id  uuid,
    born_at   timestamptz not null,
    trouble   text,
    primary key (position, target),
    constraint callback_attempts check (attempts >= 0)
);
comment on table callback is 'Effects a target has not taken yet; a row goes when it is taken, or becomes a dead letter.';
comment on column callback.target is 'Who is to be told.';
comment on column callback.position is 'Of what: the effect.';
comment on column callback.sid is 'Its session: a target hears of one session in order.';
comment on column callback.attempts is 'How often it was sent.';
comment on column callback.due_at is 'When it may be sent; while leased, when the lease ends.';
comment on column callback.lease_id is 'The lease under which a process sends it; null while it waits.';
comment on column callback.born_at is 'When it began to wait, by our clock: callbacks.give_up_after counts from here.';
comment on column callback.trouble is 'Why the last attempt failed, safe to show.';
-- Claims: those tried least first, so that one that is always refused is not in the way of others.
create index callback_next on callback (target, attempts, position);
-- "No earlier one of the same session."
create index callback_of_session on callback (target, sid, position);
create index callback_by_age on callback (born_at);

create table callback_dead (
    target   text        not null references effect_target (name),
    position bigint      not null,
    sid      text        not null,
    attempts integer     not null,
    born_at  timestamptz not null,
    died_at  timestamptz not null,
    trouble  text        not null,
    primary key (target, position)
);
comment on table callback_dead is 'Callbacks given up after callbacks.give_up_after; their effects are kept with them until they are replayed or callbacks.keep is over.';
comment on column callback_dead.target is 'Who was to be told.';
comment on column callback_dead.position is 'Of what: the effect.';
comment on column callback_dead.sid is 'Its session.';
comment on column callback_dead.attempts is 'How often it was sent in vain.';
comment on column callback_dead.born_at is 'When it began to wait, by our clock.';
comment on column callback_dead.died_at is 'When it was given up, by our clock.';
comment on column callback_dead.trouble is 'Why, safe to show.';
create index callback_dead_of_effect on callback_dead (position);
