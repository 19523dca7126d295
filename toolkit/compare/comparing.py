"""One model by every engine: built, judged and timed. Each build and each run is a process of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from toolkit.compare import native
from toolkit.compare.remote import Runnable
from toolkit.compare.report import Comparison, Row
from toolkit.compare.running import Judging, Variant, measure
from toolkit.engines import calling
from toolkit.engines.calling import Built
from toolkit.engines.catalog import ENGINES, Runner, python_of
from toolkit.engines.order import Order, write_feeds
from toolkit.errors import EdgequantError, MissingExtraError
from toolkit.feeds import equal_length_feeds
from toolkit.isa.place import Place
from toolkit.progress import Track, silent
from toolkit.quantize import calibration_tokens
from toolkit.runtime.manifest import SessionInfo
from toolkit.samples import Samples
from toolkit.sources.source import Source
from toolkit.subjects import source_subject

ORT_DEFAULTS = SessionInfo(allow_spinning=True)
FLOAT, NATIVE = "fp32", "native"


@dataclass(frozen=True)
class Request:
    """What is compared. ``order`` and ``source`` are edgequant's own engine's; all others take the graph ``given``."""

    order: native.NativeOrder
    source: Source
    given: Source
    calibration: Samples
    evaluation: Samples
    engines: tuple[str, ...]
    pythons: Mapping[str, Path]  # as ``python_of`` reads them
    place: Place | None = None  # where ONNX models run; None: this CPU as it is
    alike: bool = False  # run the others a second time, set as edgequant's


def compare(request: Request, folder: Path, track: Track = silent) -> Comparison:
    """Build, run and time; what is not installed or fails is a row that says so. ``folder`` is for files."""
    builder = _Builder(request, folder.resolve())
    built = [list(builder.build(name)) for name in track(request.engines, "build", len(request.engines))]
    first, *floats = builder.float_model()
    others = [*floats, *(item for group in built for item in group)]
    rows = measure(first, others, Judging(request.evaluation, request.given.max_length), track)
    source, given, place = request.source, request.given, request.place
    return Comparison(
        model=source.name,
        target=request.order.recipe.name,
        float_graph=f"by {given.built_by}"
        + ("" if given is source else f"; of the engine native by {source.built_by}"),
        calibration=f"{len(request.calibration.texts)} texts of {request.calibration.name}",
        dataset=f"{len(request.evaluation.texts)} rows of {request.evaluation.name}",
        rows=tuple(rows),
        kernels="this CPU's own" if place is None else str(place),
    )


class _Builder:
    """Makes the rows that are to be filled, and those that say why there is nothing to fill them with."""

    def __init__(self, request: Request, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._session = request.order.recipe.runtime.session_info()
        self._here = request.place or calling.interpreter(None, folder)
        self._model, self._feeds = folder / "fp32.onnx", folder / "feeds.npz"
        self._model.write_bytes(ir.to_proto(request.given.model).SerializeToString())

    def float_model(self) -> Iterator[Variant]:
        """Yield the float model's rows."""
        row = Row(FLOAT, "the float model", "ran", bytes=self._model.stat().st_size)
        return self._variants(row, self._model, "onnxruntime", self._here)

    def build(self, name: str) -> Iterator[Variant | Row]:
        """Yield an engine's rows."""
        what = "edgequant's own engine" if name == NATIVE else ENGINES[name].what
        try:
            yield from self._native(what) if name == NATIVE else self._other(name)
        except MissingExtraError:
            yield Row(name, what, "not installed", ENGINES[name].install)
        except EdgequantError as error:
            yield Row(name, what, "failed", str(error))

    def _native(self, what: str) -> Iterator[Variant]:
        made = native.build(self._request.order, self._folder / "native.onnx")
        runnable = Runnable(made.model, "onnxruntime", self._session)
        yield Variant(_row(NATIVE, what, made), self._request.source, runnable, self._here, self._timed("onnxruntime"))

    def _other(self, name: str) -> Iterator[Variant]:
        engine, recipe = ENGINES[name], self._request.order.recipe
        python = calling.interpreter(python_of(name, self._request.pythons), self._folder)
        calling.require(engine, python)
        if not self._feeds.is_file():
            request = self._request
            texts = calibration_tokens(request.given, request.calibration, request.evaluation)
            inputs = source_subject(request.given).info.inputs
            write_feeds(self._feeds, equal_length_feeds(texts, inputs))
        out = str(self._folder / f"{name}{engine.suffix}")
        order = Order(str(self._model), str(self._feeds), out, recipe.verify.isa, recipe.cpu.pair_saturation)
        made = calling.build(engine, order, python)
        place = python if engine.runner == "openvino" else self._here
        yield from self._variants(_row(name, engine.what, made), made.model, engine.runner, place)

    def _variants(self, row: Row, model: Path, runner: Runner, place: Place) -> Iterator[Variant]:
        """Yield a model as its users run it and, if asked, set as edgequant's."""
        given, timed = self._request.given, self._timed(runner)
        yield Variant(row, given, Runnable(model, runner, ORT_DEFAULTS), place, timed)
        if self._request.alike:
            other = runner == "openvino"
            note = "float32 between int8 layers" if other else "the recipe's session settings"
            runnable = Runnable(model, runner, self._session, float32=True)
            yield Variant(replace(row, note=note), given, runnable, place, timed, judged=other)

    def _timed(self, runner: Runner) -> bool:
        """Tell whether a model runs on the kernels that are compared, and not under emulation."""
        place = self._request.place
        return place is None or place.how == "native" or (place.how == "masked" and runner == "onnxruntime")


def _row(name: str, what: str, made: Built) -> Row:
    row = Row(name, what, "ran", by=made.by, bytes=made.bytes)
    return replace(row, build_seconds=made.seconds, build_peak_bytes=made.peak_bytes)
