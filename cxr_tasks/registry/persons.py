"""Who did something, and how the name is known: what a log says of a person is worth what stands behind the name."""

from __future__ import annotations

from dataclasses import dataclass

#: How a name is known: from the login to Airflow or MLflow; from the account that a command ran as; from what somebody
#: typed (``--by``), which proves nothing; or as one of our own programs.
AIRFLOW_LOGIN, MLFLOW_LOGIN = "Airflow login", "MLflow login"
SHELL_USER, CLAIMED, PROGRAM = "shell user", "claimed", "program"
PROGRAMS = ("airflow", "audit log", "cxr", "mlflow", "watcher")


@dataclass(frozen=True, slots=True)
class Person:
    """A name, and how it is known."""

    name: str
    known_by: str

    @classmethod
    def of(cls, who: str | Person) -> Person:
        """
        >>> Person.of("airflow").known_by, Person.of("Dr. A").known_by
        ('program', 'claimed')
        """
        if isinstance(who, Person):
            return who
        return cls(who, PROGRAM if who.strip() in PROGRAMS else CLAIMED)

    def __str__(self) -> str:
        return self.name
