-- How agents work: what a task asks for, and what a project says for each agent where a task does not.

alter table gateway.tasks add column agent_options jsonb not null default '{}';

-- A person's words, like the prompt: erased with it.
alter table gateway.prompts add column system_prompt text check (octet_length(system_prompt) <= 20000);

alter table gateway.projects add column agent_defaults jsonb not null default '{}';
comment on column gateway.projects.agent_defaults is 'by agent: services.gateway.agent_options.AgentDefaults';
grant update (agent_defaults) on gateway.projects to async_code_gateway;
