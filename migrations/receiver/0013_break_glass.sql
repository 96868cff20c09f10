-- Out of touch with an issuer: whose windows hold for it, and when an operator lets sessions go on all the same.

alter table upstream
    add column level text not null default 'sl2',
    add constraint upstream_level check (level in ('sl2', 'sl3'));
comment on column upstream.level is 'Whose windows hold for its decisions (sl2, sl3), as configured; every process judges by it how long the issuer may be silent.';

create table break_glass (
    id        bigint      generated always as identity primary key,
    issuer_id uuid        not null references issuer (id),
    opened_at timestamptz not null,
    until     timestamptz not null,
    opened_by text        not null,
    reason    text        not null,
    closed_at timestamptz,
    closed_by text,
    constraint break_glass_is_short check (until > opened_at and until <= opened_at + interval '4 hours'),
    constraint break_glass_has_a_reason check (length(reason) between 1 and 255),
    constraint break_glass_closing_is_whole check ((closed_at is null) = (closed_by is null))
);
comment on table break_glass is 'Times in which neither the silence of an issuer nor a gap suspends its sessions, because an operator said so. Revocations are never lifted. Rows are kept.';
comment on column break_glass.id is 'Order of opening.';
comment on column break_glass.issuer_id is 'Whose sessions.';
comment on column break_glass.opened_at is 'Since when, by our clock.';
comment on column break_glass.until is 'Until when, by our clock: it ends by itself.';
comment on column break_glass.opened_by is 'Who opened it: cli and the number of the user, or admin-api.';
comment on column break_glass.reason is 'Why, in the operator''s words.';
comment on column break_glass.closed_at is 'When an operator ended it before its time, by our clock.';
comment on column break_glass.closed_by is 'Who did.';
-- Every process asks all the time which are open.
create index break_glass_open on break_glass (issuer_id, until) where closed_at is null;
