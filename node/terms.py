"""What holds for every session of one repository, unless a call says otherwise."""

from attrs import frozen

from node.principals import Limit
from node.receipts import Wish
from node.sections import SaveMode, SessionsConfig
from ring.messages import Durability


@frozen
class Terms:
    """The wishes and limits of one repository; see ``SessionsConfig``."""

    save: Wish
    end: Wish
    session_bytes_max: int
    """All entries of a session; inclusive."""
    attribute_bytes_max: int
    """The packed value of one attribute; inclusive."""
    remember_max_idle: float = 0.0
    """The ``max_idle`` of a remembered session."""
    remember_lifetime: float = 0.0
    """The ``lifetime`` of a remembered session."""
    save_mode: SaveMode = "on_save"
    """When what has changed is sent to the ring."""
    always_save: bool = False
    """Whether a save sends every plain attribute, changed or not."""
    rotates_on_principal: bool = True
    """Whether a session that changes hands goes on under a fresh id."""
    limit: Limit | None = None
    """How many sessions a principal may have; None: any number."""

    @classmethod
    def of(cls, config: SessionsConfig, durability: Durability | None = None) -> "Terms":
        """Return the terms that a configuration gives.

        Args:
            config: the section ``[sessions]``.
            durability: that of saves and ends by default; None: the one of ``config``, or else
                ``backup``.
        """
        durability = durability or config.durability or Durability.BACKUP
        return cls(
            save=Wish(durability, config.on_timeout),
            end=Wish(durability, config.on_end_timeout),
            session_bytes_max=config.session_bytes_max,
            attribute_bytes_max=config.attribute_bytes_max,
            remember_max_idle=config.remember_max_idle,
            remember_lifetime=config.remember_lifetime,
            save_mode=config.save_mode,
            always_save=config.always_save,
            rotates_on_principal=config.rotate_on_principal,
            limit=_limit(config, durability),
        )


def _limit(config: SessionsConfig, durability: Durability) -> Limit | None:
    sessions_max = config.max_sessions_per_principal
    if not sessions_max:
        return None
    return Limit(sessions_max, config.principal_policy, Wish(durability, "accept"))
