-- Subjects of a stream: which of an issuer's events a receiver wants to hear of (SSF 1.0 §8.1.3). No subject is kept, only
-- keyed digests by which an event finds it.

alter table stream
    add column default_subjects   text not null default 'ALL' check (default_subjects in ('ALL', 'NONE')),
    add column subjects           integer not null default 0 check (subjects >= 0),
    add column subject_keys       integer not null default 0 check (subject_keys >= subjects),
    add column subjects_excluded  integer not null default 0 check (subjects_excluded between 0 and subjects);
comment on column stream.default_subjects is 'ALL: every subject but those removed. NONE: only those added. Fixed when the stream is created; streams from before subjects could be added have ALL, for that is what they got.';
comment on column stream.subjects is 'How many subjects its list holds.';
comment on column stream.subject_keys is 'How many rows of stream_subject they have together; this is what is limited.';
comment on column stream.subjects_excluded is 'How many of them were removed from a stream that has all others; with none such a stream is not filtered.';

create table subject_secret (
    issuer_id   uuid primary key references issuer,
    sealed      bytea not null,
    created_at  timestamptz not null
);
comment on table subject_secret is 'What the digests of an issuer''s subjects are keyed with. Made once: without it every list is meaningless.';
comment on column subject_secret.issuer_id is 'Whose subjects.';
comment on column subject_secret.sealed is 'The secret, AES-256-GCM under the configured key; bound to the issuer.';
comment on column subject_secret.created_at is 'When it was made.';

create table stream_subject (
    stream_id       uuid not null,
    digest          bytea not null check (length(digest) = 16),
    key             bytea not null check (length(key) = 16),
    shape           bytea check (length(shape) = 16),
    included_until  timestamptz,
    excluded_from   timestamptz,
    verified        boolean not null,
    changed_at      timestamptz not null,
    primary key (stream_id, digest, key),
    -- a subject that is neither included nor excluded is not on the list
    check (included_until is not null or excluded_from is not null)
);
create index stream_subject_included on stream_subject (key, stream_id, included_until) where included_until is not null;
create index stream_subject_excluded on stream_subject (key, stream_id, excluded_from) where excluded_from is not null;
create index stream_subject_ending on stream_subject (included_until, stream_id) where included_until < 'infinity';
comment on table stream_subject is 'The subjects of a stream: one row for each key an event may find a subject by, all rows of a subject alike. One key for a simple subject; one for each alias, member and combination of members otherwise.';
comment on column stream_subject.stream_id is 'Whose list. No foreign key: a stream goes at once, a long list afterwards.';
comment on column stream_subject.digest is 'The subject: HMAC-SHA-256 of its canonical text, cut to 16 bytes.';
comment on column stream_subject.key is 'What an event about it asks for: a keyed digest of some of its members, cut to 16 bytes.';
comment on column stream_subject.shape is 'Complex subjects: which members it has.';
comment on column stream_subject.included_until is 'Its events are sent until then: infinity once added, the end of the grace once removed. Null if it was never added.';
comment on column stream_subject.excluded_from is 'Streams with all subjects: its events are not sent from then on. Null unless it was removed.';
comment on column stream_subject.verified is 'Whether the receiver says that it has verified the subject (§8.1.3.2).';
comment on column stream_subject.changed_at is 'When it was last added or removed.';

create table stream_subject_shape (
    stream_id  uuid not null references stream on delete cascade,
    shape      bytea not null check (length(shape) = 16),
    names      bytea[] not null check (cardinality(names) between 1 and 32),
    subjects   integer not null check (subjects > 0),
    primary key (stream_id, shape)
);
comment on table stream_subject_shape is 'Which sets of member names the complex subjects of a stream have: from them an event knows which of its members to ask by.';
comment on column stream_subject_shape.stream_id is 'Whose list.';
comment on column stream_subject_shape.shape is 'Digest of the names.';
comment on column stream_subject_shape.names is 'The member names as keyed digests, sorted: receivers choose names too.';
comment on column stream_subject_shape.subjects is 'How many subjects have this shape; without any the row goes.';

create table stream_subject_left (
    stream_id  uuid primary key
);
comment on table stream_subject_left is 'Deleted streams whose list was too long to be deleted with them; upkeep deletes it.';
comment on column stream_subject_left.stream_id is 'Whose list it was.';

create function leave_subjects() returns trigger language plpgsql set search_path from current as $$
begin
    insert into stream_subject_left (stream_id) values (old.id) on conflict do nothing;
    return null;
end $$;
comment on function leave_subjects is 'Remembers that the list of a deleted stream is still there.';
create trigger leave_subjects after delete on stream for each row when (old.subject_keys > 0) execute function leave_subjects();
