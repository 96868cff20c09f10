-- Who did what by hand here: commands, and calls of the administration. Nothing in it is personal data.

create table audit (
    id      bigint      generated always as identity primary key,
    at      timestamptz not null,
    actor   text        not null,
    action  text        not null,
    target  text,
    details jsonb       not null default '{}',
    constraint audit_actor_is_short check (length(actor) between 1 and 255),
    constraint audit_action_is_a_word check (action ~ '^[a-z]+(\.[a-z_]+)*$'),
    constraint audit_target_is_short check (length(target) <= 255),
    constraint audit_details_is_an_object check (jsonb_typeof(details) = 'object')
);
comment on table audit is 'What people changed here: appended in the transaction of the change itself, never changed afterwards.';
comment on column audit.id is 'Order of the deeds.';
comment on column audit.at is 'When, by our clock.';
comment on column audit.actor is 'Who: cli and the number of the user, or admin-api.';
comment on column audit.action is 'What, as noun.verb, such as upstream.create.';
comment on column audit.target is 'What it was done to, by its name here; never a subject.';
comment on column audit.details is 'What was changed, without secrets and subjects.';
