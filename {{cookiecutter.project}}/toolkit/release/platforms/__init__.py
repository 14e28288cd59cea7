"""The platforms on which releases serve: one module each, all with the verbs of `protocol`."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..policy import ClusterEnvironment, Environment, Policy
from .protocol import Platform


def platform_of(environment: Environment, policy: Policy) -> Platform:
    """Return the platform of an environment; `ConfigurationError` if it is unknown."""
    # Imported here: a platform may need a library that the others do not need.
    if environment.platform == "process":
        from .process import ProcessPlatform

        return ProcessPlatform(environment, policy)
    if environment.platform == "docker":
        from .docker import DockerPlatform

        return DockerPlatform(environment, policy)
    if isinstance(environment, ClusterEnvironment):
        from .kubernetes import KubernetesPlatform

        return KubernetesPlatform(environment, policy)
    raise ConfigurationError(
        f"{environment.name} is on platform {environment.platform!r}",
        why="the platforms are 'process', 'docker' and 'kubernetes'",
        state=f"{environment.name} unchanged",
        next_step=f'platform = "process" in [environments.{environment.name}] of release.toml',
    )
