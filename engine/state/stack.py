"""An open stack: its files, read, decrypted and checked for unsupported features."""

from __future__ import annotations

from dataclasses import dataclass

from engine import urn as urns
from engine.errors import EngineError
from engine.project.passphrase import Crypter, passphrase_from_environment
from engine.project.project_file import Project
from engine.project.stack_config import StackConfig, read_stack_file, resolve
from engine.project.target import Target
from engine.state import checkpoint
from engine.state.backend import StackFiles
from engine.state.snapshot import Snapshot


@dataclass(frozen=True)
class Crypters:
    """The crypters of a stack's config file and checkpoint."""

    config: Crypter
    checkpoint: Crypter


def open_crypters(project: Project, stack: str, checkpoint_salt: str) -> Crypters:
    """The stack's crypters; two only if the config file's salt differs from the checkpoint's.

    A config file without a salt gets the checkpoint's, or a new one.
    """
    file = read_stack_file(project, stack)
    passphrase = passphrase_from_environment()
    config = Crypter(passphrase, file.salt or checkpoint_salt or None)
    if not file.salt:
        file.write_salt(config.state)
    if checkpoint_salt in ("", config.state):
        return Crypters(config, config)
    return Crypters(config, Crypter(passphrase, checkpoint_salt))


@dataclass
class Stack:
    """A stack's config and snapshot; a save writes the snapshot back."""

    project: Project
    files: StackFiles
    config: StackConfig
    crypter: Crypter
    snapshot: Snapshot

    @staticmethod
    def open(files: StackFiles) -> Stack:
        """Read the stack's files. Raises UnsupportedError for an unsupported state."""
        project = files.backend.project
        deployment = files.read_deployment()
        crypters = open_crypters(project, files.name, checkpoint.salt_of(deployment))
        snapshot = checkpoint.load(
            deployment,
            crypters.checkpoint,
            # Secrets encrypted with another key must be encrypted again.
            keep_ciphertexts=crypters.checkpoint is crypters.config,
        )
        snapshot.require_supported()
        crypters.config.verify()
        config_file = read_stack_file(project, files.name)
        config = resolve(project, files.name, config_file, crypters.config)
        return Stack(project, files, config, crypters.config, snapshot)

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def root_urn(self) -> str:
        return urns.root_stack(self.name, self.project.name)

    @property
    def target(self) -> Target:
        return Target(self.name, self.project.name, self.config.provider_inputs())

    def save(self, snapshot: Snapshot) -> None:
        """Write the checkpoint."""
        try:
            self.files.write_deployment(checkpoint.dump(snapshot, self.crypter))
        except OSError as error:
            raise EngineError(
                f"cannot write {self.files.checkpoint}: {error.strerror or error}; fix that and "
                "run the command again"
            ) from None
