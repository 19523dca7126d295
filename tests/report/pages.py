"""Reports of every kind, and texts that break what does not escape them."""

from dataclasses import replace

from toolkit.gate import Example, GateReport, Histogram, Interval, Models, RunPlace, Sizes, Slice, Trend, Verdict
from toolkit.report.page import Layer, Page, Part
from toolkit.speed import Speed

NASTY = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)> & \"quotes\" 'too'",
    "| a | table ` `code` | *bold* _under_ [link](http://example.invalid) ![i](x) ~~s~~ $x$ @someone #1",
    "two\nlines\r\nand\ttab ::error::not a command % %0A",
    "שלום עולם and مرحبا بالعالم",
    "emoji 🎸 👩‍👩‍👧",
    "\x00 \x1b[31m \ud800 ]]> \ufffe",
    "",
    "   ",
    "long " * 300,
    "x" * 2000,
)
NEAR, FAR = Interval(-0.001, 0.0005, 0.95), Interval(-0.012, -0.008, 0.95)
MORE = "not enough data: 400 more rows needed"
PASSED = GateReport(
    task="embedding",
    model=Models("mini", "a" * 64, "b" * 64),
    dataset="pairs",
    dataset_digest="c" * 64,
    rows=1379,
    decision="interval",
    verdicts=(
        Verdict("non_finite_rows", None, 0.0, {"max": 0}, "pass"),
        Verdict("spearman", 0.8203, 0.8199, {"max_drop": 0.003, "min_ratio": 0.99}, "pass", "", NEAR),
        Verdict("cosine_mean", None, 0.998, {"min": 0.992}, "pass", "", Interval(0.9975, 0.9985, 0.95)),
        Verdict("sqnr_db", None, 23.9, {"min": 15.0}, "pass"),
        Verdict("size_ratio", None, 0.26, {"max": 0.35}, "pass", "26 of 100 bytes"),
        Verdict("cosine_min", None, 0.97, {}, "no limit"),
    ),
    sizes=Sizes(100_000_000, 26_000_000),
)
FAILED = replace(
    PASSED,
    verdicts=(
        PASSED.verdicts[0],
        Verdict("spearman", 0.82, 0.81, {"max_drop": 0.003}, "fail", "drops by more than 0.003", FAR),
        Verdict("cosine_p1", None, 0.9841, {"min": 0.984}, "undecided", MORE, Interval(0.98, 0.988, 0.95), 400),
        Verdict("cosine_mean", None, None, {"min": 0.992}, "not measured", "no vectors"),
        *PASSED.verdicts[3:],
    ),
    place=RunPlace("avx2", "masked", "the probe saturates"),
    slices=(
        Slice("≤16", 1000, {"spearman": 0.81, "cosine_mean": 0.998}, {"spearman": 0.82}),
        Slice("longer", 1, {"spearman": None, "cosine_mean": 0.99}, {"spearman": None}),
    ),
    worst=(*(Example(text, text, text, text, 0.1) for text in NASTY), Example("alone", None, "1", "0", 1.5)),
    histogram=Histogram((0.9, 0.95, 1.0), (1, 1000)),
    trend=(Trend("spearman", 0.8198, 0.81, "fail"), Trend("sqnr_db", 22.0, 23.9, "pass")),
)
BROKEN = replace(PASSED, verdicts=(Verdict("non_finite_rows", None, 7.0, {"max": 0}, "fail"),))
CLASSIFIER = replace(
    PASSED,
    task="classification",
    verdicts=(
        PASSED.verdicts[0],
        Verdict("accuracy", 0.91, 0.915, {"max_drop": 0.01}, "pass"),
        Verdict("label_flips", None, 0.012, {"max": 0.03}, "pass"),
    ),
)
UNDECIDED = replace(PASSED, verdicts=(PASSED.verdicts[0], FAILED.verdicts[2]))
REPORTS = {
    "passed": PASSED,
    "failed": FAILED,
    "broken": BROKEN,
    "classifier": CLASSIFIER,
    "undecided": UNDECIDED,
}
EVERYTHING = Page(
    FAILED,
    target="x86-avx2",
    layers=(
        Layer("embeddings.word.weight", "embeddings.word.weight", "int8", 43.0, "Rows have a scale each."),
        *(Layer(f"layer.{n}.dense/MatMul", "dense", "int8", 38.0 - n, "Every GEMM.") for n in range(3)),
        Layer("head/Gemm", "head", "float", None, "<b>small</b>"),
    ),
    parts=(Part("embedding tables", 47_000_000, 12_000_000), Part("the rest", 53_000_000, 14_000_000)),
    speeds=(Speed(1, 16, 5.1, 1.6, 3.2), Speed(8, 64, 40.0, 44.0, 0.91)),
    provenance=(("built by", "edgequant"), ("calibration name", NASTY[0])),
    mixed=("the gate refused int8", f"{NASTY[0]}: float", NASTY[2]),
)
PAGES = {name: Page(report) for name, report in REPORTS.items()} | {"everything": EVERYTHING}
