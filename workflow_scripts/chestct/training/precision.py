"""In which precision networks are trained and scans are scored: the same in all arms of a study.

``training.precision`` is that of training, and of the validations within it, which choose weights and are a
quarter of a study's work. Scores that are stored (predictions, features of frozen probes) are computed in
float32, without autocast, after every training: in bf16 a logit has eight bits, and scans that a network
tells apart would tie. On GPUs products take TF32 (ten bits) where training was mixed anyway. Without torch,
for the plan of a study too.
"""

#: Values of ``scores_in``.
FLOAT32, TF32 = "float32", "tf32"


def is_mixed(precision: str) -> bool:
    """Whether a training computes products in less than float32.

    Args:
        precision: 32-true, bf16-mixed or 16-mixed.
    """
    return precision != "32-true"


def scores_in(precision: str, *, gpus: int) -> str:
    """What products of stored scores are computed in: float32, or tf32.

    Args:
        precision: of the training.
        gpus: 0: CPU.
    """
    return TF32 if gpus and is_mixed(precision) else FLOAT32
