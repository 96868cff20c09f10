-- Which programs may work on this schema. A migration only adds (an old process must keep working while the new schema is
-- there); one that takes something away raises oldest_program first, in a release after the last program that needed it.
create table schema_contract (
    one_row         boolean primary key default true check (one_row),
    oldest_program  bigint not null
);
comment on table schema_contract is 'One row: which programs may start on this schema.';
comment on column schema_contract.one_row is 'Always true.';
comment on column schema_contract.oldest_program is 'The newest migration of the oldest program that can work here.';
insert into schema_contract (oldest_program) values (1);
