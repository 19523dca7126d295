"""A folder of config.json and safetensors, of a family that the builder knows, as a float ONNX graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

import toolkit
from toolkit.errors import ModelError
from toolkit.sources import bert
from toolkit.sources.draft import Draft, pooling_of, refuse_pooling
from toolkit.sources.encoder import EncoderBuilder, EncoderConfig, read_encoder_config
from toolkit.sources.files import Fields, Files
from toolkit.sources.heads import normalize, pool
from toolkit.sources.labels import read_labels
from toolkit.sources.options import SourceOptions
from toolkit.sources.sentence_transformers import Modules
from toolkit.sources.source import Task
from toolkit.sources.weights import INDEX, SINGLE, Weights
from toolkit.sources.writer import IR_VERSION, GraphWriter, new_graph, set_output


@dataclass(frozen=True)
class Family:
    """How the checkpoints of one model_type are read.

    ``prefix`` stands before the names of the encoder's tensors in a checkpoint that has a head.
    """

    prefix: str
    inputs: tuple[str, ...]
    config: Callable[[Fields], EncoderConfig]
    encoder: Callable[[EncoderBuilder, Mapping[str, ir.Value]], ir.Value]
    classifier: Callable[[EncoderBuilder, ir.Value, int], ir.Value]
    classifier_weight: str  # [labels, hidden]


FAMILIES = {
    "bert": Family(
        "bert.",
        bert.INPUTS,
        read_encoder_config,
        bert.build_encoder,
        bert.build_classifier,
        "classifier.weight",
    ),
}


def is_buildable(files: Files, config: Fields) -> bool:
    """Tell whether the weights are here and of a family that the builder knows."""
    known = config.text("model_type", "") in FAMILIES
    return known and (files.find(SINGLE) or files.find(INDEX)) is not None


def build(files: Files, config: Fields, modules: Modules | None, options: SourceOptions) -> Draft:
    """Build the graph from the weights; ModelError or NumericsError says what in the folder does not fit."""
    task = _task(config, modules, options)
    if task == "classification":
        refuse_pooling(options, "the model is a classifier")
    family = FAMILIES[config.text("model_type")]
    sizes = family.config(config)
    weights = Weights(files, family.prefix)
    graph = new_graph("main", family.inputs)
    builder = EncoderBuilder(GraphWriter(graph), weights, sizes)
    inputs = {str(value.name): value for value in graph.inputs}
    tokens = family.encoder(builder, inputs)
    model = ir.Model(graph, ir_version=IR_VERSION, producer_name="edgequant", producer_version=toolkit.__version__)
    if task == "classification":
        labels, several = read_labels(config, weights.rows(family.classifier_weight))
        set_output(graph, family.classifier(builder, tokens, len(labels)), "logits", len(labels))
        return Draft(model, task, "logits", "edgequant", labels=labels, multi_label=several)
    pooling, unit = pooling_of(modules, options)
    pooled = pool(builder.writer, tokens, inputs["attention_mask"], pooling)
    pooled = normalize(builder.writer, pooled) if unit else pooled
    set_output(graph, pooled, "sentence_embedding", sizes.hidden)
    return Draft(model, task, "sentence_embedding", "edgequant", pooling=pooling, normalize=unit)


def _task(config: Fields, modules: Modules | None, options: SourceOptions) -> Task:
    """Return what the model is for, by the user's word, modules.json or the architecture's name."""
    names = config.values.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else "BertModel"
    classifier = name.endswith("ForSequenceClassification")
    if options.task == "classification" and not classifier:
        expected = "an architecture …ForSequenceClassification"
        raise ModelError("the model has no classification head", where=config.path, got=name, expected=expected)
    if options.task or modules:
        return options.task or "embedding"
    if classifier or name.endswith("Model"):
        return "classification" if classifier else "embedding"
    expected = "an encoder (…Model) or …ForSequenceClassification"
    hint = "--task embedding takes the encoder alone; other heads are not supported yet"
    raise ModelError("unsupported kind of model", where=config.path, got=name, expected=expected, hint=hint)
