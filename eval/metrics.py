"""The metrics in one place: their names, which direction is better, and which are fractions."""

from __future__ import annotations

# ages, ladder, unseen: asked for several ages
AGE_ERROR = "age error (years)"
AGE_RATIO = "age error / judge's own error"
AGE_BIAS = "judge's bias (years)"
RANK = "rank correlation, asked and judged age"
SLOPE = "judged years for each year asked"
SAME = "taken for the same person, up to 20 years apart"
KEPT = "taken for the same person, at all ages asked"
SIMILARITY = "similarity to the input"
GENDER_KEPT = "judged to be of the same gender"

# audit: same person or strangers
AUC = "verification AUC"
EER = "equal error rate"
TAR = "taken for the same person at 1% false accepts"

# longitudinal, twins, canon: towards a true face
GAIN = "identity gain towards the true face"
IDENTITY_RECOVERY = "identity recovery"
DISTANCE = "perceptual distance to the true face"
PERCEPTUAL_RECOVERY = "perceptual recovery"
BEST_GAIN = "identity gain towards the nearest true face"
BEST_DISTANCE = "perceptual distance to the nearest true face"
IDENTITY_DISTANCE = "identity distance to the true face"
BEST_IDENTITY_DISTANCE = "identity distance to the nearest true face"
TRUE_RANK = "rank of the true face, of 100"
TRUE_AUC = "true face nearer than a stranger's"

# glasses
AS_ASKED = "glasses as asked"
UNASKED = "glasses put on or taken off unasked"
CALIBRATION = "calibration error of the judge"

# quality
KID = "KID × 1000"
FID = "FID"
SHARPNESS = "sharpness, of the input's"
DIVERSITY = "difference between people, of the inputs'"
OWN_DOMAIN = "judged to be of its own domain"

HIGHER = {
    RANK, SAME, KEPT, SIMILARITY, GENDER_KEPT, AUC, TAR, GAIN, IDENTITY_RECOVERY, PERCEPTUAL_RECOVERY,
    BEST_GAIN, TRUE_AUC, AS_ASKED, DIVERSITY, OWN_DOMAIN,
}  # fmt: skip
LOWER = {
    AGE_ERROR, AGE_RATIO, EER, DISTANCE, BEST_DISTANCE, IDENTITY_DISTANCE, BEST_IDENTITY_DISTANCE, TRUE_RANK,
    UNASKED, CALIBRATION, KID, FID,
}  # fmt: skip
SHARES = {
    SAME, KEPT, GENDER_KEPT, EER, TAR, TRUE_AUC, AS_ASKED, UNASKED, CALIBRATION, OWN_DOMAIN, SHARPNESS,
    DIVERSITY,
}  # fmt: skip


def better(metric: str) -> int:
    """1 where more is better, -1 where less is, 0 where neither."""
    return (metric in HIGHER) - (metric in LOWER)
