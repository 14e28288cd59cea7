"""Where releases serve: one module a platform, each of which does what `protocol` asks for."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..policy import ClusterEnvironment, Environment, Policy
from .protocol import Platform


def platform_of(environment: Environment, policy: Policy) -> Platform:
    """Return the platform that drives an environment; `ConfigurationError` if there is none."""
    # Imported here: a platform may need a library that the others do not.
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
        why="this release machine drives the platforms 'process', 'docker' and 'kubernetes'",
        state=f"{environment.name} unchanged",
        next_step=f'platform = "process" in [environments.{environment.name}] of release.toml',
    )
