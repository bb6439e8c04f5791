"""The licences under which public model files are given; which of them must be agreed to before a download."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["APACHE", "CPML", "MIT", "Licence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """Terms of a model file.

    name: short, for lists; address: where the text is; summary: what a user must know, None where nothing is special;
    variable, option: the environment variable and the option of commands that agree in advance, None where no
    agreement is needed.
    """

    name: str
    address: str
    summary: str | None = None
    variable: str | None = None
    option: str | None = None

    @property
    def how_to_agree(self) -> str:
        """Words that say how to agree in advance."""
        return f"give {self.option} or set {self.variable}=1"

    @property
    def needs_consent(self) -> bool:
        """Tell whether it must be agreed to before the first download."""
        return self.variable is not None


APACHE = Licence(name="Apache-2.0", address="https://www.apache.org/licenses/LICENSE-2.0")
MIT = Licence(name="MIT", address="https://opensource.org/license/mit")
CPML = Licence(
    name="CPML 1.0.0",
    address="https://coqui.ai/cpml.txt",
    summary=(
        "The Coqui Public Model License allows non-commercial use only, of the model, of its voices and of the speech "
        "made with them. Whoever passes any of these on must pass on these terms or their address. "
        "No commercial model may be trained with them."
    ),
    variable="TUTORTOIETTS_ACCEPT_CPML",
    option="--accept-cpml",
)
