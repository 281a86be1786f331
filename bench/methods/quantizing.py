"""The table of quantization-aware training: LSQ at four widths, with and without a teacher, against float."""

from collections.abc import Callable

from bench.methods.distilling import teachers
from bench.methods.making import Making
from bench.methods.pruning import ARCHITECTURE, BASE_EPOCHS
from bench.methods.tables import Arm, Claim, Effort, MethodTable

EPOCHS = 2
LEARNING_RATE = 0.01
"""Esser et al. 2020, section 2.3, for 2 to 4 bits."""
BITS = ((3, 4), (8, 8), (4, 4), (2, 2))
"""Of weights and activations; the claim's first."""
KD = {"temperature": 1.0, "kd_weight": 0.7}
"""Adlik's setting for LSQ with a larger teacher."""
BASE, FLOAT, FLOAT_TAUGHT = "float base", "float, trained on", "float, trained on with KD"

COMPARES = """
What do few bits cost after LSQ training?

``torch.quantize_aware`` from a trained float base (first and last layer at 8 bits, one step a tensor for activations,
one a channel for weights), with and without a larger teacher, against the same base trained on in float for as many
epochs with the same learning rate, with and without that teacher.  The file holds float32 weights with their steps;
"weights at their bits" is what they take when packed.  PyTorch simulates the integers, so its latency would say
nothing and is not measured.
"""


def table(effort: Effort) -> MethodTable:
    """Float, trained on in both ways; each width in both ways."""
    shop = _Shop(effort)
    arms = [
        Arm(BASE, shop.base, few=True),
        Arm(FLOAT, shop.trained_on, BASE, few=True),
        Arm(FLOAT_TAUGHT, shop.trained_on_taught, FLOAT),
    ]
    for weight, activation in BITS:
        arms += [
            Arm(
                _name(weight, activation), shop.quantised(weight, activation), FLOAT, timed=False,
                few=(weight, activation) == BITS[0],
            ),
            Arm(
                _name(weight, activation, taught=True), shop.quantised(weight, activation, taught=True), FLOAT_TAUGHT,
                timed=False,
            ),
        ]  # fmt: skip
    claims = (
        Claim(_name(3, 4), FLOAT, within=0.5),
        Claim(_name(3, 4, taught=True), FLOAT, within=0.5),
        Claim(_name(8, 8), FLOAT, within=0.5),
    )
    return MethodTable("quantization", COMPARES, tuple(arms), claims, (teachers(effort)[0].making,))


def _name(weight: int, activation: int, *, taught: bool = False) -> str:
    return f"LSQ W{weight}A{activation}" + (" with KD" if taught else "")


class _Shop:
    """Makes the makings of a seed."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._tuning = {**effort.training(EPOCHS), "learning_rate": LEARNING_RATE, "weight_decay": 1e-4}
        self._teacher = teachers(effort)[:1]

    def base(self, seed: int) -> Making:
        params = {"architecture": ARCHITECTURE, **self._effort.training(BASE_EPOCHS)}
        return Making("torch.train", params, seed)

    def trained_on(self, seed: int) -> Making:
        return Making("torch.train", self._tuning, seed).with_inputs(init=self.base(seed))

    def trained_on_taught(self, seed: int) -> Making:
        params = {**self._tuning, **KD, "initialise": "from_student"}
        return Making("torch.distill", params, seed).with_inputs(student=self.base(seed), teacher=self._teacher)

    def quantised(self, weight: int, activation: int, *, taught: bool = False) -> Callable[[int], Making]:
        bits = {"weight_bits": weight, "activation_bits": activation}
        params = {**self._tuning, **bits, "exports": ["packed"], **(KD if taught else {})}

        def making(seed: int) -> Making:
            making = Making("torch.quantize_aware", params, seed).with_inputs(model=self.base(seed))
            return making.with_inputs(teacher=self._teacher) if taught else making

        return making
