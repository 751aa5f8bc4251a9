-- Whose packages the sandboxes of a project's tasks may read. Nobody's by default; the names are those of shared.events.values.Ecosystem.
alter table gateway.projects
    add column allow_packages text[] not null default '{}'
        check (allow_packages <@ array ['pip', 'npm', 'cargo', 'go', 'debian']);
grant update (allow_packages) on gateway.projects to async_code_gateway;
