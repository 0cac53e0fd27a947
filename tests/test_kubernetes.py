"""The Job for Kubernetes has the form of its API, and starts a command that there is."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from command_words import unknown_words
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import parse_track

ROOT = Path(__file__).parent.parent
FILE = ROOT / "kubernetes" / "run-plan.yaml"
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?$")]
Count = Annotated[int, Field(ge=0, strict=True)]


class Part(BaseModel):
    """The part that is used here of an object of batch/v1 and core/v1, after the API reference of Kubernetes 1.33."""

    model_config = ConfigDict(extra="forbid")


class Metadata(Part):
    name: Name


class ConfigMap(Part):
    apiVersion: Literal["v1"]  # noqa: N815
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: dict[str, str]


class Resources(Part):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity]


class Mount(Part):
    name: Name
    mountPath: Annotated[str, Field(pattern="^/[^:]+$")]  # noqa: N815
    readOnly: bool = False  # noqa: N815


class Container(Part):
    name: Name
    image: str
    args: list[str]
    resources: Resources
    volumeMounts: list[Mount]  # noqa: N815


class Claim(Part):
    claimName: Name  # noqa: N815
    readOnly: bool = False  # noqa: N815


class Volume(Part):
    name: Name
    configMap: Metadata | None = None  # noqa: N815
    persistentVolumeClaim: Claim | None = None  # noqa: N815


class Security(Part):
    runAsNonRoot: Literal[True]  # noqa: N815
    runAsUser: Annotated[int, Field(gt=0)]  # noqa: N815
    fsGroup: Annotated[int, Field(gt=0)]  # noqa: N815


class Pod(Part):
    restartPolicy: Literal["Never"]  # noqa: N815
    """The only one that goes with a policy for failures of pods."""
    terminationGracePeriodSeconds: Count  # noqa: N815
    securityContext: Security  # noqa: N815
    containers: list[Container]
    volumes: list[Volume]


class Template(Part):
    spec: Pod


class Condition(Part):
    type: str
    status: Literal["True", "False", "Unknown"]


class ExitCodes(Part):
    containerName: Name  # noqa: N815
    operator: Literal["In", "NotIn"]
    values: list[Count]


class Rule(Part):
    action: Literal["Ignore", "FailIndex", "FailJob", "Count"]
    onPodConditions: list[Condition] | None = None  # noqa: N815
    onExitCodes: ExitCodes | None = None  # noqa: N815


class Rules(Part):
    rules: list[Rule]


class JobSpec(Part):
    completionMode: Literal["Indexed"]  # noqa: N815
    completions: Count
    parallelism: Count
    backoffLimitPerIndex: Count  # noqa: N815
    maxFailedIndexes: Count  # noqa: N815
    podFailurePolicy: Rules  # noqa: N815
    template: Template


class Job(Part):
    apiVersion: Literal["batch/v1"]  # noqa: N815
    kind: Literal["Job"]
    metadata: Metadata
    spec: JobSpec


def loaded() -> tuple[dict[str, Any], dict[str, Any]]:
    plan, job = yaml.safe_load_all(FILE.read_text("utf-8"))
    return plan, job


def test_the_job_has_the_form_of_its_api() -> None:
    plan, job = loaded()
    there, made = ConfigMap.model_validate(plan), Job.model_validate(job).spec
    pod = made.template.spec
    (container,) = pod.containers
    assert {mount.name for mount in container.volumeMounts} == {volume.name for volume in pod.volumes}
    assert [v.configMap.name for v in pod.volumes if v.configMap] == [there.metadata.name]
    assert made.maxFailedIndexes <= made.completions
    for rule in made.podFailurePolicy.rules:
        assert (rule.onPodConditions is None) != (rule.onExitCodes is None)
        if rule.onExitCodes:
            assert rule.onExitCodes.containerName == container.name
            assert 0 not in rule.onExitCodes.values  # which the API refuses with In


def test_its_command_and_its_plan_exist() -> None:
    plan, job = loaded()
    (container,) = Job.model_validate(job).spec.template.spec.containers
    assert not unknown_words(container.args)
    content = tomllib.loads(ConfigMap.model_validate(plan).data["plan.toml"])
    assert set(content["methods"]) <= set(plugins().methods)
    assert all(parse_track(track).simulated for track in content["tracks"])
    mounted = {mount.mountPath for mount in container.volumeMounts}
    words = dict(zip(container.args[1::2], container.args[2::2], strict=False))
    assert {str(Path(words["--plan"]).parent), words["--results"], environment()["AVBENCH_HOME"]} == mounted


def environment() -> dict[str, str]:
    """The variables of the image."""
    lines = (ROOT / "Containerfile").read_text("utf-8").splitlines()
    pairs = (pair for line in lines if line.startswith("ENV ") for pair in shlex.split(line)[1:])
    return dict(pair.split("=", 1) for pair in pairs)


@pytest.mark.parametrize("path", [("spec", "completionMode"), ("spec", "template", "spec", "restartPolicy")])
def test_another_form_is_noticed(path: tuple[str, ...]) -> None:
    _, job = loaded()
    place = job
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "Sometimes"
    with pytest.raises(ValidationError):
        Job.model_validate(job)


def test_the_image_brings_what_jobs_need() -> None:
    text = (ROOT / "Containerfile").read_text("utf-8")
    assert "-c /src/constraints.txt '/src[cluster]'" in text
    assert 'ENTRYPOINT ["avbench"]' in text
