-- The trail: one row per command, fact, dead letter and advisory, in the order of the Merkle log, and the signed checkpoints.
-- Append-only for everyone but a superuser who goes round the triggers; what such a one does is found by the checkpoints, which are
-- published outside the database (docs/trail.md). What a column holds, byte by byte: services/audit/entry.py.

create table audit.entries (
    index bigint primary key check (index >= 0),
    stream text not null,
    stream_sequence bigint not null check (stream_sequence > 0),
    subject text not null,
    headers bytea not null,
    owner uuid,
    task uuid,
    event_id uuid,
    type text,
    stored_at timestamptz not null,
    data bytea not null,
    leaf_hash bytea not null check (octet_length(leaf_hash) = 32),
    -- The identity of an entry. An event id is none: a replayed dead letter keeps its id, and a service that reused another's id must
    -- not be able to hide an event.
    unique (stream, stream_sequence)
);

create index entries_owner on audit.entries (owner, index) where owner is not null;
create index entries_task on audit.entries (task, index) where task is not null;
create index entries_event on audit.entries (event_id) where event_id is not null;

create table audit.checkpoints (
    size bigint primary key check (size > 0),
    root bytea not null check (octet_length(root) = 32),
    -- The roots of the perfect subtrees at that size, one after the other: from here the log is extended after a restart.
    frontier bytea not null check (octet_length(frontier) % 32 = 0),
    note text not null,
    at timestamptz not null default now()
);

create function audit.refuse_change() returns trigger language plpgsql set search_path = '' as $$
begin
    raise exception '% is append-only: % is refused', tg_table_name, tg_op using errcode = 'insufficient_privilege';
end
$$;

create trigger append_only before update or delete or truncate on audit.entries for each statement execute function audit.refuse_change();
create trigger append_only before update or delete or truncate on audit.checkpoints for each statement execute function audit.refuse_change();

-- Also for a session that calls itself a replica (session_replication_role), which skips ordinary triggers.
alter table audit.entries enable always trigger append_only;
alter table audit.checkpoints enable always trigger append_only;

revoke all on audit.entries, audit.checkpoints from public;
revoke all on function audit.refuse_change() from public;
grant select, insert on audit.entries, audit.checkpoints to async_code_audit;
grant select on audit.entries, audit.checkpoints to async_code_audit_reader;
