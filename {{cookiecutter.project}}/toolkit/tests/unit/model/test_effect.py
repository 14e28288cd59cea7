"""One change that shows in many comparisons is told in one sentence, at the level of the worst."""

from dataclasses import replace

from toolkit.data.effect import Drift, causes
from toolkit.model.policy import Levels

LEVELS = Levels(0.1, 0.2, "any reason")
STRONG = Drift(
    *("age", "distribution", "mean 61, reference 53", "Wasserstein distance", 0.5, LEVELS),
    *(1e-9, 1000, 2000),
    level="fail",
    significance=0.001,
)
SENTENCE = (
    "age: distribution drift: mean 61, reference 53; Wasserstein distance 0.5 (warns from 0.1, "
    "fails from 0.2), p < 1e-06 (significant below 0.001), 1,000 rows, reference 2,000"
)


def of(column: str, aspect: str, value: float, level: str) -> Drift:
    """Return a comparison with an effect of this size."""
    return replace(STRONG, column=column, aspect=aspect, value=value, level=level)


def sentences(*drifts: Drift) -> list[str]:
    return [str(cause) for cause in causes(drifts)]


def test_a_comparison_alone_is_its_own_sentence() -> None:
    assert str(STRONG) == SENTENCE
    assert sentences(STRONG) == [SENTENCE]


def test_of_one_column_the_strongest_is_told_and_the_others_are_counted() -> None:
    told = sentences(
        of("age", "nulls", 0.3, "fail"),
        STRONG,
        of("age", "categories", 0.4, "fail"),
        of("age", "alone", 0.15, "warn"),
    )
    assert told == [
        f"{SENTENCE}; 2 further comparisons of age fail: category drift, null rate drift; "
        "1 further comparison of age warns: drift of what the column alone tells of the target"
    ]


def test_of_a_column_that_moved_as_a_whole_the_far_values_are_told_last() -> None:
    told = sentences(of("age", "extremes", 3.0, "fail"), STRONG)
    assert told == [f"{SENTENCE}; 1 further comparison of age fails: drift of the extremes"]
    [cause] = causes([of("age", "extremes", 3.0, "fail"), replace(STRONG, level="warn")])
    assert cause.strongest.aspect == "extremes"


def test_effects_of_different_units_are_compared_by_their_own_levels() -> None:
    nulls = replace(of("age", "nulls", 0.06, "fail"), levels=Levels(0.005, 0.01, "any reason"))
    [cause] = causes([STRONG, nulls])
    assert cause.strongest == nulls


def test_a_level_of_nothing_at_all_is_the_strongest() -> None:
    nulls = replace(of("age", "nulls", 0.01, "fail"), levels=Levels(0.0, 0.0, "any reason"))
    [cause] = causes([STRONG, nulls])
    assert cause.strongest == nulls


def test_a_failure_is_told_before_a_larger_warning() -> None:
    larger = replace(of("age", "nulls", 5.0, "warn"), levels=Levels(0.1, 9.0, "any reason"))
    [cause] = causes([larger, STRONG])
    assert (cause.level, cause.strongest) == ("fail", STRONG)
    assert str(cause).endswith("; 1 further comparison of age warns: null rate drift")


def test_the_relation_to_the_target_is_one_cause_in_the_slices_of_all_columns() -> None:
    columns = ["predictions", "a", "b", "c", "d", "e", "f"]
    slices = [of(name, "calibration", 0.9 - at / 10, "fail") for at, name in enumerate(columns)]
    told = sentences(of("a", "ranking", 0.21, "fail"), *slices, of("g", "ranking", 0.11, "warn"))
    assert len(told) == 1
    assert told[0].startswith("predictions: drift of the relation to the target: ")
    assert told[0].endswith(
        "; 7 further comparisons of the relation to the target fail: a, b, c, d, e and 1 more"
        "; 1 further comparison of the relation to the target warns: g"
    )


def test_columns_that_moved_apart_are_told_apart_and_failures_first() -> None:
    told = causes([of("tenure", "distribution", 0.15, "warn"), STRONG])
    assert [(cause.strongest.column, cause.level) for cause in told] == [
        ("age", "fail"),
        ("tenure", "warn"),
    ]


def test_what_is_as_before_or_unknown_has_no_cause() -> None:
    assert causes([replace(STRONG, level="ok"), replace(STRONG, level="unknown")]) == []
