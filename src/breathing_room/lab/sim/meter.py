"""What a run cost, in operations: plain numbers, for whoever prices them."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class StoreMeter:
    """What was asked of a store.

    Attributes:
        gets: Values read.
        puts: Values written.
        lists: Prefixes listed.
        deletes: Values deleted.
        bytes_got: Of values read.
        bytes_put: Of values written.
        rest_ms: The shortest time between two writes (puts or deletes) to one key; None while no key was written twice.
    """

    gets: int = 0
    puts: int = 0
    lists: int = 0
    deletes: int = 0
    bytes_got: int = 0
    bytes_put: int = 0
    rest_ms: int | None = None

    @property
    def writes(self) -> int:
        """Puts and deletes."""
        return self.puts + self.deletes


@dataclass(slots=True)
class Meter:
    """What was asked of everything.

    Attributes:
        polls: Presences that people asked for.
        presence_reads: Those that the origin answered; the edge answered the others.
        config_fetches: Configs that people asked for.
        config_reads: Those that the origin answered.
        reports: Reports that arrived, whatever became of them.
        reports_kept: Those in the sample.
        reports_outside: Those that were answered and forgotten.
        reports_shed: Those that were refused since there were too many.
        reports_outdated: Those of a stay that began in an epoch that is over.
        reports_forged: Those of forgers, among the others.
        leaves: Goodbyes that arrived.
        legacy_reports: Reports of clients that flip coins.
        connects: Sockets that were opened.
        messages_in: Messages over sockets, joins and leaves included.
        messages_out: Messages to sockets.
        wakes: Times that the room or its policy had to be woken: alarms, in other places.
        saves: Times that the room asked to be saved.
        person_ms: Time that people were there, together.
        store: What was asked of the store.
    """

    polls: int = 0
    presence_reads: int = 0
    config_fetches: int = 0
    config_reads: int = 0
    reports: int = 0
    reports_kept: int = 0
    reports_outside: int = 0
    reports_shed: int = 0
    reports_outdated: int = 0
    reports_forged: int = 0
    leaves: int = 0
    legacy_reports: int = 0
    connects: int = 0
    messages_in: int = 0
    messages_out: int = 0
    wakes: int = 0
    saves: int = 0
    person_ms: int = 0
    store: StoreMeter = field(default_factory=StoreMeter)

    @property
    def origin_requests(self) -> int:
        """Requests that came to the origin."""
        return self.presence_reads + self.config_reads + self.reports + self.leaves + self.legacy_reports
