-- A verification is asked for under one state until its event comes, however often it must be asked again: an event that is
-- slower than we are patient still answers.
alter table upstream add column verification_asked_at timestamptz;
update upstream set verification_asked_at = verification_sent_at where verification_state is not null;
comment on column upstream.verification_state is 'The state of the verification event that is waited for; null if none is. It stays the same when the event is asked for again.';
comment on column upstream.verification_sent_at is 'When it was last asked for, by our clock, before the request.';
comment on column upstream.verification_asked_at is 'When it was first asked for under this state, by our clock, before the request: the event is not older.';

-- After a gap every session that was proved before its end must be proved again; the application is told of each, page by page.
create table gap_walk (
    gap_id    bigint      primary key references upstream_gap (id),
    issuer_id uuid        not null references issuer (id),
    until     timestamptz not null,
    reached   text        not null default ''
);
comment on table gap_walk is 'Gaps whose sessions the application was not told of yet: gone through when every session''s turn has come. A row goes when its last session was looked at.';
comment on column gap_walk.gap_id is 'The gap.';
comment on column gap_walk.issuer_id is 'Whose events may have been lost.';
comment on column gap_walk.until is 'The end of the gap, by our clock.';
comment on column gap_walk.reached is 'Sessions up to this name were looked at.';
create index session_by_issuer on session (issuer_id, sid) where ended_at is null;

create function walk_gap() returns trigger
    language plpgsql
    set search_path from current
    as $$
begin
    insert into gap_walk (gap_id, issuer_id, until)
    select gap.id, u.issuer_id, gap.until from gap join upstream u on u.id = gap.upstream_id;
    return null;
end
$$;
comment on function walk_gap() is 'Notes a gap whose sessions are to be told of; fires when one is written down.';
create trigger gap_is_walked after insert on upstream_gap
    referencing new table as gap for each statement execute function walk_gap();

-- Another root secret gives other keys: nothing that is stored would be found again, and nobody would notice.
create table subject_key_check (
    one    boolean primary key default true,
    digest bytea   not null,
    constraint subject_key_check_has_one_row check (one),
    constraint subject_key_check_has_16_bytes check (octet_length(digest) = 16)
);
comment on table subject_key_check is 'One row: by what the keys in this database were made. A process with another privacy.subject_key does not start.';
comment on column subject_key_check.one is 'Always true: there is one row.';
comment on column subject_key_check.digest is 'A digest under the key; tells nothing of it, nor of any subject.';

-- An event that was asked for twice under one state may come twice: the second one is an answer, too.
alter table upstream add column verification_answered_state text;
comment on column upstream.verification_answered_state is 'The state that was last answered: an event that carries it once more is no wrong one.';
