-- A task that ended without publishing what it made: a person can publish that by hand, which reopens the task, or discard it.
--
-- The rule stays in the database, not in the code alone: what succeeded never changes; what ended otherwise keeps its end, but that
-- its run's work may arrive late or be given up; and it goes on in one way, to `publishing`, with that work and no slot of its owner.
create or replace function scheduler.keep_ended() returns trigger
    language plpgsql
    set search_path = ''
    as $$
declare
    of_the_work constant text[] := array['run_result', 'discarded', 'fence', 'change_prepared'];
begin
    if old.state <> 'succeeded' and new.state = old.state and new.data - of_the_work = old.data - of_the_work then
        return new;
    end if;
    if old.state <> 'succeeded' and new.state = 'publishing' and not new.holds_slot and old.data ? 'run_result'
        and new.data -> 'run_result' = old.data -> 'run_result' and new.data -> 'former' ->> 'state' = old.state then
        return new;
    end if;
    raise exception 'task % has ended as %', old.task_id, old.state using errcode = 'integrity_constraint_violation';
end
$$;
