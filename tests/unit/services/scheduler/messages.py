"""Typed factories for everything that can be said to the scheduler about one task."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.scheduler.task import Task
from shared.events import commands, facts
from shared.events.envelope import AnyEnvelope, new
from shared.events.failures import failure
from shared.events.ids import CredentialId, EventId, OwnerId, ProjectId, RepositoryId, RunId, TaskId, derive, fresh
from shared.events.payload import Payload
from shared.events.values import BlobClass, BlobRef, CredentialRef, Ecosystem, Limits, PublishPolicy, Purpose, Usage

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BASE, TREE, OTHER_TREE, COMMIT = "a" * 40, "b" * 40, "c" * 40, "d" * 40


def blob(blob_class: BlobClass, digit: str = "1") -> BlobRef:
    return BlobRef(blob_class=blob_class, sha256=digit * 64, size_bytes=10)


@dataclass(frozen=True)
class Script:
    """What people, git and runners say about one task."""

    owner: OwnerId
    task: TaskId

    @staticmethod
    def fresh(owner: str | None = None) -> "Script":
        return Script(OwnerId(owner or fresh()), TaskId(fresh()))

    @property
    def run(self) -> RunId:
        return RunId(derive(self.task, "turn.1.run.1"))

    def say(self, payload: Payload, cause: str | None = None, source: str = "git") -> AnyEnvelope:
        """A message with an id of its own, whatever caused it: two of them are two messages, not one twice."""
        return new(payload, source=source, owner=self.owner, task=self.task).model_copy(
            update={"causationid": EventId(cause) if cause is not None else None, "time": NOW}
        )

    def run_number(self, number: int) -> RunId:
        return RunId(derive(self.task, f"turn.1.run.{number}"))

    def submit(
        self,
        policy: PublishPolicy = PublishPolicy.AUTO,
        wall_seconds: int = 600,
        max_cost_usd: float | None = None,
        project: str | None = None,
    ) -> AnyEnvelope:
        return self.say(
            commands.SchedulerSubmit(
                project_id=ProjectId(project or fresh()),
                repository_id=RepositoryId(fresh()),
                agent="shell",
                limits=Limits(wall_seconds=wall_seconds),
                packages=(Ecosystem.PIP,),
                publish_policy=policy,
                max_cost_usd=max_cost_usd,
                credentials=(
                    CredentialRef(credential_id=CredentialId(fresh()), version=1, purpose=Purpose.GIT_TOKEN),
                    CredentialRef(credential_id=CredentialId(fresh()), version=2, purpose=Purpose.MODEL_KEY),
                ),
                prompt_digest="e" * 64,
            ),
            source="gateway",
        )

    def cancel(self) -> AnyEnvelope:
        return self.say(commands.SchedulerCancel(), source="gateway")

    def approve(self, tree: str = TREE) -> AnyEnvelope:
        return self.say(commands.SchedulerApprove(tree_sha=tree), source="gateway")

    def reject(self) -> AnyEnvelope:
        return self.say(commands.SchedulerReject(), source="gateway")

    def raise_budget(self, max_cost_usd: float | None = None) -> AnyEnvelope:
        return self.say(commands.SchedulerRaiseBudget(max_cost_usd=max_cost_usd), source="gateway")

    def publish(self, tree: str | None = None, credential: CredentialRef | None = None) -> AnyEnvelope:
        return self.say(commands.SchedulerPublish(tree_sha=tree, credential=credential), source="gateway")

    def discard(self) -> AnyEnvelope:
        return self.say(commands.SchedulerDiscard(), source="gateway")

    def prepared(self, cause: str | None) -> AnyEnvelope:
        return self.say(facts.WorkspacePrepared(base_sha=BASE, workspace=blob(BlobClass.WORKSPACE)), cause)

    def prepare_failed(self, cause: str | None, code: str = "repository_auth") -> AnyEnvelope:
        return self.say(facts.WorkspaceFailed(failure=failure(code)), cause)

    def started(self, cause: str | None, fence: int = 1, run: RunId | None = None) -> AnyEnvelope:
        return self.say(
            facts.RunStarted(run_id=run or self.run, fence=fence, runner_id="r1", image_digest="sha256:1"), cause, source="runner"
        )

    def checkpointed(
        self,
        cause: str | None,
        fence: int = 1,
        digit: str = "1",
        *,
        after_seconds: float = 0,
        run: RunId | None = None,
        usd: float = 0.0,
    ) -> AnyEnvelope:
        checkpoint = blob(BlobClass.CHECKPOINT, digit)
        taken = facts.RunCheckpointed(run_id=run or self.run, fence=fence, checkpoint=checkpoint, usage=Usage(cost_usd=usd))
        return self.say(taken, cause, source="runner").model_copy(update={"time": NOW + timedelta(seconds=after_seconds)})

    def finished(
        self, cause: str | None, fence: int = 1, *, changed: bool = True, run: RunId | None = None, base: str = BASE, usd: float = 0.0
    ) -> AnyEnvelope:
        return self.say(
            facts.RunFinished(
                run_id=run or self.run,
                fence=fence,
                base_sha=base,
                tree_sha=TREE if changed else BASE,
                result=blob(BlobClass.RESULT) if changed else None,
                transcript=blob(BlobClass.TRANSCRIPT),
                usage=Usage(cost_usd=usd),
                started_at=NOW,
                finished_at=NOW,
            ),
            cause,
            source="runner",
        )

    def run_failed(
        self,
        cause: str | None,
        fence: int = 1,
        code: str = "agent_exit",
        run: RunId | None = None,
        *,
        made: bool = False,
        base: str = BASE,
        usd: float = 0.0,
    ) -> AnyEnvelope:
        work = {"base_sha": base, "tree_sha": TREE, "result": blob(BlobClass.RESULT)} if made else {}
        fact = facts.RunFailed(run_id=run or self.run, fence=fence, failure=failure(code), usage=Usage(cost_usd=usd))
        return self.say(fact.model_copy(update=work), cause, source="runner")

    def change_prepared(self, cause: str | None, tree: str = TREE) -> AnyEnvelope:
        return self.say(
            facts.ChangePrepared(
                run_id=self.run,
                base_sha=BASE,
                tree_sha=tree,
                patch=blob(BlobClass.CHANGES),
                changes=blob(BlobClass.CHANGES, "2"),
                files=1,
                additions=1,
                deletions=0,
                protected_files=0,
            ),
            cause,
        )

    def held(self, cause: str | None, tree: str = TREE) -> AnyEnvelope:
        return self.say(facts.ChangeHeld(run_id=self.run, tree_sha=tree, reason="policy"), cause)

    def published(self, cause: str | None, tree: str = TREE, run: RunId | None = None) -> AnyEnvelope:
        return self.say(facts.ChangePublished(run_id=run or self.run, commit_sha=COMMIT, tree_sha=tree), cause)

    def change_failed(self, cause: str | None, code: str = "push_auth") -> AnyEnvelope:
        return self.say(facts.ChangeFailed(run_id=self.run, failure=failure(code)), cause)

    def lost(self, command_id: str | None, command_type: str, reason: str = "exhausted") -> AnyEnvelope:
        return self.say(
            facts.CommandDeadLettered.model_validate(
                {
                    "service": command_type.split(".", maxsplit=1)[0],
                    "command_type": command_type,
                    "command_id": command_id,
                    "stream": "CMD",
                    "stream_sequence": 1,
                    "reason": reason,
                }
            ),
            source="git",
        )


def step_of(task: Task | None) -> EventId | None:
    """The command the task waits for."""
    return task.step.command_id if task is not None and task.step is not None else None
