-- What the scheduler decides by: one row per task. `data` is the whole task; the columns beside it are copies for the queries below.

create table scheduler.tasks (
    task_id uuid primary key,
    owner uuid not null,
    number bigint generated always as identity,
    state text not null check (state in (
        'submitted', 'blocked', 'queued', 'preparing', 'running', 'publishing', 'awaiting_approval', 'awaiting_budget',
        'succeeded', 'failed', 'cancelled', 'timed_out')),
    holds_slot boolean not null,
    deadline_at timestamptz,
    data jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint nothing_ended_waits check (state not in ('succeeded', 'failed', 'cancelled', 'timed_out') or (deadline_at is null and not holds_slot))
);

-- The oldest that waits, per owner; who holds the owner's slots; what is overdue.
create index tasks_queued on scheduler.tasks (owner, number) where state = 'queued';
create index tasks_holding_slots on scheduler.tasks (owner) where holds_slot;
create index tasks_deadlines on scheduler.tasks (deadline_at) where deadline_at is not null;

-- Every task is updated some ten times: leave room for it on its page, so that an update that moves no index stays there.
alter table scheduler.tasks set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- Nothing ends twice, not even by a fault in the code: a row that ended is never changed, and none is deleted.
create function scheduler.keep_ended() returns trigger
    language plpgsql
    set search_path = ''
    as $$
begin
    raise exception 'task % has ended as %', old.task_id, old.state using errcode = 'integrity_constraint_violation';
end
$$;
create trigger keep_ended before update on scheduler.tasks for each row
    when (old.state in ('succeeded', 'failed', 'cancelled', 'timed_out')) execute function scheduler.keep_ended();

revoke delete on scheduler.tasks from async_code_scheduler;
