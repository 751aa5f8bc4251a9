-- What may be deleted because it has outlived its use, and by whom: docs/housekeeping.md. Who deletes: shared/store/pruning.py.

-- The gateway sees rows of others only to delete them, only when they are old, and only in a transaction that says so. Whoever forgets to
-- say it deletes nothing; a query that forgets its claims still sees nothing.
create function gateway.prunes() returns boolean
    language sql stable parallel safe
    set search_path = ''
    as $$ select current_setting('gateway.prunes', true) = 'on' $$;

create policy pruned_seen on gateway.idempotency_keys for select to async_code_gateway
    using ((select gateway.prunes()) and created_at < now() - interval '1 hour');
create policy pruned on gateway.idempotency_keys for delete to async_code_gateway
    using ((select gateway.prunes()) and created_at < now() - interval '1 hour');

-- A task goes with its prompt and with what it could open (`on delete cascade`). The trail keeps its ids and hashes.
create policy pruned_seen on gateway.tasks for select to async_code_gateway
    using ((select gateway.prunes()) and state in ('succeeded', 'failed', 'cancelled', 'timed_out') and updated_at < now() - interval '1 day');
create policy pruned on gateway.tasks for delete to async_code_gateway
    using ((select gateway.prunes()) and state in ('succeeded', 'failed', 'cancelled', 'timed_out') and updated_at < now() - interval '1 day');

-- Whoever prunes looks at what was made long ago, which lies together: a block range index is a few kilobytes, and an index of this kind on
-- a column that never changes costs no update anything.
create index idempotency_keys_created on gateway.idempotency_keys using brin (created_at) with (autosummarize = on);
create index tasks_created on gateway.tasks using brin (created_at) with (autosummarize = on);
create index tasks_created on scheduler.tasks using brin (created_at) with (autosummarize = on);

-- A task that ended is kept for longer than any message about it can come again: a command lives 30 days in its stream and 14 in the dead
-- letters. Without its row, a submit that comes again would start it again.
create function scheduler.keep_young() returns trigger
    language plpgsql
    set search_path = ''
    as $$
begin
    raise exception 'task % may still be told of', old.task_id using errcode = 'integrity_constraint_violation';
end
$$;
create trigger keep_young before delete on scheduler.tasks for each row
    when (old.state not in ('succeeded', 'failed', 'cancelled', 'timed_out') or old.updated_at > now() - interval '45 days')
    execute function scheduler.keep_young();
grant delete on scheduler.tasks to async_code_scheduler;
