"""The table of pruning: every importance at three ratios, fine-tuned with and without an ensemble of two teachers."""

from collections.abc import Callable

from bench.methods.distilling import teachers
from bench.methods.making import Making
from bench.methods.tables import Arm, Claim, Effort, MethodTable

ARCHITECTURE = "zoo:resnet_small"
BASE_EPOCHS = 3
EPOCHS = 2
"""Of fine-tuning."""
LEARNING_RATE = 0.05
"""Of fine-tuning: half of the base's, because it does not start from nothing."""
IMPORTANCES = ("group_norm", "l1", "random", "taylor", "bn_gamma", "l2")
RATIOS = (0.5, 0.375, 0.25)
KD = {"temperature": 2.0, "kd_weight": 0.9, "combine": "mean_logits"}
TUNED, TUNED_ENSEMBLE = "base, trained on", "base, trained on with the ensemble"

COMPARES = """
What does a pruned network lose, and what does an ensemble of two teachers give back?

``torch.prune`` (uniform over the groups of coupled channels, without training) and then the same fine-tuning for all:
``torch.train`` or ``torch.distill`` with the mean of two teachers' logits, same epochs, learning rate and order of the
pictures.  Each is compared with the unpruned base after the same fine-tuning, so that neither more epochs nor the
teachers count as a merit of pruning.  ``random`` is the importance that knows nothing; ``from fresh weights`` is the
pruned network's shape, trained from the beginning for as many epochs as base and fine-tuning together.
"""


def table(effort: Effort) -> MethodTable:
    """The base, the base trained on, and every importance and ratio in both ways."""
    shop = _Shop(effort)
    arms = [
        Arm("base", shop.base, few=True),
        Arm(TUNED, lambda seed: shop.tuned(shop.base(seed)), "base", few=True),
        Arm(TUNED_ENSEMBLE, lambda seed: shop.taught(shop.base(seed)), TUNED, few=True),
    ]
    for ratio in RATIOS:
        for importance in IMPORTANCES:
            arms += _pair(shop, importance, ratio)
        arms.append(Arm(_name("from fresh weights", ratio), shop.fresh(ratio), TUNED))
        arms.append(Arm(_name("from fresh weights", ratio, ensemble=True), shop.fresh(ratio, taught=True), TUNED))
    claims = [Claim(_name(importance, 0.5, ensemble=True), "base", within=0.5) for importance in IMPORTANCES[:2]] + [
        Claim(_name("group_norm", ratio), _name("random", ratio)) for ratio in RATIOS
    ]
    return MethodTable(
        "pruning", COMPARES, tuple(arms), tuple(claims), tuple(source.making for source in teachers(effort))
    )


def _name(how: str, ratio: float, *, ensemble: bool = False) -> str:
    return f"{ratio * 100:g} % pruned, {how}" + (", ensemble" if ensemble else "")


def _pair(shop: "_Shop", importance: str, ratio: float) -> list[Arm]:
    few = importance == IMPORTANCES[0] and ratio == RATIOS[0]
    return [
        Arm(
            _name(importance, ratio), lambda seed: shop.tuned(shop.pruned(importance, ratio, seed)), TUNED, few=few
        ),
        Arm(
            _name(importance, ratio, ensemble=True),
            lambda seed: shop.taught(shop.pruned(importance, ratio, seed)), TUNED_ENSEMBLE, few=few,
        ),
    ]  # fmt: skip


class _Shop:
    """Makes the makings of a seed."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._tuning = {**effort.training(EPOCHS), "learning_rate": LEARNING_RATE}
        self._pair = teachers(effort)

    def base(self, seed: int) -> Making:
        params = {"architecture": ARCHITECTURE, **self._effort.training(BASE_EPOCHS)}
        return Making("torch.train", params, seed)

    def pruned(self, importance: str, ratio: float, seed: int) -> Making:
        params = {"method": importance, "ratio": ratio, "scope": "uniform", "epochs": 0, **self._effort.limits}
        return Making("torch.prune", params, seed).with_inputs(model=self.base(seed))

    def tuned(self, network: Making) -> Making:
        return Making("torch.train", self._tuning, network.seed).with_inputs(init=network)

    def taught(self, network: Making) -> Making:
        params = {**self._tuning, **KD, "initialise": "from_student"}
        return Making("torch.distill", params, network.seed).with_inputs(student=network, teacher=self._pair)

    def fresh(self, ratio: float, *, taught: bool = False) -> Callable[[int], Making]:
        """A shape is trained from fresh weights by ``torch.distill`` only; without a share of the teachers' loss it is
        training alone.
        """
        params = {**self._effort.training(BASE_EPOCHS + EPOCHS), **KD, "initialise": "scratch"}
        params |= {} if taught else {"kd_weight": 0.0}

        def making(seed: int) -> Making:
            return Making("torch.distill", params, seed).with_inputs(
                student=self.pruned("l1", ratio, seed), teacher=self._pair
            )

        return making
