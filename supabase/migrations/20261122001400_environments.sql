-- What the sandboxes of a project's tasks hold beside the repository. A version never changes: a task keeps the one that held when it was
-- handed in. A person's words, so messages carry the digest alone, which the salt keeps from telling anything once both are gone.
create table gateway.environments (
    owner uuid not null,
    project_id uuid not null,
    digest text not null check (digest ~ '^[0-9a-f]{64}$'),
    salt bytea not null check (octet_length(salt) >= 16),
    document jsonb not null check (octet_length(document::text) <= 500000),
    created_at timestamptz not null default now(),
    primary key (owner, project_id, digest),
    foreign key (owner, project_id) references gateway.projects (owner, id) on delete cascade
);
comment on column gateway.environments.document is 'shared.events.environments.Environment';

alter table gateway.environments enable row level security;
alter table gateway.environments force row level security;
create policy own_rows on gateway.environments to async_code_gateway
    using (owner = (select gateway.current_owner())) with check (owner = (select gateway.current_owner()));
revoke update on gateway.environments from async_code_gateway;

alter table gateway.projects add column environment_digest text;
grant update (environment_digest) on gateway.projects to async_code_gateway;
alter table gateway.tasks add column environment_digest text;
create index tasks_by_environment on gateway.tasks (owner, project_id, environment_digest) where environment_digest is not null;
