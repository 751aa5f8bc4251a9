-- What the gateway keeps: projects, repositories, sealed credentials, tasks as people see them, prompts, idempotency keys.
--
-- Every table is under forced row-level security: a row is seen and written only in a transaction whose claims name its owner
-- (`request.jwt.claims`, transaction-local, the same setting Supabase uses). The service role owns nothing here, so it cannot switch that
-- off. Deleting a user's rows is enough to erase what that user wrote: nothing of it is anywhere else.

create function gateway.current_owner() returns uuid
    language sql stable parallel safe
    set search_path = ''
    as $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;

create table gateway.projects (
    id uuid primary key,
    owner uuid not null,
    name text not null check (char_length(name) between 1 and 200),
    publish_policy text not null default 'auto' check (publish_policy in ('auto', 'ask')),
    protected_paths text[] not null default '{}',
    created_at timestamptz not null default now(),
    unique (owner, id)
);
create index projects_by_owner on gateway.projects (owner, created_at desc, id desc);

create table gateway.repositories (
    id uuid primary key,
    owner uuid not null,
    project_id uuid not null,
    url text not null check (char_length(url) between 1 and 2048),
    host text not null,
    default_base_ref text,
    created_at timestamptz not null default now(),
    unique (owner, id),
    foreign key (owner, project_id) references gateway.projects (owner, id) on delete cascade
);
create index repositories_by_project on gateway.repositories (owner, project_id, created_at, id);

create table gateway.credentials (
    id uuid primary key,
    owner uuid not null,
    project_id uuid,
    purpose text not null check (purpose in ('git_token', 'model_key')),
    host text,
    vendor text,
    label text not null default '' check (char_length(label) <= 200),
    version integer not null check (version >= 1),
    key_id text not null,
    sealed bytea not null,
    created_at timestamptz not null default now(),
    unique (owner, id),
    foreign key (owner, project_id) references gateway.projects (owner, id) on delete cascade
);
create index credentials_by_owner on gateway.credentials (owner, purpose, created_at desc, id desc);

-- Inserted by POST /v1/tasks, changed only by the projection of the facts, which keeps the sequence in EVT of the newest one it knows.
create table gateway.tasks (
    id uuid primary key,
    owner uuid not null,
    project_id uuid not null,
    repository_id uuid not null,
    agent text not null,
    model text,
    title text not null,
    branch text not null,
    base_ref text,
    limits jsonb not null,
    state text not null default 'submitted',
    evt_first bigint not null default 0,
    evt_sequence bigint not null default 0,
    view jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (owner, id),
    foreign key (owner, project_id) references gateway.projects (owner, id),
    foreign key (owner, repository_id) references gateway.repositories (owner, id)
);
comment on column gateway.tasks.view is 'what the facts said so far, besides the state: services.gateway.tasks.view.View';
create index tasks_by_owner on gateway.tasks (owner, created_at desc, id desc);
create index tasks_by_project on gateway.tasks (owner, project_id, created_at desc, id desc);
create index tasks_by_state on gateway.tasks (owner, state, created_at desc, id desc);

create table gateway.task_credentials (
    owner uuid not null,
    task_id uuid not null,
    credential_id uuid not null,
    version integer not null check (version >= 1),
    purpose text not null,
    primary key (task_id, credential_id),
    foreign key (owner, task_id) references gateway.tasks (owner, id) on delete cascade
);
comment on table gateway.task_credentials is 'what a task may open; no reference to credentials, which may be deleted before it';

-- The salt makes the digest in the trail tell nothing once both are erased.
create table gateway.prompts (
    task_id uuid primary key,
    owner uuid not null,
    prompt text not null,
    salt bytea not null check (octet_length(salt) >= 16),
    foreign key (owner, task_id) references gateway.tasks (owner, id) on delete cascade
);

create table gateway.idempotency_keys (
    owner uuid not null,
    key text not null check (char_length(key) between 1 and 255),
    request_digest bytea not null,
    body text,
    created_at timestamptz not null default now(),
    primary key (owner, key)
);

do $$
declare
    name text;
begin
    foreach name in array array['projects', 'repositories', 'credentials', 'tasks', 'task_credentials', 'prompts', 'idempotency_keys'] loop
        execute format('alter table gateway.%I enable row level security', name);
        execute format('alter table gateway.%I force row level security', name);
        execute format(
            'create policy own_rows on gateway.%I to async_code_gateway '
            'using (owner = (select gateway.current_owner())) with check (owner = (select gateway.current_owner()))',
            name
        );
        execute format('revoke update on gateway.%I from async_code_gateway', name);
    end loop;
end
$$;

-- The schema's default privileges gave select, insert and delete. What may change at all: a task by its facts, a key by its answer.
grant update (state, evt_first, evt_sequence, view, updated_at) on gateway.tasks to async_code_gateway;
grant update (body) on gateway.idempotency_keys to async_code_gateway;
