"""The operations of a run: plain numbers that can be priced."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class StoreMeter:
    """The operations of a store.

    Attributes:
        gets: Values read.
        puts: Values written.
        lists: Prefixes listed.
        deletes: Values deleted.
        bytes_got: Of values read.
        bytes_put: Of values written.
        rest_ms: The shortest time between two writes (puts or deletes) to one key; None while no key was
            written twice.
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
    """All operations of a run.

    Attributes:
        polls: Presences that visitors requested.
        presence_reads: Those that the origin answered; the edge answered the others.
        config_fetches: Configs that visitors requested.
        config_reads: Those that the origin answered.
        reports: Reports that arrived, rejected ones included.
        reports_kept: Reports in the sample.
        reports_outside: Reports outside the sample, which are not stored.
        reports_shed: Reports that were shed.
        reports_outdated: Reports of a visit that began in an epoch that is over.
        reports_forged: Forged reports, among the others.
        leaves: Leaves that arrived.
        legacy_reports: Reports of legacy clients.
        connects: WebSockets that were opened.
        messages_in: Messages over WebSockets, joins and leaves included.
        messages_out: Messages to WebSockets.
        timers: Timers of the room or its policy that fired: alarms, on some platforms.
        saves: Snapshots that the room asked for.
        person_ms: The total time of all visits.
        store: The operations of the store.
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
    timers: int = 0
    saves: int = 0
    person_ms: int = 0
    store: StoreMeter = field(default_factory=StoreMeter)

    @property
    def origin_requests(self) -> int:
        """Requests that came to the origin."""
        return self.presence_reads + self.config_reads + self.reports + self.leaves + self.legacy_reports
